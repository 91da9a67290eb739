//! The loop of `ping`: a few hosts, a table in memory, and the same rules for a pong as the monitor has.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use probe_common::{
    maps::{Class, Fate, Settings},
    pong::Pong,
    row::{Answer, WINDOW},
    siphash::Key,
    wire::{Message, Packet},
};

use super::host::Host;
use crate::{
    clock,
    flights::{Flight, Flights},
    random,
    table::Table,
    udp::{Datagram, Inbox, Options, Outbox, Socket, Waker, wait},
};

/// Pings to a host that can be told apart, with room for some that leave a little early or end a little late.
pub(super) const MOST_IN_FLIGHT: u32 = WINDOW - 4;

/// Room for pongs that wait to be read, bytes.
const BUFFER: usize = 1 << 20;

/// How many pings, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// To each host; 0: until told to stop.
    pub(super) count: u32,
    /// Between two to a host.
    pub(super) interval: Duration,
    /// A pong after this does not count. No longer than [`MOST_IN_FLIGHT`] intervals, and it fits 32 bits of ns.
    pub(super) timeout: Duration,
}

/// Ends a [`Pinger::run`] of another thread.
#[derive(Clone, Debug)]
pub(super) struct Brake {
    pulled: Arc<AtomicBool>,
    waker: Waker,
}

impl Brake {
    pub(super) fn pull(&self) {
        self.pulled.store(true, Relaxed);
        self.waker.wake();
    }
}

/// Pings hosts, and writes what comes back to `out`.
pub(super) struct Pinger<W> {
    pub(super) hosts: Vec<Host>,
    table: Table,
    settings: Settings,
    class: Class,
    sockets: Vec<(bool, Socket)>,
    brake: Brake,
    flights: Flights,
    outbox: Outbox,
    count: u32,
    interval: u64,
    quiet: bool,
    pub(super) out: W,
}

impl<W: Write> Pinger<W> {
    /// Opens a socket for each family that the hosts have.
    pub(super) fn new(
        hosts: Vec<Host>,
        key: Key,
        pace: Pace,
        quiet: bool,
        out: W,
    ) -> anyhow::Result<Self> {
        let table = Table::in_memory(hosts.len() as u32)?;
        for (host, row) in hosts.iter().zip(table.rows()) {
            row.assign(host.address.ip().into(), host.address.port(), 0);
        }
        let options = Options {
            rejections: true,
            receive_buffer: BUFFER,
            ..Options::default()
        };
        let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let mut sockets = Vec::new();
        for any in any {
            let wanted = |host: &Host| host.address.is_ipv6() == any.is_ipv6();
            if hosts.iter().any(wanted) {
                let socket = Socket::bind(SocketAddr::new(any, 0), &options);
                sockets.push((any.is_ipv6(), socket.context("opening a socket")?));
            }
        }
        let timeout_ns = pace.timeout.as_nanos() as u32;
        Ok(Self {
            settings: Settings {
                keys: [key; 2],
                epoch: random::epoch()?,
                rows: hosts.len() as u32,
                ..Settings::default()
            },
            class: Class {
                timeout_ns,
                late_after_ns: timeout_ns,
                group: 0,
            },
            hosts,
            table,
            sockets,
            brake: Brake {
                pulled: Arc::default(),
                waker: Waker::new()?,
            },
            flights: Flights::default(),
            outbox: Outbox::new(1),
            count: pace.count,
            interval: u64::try_from(pace.interval.as_nanos()).unwrap_or(u64::MAX),
            quiet,
            out,
        })
    }

    /// What ends [`Pinger::run`] before its time.
    pub(super) fn brake(&self) -> Brake {
        self.brake.clone()
    }

    /// Pings until all has been sent and decided, or the brake is pulled.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut inbox = Inbox::new(64);
        let mut round = 0;
        let mut next = clock::monotonic();
        loop {
            // What waits in the sockets comes first, and pings end by the time before it was read: a pong that came in
            // time counts, however late this looks.
            let (now, stopped) = (clock::monotonic(), self.brake.pulled.load(Relaxed));
            self.receive(&mut inbox)?;
            self.end_flights(now)?;
            let more = self.count == 0 || round < self.count;
            let open = self.hosts.iter().any(|host| host.in_flight() > 0);
            if stopped || !(more || open) {
                return Ok(());
            }
            if more && now >= next {
                self.send()?;
                round += 1;
                next = after(next, self.interval, now);
                continue;
            }
            let next = more.then_some(next);
            let until = [next, self.flights.next_end()].into_iter().flatten().min();
            let sockets = self.sockets.iter().map(|(_, socket)| socket);
            wait(sockets, &self.brake.waker, until.unwrap_or(now))?;
        }
    }

    /// Whether every host has answered at least once.
    pub(super) fn all_answered(&self) -> bool {
        self.hosts.iter().all(|host| !host.times.is_empty())
    }

    /// Writes a block for each host.
    pub(super) fn summary(&mut self) -> io::Result<()> {
        for host in &self.hosts {
            host.summary(&mut self.out)?;
        }
        Ok(())
    }

    /// One ping to each host.
    fn send(&mut self) -> io::Result<()> {
        for number in 0..self.hosts.len() {
            let host = &mut self.hosts[number];
            let v6 = host.address.is_ipv6();
            let Some((_, socket)) = self.sockets.iter().find(|(family, _)| *family == v6) else {
                continue;
            };
            let seq = self.table.rows()[number].open();
            let at = clock::monotonic();
            let target = number as u32;
            let ping = Message::ping(target, seq, self.settings.epoch, at);
            let bytes = ping.encode(&self.settings.keys[0]).to_bytes();
            self.outbox.clear();
            self.outbox.push(host.address, None, bytes);
            if let Err(error) = socket.send(&mut self.outbox, 0) {
                host.unsent += 1;
                let line = format!("cannot send to {}: seq={seq} {error}", host.shown());
                self.say(&line)?;
            } else {
                host.sent += 1;
                let flight = Flight { target, seq, at };
                self.flights.push(self.class.timeout_ns.into(), flight);
            }
        }
        Ok(())
    }

    /// Tells of the pings whose timeout had ended by `now` and that have no pong.
    fn end_flights(&mut self, now: u64) -> io::Result<()> {
        while let Some(Flight { target, seq, .. }) = self.flights.pop_ended(now) {
            if self.table.rows()[target as usize].answer(seq) == Answer::None {
                let host = &mut self.hosts[target as usize];
                host.missed += 1;
                let line = format!("no answer from {}: seq={seq}", host.shown());
                self.say(&line)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        for number in 0..self.sockets.len() {
            // More ICMP errors at once than the socket gets over: the next turn reads on.
            while self.sockets[number].1.receive(inbox).unwrap_or(0) > 0 {
                for datagram in inbox.datagrams() {
                    self.judge(&datagram)?;
                }
            }
            while let Some(rejection) = self.sockets[number].1.next_rejection()? {
                let (to, advice) = (rejection.destination, rejection.advice());
                self.say(&format!("from {to}: {advice}"))?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, datagram: &Datagram<'_>) -> io::Result<()> {
        let source = datagram.source;
        let verified = Packet::from_bytes(datagram.bytes)
            .map_err(|_| Fate::Malformed)
            .and_then(|packet| Ok((Pong::verify(&packet, &self.settings)?, packet)));
        let (pong, packet) = match verified {
            Ok(verified) => verified,
            Err(fate) => return self.odd(source, fate, ""),
        };
        let (seq, sent) = packet.message().map_or((0, 0), |m| (m.seq, m.time));
        let number = pong.target() as usize;
        let row = &self.table.rows()[number];
        let from = (source.ip().into(), source.port());
        let (fate, rtt) = pong.land(row, &self.class, from, datagram.received);
        let Some(rtt) = rtt else {
            let after = datagram.received.saturating_sub(sent) as f64 / 1e6;
            return self.odd(source, fate, &format!(": seq={seq} after {after:.3} ms"));
        };
        let host = &mut self.hosts[number];
        host.times.push(rtt);
        let (bytes, rtt) = (datagram.bytes.len(), f64::from(rtt) / 1e6);
        let line = format!(
            "{bytes} bytes from {}: seq={seq} rtt={rtt:.3} ms",
            host.shown()
        );
        self.say(&line)
    }

    /// Counts a packet that was no first pong in time for the host that it came from.
    fn odd(&mut self, source: SocketAddr, fate: Fate, details: &str) -> io::Result<()> {
        let mut hosts = self.hosts.iter_mut();
        if let Some(host) = hosts.find(|host| host.address == source) {
            host.odd += 1;
        }
        let fate = fate.name();
        self.say(&format!("from {source}: {fate}, ignored{details}"))
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        writeln!(self.out, "{line}")
    }
}

/// When the next round is due: in step with the one before, but never two at once after a stall.
pub(super) fn after(due: u64, interval: u64, now: u64) -> u64 {
    match due.saturating_add(interval) {
        next if next > now => next,
        _ => now.saturating_add(interval),
    }
}
