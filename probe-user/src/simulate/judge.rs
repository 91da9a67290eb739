//! The judge of the judge: compares the monitor's verdicts with the truth of the simulation. Pure: no clock, no I/O.
//!
//! A verdict follows the truth by what the policy allows: within [`Rules::bound`] a silent host must be found, and not before
//! so many pings can have been missed. All times in ns of the monotonic clock.

use std::collections::{BTreeMap, HashMap};

use probe_common::simulation::{Part, Phase, Simulation};

use super::scrape::Scrape;
use crate::core::verdict::{Outcome, Policy, Standing, State};

/// By so much a verdict may be off what the policy says, for the way of a ping through a busy machine, ns.
pub const GRACE: u64 = 500_000_000;

/// A lossy host's verdict follows from so many pings: among them was a good one, which makes it up whatever it was before, or
/// it is dead.
const MEMORY: u32 = 64;

/// By what the monitor judges, and what it knows nothing of.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Between two pings of a host.
    pub interval: u64,
    /// After which a ping is missed.
    pub timeout: u64,
    /// After which a pong is late.
    pub late_after: u64,
    /// After which a late host answers.
    pub delay: u64,
    /// Missed pings and verdicts.
    pub policy: Policy,
}

impl Rules {
    /// How soon after its death a host must be held critical or dead: its policy's bound, without any grace.
    pub fn bound(&self, state: State) -> u64 {
        u64::from(self.missed_for(state)) * self.interval + self.timeout
    }

    fn missed_for(&self, state: State) -> u32 {
        match state {
            State::Critical => self.policy.critical_after.into(),
            _ => self.policy.dead_after,
        }
    }

    /// A time that makes this verdict possible must be at least so long: from the first missed ping to the last.
    fn least(&self, state: State) -> u64 {
        u64::from(self.missed_for(state) - 1) * self.interval
    }

    /// How long what was before a phase may still be seen in it: until the first ping in it is judged.
    pub fn settles(&self) -> u64 {
        u64::from(self.policy.up_after) * self.interval + self.timeout + GRACE
    }

    /// Phases must be as long as this for their verdicts to be told apart.
    pub fn shortest_phase(&self) -> u64 {
        self.bound(State::Dead) + self.settles() + GRACE
    }

    /// After so long every host has been judged.
    pub fn warm_up(&self) -> u64 {
        self.bound(State::Dead) + GRACE
    }
}

/// A verdict that is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What the host does.
    pub part: Part,
    /// Whether it answered then.
    pub answered: bool,
    /// What it was held to be.
    pub held: State,
    /// When that was seen first.
    pub at: u64,
}

/// How long it took until it was told that hosts had died.
#[derive(Clone, Debug, Default)]
pub struct Detections {
    /// Hosts that were silent; each time counts.
    pub deaths: u32,
    /// Until each was held critical, or dead already.
    pub critical: Vec<u64>,
    /// Until each was held dead.
    pub dead: Vec<u64>,
}

/// A silent host.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: u64,
    critical: bool,
    dead: bool,
}

/// What was found so far.
#[derive(Debug)]
pub struct Judge {
    rules: Rules,
    /// From when on everyone has been judged; `None` as long as it is not known.
    pub settled: Option<u64>,
    /// The first false verdict of each host, by its number.
    pub wrong: BTreeMap<u32, Wrong>,
    /// The hosts that the monitor could not judge at some time: when that was seen first.
    pub unknown: BTreeMap<u32, u64>,
    /// Hosts that died.
    pub detections: Detections,
    silent: HashMap<u32, Silence>,
}

impl Judge {
    /// Nothing is found yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            settled: None,
            wrong: BTreeMap::new(),
            unknown: BTreeMap::new(),
            detections: Detections::default(),
            silent: HashMap::new(),
        }
    }

    /// Compares what a scrape tells with the truth; not before all have been judged.
    pub fn look(&mut self, fleet: &Simulation, scrape: &Scrape) {
        let Some(settled) = self.settled else {
            return;
        };
        for (number, &held) in (0..fleet.hosts).zip(&scrape.states) {
            let part = fleet.part(number);
            if part == Part::Well && held == State::Up {
                continue;
            }
            let [from, until] = scrape.between;
            let phase = fleet.phase(part, number, until);
            self.detect(settled, number, phase, held, until);
            let pings = scrape.pings[number as usize];
            let is_true = |at| self.is_true(fleet, number, held, pings, at);
            if held == State::Unknown {
                self.unknown.entry(number).or_insert(until);
            } else if !is_true(from) && !is_true(until) {
                self.wrong.entry(number).or_insert(Wrong {
                    part,
                    answered: phase.answers,
                    held,
                    at: until,
                });
            }
        }
    }

    /// Whether a host can be held so at this time.
    fn is_true(&self, fleet: &Simulation, number: u32, held: State, pings: u32, at: u64) -> bool {
        let part = fleet.part(number);
        let rules = &self.rules;
        match part {
            Part::Well => held == State::Up,
            Part::Late if rules.delay > rules.late_after => held == State::Overloaded,
            Part::Late => matches!(held, State::Up | State::Overloaded),
            Part::Lossy => pings == 0 || self.follows(fleet, number, held, pings),
            Part::Dead | Part::Flapping | Part::Outage => {
                let phase = fleet.phase(part, number, at);
                let before = |phase: Phase| fleet.phase(part, number, phase.since - 1);
                let elapsed = at - phase.since;
                let critical = rules.bound(State::Critical) + GRACE;
                let dead = rules.bound(State::Dead) + GRACE;
                match held {
                    State::Up => phase.answers || elapsed < critical,
                    State::Critical | State::Dead if phase.answers => {
                        // It may have been silent long enough before.
                        phase.since > 0
                            && elapsed < rules.settles()
                            && phase.since - before(phase).since + GRACE >= rules.least(held)
                    }
                    State::Critical | State::Dead => {
                        let least = rules.least(held) + rules.timeout;
                        elapsed + GRACE >= least && (held == State::Dead || elapsed < dead)
                    }
                    _ => false,
                }
            }
        }
    }

    /// Whether a lossy host can be held so after so many pings, of which the last may not be judged yet.
    fn follows(&self, fleet: &Simulation, number: u32, held: State, pings: u32) -> bool {
        let open = (self.rules.timeout + GRACE).div_ceil(self.rules.interval) as u32 + 1;
        let judged = pings.saturating_sub(open);
        let mut standing = Standing::default();
        for seq in judged.saturating_sub(MEMORY) + 1..=pings {
            let outcome = if fleet.loses(number, seq) {
                Outcome::Missed
            } else {
                Outcome::Good
            };
            standing = standing.after(outcome, self.rules.policy);
            if seq >= judged && standing.state == held {
                return true;
            }
        }
        false
    }

    /// Takes the time of a death.
    fn detect(&mut self, settled: u64, number: u32, phase: Phase, held: State, now: u64) {
        if phase.answers || phase.since < settled {
            return;
        }
        let silence = Silence {
            since: phase.since,
            critical: false,
            dead: false,
        };
        let known = self.silent.entry(number).or_insert_with(|| {
            self.detections.deaths += 1;
            silence
        });
        if known.since != phase.since {
            self.detections.deaths += 1;
            *known = silence;
        }
        // What it is held to be still belongs to the time before, unless it can be of this one.
        let elapsed = now - phase.since;
        if elapsed + GRACE < self.rules.least(State::Critical) + self.rules.timeout {
            return;
        }
        if matches!(held, State::Critical | State::Dead) && !known.critical {
            known.critical = true;
            self.detections.critical.push(elapsed);
        }
        if held == State::Dead && !known.dead {
            known.dead = true;
            self.detections.dead.push(elapsed);
        }
    }
}

#[cfg(test)]
mod tests;
