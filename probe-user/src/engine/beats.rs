//! The sockets that beats come to: those that the kernel does not take in, and all that ask for an ack.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use probe_common::{
    beat::{Beat, BeatFate},
    siphash::Key,
    wire::Packet,
};

use super::reading::{Heard, read};
use crate::{
    clock,
    complaint::Complaints,
    metrics::Vitals,
    tally::Tally,
    udp::{Datagram, Inbox, Options, Outbox, Socket, Watch},
};

/// Beats that are read with one call.
const BATCH: usize = 64;

/// Room for beats that wait for the daemon, bytes.
const RECEIVE_BUFFER: usize = 8 << 20;
const SEND_BUFFER: usize = 1 << 20;

/// How a beat came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Where from.
    pub source: SocketAddr,
    /// Index of the interface that it came by; 0: not known.
    pub interface: u32,
    /// When, ns of the monotonic clock.
    pub at: u64,
}

/// One socket for each family that the box has.
pub struct BeatSockets {
    channels: Vec<Channel>,
    watch: Watch,
    inbox: Inbox,
    tally: Arc<Tally>,
    vitals: Arc<Vitals>,
    complaints: Complaints<Overflow>,
    drained_at: u64,
}

/// What may go wrong again and again: a socket's buffer was full.
#[derive(Debug, PartialEq)]
struct Overflow;

struct Channel {
    socket: Socket,
    acks: Outbox,
    dropped: u32,
}

impl BeatSockets {
    /// Opens them at that port; 0: any that is free.
    ///
    /// # Errors
    /// When the port is taken, or the box has neither family.
    pub fn open(port: u16, tally: Arc<Tally>, vitals: Arc<Vitals>) -> io::Result<Self> {
        let v4 = socket((Ipv4Addr::UNSPECIFIED, port).into())?;
        let port = v4.local_addr()?.port();
        let v6 = match socket((Ipv6Addr::UNSPECIFIED, port).into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            // A box without IPv6 has no such socket.
            v6 => v6.ok(),
        };
        let channel = |socket| Channel {
            socket,
            acks: Outbox::new(BATCH),
            dropped: 0,
        };
        let channels: Vec<_> = [Some(v4), v6].into_iter().flatten().map(channel).collect();
        Ok(Self {
            watch: Watch::new(channels.iter().map(|channel| &channel.socket))?,
            channels,
            inbox: Inbox::new(BATCH),
            tally,
            vitals,
            complaints: Complaints::default(),
            drained_at: clock::monotonic(),
        })
    }

    /// The port that they listen on.
    pub fn port(&self) -> io::Result<u16> {
        let first = self.channels.first();
        first.map_or(Ok(0), |channel| Ok(channel.socket.local_addr()?.port()))
    }

    /// To wait for a beat.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Reads the beats that wait, as far as one turn of the loop has time for. Those that carry a right tag are handed to `hear`;
    /// what it answers decides whether they are acked.
    pub fn drain(
        &mut self,
        keys: &[Key; 2],
        mut hear: impl FnMut(&Beat, Arrival) -> BeatFate,
    ) -> io::Result<Heard> {
        let mut heard = Heard {
            until: clock::monotonic(),
            lost_since: None,
        };
        for ready in self.watch.ready()? {
            let Channel {
                socket,
                acks,
                dropped,
            } = &mut self.channels[ready];
            let (tally, vitals) = (&self.tally, &self.vitals);
            let (until, lost) = read(socket, &mut self.inbox, BATCH, dropped, |datagram| {
                let fate = match verify(datagram, keys) {
                    Err(fate) => fate,
                    Ok((packet, beat)) => {
                        let arrival = Arrival {
                            source: datagram.source,
                            interface: datagram.interface,
                            at: datagram.received,
                        };
                        let fate = hear(&beat, arrival);
                        if beat.message().wants_ack()
                            && fate.is_recorded()
                            && let Some(key) = packet.signer(keys)
                        {
                            if acks.len() == BATCH {
                                send(socket, acks, vitals);
                            }
                            let ack = beat.message().ack().encode(key);
                            acks.push(datagram.source, datagram.local, ack.to_bytes());
                        }
                        fate
                    }
                };
                tally.count_beat(fate);
            });
            send(socket, acks, vitals);
            heard.until = heard.until.min(until);
            if lost > 0 {
                self.vitals.overflows.inc_by(lost.into());
                heard.lost_since = Some(self.drained_at);
            }
        }
        self.drained_at = clock::monotonic();
        if heard.lost_since.is_some() && self.complaints.count(Overflow, self.drained_at).is_some()
        {
            tracing::warn!(
                "beats were lost on this box because the socket's buffer was full: services that were not heard are unknown, not dead. \
                 Look who sends to the port for beats, and raise net.core.rmem_max"
            );
        }
        Ok(heard)
    }
}

/// The beat that a datagram is, if its tag is right.
fn verify(datagram: &Datagram<'_>, keys: &[Key; 2]) -> Result<(Packet, Beat), BeatFate> {
    let packet = Packet::from_bytes(datagram.bytes).map_err(|_| BeatFate::Malformed)?;
    let beat = Beat::verify(&packet, keys)?;
    Ok((packet, beat))
}

/// Sends the acks that can be sent: one that cannot is for the sender to miss.
fn send(socket: &Socket, acks: &mut Outbox, vitals: &Vitals) {
    let mut next = 0;
    while next < acks.len() {
        next += match socket.send(acks, next) {
            Ok(count) => {
                vitals.acks.inc_by(count as u64);
                count.max(1)
            }
            Err(error) => {
                tracing::debug!("an ack could not be sent: {error}");
                1
            }
        };
    }
    acks.clear();
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let options = Options {
        receive_buffer: RECEIVE_BUFFER,
        send_buffer: SEND_BUFFER,
        local_address: true,
        rejections: false,
    };
    Socket::bind(address, &options)
}
