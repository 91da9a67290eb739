//! Metrics that stand in a registry.

use prometheus::{Registry, core::Collector};

/// Registers a metric. Names and labels are constants, so what the registry refuses is an error of the caller that any test of it shows.
pub fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> C {
    let metric = metric.expect("a valid name and valid labels");
    let registered = registry.register(Box::new(metric.clone()));
    registered.expect("a name of its own");
    metric
}
