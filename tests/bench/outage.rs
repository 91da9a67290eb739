//! An outage in the simulated fleet: hosts that die at once among many, and how long it takes until all are told.
//!
//! `heartprobe simulate` does it; here its report is shown and held against what was aimed at.

use std::{process::Stdio, time::Duration};

use heartprobe_tests::daemon::heartprobe;

use crate::{Plan, aims::Aims, progress};

const DEAD: u32 = 1_000;

/// A look each so often: the time to detect is known no better.
const LOOK: Duration = Duration::from_millis(20);

/// What may be added to the policy's bound.
const SLACK: f64 = 0.05;

/// Simulates at the largest size, prints the report and the aims.
pub fn run(plan: &Plan) {
    let targets = plan.sizes.iter().copied().max().unwrap_or(DEAD).max(DEAD);
    progress("an outage", targets);
    let mut command = heartprobe();
    command
        .args(["simulate", "--interval=1s", "--timeout=900ms", "--for=20s"])
        // All others are well: every other change of a verdict is false.
        .args(["--dead=0", "--flapping=0", "--lossy=0", "--late=0"])
        .arg(format!("--targets={targets}"))
        .arg(format!("--outage={DEAD}@5s+10s"))
        .arg(format!("--look={}ms", LOOK.as_millis()))
        .stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return println!("Outage: not measured: {error}\n"),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let Some((_, report)) = said.split_once("\n\n") else {
        let errors = String::from_utf8_lossy(&output.stderr);
        let error = errors.lines().find(|line| line.starts_with("error"));
        return println!("Outage: not measured: {}\n", error.unwrap_or("no report"));
    };
    let report: Vec<_> = report.lines().map(|line| format!("    {line}")).collect();
    let report = report.join("\n");
    println!("Outage: {DEAD} of {targets} hosts die at once\n\n{report}\n");
    println!("{}", Aims(aims(&report)));
}

/// What the report tells of them.
fn aims(report: &str) -> Vec<(String, String, bool)> {
    let mut aims = Vec::new();
    let all = format!("{DEAD} dead:");
    if let Some((max, policy)) = report
        .lines()
        .find_map(|line| detection(line.split_once(&all)?.1))
    {
        aims.push((
            "an outage is told completely, within the policy's bound + 50 ms".into(),
            format!("{max} s, bound {policy} s"),
            max <= policy + SLACK,
        ));
    } else {
        let aim = "an outage is told completely";
        aims.push((aim.into(), "some were not found".into(), false));
    }
    let is_true = report.contains(" 0 false,");
    let measured = if is_true { "none" } else { "some, see above" };
    aims.push((
        "an outage: no false verdict".into(),
        measured.into(),
        is_true,
    ));
    aims
}

/// The longest time and the policy's, s: `p50 3.35s, p99 4.04s, max 4.04s (policy: 3.00s)`.
fn detection(line: &str) -> Option<(f64, f64)> {
    let (_, rest) = line.split_once("max ")?;
    let (max, rest) = rest.split_once("s (policy: ")?;
    let (policy, _) = rest.split_once("s)")?;
    Some((max.parse().ok()?, policy.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_held_against_the_bound() {
        let report = |max, wrong| {
            aims(&format!(
                "detection  1000 died\n    1000 critical: p50 2.50s, max 3.90s (policy: 3.00s)\n    \
                 1000 dead: p50 3.35s, p99 4.01s, max {max}s (policy: 4.00s)\nverdicts   {wrong} false, 0 not given\n"
            ))
        };
        let met = |aims: Vec<(String, String, bool)>| -> Vec<_> {
            aims.into_iter().map(|aim| aim.2).collect()
        };
        assert_eq!(met(report("4.04", 0)), [true, true]);
        assert_eq!(met(report("4.06", 10)), [false, false]);
        assert_eq!(
            met(aims("999 dead: max 4.00s (policy: 4.00s)")),
            [false, false]
        );
    }
}
