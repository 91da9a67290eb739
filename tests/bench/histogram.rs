//! Prometheus histograms: what came within a window, and quantiles as upper bounds.

use heartprobe_tests::metrics::Scrape;

use crate::table::time;

/// Observations by bucket: the upper bound, and how many are in this bucket alone.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: Vec<(f64, f64)>,
    sum: f64,
}

impl Histogram {
    /// The one of this name, whose only group is the fleet.
    pub fn of(scrape: &Scrape, name: &str) -> Self {
        let mut below = 0.0;
        let buckets = scrape
            .all(&format!("{name}_bucket"), &[])
            .map(|sample| {
                let count = sample.value - below;
                below = sample.value;
                let bound = sample.label("le").and_then(|bound| bound.parse().ok());
                (bound.unwrap_or(f64::INFINITY), count)
            })
            .collect();
        let name = format!("{name}_sum");
        let sum = scrape.all(&name, &[]).map(|sample| sample.value).sum();
        Self { buckets, sum }
    }

    /// What was observed since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let buckets = self.buckets.iter().zip(&before.buckets);
        Self {
            buckets: buckets.map(|(now, then)| (now.0, now.1 - then.1)).collect(),
            sum: self.sum - before.sum,
        }
    }

    /// How many.
    pub fn count(&self) -> f64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// Their mean.
    pub fn mean(&self) -> f64 {
        self.sum / self.count()
    }

    /// The share (0 to 1) of observations above this bound of a bucket.
    pub fn share_above(&self, bound: f64) -> f64 {
        let above = self.buckets.iter().filter(|bucket| bucket.0 > bound);
        above.map(|(_, count)| count).sum::<f64>() / self.count().max(1.0)
    }

    /// The bound of the bucket in which this share (0 to 1) of the observations is reached. No more is known than that, so
    /// nothing is interpolated.
    pub fn quantile(&self, share: f64) -> String {
        let wanted = share * self.count();
        let mut reached = 0.0;
        let bucket = self.buckets.iter().find(|(_, count)| {
            reached += count;
            reached >= wanted && *count > 0.0
        });
        match bucket {
            None => "-".into(),
            Some((bound, _)) if bound.is_infinite() => "above all".into(),
            Some((bound, _)) => format!("< {}", time(*bound)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_buckets_with_something_in_them() {
        let scrape = Scrape::parse(
            "h_bucket{le=\"0.1\"} 2\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 5\nh_sum 10\nh_count 5\n",
        );
        let histogram = Histogram::of(&scrape, "h");
        assert_eq!((histogram.count() as u64, histogram.mean() as u64), (5, 2));
        assert_eq!(histogram.quantile(0.4), "< 100 ms");
        assert_eq!(histogram.quantile(0.5), "above all");
        assert_eq!((histogram.share_above(1.0) * 10.0) as u64, 6);
        assert_eq!(histogram.since(&histogram).quantile(0.5), "-");
    }
}
