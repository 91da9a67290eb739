//! A peer that works on whole frames: it sees pings as they stand on the wire, and answers them in wrappings that no
//! socket sends.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use probe_common::{
    siphash::Key,
    wire::{Kind, Message, Packet, REFLECTOR_PORT},
};

use crate::{
    behaviour::Ping,
    frame::{Datagram, Wrapping},
    net::Namespace,
    packet::Frames,
    process::poll,
};

/// A ping as it arrived on the wire.
#[derive(Clone, Debug)]
pub struct Captured {
    /// When it arrived: ns of the monotonic clock.
    pub time: u64,
    /// Whether its checksum is left for a network card to fill in.
    pub unfinished_checksum: bool,
    /// The datagram that held it.
    pub datagram: Datagram,
    /// What it says.
    pub message: Message,
}

/// Sees every rightly signed ping of an unkeyed fleet that arrives, and answers it if it was told how; stops when
/// dropped.
#[derive(Debug)]
pub struct Responder {
    captured: Arc<Mutex<Vec<Captured>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Sees pings, answers none.
    pub fn watch(namespace: &Namespace) -> Self {
        Self::start(namespace, None)
    }

    /// Answers every ping with a pong wrapped like this.
    pub fn answer(namespace: &Namespace, wrapping: Wrapping) -> Self {
        Self::start(namespace, Some(wrapping))
    }

    fn start(namespace: &Namespace, wrapping: Option<Wrapping>) -> Self {
        let frames = Frames::open(namespace);
        let captured = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (to, stopped) = (captured.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Relaxed) {
                let Some(ping) = next_ping(&frames) else {
                    continue;
                };
                if let Some(wrapping) = &wrapping {
                    // As on a real network, a frame that does not get through is lost.
                    let _ = frames.send(&ping.pong().frame(wrapping));
                }
                to.lock().unwrap_or_else(PoisonError::into_inner).push(ping);
            }
        });
        Self {
            captured,
            stop,
            thread: Some(thread),
        }
    }

    /// The pings seen so far, as soon as there are so many; panics if they have not come in time.
    pub fn pings(&self, at_least: usize, within: Duration) -> Vec<Captured> {
        let seen = || {
            self.captured
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        poll(within, || {
            Some(seen()).filter(|pings| pings.len() >= at_least)
        })
        .unwrap_or_else(|| panic!("{} pings in {within:?}, not {at_least}", seen().len()))
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed already.
            let _ = thread.join();
        }
    }
}

impl Captured {
    fn pong(&self) -> Datagram {
        let Datagram {
            source,
            destination,
            ..
        } = self.datagram;
        let ping = Ping {
            message: self.message,
            key: Key::default(),
            at: destination,
            from: source,
        };
        self.datagram
            .answer(ping.pong().encode(&Key::default()).to_bytes().to_vec())
    }
}

fn next_ping(frames: &Frames) -> Option<Captured> {
    let frame = frames.receive(Duration::from_millis(20))?;
    let datagram = Datagram::parse(&frame.bytes)?;
    let packet = Packet::from_bytes(&datagram.payload).ok()?;
    let message = packet.message().ok()?;
    let is_ping = datagram.destination.port() == REFLECTOR_PORT
        && message.kind == Kind::Ping
        && packet.signed_by(&Key::default());
    is_ping.then_some(Captured {
        time: frame.time,
        unfinished_checksum: frame.unfinished_checksum,
        datagram,
        message,
    })
}
