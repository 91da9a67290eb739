//! The demo's fleet: some hundred hosts on loopback addresses in this process, which fall late, miss, die and come back.

pub mod screen;
mod script;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use probe_common::{maps::Reflector, wire};
use tokio::net::UdpSocket;

use self::script::{Mood, mood};
use crate::{
    clock,
    core::verdict::Policy,
    fleet::{Class, Fleet, Group, Target},
};

/// The fleet's groups: name and hosts.
const GROUPS: [(&str, u32); 3] = [("web", 160), ("db", 60), ("edge", 100)];

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
    for (number, (name, hosts)) in GROUPS.into_iter().enumerate() {
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
            services: Arc::default(),
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
    Ok(fleet)
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
