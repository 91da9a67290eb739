use std::{collections::HashSet, net::IpAddr, thread, time::Duration};

use probe_common::wire::LEN;

use super::*;

const EVERYTHING: Options = Options {
    receive_buffer: 1 << 20,
    send_buffer: 1 << 18,
    local_address: true,
    rejections: true,
};

fn socket(address: &str) -> Socket {
    Socket::bind(address.parse().unwrap(), &EVERYTHING).unwrap()
}

fn until(mut done: impl FnMut() -> bool) {
    let end = clock::monotonic() + 5_000_000_000;
    while !done() {
        assert!(clock::monotonic() < end, "nothing came within 5 s");
        thread::yield_now();
    }
}

use crate::clock;

#[test]
fn a_batch_arrives_with_its_times() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let (from, to) = (socket(local), socket(local));
        let mut outbox = Outbox::new(8);
        for n in 0..8 {
            outbox.push(to.local_addr().unwrap(), None, [n; LEN]);
        }
        let before = clock::monotonic();
        assert_eq!(from.send(&mut outbox, 0).unwrap(), 8);
        let mut inbox = Inbox::new(3);
        let mut seen = HashSet::new();
        until(|| {
            to.receive(&mut inbox).unwrap();
            for datagram in inbox.datagrams() {
                assert_eq!(datagram.source, from.local_addr().unwrap());
                assert_eq!(datagram.local, Some(to.local_addr().unwrap().ip()));
                assert_eq!(datagram.bytes, [datagram.bytes[0]; LEN]);
                // The two clocks are read apart: allow for what lies between.
                assert!(datagram.received + 1_000_000 >= before);
                assert!(datagram.received <= clock::monotonic() + 1_000_000);
                seen.insert(datagram.bytes[0]);
            }
            seen.len() == 8
        });
        assert_eq!(to.receive(&mut inbox).unwrap(), 0);
    }
}

#[test]
fn a_message_leaves_from_the_address_asked_for() {
    let (from, to) = (socket("0.0.0.0:0"), socket("127.0.0.1:0"));
    let mut outbox = Outbox::new(1);
    let source: IpAddr = "127.9.8.7".parse().unwrap();
    outbox.push(to.local_addr().unwrap(), Some(source), [0; LEN]);
    assert_eq!(from.send(&mut outbox, 0).unwrap(), 1);
    let mut inbox = Inbox::new(1);
    until(|| to.receive(&mut inbox).unwrap() == 1);
    assert_eq!(inbox.datagrams().next().unwrap().source.ip(), source);
}

#[test]
fn a_length_that_is_not_a_messages_shows() {
    let to = socket("127.0.0.1:0");
    let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in [0, 63, 64, 65, 1000] {
        from.send_to(&vec![1; length], to.local_addr().unwrap())
            .unwrap();
        let mut inbox = Inbox::new(2);
        until(|| to.receive(&mut inbox).unwrap() == 1);
        let datagram = inbox.datagrams().next().unwrap();
        assert_eq!(datagram.bytes.len() == LEN, length == LEN, "{length}");
    }
}

#[test]
fn a_closed_port_is_told_and_blames_nobody_else() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let from = socket(local);
        let closed = socket(local).local_addr().unwrap();
        let open = socket(local);
        let mut outbox = Outbox::new(1);
        outbox.push(closed, None, [0; LEN]);
        from.send(&mut outbox, 0).unwrap();
        // The error is pending by now, loopback being synchronous; the next ping must leave all the same.
        outbox.clear();
        outbox.push(open.local_addr().unwrap(), None, [0; LEN]);
        assert_eq!(from.send(&mut outbox, 0).unwrap(), 1);
        let rejection = from.next_rejection().unwrap().unwrap();
        assert_eq!(
            rejection,
            Rejection {
                destination: closed,
                errno: libc::ECONNREFUSED
            }
        );
        assert_eq!(from.next_rejection().unwrap(), None);
    }
}

/// The kernel tells the error first, then what waits: who judges pings by what was read must not stop at the error.
#[test]
fn a_closed_port_hides_nothing_that_waits() {
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let (from, friend) = (socket(local), socket(local));
        let mut outbox = Outbox::new(1);
        outbox.push(from.local_addr().unwrap(), None, [7; LEN]);
        friend.send(&mut outbox, 0).unwrap();
        let closed = socket(local).local_addr().unwrap();
        outbox.clear();
        outbox.push(closed, None, [0; LEN]);
        from.send(&mut outbox, 0).unwrap();
        let mut inbox = Inbox::new(2);
        assert_eq!(from.receive(&mut inbox).unwrap(), 1);
        assert_eq!(inbox.datagrams().next().unwrap().bytes, [7; LEN]);
        let rejection = from.next_rejection().unwrap().unwrap();
        assert_eq!(rejection.destination, closed);
    }
}

#[test]
fn a_destination_without_route_fails_alone() {
    let (from, to) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let mut outbox = Outbox::new(3);
    let good = to.local_addr().unwrap();
    // A socket bound to loopback cannot reach beyond it: nothing leaves this machine.
    for address in [good, "192.0.2.1:4862".parse().unwrap(), good] {
        outbox.push(address, None, [0; LEN]);
    }
    assert_eq!(from.send(&mut outbox, 0).unwrap(), 1);
    assert!(from.send(&mut outbox, 1).is_err());
    assert_eq!(from.send(&mut outbox, 2).unwrap(), 1);
}

#[test]
fn a_wait_ends_for_each_reason() {
    let (from, to) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
    let waker = Waker::new().unwrap();
    let far = || clock::monotonic() + 30_000_000_000;

    let soon = clock::monotonic() + 5_000_000;
    wait([&to], &waker, soon).unwrap();
    assert!(clock::monotonic() >= soon);

    let other = waker.clone();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        other.wake();
    });
    wait([&to], &waker, far()).unwrap();
    thread.join().unwrap();

    let mut outbox = Outbox::new(1);
    outbox.push(to.local_addr().unwrap(), None, [0; LEN]);
    from.send(&mut outbox, 0).unwrap();
    wait([&to], &waker, far()).unwrap();
    assert!(clock::monotonic() < soon + 20_000_000_000);
}

#[test]
fn lost_datagrams_are_counted() {
    let to = Socket::bind(
        "127.0.0.1:0".parse().unwrap(),
        &Options {
            receive_buffer: 1,
            ..Options::default()
        },
    )
    .unwrap();
    let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut inbox = Inbox::new(64);
    let mut dropped = 0;
    until(|| {
        for _ in 0..100 {
            from.send_to(&[0; LEN], to.local_addr().unwrap()).unwrap();
        }
        to.receive(&mut inbox).unwrap();
        dropped = inbox
            .datagrams()
            .map(|datagram| datagram.dropped)
            .max()
            .unwrap_or(0);
        dropped > 0
    });
}
