//! The hosts that answer late: what the XDP program lets pass is answered here, after the delay.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use probe_common::{
    maps::Reflector,
    wire::{LEN, Packet},
};

use crate::{
    clock,
    udp::{Inbox, Outbox, Socket, Waker, wait},
};

/// Pings that are read, and pongs that are sent, at once.
const BATCH: usize = 64;

/// Without pings the loop turns as often as this, ns.
const IDLE: u64 = 1_000_000_000;

/// A running reflector of late hosts.
pub struct LateHosts {
    shared: Arc<Shared>,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
}

/// What the loop and whoever started it share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    too_late: AtomicU64,
}

/// A pong that waits for its time.
struct Pong {
    /// ns of the monotonic clock.
    due: u64,
    to: SocketAddr,
    from: Option<IpAddr>,
    bytes: [u8; LEN],
}

impl LateHosts {
    /// Starts to answer what reaches this socket, each ping `delay` after it came; after `timeout` nobody waits for its pong any
    /// more. Both in ns.
    pub fn start(
        socket: Socket,
        reflector: Reflector,
        delay: u64,
        timeout: u64,
    ) -> io::Result<Self> {
        let (shared, waker) = (Arc::new(Shared::default()), Waker::new()?);
        let thread = std::thread::Builder::new()
            .name("late hosts".into())
            .spawn({
                let (shared, waker) = (shared.clone(), waker.clone());
                move || serve(&socket, &reflector, [delay, timeout], &shared, &waker)
            })?;
        Ok(Self {
            shared,
            waker,
            thread,
        })
    }

    /// Pings so far whose pong could not be sent in time: not the monitor's fault.
    pub fn too_late(&self) -> u64 {
        self.shared.too_late.load(Relaxed)
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
            .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    }
}

fn serve(
    socket: &Socket,
    reflector: &Reflector,
    [delay, timeout]: [u64; 2],
    shared: &Shared,
    waker: &Waker,
) -> io::Result<()> {
    let (mut inbox, mut outbox) = (Inbox::new(BATCH), Outbox::new(BATCH));
    // All wait equally long, so they are due in the order in which they came.
    let mut waiting: VecDeque<Pong> = VecDeque::new();
    let mut dropped = 0;
    while !shared.stop.load(Relaxed) {
        let next = waiting.front().map_or(u64::MAX, |pong| pong.due);
        wait([socket], waker, next.min(clock::monotonic() + IDLE))?;
        while socket.receive(&mut inbox)? > 0 {
            for ping in inbox.datagrams() {
                let answer = Packet::from_bytes(ping.bytes)
                    .ok()
                    .and_then(|packet| reflector.answer(&packet, 0, 0).ok());
                waiting.extend(answer.map(|pong| Pong {
                    due: ping.received + delay,
                    to: ping.source,
                    from: ping.local,
                    bytes: pong.to_bytes(),
                }));
                let lost = ping.dropped.wrapping_sub(dropped);
                shared.too_late.fetch_add(lost.into(), Relaxed);
                dropped = ping.dropped;
            }
        }
        let failed = send_due(socket, &mut outbox, &mut waiting, timeout - delay);
        shared.too_late.fetch_add(failed, Relaxed);
    }
    Ok(())
}

/// Sends what is due. Tells how many pongs were not sent, or when they had been due for longer than `patience`, ns.
fn send_due(
    socket: &Socket,
    outbox: &mut Outbox,
    waiting: &mut VecDeque<Pong>,
    patience: u64,
) -> u64 {
    let now = clock::monotonic();
    let mut failed = 0;
    while waiting.front().is_some_and(|pong| pong.due <= now) {
        while outbox.len() < BATCH
            && let Some(pong) = waiting.pop_front_if(|pong| pong.due <= now)
        {
            failed += u64::from(now - pong.due > patience);
            outbox.push(pong.to, pong.from, pong.bytes);
        }
        let mut next = 0;
        while next < outbox.len() {
            next += match socket.send(outbox, next) {
                Ok(count) => count.max(1),
                Err(error) => {
                    tracing::warn!("a late pong could not be sent: {error}");
                    failed += 1;
                    1
                }
            };
        }
        outbox.clear();
    }
    failed
}
