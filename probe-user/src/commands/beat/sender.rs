//! Sends one service's beats to some monitors and takes in their acks.

use std::{net::SocketAddr, time::Duration};

use probe_common::wire::Message;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::textfile::{Tally, Textfile};
use crate::{
    clock,
    health::{self, Health},
    outlet::Outlet,
    pulse::{Pulse, Vitals},
    recipient::{Name, Recipient},
};

/// Beats at an interval do not wait longer than this for the first look-ups.
const FIRST_LOOKS: Duration = Duration::from_secs(5);

/// Health is not looked at more often than this.
const LOOK: Duration = Duration::from_secs(1);

/// Beats of one service and the monitors that they go to.
pub struct Sender {
    pulse: Pulse,
    outlet: Outlet,
    monitors: Vec<To>,
    health: Health,
    vitals: Vitals,
    looked: Option<Instant>,
    textfile: Option<Textfile>,
}

/// A monitor, and what it was sent.
pub struct To {
    recipient: Recipient,
    /// Of the last beat that it was meant to get.
    outcome: Result<(), String>,
    /// Number of the last beat that it was sent; 0: none.
    sent: u32,
    /// Number of the last beat that it has acked; 0: none.
    acked: u32,
    tally: Tally,
}

impl To {
    /// Whether it has acked any of these beats.
    pub fn has_acked(&self) -> bool {
        self.acked != 0
    }
}

impl Sender {
    /// Begins to look the monitors' names up.
    pub fn new(pulse: Pulse, outlet: Outlet, names: Vec<Name>, textfile: Option<Textfile>) -> Self {
        let monitors = names.into_iter().map(|name| To {
            recipient: Recipient::follow(name),
            outcome: Ok(()),
            sent: 0,
            acked: 0,
            tally: Tally::default(),
        });
        let mut health = Health::default();
        Self {
            pulse,
            outlet,
            monitors: monitors.collect(),
            vitals: Vitals {
                health: health.look(),
                boot: health::boot(),
            },
            looked: None,
            health,
            textfile,
        }
    }

    /// Waits until each monitor's name was looked up once.
    pub async fn first_looks(&mut self) {
        for to in &mut self.monitors {
            to.outcome = to.recipient.first_look().await.map(drop);
        }
    }

    /// Beats now and then at each interval, `most` times or until `end` is ready, whose value it gives then. Takes in acks
    /// meanwhile.
    pub async fn beat_until<T>(
        &mut self,
        interval: Duration,
        most: Option<u64>,
        end: impl Future<Output = T>,
    ) -> Option<T> {
        let mut end = std::pin::pin!(end);
        tokio::select! {
            value = &mut end => return Some(value),
            _ = timeout(FIRST_LOOKS, self.first_looks()) => {}
        }
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beats = 0;
        loop {
            tokio::select! {
                // No beat when the end is known.
                biased;
                value = &mut end => return Some(value),
                _ = tick.tick() => {
                    self.beat(|_| true);
                    beats += 1;
                    if most.is_some_and(|most| beats >= most) {
                        return None;
                    }
                }
                (message, from) = self.outlet.receive() => self.note(&message, from),
            }
        }
    }

    /// Sends the next beat to those of the monitors.
    pub fn beat(&mut self, whom: impl Fn(&To) -> bool) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            // The first look was made just now.
            if self.looked.is_some() {
                self.vitals.health = self.health.look();
            }
            self.looked = Some(Instant::now());
        }
        let beat = self.pulse.next(clock::monotonic(), self.vitals);
        for to in self.monitors.iter_mut().filter(|to| whom(to)) {
            let Some(address) = to.recipient.address() else {
                // Why is told where it was looked up, and known here if the first look failed.
                if to.outcome.is_ok() {
                    to.outcome = Err(format!("{} is not resolved", to.recipient.name));
                }
                continue;
            };
            let before = to.outcome.is_ok();
            to.outcome = self
                .outlet
                .send(&beat, address)
                .map_err(|error| format!("cannot send to {address}: {error}"));
            match &to.outcome {
                Ok(()) => {
                    to.sent = beat.seq;
                    to.tally.sent += 1;
                }
                Err(error) => {
                    to.recipient.fails();
                    if before {
                        tracing::warn!("{error}");
                    }
                }
            }
        }
        self.tell();
    }

    /// Takes in acks until there is nothing more to wait for or the time is over. Tells which.
    pub async fn listen(&mut self, within: Duration, enough: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + within;
        while !enough(self) {
            let next = tokio::time::timeout_at(deadline, self.outlet.receive());
            let Ok((message, from)) = next.await else {
                return false;
            };
            self.note(&message, from);
        }
        true
    }

    fn note(&mut self, message: &Message, from: SocketAddr) {
        if !self.pulse.is_answered_by(message) {
            return;
        }
        let monitors = self.monitors.iter_mut();
        // Each beat's ack counts once.
        for to in monitors.filter(|to| to.recipient.is_at(from) && to.acked < message.seq) {
            to.acked = message.seq;
            to.tally.acked += 1;
            to.tally.last_ack = Some(clock::realtime());
        }
        self.tell();
    }

    /// Whether each monitor has acked any beat.
    pub fn all_have_acked(&self) -> bool {
        self.monitors.iter().all(To::has_acked)
    }

    /// Whether each monitor has acked the last beat that it was sent.
    pub fn last_is_acked(&self) -> bool {
        let mut monitors = self.monitors.iter();
        monitors.all(|to| to.sent != 0 && to.acked == to.sent)
    }

    /// Whether each monitor was sent the last beat that it was meant to get.
    pub fn last_is_sent(&self) -> bool {
        let mut monitors = self.monitors.iter();
        monitors.all(|to| to.outcome.is_ok() && to.sent != 0)
    }

    /// Says which monitors were not reached, and why.
    pub fn complain(&self, wants_ack: bool) {
        for to in &self.monitors {
            let name = &to.recipient.name;
            match &to.outcome {
                Err(error) => tracing::error!("no beat sent: {error}"),
                Ok(()) if to.sent == 0 => tracing::error!("no beat sent to {name}"),
                Ok(()) if wants_ack && to.acked != to.sent => tracing::error!(
                    "no ack from {name}: it is down, knows no such service of this host, or has another key"
                ),
                Ok(()) => {}
            }
        }
    }

    fn tell(&mut self) {
        if let Some(textfile) = &mut self.textfile {
            textfile.write(self.monitors.iter().map(|to| &to.tally));
        }
    }
}
