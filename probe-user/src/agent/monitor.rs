//! A monitor that beats go to, and whether it acks them.

use std::{net::SocketAddr, time::Duration};

use probe_common::wire::Message;
use tokio::time::Instant;

use crate::{
    outlet::Outlet,
    recipient::{Name, Recipient},
};

/// A monitor that acks nothing for so many beat intervals is told to be silent.
const PATIENCE: u32 = 3;

/// A monitor.
#[derive(Debug)]
pub struct Monitor {
    recipient: Recipient,
    acks: bool,
    /// When it last acked a beat, or was sent the first.
    heard: Option<Instant>,
    silent: bool,
    unreachable: bool,
}

impl Monitor {
    /// A monitor that is asked for `acks` or not.
    pub fn new(name: Name, acks: bool) -> Self {
        Self {
            recipient: Recipient::follow(name),
            acks,
            heard: None,
            silent: false,
            unreachable: false,
        }
    }

    /// The same, asked for `acks` or not from now on.
    pub fn with_acks(mut self, acks: bool) -> Self {
        if self.acks != acks {
            (self.acks, self.heard, self.silent) = (acks, None, false);
        }
        self
    }

    /// Its name, as it is configured.
    pub fn name(&self) -> &str {
        &self.recipient.name
    }

    /// Where it is, if that is known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.recipient.address()
    }

    /// Whether a message from there is this monitor's.
    pub fn is_at(&self, from: SocketAddr) -> bool {
        self.recipient.is_at(from)
    }

    /// Whether no beat has been sent to it yet.
    pub fn was_sent_nothing(&self) -> bool {
        self.heard.is_none()
    }

    /// Sends it a beat; tells whether it left.
    pub fn send(&mut self, outlet: &Outlet, beat: &Message, now: Instant) -> bool {
        let Some(address) = self.address() else {
            return false;
        };
        let name = self.recipient.name.clone();
        self.heard.get_or_insert(now);
        match outlet.send(beat, address) {
            Ok(()) => {
                if std::mem::take(&mut self.unreachable) {
                    tracing::info!("beats to {name} leave again");
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unreachable, true) {
                    tracing::warn!("cannot send beats to {name} at {address}: {error}");
                }
                self.recipient.fails();
                false
            }
        }
    }

    /// Takes in an ack.
    pub fn acked(&mut self, now: Instant) {
        self.heard = Some(now);
        if std::mem::take(&mut self.silent) {
            tracing::info!("{} acks beats again", self.name());
        }
    }

    /// Says so if it has acked nothing for too long, and has its name looked up again.
    pub fn tell_if_silent(&mut self, now: Instant, beat_interval: Duration) {
        let heard = self.heard.filter(|_| self.acks);
        let limit = beat_interval * PATIENCE;
        if heard.is_none_or(|heard| now.duration_since(heard) < limit) {
            return;
        }
        self.recipient.fails();
        if !std::mem::replace(&mut self.silent, true) {
            tracing::warn!(
                "{} has acked no beat for {} s: it is down, knows no such host or service, or has another key",
                self.name(),
                limit.as_secs_f64()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_acks_nothing_for_three_intervals_is_silent_until_it_acks() {
        let name = Name::parse("127.0.0.1:9").unwrap();
        let mut monitor = Monitor::new(name, true);
        let beat_interval = Duration::from_secs(5);
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        monitor.tell_if_silent(later(100), beat_interval);
        assert!(!monitor.silent, "nothing was sent yet");
        monitor.heard = Some(now);
        monitor.tell_if_silent(later(14), beat_interval);
        assert!(!monitor.silent);
        monitor.tell_if_silent(later(15), beat_interval);
        assert!(monitor.silent);
        monitor.acked(later(16));
        assert!(!monitor.silent);
        monitor.tell_if_silent(later(20), beat_interval);
        assert!(!monitor.silent);

        let mut quiet = monitor.with_acks(false);
        quiet.heard = Some(now);
        quiet.tell_if_silent(later(1000), beat_interval);
        assert!(!quiet.silent, "it was not asked");
    }
}
