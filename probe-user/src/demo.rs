//! The demo's fleet: some hundred hosts on loopback addresses in this process, which fall late, miss, die and come back; and
//! the services of some of them, which hang at times.

pub mod screen;
mod script;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use probe_common::{
    maps::Reflector,
    siphash::Key,
    wire::{self, Message},
};
use tokio::net::UdpSocket;

use self::script::{Mood, mood};
use crate::{
    clock,
    core::{session::Terms, verdict::Policy},
    fleet::{Class, Fleet, Group, Promise, Target},
    random,
};

/// The fleet's groups: name, hosts, and what runs on each of them.
const GROUPS: [(&str, u32, Option<&str>); 3] = [
    ("web", 160, None),
    ("db", 60, Some("postgres")),
    ("edge", 100, None),
];

/// Between two beats of a service, and how long it may be silent.
const BEAT: Duration = Duration::from_millis(500);
const SESSION: Duration = Duration::from_secs(2);

const INTERVAL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_millis(300);
const LATE_AFTER: Duration = Duration::from_millis(100);
const SLOW: Duration = Duration::from_millis(180);

/// Host `number` of the demo; all of 127.0.0.0/8 is this machine.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 77, 0, 1).to_bits() + number / 200 * 256 + number % 200)
}

/// Starts every host, each a task of this runtime, and tells the fleet that they make.
///
/// # Errors
/// When the loopback addresses give no sockets.
pub async fn start() -> io::Result<Fleet> {
    let mut fleet = Fleet::default();
    let begin = Instant::now();
    let port = free_port().await?;
    for (number, (name, hosts, service)) in GROUPS.into_iter().enumerate() {
        fleet.groups.push(Group {
            name: name.into(),
            labels: Vec::new(),
            gone: false,
        });
        fleet.classes.push(Class {
            group: number as u32,
            interval: INTERVAL,
            timeout: TIMEOUT,
            late_after: LATE_AFTER,
            policy: Policy::default(),
            pinged: true,
            services: service.into_iter().map(promise).collect(),
            confirm_interval: None,
        });
        for member in 1..=hosts {
            let host = fleet.targets.len() as u32;
            let address = SocketAddr::from((address(host), port));
            let socket = UdpSocket::bind(address).await?;
            tokio::spawn(serve(host, Arc::new(socket), begin));
            fleet.targets.push(Some(Target {
                name: Some(format!("{name}-{member:03}").into()),
                address: Some(address),
                class: number as u16,
            }));
        }
    }
    fleet.place_services(&Fleet::default(), &[]);
    Ok(fleet)
}

fn promise(name: &str) -> Promise {
    Promise {
        name: name.into(),
        terms: Terms {
            timeout: SESSION.as_nanos() as u64,
            interval: BEAT.as_nanos() as u64,
            critical_after: 2,
        },
    }
}

/// Has the services of the fleet push their beats to this port, for as long as the runtime lives.
///
/// # Errors
/// When there is no socket to be had.
pub async fn push_beats(fleet: Arc<Fleet>, port: u16) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (epoch, begin) = (random::epoch()?, Instant::now());
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(BEAT);
        for seq in 1.. {
            tick.tick().await;
            for (_, service) in fleet.services() {
                let (host, at) = (service.target, begin.elapsed());
                // A service is down with its host.
                if mood(host, at, SLOW) == Mood::Silent || !script::beats(host, at) {
                    continue;
                }
                let [host, name] = service.identity;
                let beat = Message::beat(host, name, seq, epoch, clock::monotonic());
                let bytes = beat.encode(&Key::default()).to_bytes();
                // One that cannot be sent is one that the monitor does not hear.
                let _ = socket.send_to(&bytes, (Ipv4Addr::LOCALHOST, port)).await;
            }
        }
    });
    Ok(())
}

/// The usual port where it is free on the first host's address, else any.
async fn free_port() -> io::Result<u16> {
    for port in [wire::REFLECTOR_PORT, 0] {
        if let Ok(socket) = UdpSocket::bind((address(0), port)).await {
            return Ok(socket.local_addr()?.port());
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "no free UDP port on 127.77.0.1",
    ))
}

/// One host's life.
async fn serve(host: u32, socket: Arc<UdpSocket>, begin: Instant) {
    let reflector = Reflector::default();
    let mut bytes = [0; 2 * wire::LEN];
    while let Ok((length, monitor)) = socket.recv_from(&mut bytes).await {
        let received = clock::realtime();
        let Mood::Answers(after) = mood(host, begin.elapsed(), SLOW) else {
            continue;
        };
        let Ok(packet) = wire::Packet::from_bytes(&bytes[..length]) else {
            continue;
        };
        let socket = socket.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Ok(pong) = reflector.answer(&packet, received, clock::realtime()) {
                // A pong that cannot be sent is one that the monitor misses: just what a demo is for.
                let _ = socket.send_to(&pong.to_bytes(), monitor).await;
            }
        });
    }
}
