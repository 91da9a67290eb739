//! The hosts that answer late: what the XDP program lets pass is answered here, after the delay.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
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
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<io::Result<()>>,
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
    /// Starts to answer what reaches this socket, each ping after this delay.
    pub fn start(socket: Socket, reflector: Reflector, delay: Duration) -> io::Result<Self> {
        let (stop, waker) = (Arc::new(AtomicBool::new(false)), Waker::new()?);
        let thread = std::thread::Builder::new()
            .name("late hosts".into())
            .spawn({
                let (stop, waker) = (stop.clone(), waker.clone());
                move || serve(&socket, &reflector, delay, &stop, &waker)
            })?;
        Ok(Self {
            stop,
            waker,
            thread,
        })
    }

    /// Ends it.
    ///
    /// # Errors
    /// With what ended it before, if anything did.
    pub fn stop(self) -> io::Result<()> {
        self.stop.store(true, Relaxed);
        self.waker.wake();
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    }
}

fn serve(
    socket: &Socket,
    reflector: &Reflector,
    delay: Duration,
    stop: &AtomicBool,
    waker: &Waker,
) -> io::Result<()> {
    let (mut inbox, mut outbox) = (Inbox::new(BATCH), Outbox::new(BATCH));
    // All wait equally long, so they are due in the order in which they came.
    let mut waiting: VecDeque<Pong> = VecDeque::new();
    while !stop.load(Relaxed) {
        let next = waiting.front().map_or(u64::MAX, |pong| pong.due);
        wait([socket], waker, next.min(clock::monotonic() + IDLE))?;
        while socket.receive(&mut inbox)? > 0 {
            for ping in inbox.datagrams() {
                let answer = Packet::from_bytes(ping.bytes)
                    .ok()
                    .and_then(|packet| reflector.answer(&packet, 0, 0).ok());
                waiting.extend(answer.map(|pong| Pong {
                    due: ping.received + delay.as_nanos() as u64,
                    to: ping.source,
                    from: ping.local,
                    bytes: pong.to_bytes(),
                }));
            }
        }
        send_due(socket, &mut outbox, &mut waiting);
    }
    Ok(())
}

fn send_due(socket: &Socket, outbox: &mut Outbox, waiting: &mut VecDeque<Pong>) {
    let now = clock::monotonic();
    while waiting.front().is_some_and(|pong| pong.due <= now) {
        while outbox.len() < BATCH
            && let Some(pong) = waiting.pop_front_if(|pong| pong.due <= now)
        {
            outbox.push(pong.to, pong.from, pong.bytes);
        }
        let mut next = 0;
        while next < outbox.len() {
            next += match socket.send(outbox, next) {
                Ok(count) => count.max(1),
                // The monitor misses it, and the report tells.
                Err(error) => {
                    tracing::warn!("a late pong could not be sent: {error}");
                    1
                }
            };
        }
        outbox.clear();
    }
}
