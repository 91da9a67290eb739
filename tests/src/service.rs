//! A service that pushes beats: a thread with a socket in the fleet's namespace. Whatever else somebody may send in its place can
//! be sent by hand from the same socket.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use probe_common::{
    siphash::{Key, identity},
    wire::{BEAT_PORT, Kind, Message, Packet},
};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    daemon::{Daemon, State},
    metrics::Scrape,
    net::Namespace,
};

/// Between two beats of a service that is told nothing else.
pub const BEAT: Duration = Duration::from_millis(100);

/// How long a service without anything to do waits before it looks whether it is to stop.
const NAP: Duration = Duration::from_millis(20);

/// A service, to be started.
#[derive(Clone, Debug)]
pub struct Service {
    from: Option<IpAddr>,
    key: Key,
    interval: Option<Duration>,
    first: Message,
}

/// A service that beats until told otherwise; stops when dropped.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    key: Key,
    interval: Option<Duration>,
    beats: Mutex<Beats>,
    acks: AtomicU64,
    wrong: AtomicU64,
    stop: AtomicBool,
}

/// What was sent, and what comes next.
#[derive(Debug)]
struct Beats {
    going: bool,
    next: Message,
    sent: Vec<Message>,
    last: Instant,
}

impl Service {
    /// A service of a host of an unkeyed fleet. Where the host's name is an address it beats from there.
    pub fn of(host: &str, service: &str) -> Self {
        let boot = identity(host) as u32 | 1;
        let beat = Message::beat(identity(host), identity(service), 1, new_epoch(), 0);
        Self {
            from: host.parse().ok(),
            key: Key::default(),
            interval: Some(BEAT),
            first: Message { boot, ..beat },
        }
    }

    /// It beats from this address of the fleet.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        self.from = Some(address.parse().expect("an IP address"));
        self
    }

    /// It signs with this key.
    #[must_use]
    pub const fn key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// It beats so often.
    #[must_use]
    pub const fn every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// It does not beat by itself.
    #[must_use]
    pub const fn by_hand(mut self) -> Self {
        self.interval = None;
        self
    }

    /// It wants an ack of each beat.
    #[must_use]
    pub const fn with_acks(mut self) -> Self {
        self.first = self.first.with_ack(true);
        self
    }

    /// It asks for a session timeout.
    #[must_use]
    pub const fn asks_for(mut self, session: Duration) -> Self {
        self.first.session = session.as_millis() as u32;
        self
    }

    /// It tells of this load and boot.
    #[must_use]
    pub const fn tells(mut self, health: u32, boot: u32) -> Self {
        (self.first.health, self.first.boot) = (health, boot);
        self
    }

    /// Starts it; it beats to the monitor of [`crate::net::Net`].
    pub fn start(&self, namespace: &Namespace) -> Sender {
        let from = self.from.expect("an address to beat from");
        let monitor: IpAddr = match from {
            IpAddr::V4(_) => Ipv4Addr::new(198, 18, 0, 1).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        };
        let connected = || {
            let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
            // So it hears what comes from the very address that it beats to, and nothing else.
            socket.connect(SocketAddr::new(monitor, BEAT_PORT))?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = namespace.enter(connected);
        let shared = Arc::new(Shared {
            socket: socket.unwrap_or_else(|error| panic!("{from} to {monitor}: {error}")),
            key: self.key,
            interval: self.interval,
            beats: Mutex::new(Beats {
                going: self.interval.is_some(),
                next: self.first,
                sent: Vec::new(),
                last: Instant::now(),
            }),
            acks: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let own = shared.clone();
        Sender {
            shared,
            thread: Some(thread::spawn(move || own.serve())),
        }
    }
}

impl Sender {
    /// No more beats from now on. Returns when the last one was sent.
    pub fn stop(&self) -> Instant {
        let mut beats = self.shared.beats();
        beats.going = false;
        beats.last
    }

    /// It goes on where it stopped.
    pub fn resume(&self) {
        self.shared.beats().going = true;
    }

    /// It is another process now, of a new epoch; on the same boot of the host. It goes on if it was going.
    pub fn restart(&self) {
        let mut beats = self.shared.beats();
        // A process takes a while to start: its time is seen to be later than that of any before.
        thread::sleep(NAP);
        (beats.next.epoch, beats.next.seq) = (new_epoch(), 1);
    }

    /// Sends the next beat.
    pub fn beat(&self) -> Message {
        self.shared.beat(&mut self.shared.beats())
    }

    /// Sends so many.
    pub fn beats(&self, count: u32) {
        for _ in 0..count {
            self.beat();
        }
    }

    /// Makes the next beat, and does not send it.
    pub fn withhold(&self) -> Message {
        self.shared.beats().make()
    }

    /// Sends this, signed with its key.
    pub fn send(&self, message: &Message) {
        self.send_signed(message, &self.shared.key);
    }

    /// Sends this, signed with another key.
    pub fn send_signed(&self, message: &Message, key: &Key) {
        self.send_bytes(&message.encode(key).to_bytes());
    }

    /// Sends whatever it is.
    pub fn send_bytes(&self, bytes: &[u8]) {
        let sent = self.shared.socket.send(bytes);
        assert!(sent.is_ok(), "{sent:?}");
    }

    /// Its own beats so far, those withheld not among them.
    pub fn sent(&self) -> Vec<Message> {
        self.shared.beats().sent.clone()
    }

    /// How many those are.
    pub fn count(&self) -> u64 {
        self.shared.beats().sent.len() as u64
    }

    /// Rightly signed acks of own beats that it has heard.
    pub fn acks(&self) -> u64 {
        self.shared.acks.load(Relaxed)
    }

    /// Whatever else the monitor has sent to it.
    pub fn wrong_answers(&self) -> u64 {
        self.shared.wrong.load(Relaxed)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn beats(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut due = Instant::now();
        while !self.stop.load(Relaxed) {
            if let Some(interval) = self.interval
                && Instant::now() >= due
            {
                let mut beats = self.beats();
                if beats.going {
                    self.beat(&mut beats);
                }
                // One that could not keep up does not beat twice at once.
                due = (due + interval).max(Instant::now());
            }
            self.listen(due.saturating_duration_since(Instant::now()));
        }
    }

    fn beat(&self, beats: &mut Beats) -> Message {
        let message = beats.make();
        // Before it is sent, so that its ack is known whenever that comes. What cannot be sent was none.
        beats.sent.push(message);
        let bytes = message.encode(&self.key).to_bytes();
        match self.socket.send(&bytes) {
            Ok(_) => beats.last = Instant::now(),
            Err(_) => drop(beats.sent.pop()),
        }
        message
    }

    fn listen(&self, within: Duration) {
        // A timeout of zero would mean none at all.
        let within = within.clamp(Duration::from_micros(1), NAP);
        let mut buffer = [0; 256];
        let heard = { self.socket.set_read_timeout(Some(within)) }
            .and_then(|()| self.socket.recv(&mut buffer));
        // Nothing yet, or the monitor's port is closed.
        let Ok(length) = heard else { return };
        let is_ack = Packet::from_bytes(&buffer[..length]).is_ok_and(|packet| self.is_ack(&packet));
        let count = if is_ack { &self.acks } else { &self.wrong };
        count.fetch_add(1, Relaxed);
    }

    fn is_ack(&self, packet: &Packet) -> bool {
        let ours = |ack: Message| {
            let mut sent = { self.beats().sent.clone() }.into_iter().rev();
            ack.kind == Kind::Ack && sent.any(|beat| beat.ack() == ack)
        };
        packet.signed_by(&self.key) && packet.message().is_ok_and(ours)
    }
}

impl Beats {
    fn make(&mut self) -> Message {
        let message = Message {
            time: monotonic(),
            ..self.next
        };
        self.next.seq += 1;
        message
    }
}

/// ns of the monotonic clock, which all namespaces share.
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// A random one, never 0.
pub fn new_epoch() -> u32 {
    RandomState::new().build_hasher().finish() as u32 | 1
}

impl Scrape {
    /// A figure of a service, by the name of its metric without `heartprobe_service_`.
    pub fn service(&self, figure: &str, target: &str, service: &str) -> Option<u64> {
        let labels = [("target", target), ("service", service)];
        self.count(&format!("heartprobe_service_{figure}"), &labels)
    }

    /// The state of a service; `None` if it is not among the target's.
    pub fn service_state(&self, target: &str, service: &str) -> Option<State> {
        State::of(self.service("state", target, service)?)
    }

    /// How many beats met this fate.
    pub fn beats(&self, fate: &str) -> u64 {
        let count = self.count("heartprobe_beats_total", &[("fate", fate)]);
        count.unwrap_or_else(|| panic!("no heartprobe_beats_total of {fate}"))
    }

    /// How many beats met each fate, in the order of [`FATES`].
    pub fn fates(&self) -> [u64; 6] {
        FATES.map(|fate| self.beats(fate))
    }
}

/// What may become of a beat.
pub const FATES: [&str; 6] = [
    "ok",
    "duplicate",
    "stale",
    "forged",
    "malformed",
    "stranger",
];

impl Daemon<'_> {
    /// Waits until a service is in this state.
    pub fn until_service(
        &self,
        target: &str,
        service: &str,
        state: State,
        within: Duration,
    ) -> Scrape {
        let what = format!("{service} of {target} is {state:?}");
        self.until(&what, within, |scrape| {
            scrape.service_state(target, service) == Some(state)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{net::Net, process::poll, require_root};

    #[test]
    fn beats_arrive_as_they_are_and_acks_are_told_from_what_is_none() {
        require_root!();
        let net = Net::new();
        for (host, monitor) in [
            ("198.19.0.1", "198.18.0.1"),
            ("2001:db8:1::1", "2001:db8::1"),
        ] {
            let at = SocketAddr::new(monitor.parse().unwrap(), BEAT_PORT);
            let socket = net.monitor.enter(|| UdpSocket::bind(at)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let receive = || {
                let mut buffer = [0; 256];
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!(from.ip().to_string(), host);
                (Packet::from_bytes(&buffer[..length]).unwrap(), from)
            };
            let service = Service::of(host, "web").with_acks().asks_for(BEAT);
            let sender = service.start(&net.fleet);
            for seq in 1..=3 {
                let (packet, from) = receive();
                let beat = packet.message().unwrap();
                assert!(packet.signed_by(&Key::default()) && beat.wants_ack());
                assert_eq!((beat.kind, beat.seq, beat.session), (Kind::Beat, seq, 100));
                assert_eq!(
                    (beat.received, beat.sent),
                    (identity(host), identity("web"))
                );
                let other = Key::from_bytes([1; 16]);
                for packet in [
                    beat.ack().encode(&Key::default()),
                    beat.ack().encode(&other),
                    beat.encode(&Key::default()),
                ] {
                    socket.send_to(&packet.to_bytes(), from).unwrap();
                }
            }
            let heard = || (sender.acks(), sender.wrong_answers());
            let all = poll(BEAT * 10, || (heard() == (3, 6)).then_some(()));
            assert!(all.is_some(), "{:?}", heard());
            sender.stop();
            let epoch = sender.sent()[0].epoch;
            sender.restart();
            let beat = sender.beat();
            assert!(beat.seq == 1 && beat.epoch != epoch);
        }
    }
}
