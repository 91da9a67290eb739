//! Quantiles of Prometheus histograms, as upper bounds.

use heartprobe_tests::metrics::Scrape;

/// The upper bound of the bucket in which this share of a histogram's observations is reached.
pub fn quantile(scrape: &Scrape, name: &str, labels: &[(&str, &str)], share: f64) -> String {
    let bucket = format!("{name}_bucket");
    let buckets: Vec<_> = scrape.all(&bucket, labels).collect();
    let total = buckets.last().map_or(0.0, |last| last.value);
    if total == 0.0 {
        return "-".into();
    }
    let reached = buckets.iter().find(|sample| sample.value >= share * total);
    match reached.and_then(|sample| sample.label("le")?.parse::<f64>().ok()) {
        Some(bound) if bound.is_finite() => format!("< {}", shown(bound)),
        _ => "above all".into(),
    }
}

fn shown(seconds: f64) -> String {
    match seconds {
        t if t < 1e-3 => format!("{:.0} µs", t * 1e6),
        t if t < 1.0 => format!("{:.0} ms", t * 1e3),
        t => format!("{t:.0} s"),
    }
}
