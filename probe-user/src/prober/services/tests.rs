use probe_common::{
    siphash::Key,
    wire::{Message, Packet},
};

use tokio::sync::mpsc::{Receiver, channel};

use super::*;

const SECOND: u64 = 1_000_000_000;
/// By now, rows, state and verdicts of two services of the target 0, and one of target 1.
const NAMES: [[u64; 2]; 3] = [[10, 1], [10, 2], [11, 1]];

struct World {
    services: Services,
    strangers: Receiver<Adopted>,
    rows: Vec<Row>,
    sessions: Sessions,
}

impl World {
    fn new() -> Self {
        let (inbox, strangers) = channel(16);
        let mut world = Self {
            services: Services::new(None, Some(inbox)),
            strangers,
            rows: (0..5).map(|_| Row::default()).collect(),
            sessions: Sessions::new(3, 2),
        };
        for (number, identity) in (0..).zip(NAMES) {
            world.set(number, Some(&service(number / 2, identity)));
        }
        world
    }

    fn set(&mut self, number: u32, service: Option<&Service>) {
        let host = |target: u32| Some(IpAddr::from([192, 0, 2, target as u8]));
        let service = service.map(|service| (service, host(service.target), 0));
        self.services
            .set(number, service, 0, &self.rows, &self.sessions);
    }

    /// Hears a beat from an address that ends so, at its sender's time.
    fn hear(&mut self, message: Message, from: u8) -> BeatFate {
        let keys = [Key::default(); 2];
        let packet: Packet = message.encode(&keys[0]);
        let beat = Beat::verify(&packet, &keys).unwrap();
        let arrival = Arrival {
            source: ([192, 0, 2, from], 5000).into(),
            interface: 3,
            at: message.time,
        };
        self.services
            .hear(&beat, arrival, &self.rows, &self.sessions)
    }

    fn row(&self, number: u32) -> &Row {
        self.sessions.row(&self.rows, number)
    }
}

fn service(target: u32, identity: [u64; 2]) -> Service {
    Service {
        target,
        name: "x".into(),
        identity,
        terms: Terms {
            timeout: 0,
            interval: 0,
            critical_after: 2,
        },
    }
}

/// A beat of a sender of boot 7, number `seq`, sent at that second.
fn beat([host, service]: [u64; 2], epoch: u32, seq: u32, second: u64) -> Message {
    Message {
        boot: 7,
        ..Message::beat(host, service, seq, epoch, second * SECOND)
    }
}

#[test]
fn a_session_opens_with_the_first_beat_and_goes_on() {
    let mut world = World::new();
    let first = beat(NAMES[1], 9, 1, 1);
    assert_eq!(world.hear(first, 9), BeatFate::Ok);
    assert_eq!(std::mem::take(&mut world.services.opened), [1]);
    assert_eq!(world.hear(beat(NAMES[1], 9, 2, 2), 9), BeatFate::Ok);
    assert_eq!(world.hear(first, 9), BeatFate::Duplicate);
    assert!(world.services.opened.is_empty());
    assert_eq!(world.row(1).heard().at, 2 * SECOND);
    assert_eq!(world.row(0).heard().at, 0);
}

#[test]
fn a_restart_is_counted_once_and_what_the_sender_before_said_is_stale() {
    let mut world = World::new();
    let old = [1, 2].map(|seq| beat(NAMES[0], 9, seq, u64::from(seq)));
    for beat in old {
        assert_eq!(world.hear(beat, 9), BeatFate::Ok);
    }
    assert_eq!(world.sessions.restarts(0), 0, "the first is no restart");
    assert_eq!(world.hear(beat(NAMES[0], 5, 1, 3), 9), BeatFate::Ok);
    for beat in old {
        assert_eq!(world.hear(beat, 9), BeatFate::Stale);
    }
    assert_eq!(world.hear(beat(NAMES[0], 9, 3, 2), 9), BeatFate::Stale);
    assert_eq!(world.sessions.restarts(0), 1);

    world.row(0).close_session();
    for beat in [old[0], old[1], beat(NAMES[0], 5, 1, 3)] {
        assert_eq!(
            world.hear(beat, 9),
            BeatFate::Stale,
            "the dead are not revived"
        );
    }
    assert_eq!(world.hear(beat(NAMES[0], 5, 2, 9), 9), BeatFate::Ok);
    assert_eq!(world.sessions.restarts(0), 1, "it only was silent");
}

#[test]
fn gaps_are_lost_beats_across_silence_and_restarts() {
    let mut world = World::new();
    let lost = |world: &mut World| {
        let row = world.sessions.row(&world.rows, 0);
        world.services.get(0).unwrap().lost(row, true)
    };
    world.hear(beat(NAMES[0], 9, 10, 1), 9);
    assert_eq!(
        lost(&mut world),
        0,
        "what was before is not this monitor's to tell"
    );
    world.hear(beat(NAMES[0], 9, 13, 2), 9);
    assert_eq!(lost(&mut world), 2);
    let known = world.services.get(0).unwrap();
    let row = world.sessions.row(&world.rows, 0);
    assert_eq!(known.lost(row, false), 0, "they may be late");
    world.hear(beat(NAMES[0], 9, 12, 2), 9);
    assert_eq!(lost(&mut world), 1, "it was late alone");
    world.row(0).close_session();
    world.hear(beat(NAMES[0], 9, 16, 9), 9);
    assert_eq!(lost(&mut world), 3);
    world.hear(beat(NAMES[0], 4, 3, 10), 9);
    assert_eq!(lost(&mut world), 5);
    assert_eq!(world.sessions.lost(0), 5);
}

#[test]
fn a_host_whose_name_is_not_known_is_found_by_its_address() {
    let mut world = World::new();
    let other = [77, 1];
    assert_eq!(world.hear(beat(other, 9, 1, 1), 5), BeatFate::Stranger);
    assert_eq!(world.hear(beat(other, 9, 1, 1), 1), BeatFate::Ok);
    assert_eq!(world.row(2).identity(), other);
    // While it beats, no other name at that address takes its place; its own, as configured, does.
    let third = [78, 1];
    assert_eq!(world.hear(beat(third, 4, 1, 2), 1), BeatFate::Stranger);
    assert_eq!(world.hear(beat(other, 9, 2, 3), 1), BeatFate::Ok);
    assert_eq!(world.hear(beat(NAMES[2], 6, 1, 4), 200), BeatFate::Ok);
    assert_eq!(world.row(2).identity(), NAMES[2]);
    assert_eq!(world.hear(beat(other, 9, 3, 5), 1), BeatFate::Stranger);
    let told = std::iter::from_fn(|| world.strangers.try_recv().ok());
    let identities: Vec<_> = told.map(|one| one.identity).collect();
    assert_eq!(identities, [other, third, other]);
}

#[test]
fn who_is_no_longer_configured_is_a_stranger_and_the_number_starts_anew() {
    let mut world = World::new();
    world.hear(beat(NAMES[0], 9, 1, 1), 9);
    world.hear(beat(NAMES[0], 8, 1, 2), 9);
    world.set(0, None);
    assert_eq!(world.hear(beat(NAMES[0], 8, 2, 3), 9), BeatFate::Stranger);
    assert_eq!(world.sessions.restarts(0), 0);
    assert_eq!(world.services.hosts.get(0).unwrap().services, [1]);
    world.set(0, Some(&service(1, [11, 3])));
    assert_eq!(world.row(0).pongs(), 0);
    assert_eq!(world.hear(beat([11, 3], 3, 1, 4), 9), BeatFate::Ok);
    world.set(1, Some(&service(0, NAMES[1])));
    assert_eq!(
        world.hear(beat(NAMES[1], 3, 1, 4), 9),
        BeatFate::Ok,
        "who stays, stays"
    );
}

#[test]
fn each_is_looked_at_when_it_is_due_and_once() {
    let mut world = World::new();
    let services = &mut world.services;
    let mut first: Vec<_> = std::iter::from_fn(|| services.due(0)).collect();
    first.sort_unstable();
    assert_eq!(first, [0, 1, 2], "new ones at once");
    services.look_at(0, 50);
    services.look_at(1, 40);
    services.look_at(0, 60);
    assert_eq!(services.next_look(), Some(40));
    assert_eq!(services.due(55), Some(1));
    assert_eq!(services.due(55), None, "planned anew for later");
    assert_eq!(services.due(60), Some(0));
    assert_eq!(services.due(99), None);
}
