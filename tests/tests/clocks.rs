//! What is shown of hosts' clocks and of each way alone.

use std::time::SystemTime;

use heartprobe_tests::{
    behaviour::{Behaviour, answer, signed_lie},
    config::{after, fleet},
    daemon::{Daemon, State},
    metrics::Scrape,
    net::Net,
    peer::Host,
    require_root,
};

const HOST: &str = "198.19.0.1";

/// What a host with this clock (ns ahead of the right one) answers.
fn told(ahead: i64) -> Behaviour {
    signed_lie(move |pong| {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is past 1970");
        let now = (now.as_nanos() as u64).saturating_add_signed(ahead);
        (pong.received, pong.sent) = (now, now);
    })
}

fn value(scrape: &Scrape, name: &str) -> Option<f64> {
    scrape.metric(&format!("heartprobe_target_{name}"), &[("target", HOST)])
}

fn ways(scrape: &Scrape) -> [Option<f64>; 2] {
    ["forward_delay_seconds", "return_delay_seconds"].map(|name| value(scrape, name))
}

/// Whether this box's clock is synchronised, by its own word.
#[expect(unsafe_code, reason = "there is no safe call for it")]
fn is_synchronised() -> bool {
    // SAFETY: integers alone, which may all be zero.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` lives through the call; with no mode set nothing is changed.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    answer != -1 && state.status & libc::STA_UNSYNC == 0
}

fn clocks_are_shown_as_far_as_they_can_be(receive: &str) {
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &format!("{}{receive}", fleet(&[HOST])));
    let up = daemon.until_state(HOST, State::Up);
    assert_eq!(value(&up, "clock_offset_seconds"), None, "it tells none");
    assert_eq!(ways(&up), [None; 2]);

    // Ahead: the way there seems long, the way back negative; behind: the other way round.
    for (nanos, least, most) in [(10_000_000_000, 9.8, 10.2), (-3_500_000_000, -3.7, -3.3)] {
        host.now(told(nanos));
        let scrape = daemon.until("the lie is shown", after(4), |scrape| {
            value(scrape, "clock_offset_seconds").is_some_and(|off| off > least && off < most)
        });
        assert_eq!(ways(&scrape), [None; 2]);
        assert_eq!(
            scrape.state(HOST),
            Some(State::Up),
            "no clock decides anything"
        );
    }

    host.now(told(0));
    let scrape = daemon.until("the truth is shown", after(4), |scrape| {
        value(scrape, "clock_offset_seconds").is_some_and(|off| off.abs() < 0.2)
    });
    let off = value(&scrape, "clock_offset_seconds").unwrap_or(1.0);
    let rtt = value(&scrape, "rtt_seconds").unwrap_or(0.0);
    assert!(off.abs() <= rtt / 2.0 + 1e-4, "{off} of {rtt}");
    let ways = ways(&scrape);
    match ways {
        [Some(there), Some(back)] => {
            assert!(is_synchronised());
            assert!((there + back - rtt).abs() < 1e-3, "{there} {back} {rtt}");
        }
        [None, None] => assert!(!is_synchronised()),
        _ => panic!("one way alone: {ways:?}"),
    }

    host.now(answer());
    daemon.until("it tells none any more", after(4), |scrape| {
        value(scrape, "clock_offset_seconds").is_none()
    });
}

#[test]
fn clocks_are_shown_as_far_as_they_can_be_by_xdp() {
    require_root!();
    clocks_are_shown_as_far_as_they_can_be("");
}

#[test]
fn clocks_are_shown_as_far_as_they_can_be_by_sockets() {
    require_root!();
    clocks_are_shown_as_far_as_they_can_be("xdp: off\nengine: socket\n");
}
