//! A simulated host: a thread with a socket in the fleet's namespace, whose behaviour can be changed at any time.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use probe_common::{
    siphash::Key,
    wire::{Kind, Packet, REFLECTOR_PORT},
};

use crate::{
    behaviour::{Behaviour, Ping, Reply, answer},
    net::Namespace,
};

/// How long a host without anything to do waits before it looks whether it is to stop.
const NAP: Duration = Duration::from_millis(20);

/// A host that answers until told otherwise; stops when dropped.
#[derive(Debug)]
pub struct Host {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    pings: AtomicU64,
    stop: AtomicBool,
}

impl Host {
    /// A host of an unkeyed fleet at this address.
    pub fn start(namespace: &Namespace, address: &str) -> Self {
        Self::with_key(namespace, address, Key::default())
    }

    /// A host that takes pings with this key alone, and answers with it.
    pub fn with_key(namespace: &Namespace, address: &str, key: Key) -> Self {
        let ip: IpAddr = address.parse().expect("an IP address");
        let at = SocketAddr::new(ip, REFLECTOR_PORT);
        let sockets = namespace
            .enter(|| Sockets::new(at))
            .unwrap_or_else(|error| panic!("{at}: {error}"));
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(answer()),
            pings: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let own = shared.clone();
        // Strangers' sockets are opened when a behaviour first needs them: the thread has to be born in the namespace.
        let thread = namespace.enter(|| thread::spawn(move || own.serve(at, key, sockets)));
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// From now on the host behaves like this.
    pub fn now(&self, behaviour: Behaviour) {
        *self
            .shared
            .behaviour
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// How many rightly signed pings have reached it.
    pub fn pings(&self) -> u64 {
        self.shared.pings.load(Relaxed)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, at: SocketAddr, key: Key, mut sockets: Sockets) {
        let mut waiting: Vec<(Instant, SocketAddr, Reply)> = Vec::new();
        while !self.stop.load(Relaxed) {
            let now = Instant::now();
            for (_, to, reply) in waiting.extract_if(.., |(due, ..)| *due <= now) {
                // As on a real network, a reply that does not get through is lost.
                let _ = sockets.send(&reply, to);
            }
            let due = waiting
                .iter()
                .map(|(due, ..)| due.saturating_duration_since(now))
                .min();
            let Some((packet, from)) = sockets.receive(due.unwrap_or(NAP).min(NAP)) else {
                continue;
            };
            let Some(ping) = ping(&packet, key, at, from) else {
                continue;
            };
            self.pings.fetch_add(1, Relaxed);
            let received = Instant::now();
            let mut behaviour = self
                .behaviour
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            waiting.extend(
                behaviour(&ping)
                    .into_iter()
                    .map(|reply| (received + reply.after, from, reply)),
            );
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("pings", &self.pings)
            .finish_non_exhaustive()
    }
}

fn ping(packet: &Packet, key: Key, at: SocketAddr, from: SocketAddr) -> Option<Ping> {
    let message = packet.message().ok()?;
    let ours = packet.signed_by(&key) && message.kind == Kind::Ping;
    ours.then_some(Ping {
        message,
        key,
        at,
        from,
    })
}

/// The host's socket, and those that it answers from in others' names.
struct Sockets {
    own: UdpSocket,
    others: HashMap<SocketAddr, UdpSocket>,
}

impl Sockets {
    fn new(at: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            own: UdpSocket::bind(at)?,
            others: HashMap::new(),
        })
    }

    fn receive(&self, within: Duration) -> Option<(Packet, SocketAddr)> {
        // A timeout of zero would mean none at all.
        let within = within.max(Duration::from_micros(1));
        self.own.set_read_timeout(Some(within)).ok()?;
        let mut buffer = [0; 256];
        let (length, from) = self.own.recv_from(&mut buffer).ok()?;
        Some((Packet::from_bytes(&buffer[..length]).ok()?, from))
    }

    fn send(&mut self, reply: &Reply, to: SocketAddr) -> io::Result<usize> {
        let socket = match reply.from {
            None => &self.own,
            Some(from) => match self.others.entry(from) {
                Entry::Occupied(open) => open.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(UdpSocket::bind(from)?),
            },
        };
        socket.send_to(&reply.bytes, to)
    }
}
