//! `heartprobe ping`.

mod host;
mod pinger;

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use probe_common::{siphash::Key, wire::REFLECTOR_PORT};

use self::{
    host::Host,
    pinger::{MOST_IN_FLIGHT, Pace, Pinger},
};
use crate::{
    commands::{refuse, stop_signal},
    keys,
    written::{
        address::{self, What, Written},
        duration::parse as parse_duration,
    },
};

/// Timeouts beyond this do not fit a round-trip time's 32 bits of ns.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Pings to a host that follow faster are a load test, not a look.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

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

    /// Between two pings to a host, at least 1ms
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,

    /// How long to wait for a pong, at most 4s
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = timeout)]
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

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        short if short < SHORTEST_INTERVAL => Err("is at least 1ms".into()),
        interval => Ok(interval),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be longer than 0".into()),
        long if long > LONGEST_TIMEOUT => Err("is at most 4s, as in a configuration".into()),
        timeout => Ok(timeout),
    }
}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (hosts, key) = match self.check() {
            Ok(checked) => checked,
            Err(error) => return Ok(refuse(&error)),
        };
        let pace = Pace {
            count: self.count,
            interval: self.interval,
            timeout: self.timeout,
        };
        let pinger = Pinger::new(hosts, key, pace, self.quiet, io::stdout())?;
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ping(pinger))
    }

    /// The hosts and the key, if there is nothing for the user to change.
    fn check(&self) -> anyhow::Result<(Vec<Host>, Key)> {
        anyhow::ensure!(
            self.timeout <= self.interval.saturating_mul(MOST_IN_FLIGHT),
            "no more than {MOST_IN_FLIGHT} pings to a host can be in flight: make --interval longer or --timeout shorter"
        );
        let hosts = self.hosts.iter().map(|host| self.resolve(host));
        let hosts = hosts.collect::<anyhow::Result<_>>()?;
        let key = self.key.as_deref().map(keys::read).transpose()?;
        Ok((hosts, key.unwrap_or_default()))
    }

    fn resolve(&self, text: &str) -> anyhow::Result<Host> {
        let Written { what, port } = address::parse(text).map_err(anyhow::Error::msg)?;
        let port = port.unwrap_or(REFLECTOR_PORT);
        let found: Vec<SocketAddr> = match what {
            What::Ip(ip, _) => vec![(ip, port).into()],
            What::Name(name) => (name, port)
                .to_socket_addrs()
                .with_context(|| {
                    format!("cannot resolve {name} (check the spelling, or give the address)")
                })?
                .collect(),
            What::Block(_) => anyhow::bail!("{text} is a block; name the hosts one by one"),
        };
        let address = found.into_iter().find(|address| match (self.v4, self.v6) {
            (true, _) => address.is_ipv4(),
            (_, true) => address.is_ipv6(),
            _ => true,
        });
        let address = address.with_context(|| {
            let family = if self.v4 { "IPv4" } else { "IPv6" };
            format!("{text} has no {family} address")
        })?;
        Ok(Host::new(text.to_owned(), address))
    }
}

/// Pings until the pinger has done, or the user has seen enough; prints the summary.
async fn ping(mut pinger: Pinger<io::Stdout>) -> anyhow::Result<ExitCode> {
    let mut stop = stop_signal()?;
    let brake = pinger.brake();
    let mut pinging = tokio::task::spawn_blocking(move || (pinger.run(), pinger));
    let (result, mut pinger) = loop {
        tokio::select! {
            ended = &mut pinging => break ended?,
            _ = stop.recv() => brake.pull(),
        }
    };
    match result.and_then(|()| pinger.summary()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result?,
    }
    Ok(ExitCode::from(u8::from(!pinger.all_answered())))
}

#[cfg(test)]
mod tests;
