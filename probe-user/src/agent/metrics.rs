//! What the agent tells Prometheus, if it is asked to.

use std::collections::HashMap;

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use prometheus::{
    GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TEXT_FORMAT,
    TextEncoder,
    core::{Collector as _, MetricVec, MetricVecBuilder},
};
use tokio::net::TcpListener;

use crate::{clock, metrics::register};

/// The agent's metrics.
pub struct Metrics {
    beats: IntCounterVec,
    acks: IntCounterVec,
    check_up: IntGaugeVec,
    last_ack: GaugeVec,
    registry: Registry,
}

impl Metrics {
    /// None of them has a series yet.
    pub fn new() -> Self {
        let registry = Registry::new();
        let each = ["service", "monitor"];
        let build = Opts::new(
            "heartprobe_build_info",
            "1; the version of heartprobe and the digest of its eBPF sources.",
        )
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("ebpf", env!("HEARTPROBE_EBPF_DIGEST"));
        register(&registry, IntGauge::with_opts(build)).set(1);
        let beats = Opts::new(
            "heartprobe_agent_beats_total",
            "Beats of a service sent to a monitor.",
        );
        let acks = Opts::new(
            "heartprobe_agent_acks_total",
            "Acks of a service's beats by a monitor.",
        );
        let check_up = Opts::new(
            "heartprobe_agent_check_up",
            "Whether the last check of a service passed.",
        );
        let last_ack = Opts::new(
            "heartprobe_agent_last_ack_timestamp_seconds",
            "When a monitor last acked a beat.",
        );
        Self {
            beats: register(&registry, IntCounterVec::new(beats, &each)),
            acks: register(&registry, IntCounterVec::new(acks, &each)),
            check_up: register(&registry, IntGaugeVec::new(check_up, &["service"])),
            last_ack: register(&registry, GaugeVec::new(last_ack, &["monitor"])),
            registry,
        }
    }

    /// The counter of beats.
    pub fn beats(&self, service: &str, monitor: &str) -> IntCounter {
        // There from the start, so that the first ack is a rise.
        self.acks.with_label_values(&[service, monitor]);
        self.beats.with_label_values(&[service, monitor])
    }

    /// Counts an ack that came just now.
    pub fn acked(&self, service: &str, monitor: &str) {
        self.acks.with_label_values(&[service, monitor]).inc();
        let last = self.last_ack.with_label_values(&[monitor]);
        last.set(clock::realtime() as f64 / 1e9);
    }

    /// Notes how a check ended.
    pub fn check(&self, service: &str, passed: bool) {
        let up = self.check_up.with_label_values(&[service]);
        up.set(i64::from(passed));
    }

    /// Drops the series of services and monitors that are no more.
    pub fn keep(&self, service: impl Fn(&str) -> bool, monitor: impl Fn(&str) -> bool) {
        let is_gone = |label: &str, value: &str| match label {
            "service" => !service(value),
            _ => !monitor(value),
        };
        prune(&self.beats, is_gone);
        prune(&self.acks, is_gone);
        prune(&self.check_up, is_gone);
        prune(&self.last_ack, is_gone);
    }

    /// Serves them until the runtime ends.
    pub fn serve(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + 'static {
        let registry = self.registry.clone();
        let page = async move || {
            let text = TextEncoder::new().encode_to_string(&registry.gather());
            match text {
                Ok(text) => ([("content-type", TEXT_FORMAT)], text).into_response(),
                Err(error) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
                }
            }
        };
        let router = Router::new().route("/metrics", get(page));
        async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("metrics are served no longer: {error}");
            }
        }
    }
}

/// Removes the series that have such a label.
fn prune<T: MetricVecBuilder>(series: &MetricVec<T>, is_gone: impl Fn(&str, &str) -> bool) {
    for family in series.collect() {
        for metric in family.get_metric() {
            let labels = metric.get_label().iter().map(|l| (l.name(), l.value()));
            let labels: HashMap<&str, &str> = labels.collect();
            if labels.iter().any(|(label, value)| is_gone(label, value)) {
                // It was there just now.
                let _ = series.remove(&labels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_what_is_gone_go_and_the_others_stay() {
        let metrics = Metrics::new();
        for (service, monitor) in [("a", "m"), ("b", "m"), ("a", "n")] {
            metrics.beats(service, monitor).inc();
            metrics.acked(service, monitor);
            metrics.check(service, true);
        }
        metrics.keep(|service| service == "a", |monitor| monitor == "m");
        let text = TextEncoder::new().encode_to_string(&metrics.registry.gather());
        let text = text.unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("heartprobe_agent"));
        let series: Vec<&str> = lines
            .filter_map(|line| Some(line.split_once(' ')?.0))
            .collect();
        assert_eq!(
            series,
            [
                r#"heartprobe_agent_acks_total{monitor="m",service="a"}"#,
                r#"heartprobe_agent_beats_total{monitor="m",service="a"}"#,
                r#"heartprobe_agent_check_up{service="a"}"#,
                r#"heartprobe_agent_last_ack_timestamp_seconds{monitor="m"}"#,
            ]
        );
        assert!(text.contains("heartprobe_build_info{ebpf="));
    }
}
