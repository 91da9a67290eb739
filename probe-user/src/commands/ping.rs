//! `heartprobe ping`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use probe_common::{
    address::Address,
    maps::{Class, Fate, Settings},
    pong::Pong,
    row::Answer,
    siphash::Key,
    wire::{Message, Packet, REFLECTOR_PORT},
};

use crate::{
    clock,
    commands::stop_signal,
    flights::{Flight, Flights},
    keys,
    table::Table,
    udp::{Datagram, Inbox, Options, Outbox, Socket, Waker, wait},
};

/// Timeouts beyond this do not fit a round-trip time's 32 bits of ns.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Ping some hosts once and print what comes back
///
/// Needs no configuration and no privilege: a look whether a host's reflector answers. Exits with 0 if every host answered
/// at least once, with 1 if one did not, with 2 if a name cannot be resolved or an argument is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  heartprobe ping --key /etc/heartprobe/key web-1.example.org
  heartprobe ping --count 0 --interval 200ms 192.0.2.10 '[2001:db8::7]:4862'")]
pub struct Args {
    /// Address or name, with :PORT if it is not 4862
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,

    /// Pings to send to each host; 0: until interrupted
    #[arg(short, long, default_value_t = 4)]
    count: u32,

    /// Between two pings to a host
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = positive)]
    interval: Duration,

    /// How long to wait for a pong, at most 4s
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = positive)]
    timeout: Duration,

    /// File with the fleet's key [default: the all-zero key]
    #[arg(short, long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Only IPv4 addresses of a name
    #[arg(short = '4', conflicts_with = "v6")]
    v4: bool,

    /// Only IPv6 addresses of a name
    #[arg(short = '6')]
    v6: bool,

    /// Print the summary alone
    #[arg(short, long)]
    quiet: bool,
}

fn positive(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than 0".into()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write 1s or 250ms")),
    }
}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.ping())
    }

    async fn ping(self) -> anyhow::Result<ExitCode> {
        let hosts = match self.hosts.iter().map(|host| self.resolve(host)).collect() {
            Ok(hosts) => hosts,
            Err(error) => {
                eprintln!("heartprobe: {error:#}");
                return Ok(ExitCode::from(2));
            }
        };
        let key = self
            .key
            .as_deref()
            .map(keys::read)
            .transpose()?
            .unwrap_or_default();
        let mut stop = stop_signal()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let mut pinger = Pinger::new(&self, hosts, key, stopped.clone())?;
        let waker = pinger.waker.clone();
        let mut pinging = tokio::task::spawn_blocking(move || pinger.run().map(|()| pinger));
        let pinger = loop {
            tokio::select! {
                ended = &mut pinging => break ended??,
                _ = stop.recv() => {
                    stopped.store(true, Relaxed);
                    waker.wake();
                }
            }
        };
        Ok(pinger.summary())
    }

    fn resolve(&self, host: &str) -> anyhow::Result<Host> {
        let address = match host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, REFLECTOR_PORT),
            Err(_) => self.look_up(host)?,
        };
        Ok(Host {
            name: host.to_owned(),
            address,
            times: Vec::new(),
            sent: 0,
            odd: 0,
        })
    }

    fn look_up(&self, host: &str) -> anyhow::Result<SocketAddr> {
        let with_port = match host.parse::<SocketAddr>() {
            Ok(address) => return Ok(address),
            Err(_) if host.contains(':') => host.to_owned(),
            Err(_) => format!("{host}:{REFLECTOR_PORT}"),
        };
        let wanted = |address: &SocketAddr| match (self.v4, self.v6) {
            (true, _) => address.is_ipv4(),
            (_, true) => address.is_ipv6(),
            _ => true,
        };
        let mut found = with_port.to_socket_addrs().with_context(|| {
            format!("cannot resolve {host} (check the spelling, or give the address)")
        })?;
        found
            .find(wanted)
            .with_context(|| format!("{host} has no address of that family"))
    }
}

struct Host {
    name: String,
    address: SocketAddr,
    /// Round-trip times of its pongs, ns.
    times: Vec<u32>,
    sent: u32,
    /// Duplicate, stale and forged pongs.
    odd: u32,
}

struct Pinger {
    hosts: Vec<Host>,
    table: Table,
    settings: Settings,
    class: Class,
    sockets: Vec<Socket>,
    waker: Waker,
    flights: Flights,
    stopped: Arc<AtomicBool>,
    count: u32,
    interval: u64,
    quiet: bool,
}

impl Pinger {
    fn new(
        args: &Args,
        hosts: Vec<Host>,
        key: Key,
        stopped: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(
            args.timeout <= LONGEST_TIMEOUT,
            "--timeout is at most 4s, as in a configuration"
        );
        let table = Table::in_memory(hosts.len() as u32)?;
        for (host, row) in hosts.iter().zip(table.rows()) {
            row.assign(host.address.ip().into(), host.address.port(), 0);
        }
        let mut epoch = [0; 4];
        rustix::rand::getrandom(&mut epoch, rustix::rand::GetRandomFlags::empty())?;
        let options = Options {
            rejections: true,
            receive_buffer: 1 << 20,
            ..Options::default()
        };
        let bind = |any: IpAddr| Socket::bind(SocketAddr::new(any, 0), &options);
        let sockets = [
            (
                hosts.iter().any(|h| h.address.is_ipv4()),
                IpAddr::from(Ipv4Addr::UNSPECIFIED),
            ),
            (
                hosts.iter().any(|h| h.address.is_ipv6()),
                IpAddr::from(Ipv6Addr::UNSPECIFIED),
            ),
        ];
        let timeout_ns = args.timeout.as_nanos() as u32;
        Ok(Self {
            settings: Settings {
                keys: [key; 2],
                epoch: u32::from_ne_bytes(epoch),
                rows: hosts.len() as u32,
                ..Settings::default()
            },
            class: Class {
                timeout_ns,
                late_after_ns: timeout_ns,
                group: 0,
            },
            hosts,
            table,
            sockets: sockets
                .into_iter()
                .filter(|(wanted, _)| *wanted)
                .map(|(_, any)| bind(any))
                .collect::<Result<_, _>>()
                .context("opening a socket")?,
            waker: Waker::new()?,
            flights: Flights::default(),
            stopped,
            count: args.count,
            interval: args.interval.as_nanos() as u64,
            quiet: args.quiet,
        })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let mut inbox = Inbox::new(64);
        let begin = clock::monotonic();
        let mut round = 0;
        loop {
            let more = self.count == 0 || round < self.count;
            let next_round = begin + u64::from(round) * self.interval;
            if self.stopped.load(Relaxed) || (!more && self.flights.next_end().is_none()) {
                return Ok(());
            }
            if more && clock::monotonic() >= next_round {
                self.send();
                round += 1;
                continue;
            }
            let until = [more.then_some(next_round), self.flights.next_end()];
            let until = until.into_iter().flatten().min().unwrap_or(next_round);
            wait(self.sockets.iter(), &self.waker, until)?;
            self.receive(&mut inbox)?;
            while let Some(flight) = self.flights.pop_ended(clock::monotonic()) {
                let host = &self.hosts[flight.target as usize];
                if self.table.rows()[flight.target as usize].answer(flight.seq) == Answer::None {
                    self.say(&format!(
                        "no answer from {}: seq={}",
                        host.shown(),
                        flight.seq
                    ));
                }
            }
        }
    }

    fn send(&mut self) {
        let mut outbox = Outbox::new(1);
        for number in 0..self.hosts.len() {
            let row = &self.table.rows()[number];
            let host = &mut self.hosts[number];
            let socket = self.sockets.iter().find(|socket| {
                socket
                    .local_addr()
                    .is_ok_and(|local| local.is_ipv4() == host.address.is_ipv4())
            });
            let Some(socket) = socket else { continue };
            let seq = row.open();
            let at = clock::monotonic();
            let ping = Message::ping(number as u32, seq, self.settings.epoch, at);
            outbox.clear();
            outbox.push(
                host.address,
                None,
                ping.encode(&self.settings.keys[0]).to_bytes(),
            );
            host.sent += 1;
            match socket.send(&mut outbox, 0) {
                Ok(_) => {
                    let flight = Flight {
                        target: number as u32,
                        seq,
                        at,
                    };
                    self.flights.push(self.class.timeout_ns.into(), flight);
                }
                Err(error) => {
                    let line = format!("cannot send to {}: seq={seq} {error}", host.shown());
                    self.say(&line);
                }
            }
        }
    }

    fn receive(&mut self, inbox: &mut Inbox) -> anyhow::Result<()> {
        for number in 0..self.sockets.len() {
            // An ICMP error that is pending is told by the queue below.
            while self.sockets[number].receive(inbox).unwrap_or(0) > 0 {
                for datagram in inbox.datagrams() {
                    self.judge(&datagram);
                }
            }
            while let Some(rejection) = self.sockets[number].next_rejection()? {
                self.say(&format!(
                    "from {}: {}",
                    rejection.destination,
                    rejection.advice()
                ));
            }
        }
        Ok(())
    }

    fn judge(&mut self, datagram: &Datagram<'_>) {
        let source: (Address, u16) = (datagram.source.ip().into(), datagram.source.port());
        let verified = Packet::from_bytes(datagram.bytes)
            .map_err(|_| Fate::Malformed)
            .and_then(|packet| Pong::verify(&packet, &self.settings).map(|pong| (packet, pong)));
        let (packet, pong) = match verified {
            Ok(verified) => verified,
            Err(fate) => {
                self.say(&format!(
                    "from {}: a {} packet, ignored",
                    datagram.source,
                    fate.name()
                ));
                return;
            }
        };
        let number = pong.target() as usize;
        let row = &self.table.rows()[number];
        let (fate, rtt) = pong.land(row, &self.class, source, datagram.received);
        let seq = packet.message().map_or(0, |message| message.seq);
        let host = &mut self.hosts[number];
        let line = if let Some(rtt) = rtt {
            host.times.push(rtt);
            let bytes = datagram.bytes.len();
            format!(
                "{bytes} bytes from {}: seq={seq} rtt={}",
                host.shown(),
                milliseconds(rtt)
            )
        } else {
            host.odd += 1;
            format!(
                "from {}: a {} pong, seq={seq}",
                datagram.source,
                fate.name()
            )
        };
        self.say(&line);
    }

    fn say(&self, line: &str) {
        if !self.quiet {
            println!("{line}");
        }
    }

    /// Prints a block for each host; the exit code tells whether all have answered.
    fn summary(&self) -> ExitCode {
        for host in &self.hosts {
            host.summary();
        }
        let all = self.hosts.iter().all(|host| !host.times.is_empty());
        ExitCode::from(u8::from(!all))
    }
}

impl Host {
    /// As the user calls it, with its address where that is something else.
    fn shown(&self) -> String {
        let port = self.address.port();
        let at = if port == REFLECTOR_PORT {
            self.address.ip().to_string()
        } else {
            self.address.to_string()
        };
        if self.name == at {
            at
        } else {
            format!("{} ({at})", self.name)
        }
    }

    fn summary(&self) {
        let received = self.times.len() as u32;
        let lost = f64::from(self.sent - received) / f64::from(self.sent.max(1)) * 100.0;
        println!("--- {} ---", self.shown());
        let odd = if self.odd > 0 {
            format!(", {} duplicate, stale or forged", self.odd)
        } else {
            String::new()
        };
        println!(
            "{} pings, {received} pongs, {lost:.0}% lost{odd}",
            self.sent
        );
        let (Some(&min), Some(&max)) = (self.times.iter().min(), self.times.iter().max()) else {
            return;
        };
        let times = || self.times.iter().map(|&time| f64::from(time));
        let count = f64::from(received);
        let mean = times().sum::<f64>() / count;
        let deviation = (times().map(|time| (time - mean).powi(2)).sum::<f64>() / count).sqrt();
        println!(
            "rtt min/avg/max/mdev = {:.3}/{:.3}/{:.3}/{:.3} ms",
            f64::from(min) / 1e6,
            mean / 1e6,
            f64::from(max) / 1e6,
            deviation / 1e6
        );
    }
}

fn milliseconds(nanos: u32) -> String {
    format!("{:.3} ms", f64::from(nanos) / 1e6)
}
