//! Verdicts: each ping, at its timeout, by one look at its row.

use probe_common::row::{Answer, Row};

use super::{GRACE, Prober, fetch, seconds};
use crate::{
    clock,
    core::{confirm::Sign, verdict::Outcome},
    engine::BATCH,
    flights::Flight,
};

impl Prober {
    /// Judges every ping whose timeout ended before `heard`, until when all pongs have been read: where more pongs wait than
    /// one turn reads, verdicts wait with them.
    pub(super) fn evaluate(&mut self, heard: u64) {
        let heard = heard.saturating_sub(GRACE);
        if self.flights.next_end().is_none_or(|end| end > heard) {
            return;
        }
        let now = clock::monotonic();
        let live = self.live.clone();
        let rows = live.table.rows();
        let mut ended = Vec::with_capacity(BATCH);
        loop {
            ended.extend(std::iter::from_fn(|| self.flights.pop_ended(heard)).take(BATCH));
            if ended.is_empty() {
                break;
            }
            fetch(&live, ended.iter().map(|flight| flight.target));
            for flight in ended.drain(..) {
                self.end(flight, &rows[flight.target as usize], now);
            }
        }
        self.vitals
            .evaluation
            .observe(seconds(clock::monotonic() - now));
    }

    /// Judges a ping whose timeout has ended.
    fn end(&mut self, flight: Flight, row: &Row, now: u64) {
        // The number may have been given to another target meanwhile, whose ping this is not.
        if !row.is_open(flight.seq) {
            return;
        }
        let outcome = match row.answer(flight.seq) {
            Answer::Good if self.is_overloaded(row) => Outcome::Loaded,
            Answer::Good => Outcome::Good,
            Answer::Late => Outcome::Late,
            Answer::None if self.outages.hid(self.interface(row), flight.at, now) => {
                Outcome::Unsent
            }
            Answer::None => Outcome::Missed,
        };
        if let Some(host) = self.services.hosts.get_mut(flight.target) {
            match outcome {
                Outcome::Missed if self.live.standings.get(flight.target).missed == 0 => {
                    host.missed = flight.at;
                }
                Outcome::Missed | Outcome::Unsent => {}
                Outcome::Good | Outcome::Loaded | Outcome::Late => host.answered = flight.at,
            }
        }
        let path = self.settings.ports.path(flight.seq);
        match outcome {
            Outcome::Missed => self.live.paths.note(flight.target, path, true),
            Outcome::Good | Outcome::Loaded | Outcome::Late => {
                self.live.paths.note(flight.target, path, false);
                self.live.standings.see_boot(flight.target, row.boot());
            }
            Outcome::Unsent => {}
        }
        self.judge(flight.target, row.class(), outcome, now);
        if outcome == Outcome::Missed {
            self.suspect(Sign::Missed, flight, now);
        }
    }

    /// Index of the interface that the target's pings leave by; 0 = not known.
    pub(super) fn interface(&self, row: &Row) -> u32 {
        let index = self.interfaces.get(row.hop() as usize);
        index.copied().unwrap_or(0)
    }

    /// Whether the host's newest pong told of more load than its policy allows.
    fn is_overloaded(&self, row: &Row) -> bool {
        let class = &self.fleet.classes[usize::from(row.class())];
        class.policy.overload.shows(row.health())
    }

    /// A target's class is known from its row too, which is at hand, and from no other fleet than this one or those before,
    /// whose classes it has.
    pub(super) fn judge(&mut self, number: u32, class: u16, outcome: Outcome, now: u64) {
        let class = &self.fleet.classes[usize::from(class)];
        let standings = &self.live.standings;
        match outcome {
            Outcome::Late => standings.count_late(number),
            Outcome::Missed => self.vitals.missed.inc(),
            Outcome::Good | Outcome::Loaded | Outcome::Unsent => {}
        }
        let before = standings.get(number);
        let after = before.after(outcome, class.policy);
        // With services, that a ping was answered may say something new though the standing is what it was.
        if after == before && self.services.hosts.get(number).is_none() {
            return;
        }
        let paths = u32::from(self.settings.ports.paths).max(1);
        if after.missed > before.missed && after.missed.is_multiple_of(paths) {
            // Every path was tried: a firewall on the way may hold on to stale sessions.
            self.live.table.rows()[number as usize].next_round();
        }
        self.conclude(number, after, now);
    }
}
