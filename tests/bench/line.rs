//! What one prober did at one fleet size, and what that took.

use comfy_table::Table;

use crate::{
    cost::Baseline,
    table::{self, digits},
};

/// One prober at one size.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whose it is; the same at every size.
    pub name: &'static str,
    pub targets: u32,
    /// How often it pings each of them.
    pub each: String,
    /// Pings sent in the window, and those of them that were not answered.
    pub pings: f64,
    pub lost: f64,
    /// Processor seconds of the program, and of the whole machine.
    pub own: f64,
    pub machine: f64,
    /// The window.
    pub seconds: f64,
}

impl Line {
    /// Pings answered a second.
    pub fn rate(&self) -> f64 {
        (self.pings - self.lost) / self.seconds
    }

    /// Cores that the machine used for it, its own idleness taken off; `None` where that is hidden in what it does by itself.
    pub fn machine_cores(&self, baseline: Baseline) -> Option<f64> {
        let cores = self.machine / self.seconds - baseline.cores;
        (baseline.is_quiet() && cores > 2.0 * baseline.noise).then_some(cores)
    }

    /// Cores that it took in all: those of the machine, and no fewer than the program's own.
    pub fn cores(&self, baseline: Baseline) -> f64 {
        let own = self.own / self.seconds;
        self.machine_cores(baseline).unwrap_or(0.0).max(own)
    }
}

/// A period of so many seconds, as a table tells it.
pub fn period(seconds: f64) -> String {
    format!("{} s", digits((seconds * 10.0).round() / 10.0))
}

/// Rate and cost of each.
pub fn table(lines: &[Line], baseline: Baseline) -> Table {
    let mut table = table::new(&[
        "",
        "targets",
        "each",
        "pings/s",
        "lost",
        "own µs/ping",
        "own, % of a core",
        "machine µs/ping",
        "machine, % of a core",
    ]);
    for line in lines {
        let share = |cores: f64| digits(cores * 100.0);
        let each = |cores: f64| digits(cores * line.seconds / line.pings.max(1.0) * 1e6);
        let own = line.own / line.seconds;
        let machine = line.machine_cores(baseline);
        let seen = |show: &dyn Fn(f64) -> String| machine.map_or("-".into(), show);
        table.add_row([
            line.name.into(),
            line.targets.to_string(),
            line.each.clone(),
            format!("{:.0}", line.pings / line.seconds),
            format!("{:.0}", line.lost),
            each(own),
            share(own),
            seen(&each),
            seen(&share),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_counts_where_it_is_to_be_seen() {
        let line = Line {
            name: "test",
            targets: 10,
            each: period(1.0),
            pings: 100.0,
            lost: 10.0,
            own: 2.0,
            machine: 6.0,
            seconds: 10.0,
        };
        let baseline = |noise| Baseline { cores: 0.1, noise };
        assert_eq!(line.rate() as u64, 9);
        assert_eq!((line.cores(baseline(0.1)) * 10.0).round() as u64, 5);
        assert_eq!((line.cores(baseline(0.4)) * 10.0).round() as u64, 2);
        let shown = table(&[line], baseline(0.1)).to_string();
        let cells: Vec<_> = shown
            .lines()
            .last()
            .unwrap()
            .split('|')
            .map(str::trim)
            .collect();
        assert_eq!(
            cells[2..],
            ["10", "1 s", "10", "10", "20000", "20", "50000", "50", ""]
        );
    }
}
