//! The socket engine: pings by `sendmmsg`, and the pongs that come up to the sockets by `recvmmsg`, IPv4 and IPv6.
//!
//! Each family has a socket at each of the monitor's ports.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use probe_common::{
    maps::{Class, Fate, Settings},
    pong::Pong,
    row::Row,
    wire::{Message, Packet},
};

use super::{
    ports,
    reading::{Heard, read},
};
use crate::{
    clock,
    complaint::Complaints,
    flights::Departure,
    metrics::{self, Vitals},
    table::Table,
    tally::Tally,
    udp::{Datagram, Inbox, Outbox, Rejection, Socket, Waker, Watch, wait},
};

/// Pings that go to the kernel with one call. With more, the first would wait for the last where no program stamps them.
pub const BATCH: usize = 64;

/// The sleep below which pongs may wait in the sockets: the kernel has noted their time, and reading many at once is
/// cheaper than waking for each.
const NAP: u64 = 5_000_000;

/// The sockets of each family that the box has.
pub struct SocketEngine {
    /// A family's follow each other in the order of their ports.
    channels: Vec<Channel>,
    /// Where those of IPv4 and of IPv6 begin.
    families: [Option<usize>; 2],
    watch: Watch,
    inbox: Inbox,
    waker: Waker,
    tally: Arc<Tally>,
    vitals: Arc<Vitals>,
    complaints: Complaints<Complaint>,
    drained_at: u64,
}

struct Channel {
    socket: Socket,
    outbox: Outbox,
    /// Target and sequence number of each ping in the outbox.
    staged: Vec<(u32, u32)>,
    dropped: u32,
}

/// What may go wrong again and again.
#[derive(Debug, PartialEq)]
enum Complaint {
    Send(i32),
    Overflow,
    Rejected(i32),
}

impl SocketEngine {
    /// Opens the sockets, from that port on or on ports that the kernel chooses.
    ///
    /// # Errors
    /// When it gives neither IPv4 nor IPv6 ones.
    pub fn open(first: Option<u16>, tally: Arc<Tally>, vitals: Arc<Vitals>) -> io::Result<Self> {
        let v4 = ports::open(Ipv4Addr::UNSPECIFIED.into(), first);
        let v6 = ports::open(Ipv6Addr::UNSPECIFIED.into(), first);
        let (mut channels, mut families) = (Vec::new(), [None; 2]);
        match (v4, v6) {
            (Err(error), Err(_)) => return Err(error),
            (v4, v6) => {
                for (family, sockets) in families.iter_mut().zip([v4, v6]) {
                    let Ok(sockets) = sockets else { continue };
                    *family = Some(channels.len());
                    channels.extend(sockets.into_iter().map(Channel::new));
                }
            }
        }
        Ok(Self {
            watch: Watch::new(channels.iter().map(|channel| &channel.socket))?,
            channels,
            families,
            inbox: Inbox::new(BATCH),
            waker: Waker::new()?,
            tally,
            vitals,
            complaints: Complaints::default(),
            drained_at: clock::monotonic(),
        })
    }

    /// The first port that pings leave from: IPv4, IPv6; 0 where there is no such socket.
    pub fn ports(&self) -> io::Result<[u16; 2]> {
        let mut ports = [0; 2];
        for (port, family) in ports.iter_mut().zip(self.families) {
            if let Some(first) = family {
                *port = self.channels[first].socket.local_addr()?.port();
            }
        }
        Ok(ports)
    }

    /// Pings bear this type of service (IPv4) or traffic class (IPv6) from now on.
    pub fn set_traffic_class(&self, traffic_class: u8) {
        for channel in &self.channels {
            if let Err(error) = channel.socket.set_traffic_class(traffic_class) {
                tracing::warn!("pings do not bear the configured dscp: {error}");
                break;
            }
        }
    }

    /// Ends a [`SocketEngine::wait`].
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Opens the target's next ping and puts it into the outbox of its family and port; `false` if there is no such socket.
    pub fn stage(&mut self, target: u32, row: &Row, settings: &Settings) -> bool {
        let (address, port) = row.address();
        let to = SocketAddr::new(address.ip(), port);
        let Some(first) = self.families[usize::from(to.is_ipv6())].filter(|_| port != 0) else {
            // Port 0: a name that has not been resolved. There is nowhere to send to.
            return false;
        };
        let seq = row.open();
        let channel =
            &mut self.channels[first + usize::from(settings.ports.index(row.round(), seq))];
        let ping = Message::ping(target, seq, settings.epoch, clock::monotonic());
        channel
            .outbox
            .push(to, None, ping.encode(&settings.keys[0]).to_bytes());
        channel.staged.push((target, seq));
        true
    }

    /// Sends what is staged and tells of each ping whether it left.
    pub fn flush(&mut self, mut departed: impl FnMut(Departure)) {
        let staged = self.channels.iter_mut();
        for channel in staged.filter(|channel| !channel.staged.is_empty()) {
            let mut next = 0;
            while next < channel.staged.len() {
                let sent = channel.socket.send(&mut channel.outbox, next);
                let count = match &sent {
                    Ok(count) => *count,
                    // The ping that the error belongs to did not leave; those behind it may.
                    Err(_) => 1,
                };
                for &(target, seq) in &channel.staged[next..next + count] {
                    departed(Departure {
                        target,
                        seq,
                        left: sent.is_ok(),
                    });
                }
                if let Err(error) = &sent {
                    let errno = error.raw_os_error().unwrap_or(0);
                    self.vitals.send_error(errno);
                    let to = channel.outbox.destination(next);
                    if let Some(times) = self
                        .complaints
                        .count(Complaint::Send(errno), clock::monotonic())
                    {
                        complain_of_send(errno, error, to, times);
                    }
                }
                next += count.max(1);
            }
            channel.outbox.clear();
            channel.staged.clear();
        }
    }

    /// Reads the pongs that wait and records them, as far as one turn of the loop has time for.
    pub fn drain(
        &mut self,
        table: &Table,
        classes: &[Class],
        settings: &Settings,
    ) -> io::Result<Heard> {
        let mut heard = Heard {
            until: clock::monotonic(),
            lost_since: None,
        };
        for ready in self.watch.ready()? {
            let channel = &mut self.channels[ready];
            let (until, lost) = read(
                &channel.socket,
                &mut self.inbox,
                BATCH,
                &mut channel.dropped,
                |datagram| receive(datagram, table, classes, settings, &self.tally),
            );
            if lost > 0 {
                self.vitals.overflows.inc_by(lost.into());
                heard.lost_since = Some(self.drained_at);
            }
            heard.until = heard.until.min(until);
            for _ in 0..BATCH {
                let Some(rejection) = channel.socket.next_rejection()? else {
                    break;
                };
                self.vitals.rejected(reason(&rejection));
                let kind = Complaint::Rejected(rejection.errno);
                if let Some(times) = self.complaints.count(kind, clock::monotonic()) {
                    complain_of_rejection(&rejection, times);
                }
            }
        }
        self.drained_at = clock::monotonic();
        if heard.lost_since.is_some() {
            self.complain_of_overflow();
        }
        Ok(heard)
    }

    fn complain_of_overflow(&mut self) {
        let told = self.complaints.count(Complaint::Overflow, self.drained_at);
        if told.is_some() {
            tracing::warn!(
                "pongs were lost on this box because the socket's buffer was full; their pings are not held against the \
                 targets. Raise net.core.rmem_max, or run with CAP_NET_ADMIN so that the kernel receives"
            );
        }
    }

    /// Waits until `moment` (ns of the monotonic clock), or until there is something to do before: also for these sockets, if
    /// there are any.
    pub fn wait(&self, beats: Option<&Watch>, moment: u64) -> io::Result<()> {
        let short = moment.saturating_sub(clock::monotonic()) < NAP;
        let watches = [Some(&self.watch), beats].into_iter().flatten();
        wait(watches.filter(|_| !short), &self.waker, moment)
    }
}

impl Channel {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            outbox: Outbox::new(BATCH),
            staged: Vec::with_capacity(BATCH),
            dropped: 0,
        }
    }
}

/// Judges one datagram and records it if it counts.
fn receive(
    datagram: &Datagram<'_>,
    table: &Table,
    classes: &[Class],
    settings: &Settings,
    tally: &Tally,
) {
    let fate = match Packet::from_bytes(datagram.bytes) {
        Err(_) => Fate::Malformed,
        Ok(packet) => match Pong::verify(&packet, settings) {
            Err(fate) => fate,
            Ok(pong) => {
                let number = pong.target() as usize;
                let row = table.rows().get(number);
                let class = row.and_then(|row| classes.get(usize::from(row.class())));
                let (Some(row), Some(class)) = (row, class) else {
                    tally.count(Fate::Stale);
                    return;
                };
                let source = (datagram.source.ip().into(), datagram.source.port());
                let (fate, rtt) = pong.land(row, class, source, datagram.received);
                if let Some(rtt) = rtt {
                    tally.observe(class.group, rtt);
                    if let Some(exchange) = pong.exchange(row, rtt) {
                        table.clocks()[number].set(exchange);
                    }
                }
                fate
            }
        },
    };
    tally.count(fate);
}

fn complain_of_send(errno: i32, error: &io::Error, to: Option<SocketAddr>, times: u64) {
    let advice = match errno {
        libc::ENETUNREACH | libc::EHOSTUNREACH => "this box has no route there",
        libc::ENETDOWN | libc::ENODEV => "the interface is down",
        libc::EPERM | libc::EACCES => "a firewall on this box rejects pings",
        libc::EAGAIN => "the socket's buffer is full; raise net.core.wmem_max",
        libc::ENOBUFS => {
            "the interface's queue is full or it has no carrier (look at ip -s link, raise its txqueuelen), or the kernel has no \
             room for so many neighbours (raise net.ipv4.neigh.default.gc_thresh3, or that of ipv6)"
        }
        libc::EMSGSIZE => "the interface's MTU is below 92 bytes",
        libc::EINVAL => "not an address that can be pinged",
        _ => "look into the kernel's log",
    };
    let to = to.map(|to| to.ip().to_string()).unwrap_or_default();
    let times = again(times);
    tracing::warn!(
        "cannot send to {to}: {error}: {advice}; its pings count as unsent, not as missed{times}"
    );
}

fn complain_of_rejection(rejection: &Rejection, times: u64) {
    let Rejection { destination, .. } = rejection;
    let (advice, times) = (rejection.advice(), again(times));
    tracing::warn!("pings to {destination} are rejected: {advice}{times}");
}

fn again(times: u64) -> String {
    if times > 1 {
        format!(" ({times} such in the last minute)")
    } else {
        String::new()
    }
}

fn reason(rejection: &Rejection) -> metrics::Rejection {
    match rejection.errno {
        libc::ECONNREFUSED => metrics::Rejection::Port,
        libc::EHOSTUNREACH => metrics::Rejection::Host,
        libc::ENETUNREACH => metrics::Rejection::Network,
        libc::EACCES => metrics::Rejection::Prohibited,
        _ => metrics::Rejection::Other,
    }
}
