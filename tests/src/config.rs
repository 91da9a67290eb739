//! The daemon's configuration as most tests have it, and the times that follow from it.

use std::time::Duration;

/// Between two pings.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// After which a ping is missed.
pub const TIMEOUT: Duration = Duration::from_millis(200);
/// A pong between `late_after` and the timeout.
pub const LATE: Duration = Duration::from_millis(130);
/// What a busy machine may add to any bound.
pub const SLACK: Duration = Duration::from_secs(2);

/// A configuration with one group, called `test`, of these targets.
pub fn fleet(targets: &[&str]) -> String {
    let targets: Vec<_> = targets
        .iter()
        .map(|target| format!("\"{target}\""))
        .collect();
    format!(
        "defaults: {{interval: 250ms, timeout: 200ms, late_after: 80ms}}\n\
         groups:\n\
         \x20 - name: test\n\
         \x20   targets: [{}]\n",
        targets.join(", ")
    )
}

/// The policy's bound: the time in which `pings` pings are sent and judged, and some slack.
pub fn after(pings: u32) -> Duration {
    INTERVAL * pings + TIMEOUT + SLACK
}
