//! The reflector in user space: answers pings on this host, from the very address that was pinged.

mod host;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use arc_swap::ArcSwap;
use probe_common::{
    maps::{self, Reflection},
    wire::Packet,
};

pub use self::host::{HostReflector, Places};
use crate::{
    clock,
    udp::{Inbox, Options, Outbox, Socket, Waker, wait},
};

/// Pings that are answered at once.
const BATCH: usize = 64;

/// Room for pings that wait, bytes.
const BUFFER: usize = 4 << 20;

/// Batches that one socket may have before the other's turn.
const MOST_READS: usize = 16;

/// Without pings the loop turns as often as this, ns.
const IDLE: u64 = 1_000_000_000;

/// What the loop and whoever started it share.
pub struct Shared {
    /// Keys, health and boot of this host; may be changed while the loop runs.
    pub identity: ArcSwap<maps::Reflector>,
    counts: [AtomicU64; Reflection::ALL.len()],
    overflows: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    /// Pings so far by what became of them: `[reflection as usize]`.
    pub fn counts(&self) -> [u64; Reflection::ALL.len()] {
        self.counts.each_ref().map(|count| count.load(Relaxed))
    }

    /// Pings that the kernel dropped because the socket's buffer was full.
    pub fn overflows(&self) -> u64 {
        self.overflows.load(Relaxed)
    }
}

/// A running reflector.
pub struct Reflector {
    /// What it shares.
    pub shared: Arc<Shared>,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
}

/// Opens the socket that a reflector listens on.
pub fn listen(address: SocketAddr) -> io::Result<Socket> {
    let options = Options {
        receive_buffer: BUFFER,
        send_buffer: BUFFER,
        local_address: true,
        rejections: false,
    };
    Socket::bind(address, &options)
}

impl Reflector {
    /// Starts to answer what reaches these sockets.
    pub fn start(sockets: Vec<Socket>, identity: maps::Reflector) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            identity: ArcSwap::from_pointee(identity),
            counts: Default::default(),
            overflows: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let waker = Waker::new()?;
        let thread = std::thread::Builder::new()
            .name("reflector".into())
            .spawn({
                let (shared, waker) = (shared.clone(), waker.clone());
                move || serve(&sockets, &shared, &waker)
            })?;
        Ok(Self {
            shared,
            waker,
            thread,
        })
    }

    /// Whether its loop has ended, which it does only when told to or when it cannot go on.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it.
    ///
    /// # Errors
    /// With what ended it before, if anything did.
    pub fn stop(self) -> io::Result<()> {
        self.shared.stop.store(true, Relaxed);
        self.waker.wake();
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reflector's thread panicked")))
    }
}

fn serve(sockets: &[Socket], shared: &Shared, waker: &Waker) -> io::Result<()> {
    let (mut inbox, mut outbox) = (Inbox::new(BATCH), Outbox::new(BATCH));
    let mut dropped = vec![0; sockets.len()];
    while !shared.stop.load(Relaxed) {
        wait(sockets.iter(), waker, clock::monotonic() + IDLE)?;
        for (socket, dropped) in sockets.iter().zip(&mut dropped) {
            for _ in 0..MOST_READS {
                let count = socket.receive(&mut inbox)?;
                answer(&inbox, &mut outbox, shared, dropped);
                send(socket, &mut outbox);
                if count < BATCH {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn answer(inbox: &Inbox, outbox: &mut Outbox, shared: &Shared, dropped: &mut u32) {
    let identity = shared.identity.load();
    let sent = clock::realtime();
    for datagram in inbox.datagrams() {
        let pong = Packet::from_bytes(datagram.bytes)
            .map_err(|_| Reflection::Malformed)
            .and_then(|ping| identity.answer(&ping, datagram.received_realtime, sent));
        let fate = match pong {
            Ok(pong) => {
                outbox.push(datagram.source, datagram.local, pong.to_bytes());
                Reflection::Answered
            }
            Err(fate) => fate,
        };
        shared.counts[fate as usize].fetch_add(1, Relaxed);
        shared
            .overflows
            .fetch_add(datagram.dropped.wrapping_sub(*dropped).into(), Relaxed);
        *dropped = datagram.dropped;
    }
}

/// Sends what can be sent: a pong that cannot is for the monitor to miss.
fn send(socket: &Socket, outbox: &mut Outbox) {
    let mut next = 0;
    while next < outbox.len() {
        next += match socket.send(outbox, next) {
            Ok(count) => count.max(1),
            Err(error) => {
                tracing::debug!("a pong could not be sent: {error}");
                1
            }
        };
    }
    outbox.clear();
}

#[cfg(test)]
mod tests;
