//! What is not a right pong changes no verdict, in either direction, and is counted as what it is.

use std::net::SocketAddr;

use heartprobe_tests::{
    behaviour::{
        Behaviour, answer, both, echo, from_stranger, replay, signed_lie, silent, tampered,
        wrong_key, wrong_port,
    },
    config::{after, fleet},
    daemon::{Daemon, State},
    net::Net,
    peer::Host,
    require_root,
};

/// The target.
const HOST: &str = "198.19.0.1";

/// One behaviour, made as often as it is needed.
type Hostile = fn() -> Behaviour;

/// Beside right answers the host stays up; in place of them it is dead, and stays so. Each wrong pong is counted.
fn changes_nothing(hostile: Hostile, fate: &str) {
    for xdp in ["auto", "off"] {
        let net = Net::new();
        let host = Host::start(&net.fleet, HOST);
        let config = format!("xdp: {xdp}\n{}", fleet(&[HOST]));
        let daemon = Daemon::run(&net.monitor, &config);
        let before = daemon.until_state(HOST, State::Up);

        host.now(both(answer(), hostile()));
        let counted = daemon.until(
            &format!("three {fate} pongs (xdp: {xdp})"),
            after(5),
            |scrape| {
                assert_eq!(scrape.state(HOST), Some(State::Up));
                scrape.fate(fate) >= before.fate(fate) + 3
            },
        );
        daemon.holds(HOST, State::Up, 3);
        for other in ["late", "duplicate", "stale", "forged", "malformed"] {
            if other != fate {
                assert_eq!(
                    counted.fate(other),
                    before.fate(other),
                    "{other} in place of {fate}"
                );
            }
        }

        host.now(hostile());
        daemon.until_state(HOST, State::Dead);
        let dead = daemon.holds(HOST, State::Dead, 3);
        assert!(dead.fate(fate) > counted.fate(fate));
        assert_eq!(dead.changes_to("up"), 1, "never raised from the dead");
    }
}

#[test]
fn a_pong_with_another_key_is_forged() {
    require_root!();
    changes_nothing(wrong_key, "forged");
}

#[test]
fn a_pong_with_a_flipped_bit_is_forged() {
    require_root!();
    changes_nothing(|| tampered(|bytes| bytes[12] ^= 1), "forged");
}

#[test]
fn a_pong_from_another_port_is_forged() {
    require_root!();
    changes_nothing(wrong_port, "forged");
}

#[test]
fn a_pong_from_another_host_is_forged() {
    require_root!();
    changes_nothing(
        || from_stranger(SocketAddr::from(([198, 19, 0, 66], 4862))),
        "forged",
    );
}

#[test]
fn a_truncated_pong_is_malformed() {
    require_root!();
    changes_nothing(|| tampered(|bytes| bytes.truncate(63)), "malformed");
}

#[test]
fn a_pong_of_one_byte_is_malformed() {
    require_root!();
    changes_nothing(|| tampered(|bytes| bytes.truncate(1)), "malformed");
}

#[test]
fn an_empty_datagram_is_malformed() {
    require_root!();
    changes_nothing(|| tampered(Vec::clear), "malformed");
}

#[test]
fn a_pong_that_is_too_long_is_malformed() {
    require_root!();
    changes_nothing(|| tampered(|bytes| bytes.extend([0; 8])), "malformed");
}

#[test]
fn a_foreign_protocol_is_malformed() {
    require_root!();
    changes_nothing(
        || tampered(|bytes| bytes[..4].copy_from_slice(b"STUN")),
        "malformed",
    );
}

#[test]
fn a_ping_sent_back_is_malformed() {
    require_root!();
    changes_nothing(echo, "malformed");
}

#[test]
fn a_pong_of_another_epoch_is_stale() {
    require_root!();
    changes_nothing(|| signed_lie(|pong| pong.epoch ^= 1), "stale");
}

#[test]
fn a_pong_of_a_ping_that_was_never_sent_is_stale() {
    require_root!();
    changes_nothing(|| signed_lie(|pong| pong.seq += 1), "stale");
}

#[test]
fn a_pong_for_a_target_that_does_not_exist_is_stale() {
    require_root!();
    changes_nothing(|| signed_lie(|pong| pong.target = u32::MAX), "stale");
}

#[test]
fn the_second_pong_of_a_ping_is_a_duplicate() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let before = daemon.until_state(HOST, State::Up);
    host.now(both(answer(), answer()));
    let scrape = daemon.until("three duplicates", after(5), |scrape| {
        scrape.fate("duplicate") >= 3
    });
    assert!(
        scrape.pongs(HOST) <= scrape.pings(HOST),
        "a ping is answered once"
    );
    daemon.holds(HOST, State::Up, 3);
    assert_eq!(daemon.scrape().changes(), before.changes());
}

#[test]
fn a_replayed_pong_keeps_nobody_alive() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    daemon.until_state(HOST, State::Up);
    host.now(replay());
    daemon.until_state(HOST, State::Dead);
    let scrape = daemon.holds(HOST, State::Dead, 3);
    assert!(scrape.fate("stale") + scrape.fate("duplicate") >= 3);
}

#[test]
fn a_host_cannot_answer_for_another() {
    require_root!();
    let net = Net::new();
    let liar = Host::start(&net.fleet, HOST);
    let victim = Host::start(&net.fleet, "198.19.0.2");
    victim.now(silent());
    // It holds the fleet's key and claims every pong for target 0 and target 1: one of them is not itself.
    liar.now(both(
        signed_lie(|pong| pong.target = 0),
        signed_lie(|pong| pong.target = 1),
    ));
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST, "198.19.0.2"]));
    daemon.until_state("198.19.0.2", State::Dead);
    let scrape = daemon.holds("198.19.0.2", State::Dead, 3);
    assert!(scrape.fate("forged") >= 3);
    assert_eq!(scrape.state(HOST), Some(State::Up));
}
