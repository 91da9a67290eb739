//! Beats one by one: which are counted as what, which are acknowledged, and that no wrong one keeps a service alive.

use std::time::Duration;

use heartprobe_tests::{
    config::{SLACK, after, fleet},
    daemon::{Daemon, State},
    metrics::Scrape,
    net::Net,
    peer::Host,
    process::poll,
    require_root,
    service::{BEAT, FATES, Sender, Service},
};
use probe_common::{
    siphash::{Key, identity},
    wire::{Kind, Message},
};

const HOST: &str = "198.19.0.1";
const SESSION: Duration = Duration::from_secs(1);

fn config(xdp: &str, session: &str) -> String {
    let services = format!("session_timeout: {session}, services: [web], late_after:");
    let config = fleet(&[HOST]).replace("late_after:", &services);
    format!("xdp: {xdp}\n{config}")
}

/// A host that answers, its service, and the monitor of both.
fn scene(service: &Service, then: impl Fn(&Daemon<'_>, &Sender)) {
    // Lost beats are counted when a service is looked at: as often as its beats are due.
    with_session("1m, beat_interval: 200ms", service, then);
}

/// The same with a session that a test can wait for the end of.
fn short_scene(service: &Service, then: impl Fn(&Daemon<'_>, &Sender)) {
    with_session("1s", service, then);
}

/// The kernel and the sockets alone are to be equals.
fn with_session(session: &str, service: &Service, then: impl Fn(&Daemon<'_>, &Sender)) {
    for xdp in ["auto", "off"] {
        // Shown of a test that fails.
        eprintln!("xdp: {xdp}");
        let net = Net::new();
        let _host = Host::start(&net.fleet, HOST);
        let daemon = Daemon::run(&net.monitor, &config(xdp, session));
        let sender = service.start(&net.fleet);
        daemon.until_state(HOST, State::Up);
        then(&daemon, &sender);
    }
}

fn figures(scrape: &Scrape) -> [Option<u64>; 3] {
    ["beats_total", "beats_lost_total", "restarts_total"]
        .map(|figure| scrape.service(figure, HOST, "web"))
}

/// Waits until beats, lost ones and restarts are these.
fn until_figures(daemon: &Daemon<'_>, beats: u64, lost: u64, restarts: u64) -> Scrape {
    let expected = [beats, lost, restarts].map(Some);
    let seen = poll(after(4), || {
        let scrape = daemon.scrape();
        (figures(&scrape) == expected).then_some(scrape)
    });
    seen.unwrap_or_else(|| {
        let now = figures(&daemon.scrape());
        panic!("{now:?} in place of {expected:?}\n{}", daemon.log())
    })
}

fn until_fate(daemon: &Daemon<'_>, fate: &str, count: u64) -> Scrape {
    let what = format!("{count} {fate} beats");
    daemon.until(&what, after(4), |scrape| scrape.beats(fate) >= count)
}

#[test]
fn gaps_are_lost_beats_and_what_comes_in_another_order_is_not() {
    require_root!();
    scene(&Service::of(HOST, "web").by_hand(), |daemon, sender| {
        sender.beats(10);
        until_figures(daemon, 10, 0, 0);

        // Five on their way, overtaken by others.
        let late: Vec<_> = (0..5).map(|_| sender.withhold()).collect();
        sender.beats(20);
        for beat in [2, 0, 4, 1, 3].map(|at| &late[at]) {
            sender.send(beat);
        }
        sender.beats(100);
        let scrape = until_figures(daemon, 135, 0, 0);
        assert_eq!(scrape.fates(), [135, 0, 0, 0, 0, 0]);

        // Five that never come, and then more than a window of others.
        for _ in 0..5 {
            sender.withhold();
        }
        sender.beats(100);
        until_figures(daemon, 235, 5, 0);
    });
}

#[test]
fn the_same_beat_again_is_a_duplicate_and_an_old_one_is_stale() {
    require_root!();
    scene(&Service::of(HOST, "web").by_hand(), |daemon, sender| {
        sender.beats(100);
        until_figures(daemon, 100, 0, 0);
        let sent = sender.sent();
        for beat in &sent[90..] {
            sender.send(beat);
        }
        until_fate(daemon, "duplicate", 10);
        for beat in &sent[..10] {
            sender.send(beat);
        }
        let scrape = until_fate(daemon, "stale", 10);
        assert_eq!(scrape.fates(), [100, 10, 10, 0, 0, 0]);
        assert_eq!(figures(&scrape), [Some(100), Some(0), Some(0)]);
    });
}

#[test]
fn a_new_epoch_is_one_restart() {
    require_root!();
    scene(&Service::of(HOST, "web").by_hand(), |daemon, sender| {
        sender.beats(10);
        until_figures(daemon, 10, 0, 0);
        sender.restart();
        sender.beats(10);
        let scrape = until_figures(daemon, 20, 0, 1);
        assert_eq!(scrape.fates(), [20, 0, 0, 0, 0, 0]);
        // Beats of the process before, that were on their way: nothing goes back to it.
        for beat in &sender.sent()[..10] {
            sender.send(beat);
        }
        let scrape = until_fate(daemon, "stale", 10);
        assert_eq!(figures(&scrape), [Some(20), Some(0), Some(1)]);
        sender.beats(1);
        until_figures(daemon, 21, 0, 1);
    });
}

#[test]
fn a_host_that_boots_anew_is_believed_and_the_boot_before_is_not_heard_again() {
    require_root!();
    scene(&Service::of(HOST, "web").by_hand(), |daemon, sender| {
        sender.beats(10);
        until_figures(daemon, 10, 0, 0);
        let before = sender.sent();
        // A host's monotonic clock begins with its boot.
        for seq in 1..=10 {
            sender.send(&Message {
                boot: before[0].boot ^ 2,
                epoch: before[0].epoch ^ 2,
                time: u64::from(seq) * 1_000_000_000,
                seq,
                ..before[0]
            });
        }
        until_figures(daemon, 20, 0, 1);
        for beat in &before {
            sender.send(beat);
        }
        let scrape = until_fate(daemon, "stale", 10);
        assert_eq!(scrape.fates(), [20, 0, 10, 0, 0, 0]);
        assert_eq!(figures(&scrape), [Some(20), Some(0), Some(1)]);
    });
}

#[test]
fn nothing_that_was_heard_before_revives_a_service_that_ended() {
    require_root!();
    short_scene(&Service::of(HOST, "web"), |daemon, sender| {
        daemon.until_service(HOST, "web", State::Up, after(4));
        daemon.until("ten beats", BEAT * 10 + SLACK, |scrape| {
            scrape.service("beats_total", HOST, "web") >= Some(10)
        });
        sender.restart();
        daemon.until("a restart", after(4), |scrape| {
            scrape.service("restarts_total", HOST, "web") == Some(1)
        });
        sender.stop();
        let before = daemon.until("the end", SESSION + after(4), |scrape| {
            scrape.state(HOST) == Some(State::Zombie)
        });
        let sent = sender.sent();
        // For as long as some sessions: the old epoch's, then those of the last.
        for _ in 0..3 {
            for beat in &sent {
                sender.send(beat);
            }
            daemon.holds(HOST, State::Zombie, 4);
        }
        let scrape = daemon.scrape();
        assert_eq!(scrape.service_state(HOST, "web"), Some(State::Dead));
        assert_eq!(figures(&scrape), figures(&before));
        let again = scrape.beats("stale") + scrape.beats("duplicate");
        assert_eq!(again, 3 * sent.len() as u64);
        assert_eq!(scrape.changes_to("zombie"), 1);
        // Another process of it is heard at once.
        sender.restart();
        sender.beat();
        daemon.until_state(HOST, State::Up);
    });
}

#[test]
fn what_was_heard_before_a_pause_is_not_counted_again_after_it() {
    require_root!();
    short_scene(&Service::of(HOST, "web").by_hand(), |daemon, sender| {
        sender.beats(20);
        until_figures(daemon, 20, 0, 0);
        daemon.until_service(HOST, "web", State::Dead, SESSION + SLACK);
        // The same process goes on; five of its beats were lost meanwhile.
        for _ in 0..5 {
            sender.withhold();
        }
        sender.beats(1);
        until_figures(daemon, 21, 5, 0);
        for beat in &sender.sent()[..20] {
            sender.send(beat);
        }
        let again = |scrape: &Scrape| scrape.beats("stale") + scrape.beats("duplicate");
        daemon.until("all of them again", after(4), |scrape| again(scrape) >= 20);
        until_figures(daemon, 21, 5, 0);
    });
}

/// What somebody sends who means harm, or does not know better.
type Hostile = fn(&Sender, Message);

/// While the service beats it changes nothing; once the service has ended it keeps nobody alive. It is never acknowledged.
fn changes_nothing(hostile: Hostile, fate: &str) {
    short_scene(&Service::of(HOST, "web"), |daemon, sender| {
        daemon.until_service(HOST, "web", State::Up, after(4));
        let attack = |times| {
            for _ in 0..times {
                // Like the service's next beat but for one thing, and an ack is asked for.
                let last = sender.sent().pop().expect("it beats");
                let next = Message {
                    seq: last.seq + 1_000,
                    time: last.time + 1_000_000_000,
                    ..last
                };
                hostile(sender, next.with_ack(true));
            }
        };
        attack(3);
        let scrape = until_fate(daemon, fate, 3);
        for other in FATES.into_iter().skip(1).filter(|&other| other != fate) {
            assert_eq!(scrape.beats(other), 0, "{other} in place of {fate}");
        }
        daemon.holds(HOST, State::Up, 2);

        sender.stop();
        let ended = poll(SESSION + after(4), || {
            attack(1);
            (daemon.scrape().state(HOST) == Some(State::Zombie)).then_some(())
        });
        assert!(ended.is_some(), "{fate}\n{}", daemon.log());
        attack(3);
        let scrape = daemon.holds(HOST, State::Zombie, 3);
        assert_eq!(figures(&scrape), [Some(sender.count()), Some(0), Some(0)]);
        assert_eq!(scrape.beats("ok"), sender.count());
        assert_eq!(scrape.count("heartprobe_acks_total", &[]), Some(0));
        assert_eq!((sender.acks(), sender.wrong_answers()), (0, 0));
    });
}

#[test]
fn a_beat_with_another_key_is_forged() {
    require_root!();
    let wrong: Hostile =
        |sender, beat| sender.send_signed(&beat, &Key::from_bytes(*b"not the fleet's!"));
    changes_nothing(wrong, "forged");
}

#[test]
fn a_beat_with_a_flipped_bit_is_forged() {
    require_root!();
    let tampered: Hostile = |sender, beat| {
        let mut bytes = beat.encode(&Key::default()).to_bytes();
        bytes[53] ^= 1;
        sender.send_bytes(&bytes);
    };
    changes_nothing(tampered, "forged");
}

#[test]
fn a_truncated_beat_is_malformed() {
    require_root!();
    let truncated: Hostile =
        |sender, beat| sender.send_bytes(&beat.encode(&Key::default()).to_bytes()[..63]);
    changes_nothing(truncated, "malformed");
}

#[test]
fn a_beat_that_is_too_long_is_malformed() {
    require_root!();
    let long: Hostile = |sender, beat| {
        let mut bytes = beat.encode(&Key::default()).to_bytes().to_vec();
        bytes.extend([0; 8]);
        sender.send_bytes(&bytes);
    };
    changes_nothing(long, "malformed");
}

#[test]
fn an_empty_datagram_is_malformed() {
    require_root!();
    changes_nothing(|sender, _| sender.send_bytes(&[]), "malformed");
}

#[test]
fn a_foreign_protocol_is_malformed() {
    require_root!();
    let foreign: Hostile = |sender, beat| {
        let mut bytes = beat.encode(&Key::default()).to_bytes();
        bytes[..4].copy_from_slice(b"STUN");
        sender.send_bytes(&bytes);
    };
    changes_nothing(foreign, "malformed");
}

#[test]
fn a_signed_message_of_another_kind_is_malformed() {
    require_root!();
    let other: Hostile = |sender, beat| sender.send(&beat.ack());
    changes_nothing(other, "malformed");
    let ping: Hostile = |sender, beat| {
        sender.send(&Message {
            kind: Kind::Ping,
            ..beat
        });
    };
    changes_nothing(ping, "malformed");
}

#[test]
fn a_beat_of_a_service_that_nobody_knows_is_a_strangers() {
    require_root!();
    let stranger: Hostile = |sender, beat| {
        sender.send(&Message {
            sent: identity("unknown"),
            ..beat
        });
    };
    changes_nothing(stranger, "stranger");
}

#[test]
fn a_beat_of_a_host_that_nobody_knows_is_a_strangers() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &config("auto", "1m"));
    let stranger = Service::of("198.19.0.66", "web").with_acks();
    let stranger = stranger.start(&net.fleet);
    let scrape = until_fate(&daemon, "stranger", 5);
    assert_eq!(scrape.beats("ok"), 0);
    assert_eq!(scrape.service("beats_total", HOST, "web"), Some(0));
    assert_eq!((stranger.acks(), stranger.wrong_answers()), (0, 0));
}

#[test]
fn beats_that_want_an_ack_get_one_each_also_when_they_come_again() {
    require_root!();
    let service = Service::of(HOST, "web").by_hand().with_acks();
    scene(&service, |daemon, sender| {
        let until_acks = |acks| {
            let heard = poll(after(4), || (sender.acks() >= acks).then_some(()));
            assert!(
                heard.is_some(),
                "{} of {acks}\n{}",
                sender.acks(),
                daemon.log()
            );
        };
        sender.beats(50);
        until_acks(50);
        for beat in &sender.sent()[40..] {
            sender.send(beat);
        }
        until_acks(60);
        // No ack for one that comes too late to be recorded, nor for one that does not want any.
        sender.beats(50);
        until_acks(110);
        let sent = sender.sent();
        sender.send(&sent[0]);
        until_fate(daemon, "stale", 1);
        let quiet = sender.withhold().with_ack(false);
        sender.send(&quiet);
        let scrape = until_figures(daemon, 101, 0, 0);
        assert_eq!(scrape.fates(), [101, 10, 1, 0, 0, 0]);
        assert_eq!(scrape.count("heartprobe_acks_total", &[]), Some(110));
        assert_eq!((sender.acks(), sender.wrong_answers()), (110, 0));
    });
}

#[test]
fn beats_that_want_no_ack_get_none() {
    require_root!();
    scene(&Service::of(HOST, "web").by_hand(), |daemon, sender| {
        sender.beats(20);
        let scrape = until_figures(daemon, 20, 0, 0);
        assert_eq!(scrape.count("heartprobe_acks_total", &[]), Some(0));
        assert_eq!((sender.acks(), sender.wrong_answers()), (0, 0));
    });
}

#[test]
fn a_burst_of_beats_is_counted_to_the_last() {
    require_root!();
    let service = Service::of(HOST, "web").every(Duration::from_millis(2));
    scene(&service, |daemon, sender| {
        poll(Duration::from_secs(5), || {
            (sender.count() >= 1_000).then_some(())
        });
        sender.stop();
        let count = sender.count();
        let scrape = until_figures(daemon, count, 0, 0);
        assert_eq!(scrape.fates(), [count, 0, 0, 0, 0, 0]);
    });
}
