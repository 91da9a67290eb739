//! What was aimed at, beside what was reached.

use std::fmt;

use crate::{
    cost::Baseline,
    rate::Inside,
    table::{self, digits},
};

/// One aim: in words, what was measured in words, and whether that reaches it.
pub type Aim = (String, String, bool);

/// A table of them; nothing where there are none.
pub struct Aims(pub Vec<Aim>);

/// The bound of a bucket, s: a lag below it is below 2 ms.
const LAG: f64 = 0.002;

impl Aims {
    /// Those that these runs can tell of.
    pub fn of(runs: &[Inside], baseline: Baseline) -> Self {
        let kernel = runs.iter().filter(|run| run.line.name.contains("kernel"));
        Self(kernel.flat_map(|run| of_run(run, baseline)).collect())
    }
}

fn of_run(run: &Inside, baseline: Baseline) -> Vec<Aim> {
    let cores = run.line.cores(baseline);
    let of = match run.line.machine_cores(baseline) {
        Some(_) => "machine",
        None => "program alone",
    };
    let share = format!("{} %, {of}", digits(cores * 100.0));
    let late = run.lag.share_above(LAG);
    let lag = (
        "lag behind schedule under 2 ms at p99".into(),
        format!(
            "{} targets: p99 {}",
            run.line.targets,
            run.lag.quantile(0.99)
        ),
        late <= 0.01,
    );
    match (run.line.targets, run.interval.as_secs()) {
        (10_000, 5) => vec![(
            "10,000 targets at 5 s under 1 % of a core, kernel and all".into(),
            share,
            cores < 0.01,
        )],
        (1_000_000.., 1) => vec![
            (
                "a million at 1 s for 60 s: nothing lost, all sent".into(),
                format!(
                    "{} lost, {} unsent",
                    digits(run.line.lost),
                    digits(run.unsent)
                ),
                run.line.lost + run.unsent == 0.0,
            ),
            (
                "a million: no false verdict".into(),
                digits(run.false_verdicts),
                run.false_verdicts == 0.0,
            ),
            (
                "a million under one core, kernel and all".into(),
                share,
                cores < 1.0,
            ),
            lag,
        ],
        (100_000, 1) => vec![lag],
        _ => vec![],
    }
}

impl fmt::Display for Aims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = table::new(&["aim", "measured", ""]);
        for (aim, measured, met) in &self.0 {
            let verdict = if *met { "met" } else { "not met" };
            table.add_row([aim, measured.as_str(), verdict]);
        }
        writeln!(f, "{table}")
    }
}
