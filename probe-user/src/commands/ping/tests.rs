use std::{
    io::Write,
    net::{IpAddr, UdpSocket},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use clap::Parser;
use probe_common::{
    maps,
    wire::{LEN, Message, Packet},
};
use proptest::prelude::*;

use super::{pinger::after, *};
use crate::reflector::{Reflector, listen};

const KEY: Key = Key::from_bytes([7; 16]);

/// Long enough that whatever waits for it is seen to.
const LONG: Duration = LONGEST_TIMEOUT;

const SHORT: Duration = Duration::from_millis(20);

/// What a pinger has said so far, to be read while it runs.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn wait_for(&self, line: &str) {
        let begin = Instant::now();
        while !self.text().contains(line) {
            let text = self.text();
            assert!(begin.elapsed().as_secs() < 5, "no {line:?} in\n{text}");
            thread::yield_now();
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn line(words: &[&str]) -> Result<Args, clap::Error> {
    Line::try_parse_from(["ping"].iter().chain(words)).map(|line| line.args)
}

fn pinger(to: &[SocketAddr], count: u32, timeout: Duration) -> Pinger<Output> {
    let hosts = to.iter().map(|&to| Host::new(to.to_string(), to)).collect();
    let pace = Pace {
        count,
        interval: Duration::from_millis(1),
        timeout,
    };
    Pinger::new(hosts, KEY, pace, false, Output::default()).unwrap()
}

fn said(pinger: &mut Pinger<Output>) -> String {
    pinger.summary().unwrap();
    pinger.out.text()
}

fn reflector(at: &str) -> (Reflector, SocketAddr) {
    let socket = listen(at.parse().unwrap()).unwrap();
    let at = socket.local_addr().unwrap();
    let identity = maps::Reflector {
        keys: [KEY; 2],
        ..maps::Reflector::default()
    };
    (Reflector::start(vec![socket], identity).unwrap(), at)
}

/// A host that hears pings and says what the test makes it say.
struct Actor {
    socket: UdpSocket,
}

impl Actor {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let patience = Some(Duration::from_secs(5));
        socket.set_read_timeout(patience).unwrap();
        Self { socket }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn hear(&self) -> (Message, SocketAddr) {
        let mut bytes = [0; LEN];
        let (_, from) = self.socket.recv_from(&mut bytes).unwrap();
        let ping = Packet::from_bytes(&bytes).unwrap();
        (ping.message().unwrap(), from)
    }
}

#[test]
fn each_host_answers_each_ping() {
    let (v4, at) = reflector("0.0.0.0:0");
    let (v6, at_v6) = reflector("[::1]:0");
    let second = SocketAddr::new("127.0.0.2".parse::<IpAddr>().unwrap(), at.port());
    let first = SocketAddr::new("127.0.0.1".parse::<IpAddr>().unwrap(), at.port());
    let mut pinger = pinger(&[first, second, at_v6], 3, LONG);
    let begin = Instant::now();
    pinger.run().unwrap();
    assert!(begin.elapsed() < LONG, "all is told once all has come");
    assert!(pinger.all_answered());
    let said = said(&mut pinger);
    for to in [first, second, at_v6] {
        for seq in 1..=3 {
            let pong = format!("64 bytes from {to}: seq={seq} rtt=");
            assert!(said.contains(&pong), "{said}");
        }
    }
    assert_eq!(said.matches("3 pings, 3 pongs, 0% lost\n").count(), 3);
    v4.stop().unwrap();
    v6.stop().unwrap();
}

#[test]
fn a_closed_port_is_told_and_its_neighbour_still_answers() {
    let (reflector, at) = reflector("127.0.0.1:0");
    let closed = Actor::new().address();
    let mut pinger = pinger(&[closed, at], 4, Duration::from_secs(1));
    pinger.run().unwrap();
    assert!(!pinger.all_answered());
    let said = said(&mut pinger);
    assert!(
        said.contains(&format!("from {closed}: port unreachable")),
        "{said}"
    );
    assert!(
        said.contains(&format!("no answer from {closed}: seq=4")),
        "{said}"
    );
    assert!(said.contains("4 pings, 0 pongs, 100% lost\n"), "{said}");
    assert!(said.contains("4 pings, 4 pongs, 0% lost\n"), "{said}");
    reflector.stop().unwrap();
}

#[test]
fn a_ping_that_never_left_is_not_lost() {
    // The kernel sends nothing to port 0.
    let nowhere = "127.0.0.1:0".parse().unwrap();
    let mut pinger = pinger(&[nowhere], 2, LONG);
    pinger.run().unwrap();
    assert!(!pinger.all_answered());
    let said = said(&mut pinger);
    assert!(said.contains("cannot send to 127.0.0.1:0: seq=2"), "{said}");
    assert!(
        said.contains("0 pings, 0 pongs, 2 could not be sent\n"),
        "{said}"
    );
}

#[test]
fn what_is_no_first_pong_in_time_is_called_what_it_is() {
    let host = Actor::new();
    let mut pinger = pinger(&[host.address()], 2, LONG);
    let pinging = thread::spawn(move || {
        pinger.run().unwrap();
        pinger
    });
    let (ping, from) = host.hear();
    let pong = ping.pong(0, 0, 0, 0);
    let good = pong.encode(&KEY).to_bytes();
    let forged = pong.encode(&Key::from_bytes([8; 16])).to_bytes();
    let stale = Message {
        epoch: pong.epoch.wrapping_add(1),
        ..pong
    };
    let stale = stale.encode(&KEY).to_bytes();
    let its_own = ping.encode(&KEY).to_bytes();
    // The right pong from the wrong host.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&good, from).unwrap();
    for bytes in [&forged[..], &stale, &its_own, &good[..63], &good, &good] {
        host.socket.send_to(bytes, from).unwrap();
    }
    let (ping, from) = host.hear();
    let last = ping.pong(0, 0, 0, 0).encode(&KEY).to_bytes();
    host.socket.send_to(&last, from).unwrap();

    let mut pinger = pinging.join().unwrap();
    assert!(pinger.all_answered());
    let said = said(&mut pinger);
    let (host, stranger) = (host.address(), stranger.local_addr().unwrap());
    for (line, times) in [
        (format!("from {stranger}: forged, ignored: seq=1 after "), 1),
        (format!("from {host}: forged, ignored\n"), 1),
        (format!("from {host}: stale, ignored\n"), 1),
        (format!("from {host}: malformed, ignored\n"), 2),
        (format!("64 bytes from {host}: seq=1 "), 1),
        (format!("from {host}: duplicate, ignored: seq=1 after "), 1),
        (format!("64 bytes from {host}: seq=2 "), 1),
        (
            "2 pings, 2 pongs, 0% lost, 5 duplicate, stale, forged or malformed\n".into(),
            1,
        ),
    ] {
        assert_eq!(said.matches(&line).count(), times, "{line:?} in\n{said}");
    }
}

#[test]
fn an_answer_after_the_timeout_does_not_count() {
    let host = Actor::new();
    let mut pinger = pinger(&[host.address()], 0, SHORT);
    let (brake, output) = (pinger.brake(), pinger.out.clone());
    let pinging = thread::spawn(move || {
        pinger.run().unwrap();
        pinger
    });
    let (first, from) = host.hear();
    let at = host.address();
    output.wait_for(&format!("no answer from {at}: seq=1\n"));
    let late = first.pong(0, 0, 0, 0).encode(&KEY).to_bytes();
    host.socket.send_to(&late, from).unwrap();
    output.wait_for(&format!("from {at}: stale, ignored: seq=1 after "));
    brake.pull();
    let pinger = pinging.join().unwrap();
    assert!(!pinger.all_answered());
}

#[test]
fn who_stops_it_loses_no_ping_in_flight() {
    let host = Actor::new();
    let mut pinger = pinger(&[host.address()], 0, LONG);
    let brake = pinger.brake();
    let pinging = thread::spawn(move || {
        pinger.run().unwrap();
        pinger
    });
    host.hear();
    let begin = Instant::now();
    brake.pull();
    let mut pinger = pinging.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1));
    let said = said(&mut pinger);
    assert!(said.contains("still in flight\n"), "{said}");
    assert!(!said.contains("lost"), "{said}");
}

#[test]
fn a_reader_that_has_gone_ends_it() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (reflector, at) = reflector("127.0.0.1:0");
    let pace = Pace {
        count: 0,
        interval: Duration::from_millis(1),
        timeout: LONG,
    };
    let hosts = vec![Host::new(at.to_string(), at)];
    let mut pinger = Pinger::new(hosts, KEY, pace, false, Gone).unwrap();
    let error = pinger.run().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    reflector.stop().unwrap();
}

#[test]
fn hosts_as_people_write_them() {
    let args = line(&[
        "127.0.0.1",
        "127.0.0.1:99",
        "::1",
        "[::1]",
        "[::1]:99",
        "localhost:7",
    ]);
    let (hosts, _) = args.unwrap().check().unwrap();
    let addresses: Vec<_> = hosts.iter().map(|host| host.address.to_string()).collect();
    assert_eq!(
        addresses[..5],
        [
            "127.0.0.1:4862",
            "127.0.0.1:99",
            "[::1]:4862",
            "[::1]:4862",
            "[::1]:99"
        ]
    );
    assert!(hosts[5].address.ip().is_loopback() && hosts[5].address.port() == 7);
}

#[test]
fn what_the_user_must_change() {
    for (words, told) in [
        (&["127.0.0.0/8"][..], "block"),
        (&["127.0.0.1:0"], "port"),
        (&["not a host"], "not a host"),
        (&["-4", "::1"], "no IPv4 address"),
        (&["-6", "127.0.0.1"], "no IPv6 address"),
        (&["::ffff:127.0.0.1"], "write 127.0.0.1"),
        (&["--key", "/nonexistent/key", "::1"], "/nonexistent/key"),
        (&["-i", "10ms", "-t", "1s", "::1"], "in flight"),
    ] {
        let error = line(words).unwrap().check().unwrap_err();
        assert!(format!("{error:#}").contains(told), "{words:?}: {error:#}");
    }
    for words in [
        &[][..],
        &["-t", "5s", "::1"],
        &["-t", "0s", "::1"],
        &["-i", "0s", "::1"],
        &["-i", "10", "::1"],
        &["-4", "-6", "::1"],
    ] {
        assert_eq!(line(words).unwrap_err().exit_code(), 2, "{words:?}");
    }
}

proptest! {
    /// Rounds keep their step, and a stall of any length is followed by one round, not by all that were left out.
    #[test]
    fn rounds_keep_their_step(due: u64, interval in 1..u64::MAX, stall: u64) {
        let now = due.saturating_add(stall);
        let next = after(due, interval, now);
        if stall < interval {
            prop_assert_eq!(next, due.saturating_add(interval));
        } else {
            prop_assert_eq!(next, now.saturating_add(interval));
        }
    }
}
