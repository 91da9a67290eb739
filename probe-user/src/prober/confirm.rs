//! Confirmation: the extra pings of targets that seem silent. What decides is [`core::confirm`](crate::core::confirm).

use std::collections::HashMap;

use super::{PATIENCE, Prober, fetch, send::Occasion};
use crate::{
    clock,
    core::confirm::{Plan, Sign, Step, Suspicion},
    engine::{BATCH, PumpError},
    fleet::Class,
    flights::{Flight, Flights},
};

/// Who is watched and who is suspected. As long as no class confirms there is nothing in it.
#[derive(Debug, Default)]
pub(super) struct Confirmations {
    /// By class.
    plans: Vec<Option<Plan>>,
    /// Pings of the schedule that have not been out for `late_after` yet.
    watched: Flights,
    suspected: HashMap<u32, Suspicion>,
    /// Whose turn it is at once, and whose after an interval of its plan: the suspected pings.
    new: Vec<Flight>,
    due: Flights,
}

impl Confirmations {
    /// From now on these are the classes.
    pub(super) fn set_classes(&mut self, classes: &[Class]) {
        let is_on = classes.iter().any(|class| class.confirm_interval.is_some());
        let classes = if is_on { classes } else { &[] };
        self.plans = classes.iter().map(Class::confirmation).collect();
    }

    fn plan(&self, class: u16) -> Option<Plan> {
        self.plans.get(usize::from(class)).copied().flatten()
    }

    /// A ping of the schedule left, to a target of this class.
    pub(super) fn watch(&mut self, class: u16, flight: Flight) {
        if let Some(plan) = self.plan(class) {
            self.watched.push(plan.late_after, flight);
        }
    }

    /// The target is another one now, or judged by another policy.
    pub(super) fn forget(&mut self, target: u32) {
        self.suspected.remove(&target);
    }

    /// When there is something to do at the latest, ns. That a ping has been out for long can wait for other work as verdicts
    /// do: mostly there is a pong.
    pub(super) fn next_turn(&self) -> Option<u64> {
        let watched = self.watched.next_end().map(|end| end + PATIENCE);
        [watched, self.due.next_end()].into_iter().flatten().min()
    }
}

impl Prober {
    /// Sends the confirming pings that are due, as of `heard`, until when all pongs have been read.
    pub(super) fn confirm(&mut self, heard: u64) -> Result<(), PumpError> {
        self.watch_over(heard);
        let now = clock::monotonic();
        let confirmations = &mut self.confirmations;
        let mut asked = std::mem::take(&mut confirmations.new);
        asked.extend(std::iter::from_fn(|| confirmations.due.pop_ended(now)));
        if asked.is_empty() {
            return Ok(());
        }
        let mut pings = Vec::new();
        for flight in asked {
            if self.step(flight, now) == Step::Ping {
                pings.push(flight.target);
            }
        }
        self.send(&pings, Occasion::Confirmation)
    }

    /// Looks for the first sign at each ping that has been out for `late_after`.
    fn watch_over(&mut self, heard: u64) {
        let mut ended = Vec::new();
        loop {
            let watched = &mut self.confirmations.watched;
            ended.extend(std::iter::from_fn(|| watched.pop_ended(heard)).take(BATCH));
            if ended.is_empty() {
                break;
            }
            fetch(&self.live, ended.iter().map(|flight| flight.target));
            for flight in ended.drain(..) {
                self.suspect(Sign::Silent, flight, heard);
            }
        }
    }

    /// There is a sign, for which this ping stands, that a target is silent.
    pub(super) fn suspect(&mut self, sign: Sign, flight: Flight, now: u64) {
        let row = &self.live.table.rows()[flight.target as usize];
        let Some(plan) = self.confirmations.plan(row.class()) else {
            return;
        };
        let newest = row.pong().0;
        // Mostly there is a pong, and that is all.
        if newest >= flight.seq || !row.is_open(flight.seq) {
            return;
        }
        if self.outages.hid(self.interface(row), flight.at, now) {
            return;
        }
        let standing = self.live.standings.get(flight.target);
        let known = self.confirmations.suspected.get(&flight.target).copied();
        if let Some(new) = plan.suspect(sign, standing, known, flight.seq, newest) {
            self.confirmations.suspected.insert(flight.target, new);
            self.confirmations.new.push(flight);
        }
    }

    /// What is to be done about the target that this ping made suspected.
    fn step(&mut self, flight: Flight, now: u64) -> Step {
        let row = &self.live.table.rows()[flight.target as usize];
        let blind = self.outages.hid(self.interface(row), now, now);
        let confirmations = &mut self.confirmations;
        let plan = confirmations.plan(row.class()).filter(|_| !blind);
        let known = confirmations.suspected.get_mut(&flight.target);
        // Of one that is suspected anew, the earlier suspicion is over.
        let Some(known) = known.filter(|known| known.seq == flight.seq) else {
            return Step::End;
        };
        let standing = self.live.standings.get(flight.target);
        let step = plan.map_or(Step::End, |_| known.step(standing, row.pong().0));
        match plan.filter(|_| step != Step::End) {
            Some(plan) => {
                let flight = Flight { at: now, ..flight };
                confirmations.due.push(plan.interval, flight);
            }
            None => confirmations.forget(flight.target),
        }
        step
    }
}
