//! The beats of one service: which comes next, and which acks answer them. Pure: no clock, no socket.

use std::time::Duration;

use probe_common::{
    siphash::identity,
    wire::{Kind, Message},
};

/// Acks of beats longer ago than so many are not believed: a monitor tells no more of them apart either.
const WINDOW: u32 = 64;

/// How the sender fares, as its beats tell it.
#[derive(Clone, Copy, Debug)]
pub struct Vitals {
    /// As [`Message::health`].
    pub health: u32,
    /// As [`Message::boot`].
    pub boot: u32,
}

/// One service's beats.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// The next beat but for its number and time.
    beat: Message,
}

impl Pulse {
    /// The beats of a service on a host. `session` is the timeout to ask for, zero: the monitor's own. `epoch` is drawn at random
    /// and never 0.
    pub fn new(host: &str, service: &str, session: Duration, wants_ack: bool, epoch: u32) -> Self {
        let beat = Message::beat(identity(host), identity(service), 0, epoch, 0);
        Self {
            beat: Message {
                session: u32::try_from(session.as_millis()).unwrap_or(u32::MAX),
                ..beat.with_ack(wants_ack)
            },
        }
    }

    /// The next beat, at `now` (ns of the monotonic clock).
    pub fn next(&mut self, now: u64, vitals: Vitals) -> Message {
        let beat = &mut self.beat;
        // Numbers never come again within an epoch: one that has used them up is followed by another.
        (beat.epoch, beat.seq) = match beat.seq.checked_add(1) {
            Some(seq) => (beat.epoch, seq),
            None => (beat.epoch.wrapping_add(1).max(1), 1),
        };
        Message {
            time: now,
            health: vitals.health,
            boot: vitals.boot,
            ..*beat
        }
    }

    /// These beats as those that follow `before`, if they are of the same service.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        let who = |beat: &Message| (beat.received, beat.sent);
        if who(&self.beat) == who(&before.beat) {
            (self.beat.epoch, self.beat.seq) = (before.beat.epoch, before.beat.seq);
        }
        self
    }

    /// Whether this is the ack of one of the last beats. Whether its tag is right and where it comes from is for others to say.
    pub fn is_answered_by(&self, message: &Message) -> bool {
        let beat = &self.beat;
        message.kind == Kind::Ack
            && (message.received, message.sent) == (beat.received, beat.sent)
            && message.epoch == beat.epoch
            && message.seq != 0
            && beat
                .seq
                .checked_sub(message.seq)
                .is_some_and(|age| age < WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use probe_common::wire::HEALTH_UNKNOWN;

    use super::*;

    const VITALS: Vitals = Vitals {
        health: HEALTH_UNKNOWN,
        boot: 7,
    };

    fn pulse() -> Pulse {
        Pulse::new("web-1", "nginx", Duration::from_secs(15), true, 9)
    }

    #[test]
    fn beats_are_numbered_from_one_and_carry_all_that_a_monitor_needs() {
        let mut pulse = pulse();
        for seq in 1..=3 {
            let beat = pulse.next(1000 + u64::from(seq), VITALS);
            assert_eq!((beat.kind, beat.seq, beat.epoch), (Kind::Beat, seq, 9));
            assert_eq!(beat.time, 1000 + u64::from(seq));
            assert_eq!(beat.received, identity("web-1"));
            assert_eq!(beat.sent, identity("nginx"));
            assert_eq!((beat.session, beat.boot, beat.target), (15_000, 7, 0));
            assert!(beat.wants_ack());
        }
        let mut quiet = Pulse::new("a", "b", Duration::ZERO, false, 9);
        let beat = quiet.next(0, VITALS);
        assert!(!beat.wants_ack() && beat.session == 0);
    }

    #[test]
    fn an_ack_answers_its_own_beats_alone() {
        let mut pulse = pulse();
        let beat = pulse.next(5, VITALS);
        let ack = beat.ack();
        assert!(pulse.is_answered_by(&ack));
        assert!(!pulse.is_answered_by(&beat), "a beat is no ack");
        let wrong = [
            Message { epoch: 8, ..ack },
            Message { seq: 2, ..ack },
            Message { seq: 0, ..ack },
            Message { received: 1, ..ack },
            Message { sent: 1, ..ack },
        ];
        for wrong in wrong {
            assert!(!pulse.is_answered_by(&wrong), "{wrong:?}");
        }
        for _ in 0..WINDOW - 1 {
            pulse.next(6, VITALS);
        }
        assert!(pulse.is_answered_by(&ack));
        pulse.next(6, VITALS);
        assert!(!pulse.is_answered_by(&ack), "too long ago");
    }

    #[test]
    fn beats_go_on_with_other_terms_and_begin_anew_under_another_name() {
        let mut before = pulse();
        before.next(5, VITALS);
        let same = Pulse::new("web-1", "nginx", Duration::ZERO, false, 10);
        let beat = same.after(&before).next(6, VITALS);
        assert_eq!((beat.epoch, beat.seq, beat.session), (9, 2, 0));
        let other = Pulse::new("web-2", "nginx", Duration::ZERO, false, 10);
        let beat = other.after(&before).next(6, VITALS);
        assert_eq!((beat.epoch, beat.seq), (10, 1));
    }

    #[test]
    fn an_epoch_that_is_used_up_is_followed_by_another() {
        let mut pulse = pulse();
        pulse.beat.seq = u32::MAX;
        pulse.beat.epoch = u32::MAX;
        let beat = pulse.next(5, VITALS);
        assert_eq!((beat.epoch, beat.seq), (1, 1));
    }
}
