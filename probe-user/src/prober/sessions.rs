//! Verdicts of beats: each service, when its session may have changed, by one look at its row; and of a host with services, by
//! what pings and beats tell together.

use super::{Prober, services::Known};
use crate::{
    changes::Change,
    core::{
        host::{self, Services},
        session::{Silence, judge},
        verdict::{Outcome, Standing, State},
    },
    standings::Verdict,
};

/// Beats that have not come so long after a later one are lost, ns.
const SETTLED: u64 = 1_000_000_000;

/// What is known of a target's services.
#[derive(Default)]
struct Summary {
    services: Services,
    /// One whose beats arrive.
    arriving: Option<u32>,
    /// One whose beats do not come, of those that ended if any did.
    silent: Option<u32>,
}

impl Summary {
    /// The service that a change to this state is due to.
    fn reason(&self, to: State, has_missed: bool) -> Option<u32> {
        match to {
            State::Critical | State::Dead if has_missed => self.arriving,
            State::Zombie | State::Critical | State::Dead => self.silent,
            _ => None,
        }
    }
}

impl Prober {
    /// Reads the beats that came up to the sockets, and opens sessions. Tells until when (ns) beats have been heard.
    pub(super) fn hear(&mut self, now: u64) -> std::io::Result<u64> {
        let Some(sockets) = &mut self.beats else {
            return Ok(now);
        };
        let (rows, sessions) = (self.live.table.rows(), &self.live.sessions);
        let services = &mut self.services;
        let heard = sockets.drain(&self.settings.keys, |beat, arrival| {
            services.hear(beat, arrival, rows, sessions)
        })?;
        if heard.lost_since.is_some() {
            self.ears.lose(heard.until);
        }
        for number in std::mem::take(&mut self.services.opened) {
            self.look(number, heard.until);
        }
        Ok(heard.until)
    }

    /// Looks at every service that is due, as of `heard` (ns), until when all beats have been read.
    pub(super) fn judge_sessions(&mut self, heard: u64) {
        while let Some(number) = self.services.due(heard) {
            self.look(number, heard);
        }
    }

    /// Judges one service, and its host with it.
    fn look(&mut self, number: u32, now: u64) {
        let live = self.live.clone();
        let row = live.sessions.row(live.table.rows(), number);
        let Some(known) = self.services.get(number) else {
            return;
        };
        let &mut Known {
            target,
            terms,
            begun,
            looked,
            interface,
            ..
        } = known;
        let heard = row.heard();
        known.looked = heard.at;
        let settled = now.saturating_sub(heard.at) >= SETTLED;
        live.sessions.set_lost(number, known.lost(row, settled));
        if heard.at > looked {
            self.take_health(target, row.health(), row.boot());
        }
        // Of a host that is pinged routes tell by which interface; of others the beat that opened the session.
        let interface = match self.interface(&live.table.rows()[target as usize]) {
            0 => interface,
            known => known,
        };
        let hears_since = self.ears.hear(interface);
        let counts_from = heard.at.max(begun).max(hears_since.unwrap_or(0));
        let silence = Silence {
            beat: (heard.at != 0).then(|| now.saturating_sub(heard.at)),
            heard: now.saturating_sub(counts_from),
            deaf: hears_since.is_none(),
        };
        let before = live.sessions.state(number);
        let (after, again) = judge(before, silence, terms.bounds(heard.session));
        if let Some(again) = again {
            self.services.look_at(number, now + again);
        }
        if after == State::Dead {
            row.close_session();
        }
        if after != before {
            live.sessions.set_state(number, after);
            if (before, after) != (State::Pending, State::Up) {
                live.changes.push(Change {
                    target,
                    service: Some(number),
                    because: None,
                    from: before,
                    to: after,
                    missed: 0,
                    at: now,
                });
            }
        }
        self.conclude(target, live.standings.get(target), now);
    }

    /// What beats tell of a host that is not pinged stands where its pongs' would.
    fn take_health(&mut self, target: u32, health: u32, boot: u32) {
        let row = &self.live.table.rows()[target as usize];
        let class = &self.fleet.classes[usize::from(row.class())];
        if class.pinged {
            return;
        }
        row.tell(health, boot);
        let standings = &self.live.standings;
        standings.see_boot(target, boot);
        let outcome = if class.policy.overload.shows(health) {
            Outcome::Loaded
        } else {
            Outcome::Good
        };
        let standing = standings.get(target).after(outcome, class.policy);
        standings.set(target, standing, standings.verdict(target));
    }

    /// Makes the verdict on a target of its standing by pings and of its services, if it has any.
    pub(super) fn conclude(&mut self, number: u32, standing: Standing, now: u64) {
        let row = &self.live.table.rows()[number as usize];
        let class = &self.fleet.classes[usize::from(row.class())];
        let before = self.live.standings.verdict(number);
        let pings = class.pinged.then_some(standing.state);
        let summary = self.summary(number, standing);
        let after = match &summary {
            None => Verdict {
                state: pings.unwrap_or_default(),
                beats: None,
            },
            Some(summary) => Verdict {
                state: host::verdict(pings, summary.services, before.state),
                beats: Some(summary.services.arrive),
            },
        };
        self.live.standings.set(number, standing, after);
        if after.state == before.state {
            return;
        }
        self.vitals.count_change(class.group, after.state);
        let (from, to) = (before.state, after.state);
        // That a new target is up is what everyone expects: it is counted, not told.
        if (from, to) != (State::Pending, State::Up) {
            self.live.changes.push(Change {
                target: number,
                service: None,
                because: summary.and_then(|summary| summary.reason(to, standing.missed > 0)),
                from,
                to,
                missed: standing.missed,
                at: now,
            });
        }
    }

    /// What is known of a target's services; `None` if it has none.
    fn summary(&self, number: u32, standing: Standing) -> Option<Summary> {
        let host = self.services.hosts.get(number)?;
        let sessions = &self.live.sessions;
        let rows = self.live.table.rows();
        let mut summary = Summary::default();
        summary.services.loaded = standing.state == State::Overloaded;
        for &service in &host.services {
            let state = sessions.state(service);
            summary.services.add(state);
            let at = sessions.row(rows, service).heard().at;
            match state {
                State::Up if standing.missed == 0 || at > host.missed => {
                    summary.services.arrive = true;
                    summary.arriving = Some(service);
                }
                State::Critical => summary.silent = summary.silent.or(Some(service)),
                State::Dead => {
                    summary.services.outlived |= host.answered > at;
                    summary.silent = Some(service);
                }
                _ => {}
            }
        }
        Some(summary)
    }
}
