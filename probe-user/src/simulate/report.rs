//! What a simulation prints: a line now and then while it runs, and the report at its end.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use probe_common::simulation::{Part, Reply, Simulation};

use super::{
    judge::{Judge, Rules},
    scrape::Scrape,
    usage::Usage,
};
use crate::core::verdict::State;

/// False verdicts that are listed; of more the rest is told as a number.
const LISTED: usize = 20;

/// What has been counted up to a moment.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// What the monitor told.
    pub scrape: Scrape,
    /// Pings that reached the fleet: `[reply as usize]`.
    pub replies: [u64; Reply::ALL.len()],
    /// Pings whose pong the simulator itself could not send in time.
    pub too_late: u64,
    /// What the monitor had used.
    pub usage: Usage,
}

impl Counts {
    fn pings(&self) -> u64 {
        self.replies.iter().sum()
    }

    /// Missed pings that the simulation did not leave unanswered: they were lost on the way, or their pongs were. Those that it
    /// did and that are not judged yet are taken off, so there may be less than none.
    pub fn unaccounted(&self) -> i64 {
        let silent = self.replies[Reply::None as usize] + self.too_late;
        self.scrape.missed as i64 - silent as i64
    }

    /// The same since there were so many, as far as it is known.
    pub fn lost_since(&self, before: i64) -> u64 {
        (self.unaccounted() - before).max(0) as u64
    }
}

/// The heads of the columns of [`line`].
pub fn head() -> String {
    let mut head = format!(
        "{:>6} {:>9} {:>9} {:>6} {:>6} {:>8} {:>8} {:>8} {:>8}",
        "time", "pings/s", "pongs/s", "lost", "unsent", "lag p99", "CPU", "machine", "memory"
    );
    for state in State::ALL
        .into_iter()
        .filter(|&state| state != State::Zombie)
    {
        // A few characters more than the longest number that is likely in it.
        let _ = write!(head, " {:>1$}", state.name(), width(state));
    }
    head + "   false"
}

fn width(state: State) -> usize {
    state.name().len().max(7)
}

/// What happened since `before`; `time` in ns since every host had been judged.
pub fn line(time: i64, now: &Counts, before: &Counts, lost: u64, wrong: usize) -> String {
    let seconds = now.usage.at.saturating_sub(before.usage.at).max(1) as f64 / 1e9;
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    let [own, machine] = now.usage.cores_since(&before.usage);
    let mut line = format!(
        "{:>4} s {:>9.0} {:>9.0} {:>6} {:>6} {:>8} {:>7.1}% {:>7.1}% {:>5} MB",
        time.div_euclid(1_000_000_000),
        rate(now.pings(), before.pings()),
        rate(now.scrape.pongs, before.scrape.pongs),
        lost,
        now.scrape.unsent,
        lag(now, before),
        own * 100.0,
        machine * 100.0,
        now.usage.memory >> 20,
    );
    let mut counts = [0; State::ALL.len()];
    for &state in &now.scrape.states {
        counts[state as usize] += 1;
    }
    for state in State::ALL
        .into_iter()
        .filter(|&state| state != State::Zombie)
    {
        let _ = write!(line, " {:>1$}", counts[state as usize], width(state));
    }
    let _ = write!(line, " {wrong:>7}");
    line
}

fn lag(now: &Counts, before: &Counts) -> String {
    match now.scrape.lag.p99_since(&before.scrape.lag) {
        None => "-".into(),
        Some(bound) if bound.is_finite() => format!("<{}", short(bound)),
        Some(_) => "> all".into(),
    }
}

/// A time in seconds, in the unit that suits it.
fn short(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0}us", s * 1e6),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s => format!("{s:.2}s"),
    }
}

/// All that came of a simulation.
pub struct Report<'a> {
    /// The fleet that was simulated.
    pub fleet: &'a Simulation,
    /// How it was judged.
    pub rules: Rules,
    /// What was found.
    pub judge: &'a Judge,
    /// When everyone had been judged, and at the end.
    pub counts: [&'a Counts; 2],
    /// After the last ping was judged that the simulation left unanswered.
    pub closed: &'a Counts,
    /// Pings that were lost though the simulation did not ask for it.
    pub lost: u64,
    /// Between two looks at the monitor.
    pub look: Duration,
}

impl Report<'_> {
    /// Whether the monitor did all that it should.
    pub fn is_good(&self) -> bool {
        self.lost == 0
            && self.unsent() == 0
            && self.judge.wrong.is_empty()
            && self.judge.unknown.is_empty()
    }

    fn unsent(&self) -> u64 {
        let [before, _] = self.counts;
        self.closed
            .scrape
            .unsent
            .saturating_sub(before.scrape.unsent)
    }

    fn seconds(&self) -> f64 {
        let [before, now] = self.counts;
        now.usage.at.saturating_sub(before.usage.at) as f64 / 1e9
    }

    fn fleet(&self) -> String {
        let fleet = self.fleet;
        let ill = Part::ILL.into_iter().zip(fleet.ill);
        let mut parts: Vec<String> = ill
            .filter(|&(_, count)| count > 0)
            .map(|(part, count)| format!("{count} {}", part.name()))
            .collect();
        let well = fleet.hosts - fleet.ill.iter().sum::<u32>();
        parts.insert(0, format!("{well} well"));
        format!(
            "{} hosts: {}; seed {}",
            fleet.hosts,
            parts.join(", "),
            fleet.seed
        )
    }

    fn verdicts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [begin, _] = self.counts;
        let after = |at: u64| at.saturating_sub(begin.usage.at) as f64 / 1e9;
        let Judge { wrong, unknown, .. } = self.judge;
        writeln!(
            f,
            "verdicts   {} false, {} not given",
            wrong.len(),
            unknown.len()
        )?;
        let wrong = wrong.iter().map(|(&number, wrong)| {
            let answers = if wrong.answered {
                "answers"
            } else {
                "is silent"
            };
            (
                number,
                format!(
                    "{}, {answers}: held {}",
                    wrong.part.name(),
                    wrong.held.name()
                ),
                wrong.at,
            )
        });
        let unknown = unknown
            .iter()
            .map(|(&number, &at)| (number, "held unknown".to_owned(), at));
        let mut all = wrong.chain(unknown);
        for (number, what, at) in all.by_ref().take(LISTED) {
            writeln!(
                f,
                "           {} ({what} at {:.1} s)",
                self.fleet.address(number).ip(),
                after(at)
            )?;
        }
        match all.count() {
            0 => Ok(()),
            more => writeln!(f, "           and {more} more"),
        }
    }

    fn detection(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.judge.detections;
        if found.deaths == 0 {
            return writeln!(f, "detection  nobody died while it ran");
        }
        writeln!(
            f,
            "detection  {} died, seen by a look each {}",
            found.deaths,
            humantime::format_duration(self.look)
        )?;
        for (state, times) in [
            (State::Critical, &found.critical),
            (State::Dead, &found.dead),
        ] {
            let mut times = times.clone();
            times.sort_unstable();
            let share = |share: f64| match times.len() {
                0 => "-".to_owned(),
                count => {
                    let rank = (share * count as f64).ceil() as usize;
                    short(times[rank.clamp(1, count) - 1] as f64 / 1e9)
                }
            };
            writeln!(
                f,
                "           {} {}: p50 {}, p99 {}, max {} (policy: {})",
                times.len(),
                state.name(),
                share(0.5),
                share(0.99),
                share(1.0),
                short(self.rules.bound(state) as f64 / 1e9),
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, now] = self.counts;
        let seconds = self.seconds().max(1e-9);
        let pings = now.pings().saturating_sub(before.pings());
        let pongs = now.scrape.pongs.saturating_sub(before.scrape.pongs);
        let silent = now.replies[Reply::None as usize] - before.replies[Reply::None as usize];
        let [own, machine] = now.usage.cores_since(&before.usage);
        let each = |cores: f64| cores * seconds / pings.max(1) as f64 * 1e6;
        writeln!(f, "fleet      {}", self.fleet())?;
        writeln!(f, "engine     {}", now.scrape.engine)?;
        writeln!(f, "time       {seconds:.1} s, after all had been judged")?;
        writeln!(
            f,
            "pings      {pings}, {:.0} a second; {silent} unanswered as simulated",
            pings as f64 / seconds
        )?;
        writeln!(
            f,
            "pongs      {pongs}, {:.0} a second",
            pongs as f64 / seconds
        )?;
        writeln!(f, "lost       {} that were not to be", self.lost)?;
        writeln!(f, "unsent     {}", self.unsent())?;
        if self.closed.too_late > 0 {
            let count = self.closed.too_late;
            writeln!(
                f,
                "too late   {count} that the simulator itself was too slow to answer late"
            )?;
        }
        writeln!(f, "lag        p99 {} behind the schedule", lag(now, before))?;
        writeln!(
            f,
            "CPU        monitor {:.1}% of a core, {:.2} us a ping; machine {:.1}%, {:.2} us a ping",
            own * 100.0,
            each(own),
            machine * 100.0,
            each(machine)
        )?;
        writeln!(
            f,
            "memory     {} MB resident in the monitor",
            now.usage.memory >> 20
        )?;
        self.detection(f)?;
        self.verdicts(f)?;
        write!(
            f,
            "{}",
            if self.is_good() {
                "good: nothing lost, nothing unsent, no false verdict"
            } else {
                "not good: see above"
            }
        )
    }
}
