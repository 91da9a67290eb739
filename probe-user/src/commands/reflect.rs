//! `heartprobe reflect`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use probe_common::{maps::Reflection, siphash::Key};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    commands::{refuse, stop_signal},
    health::Health,
    kernel::Want,
    keys,
    reflector::{HostReflector, Places},
};

/// Answer pings on this host
///
/// Answers every ping that carries a right tag, from the very address that was pinged, and nothing else. Runs in user
/// space without privilege; with --xdp the kernel answers at the interface, before its network stack.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  heartprobe reflect --key /etc/heartprobe/key
  heartprobe reflect --key new-key --key old-key       while the fleet changes its key
  heartprobe reflect --key /etc/heartprobe/key --xdp eth0
  heartprobe reflect --key /etc/heartprobe/key --xdp eth0 --xdp-mode generic       in a container")]
pub struct Args {
    /// Address and port to listen on; may be given again [default: 0.0.0.0:4862 and [::]:4862]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,

    /// File with the fleet's key; given again: a second key that is accepted too [default: the all-zero key]
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,

    /// Answer in the kernel at this interface (as root, or with CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON); may be given again.
    ///
    /// It answers pings to the first --listen port for whatever address they carry: do not attach it where packets for
    /// other hosts pass through, such as a router or the bridge of virtual machines, or those seem alive for ever.
    #[arg(long, value_name = "INTERFACE")]
    xdp: Vec<String>,

    /// Which XDP mode: native (in the driver), generic (in the network stack), or native where hardware has it.
    ///
    /// Answers on a virtual interface, such as a container's, are generic by default: of a veth pair, native ones leave only
    /// if the other end has an XDP program too.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Mode::Auto, requires = "xdp")]
    xdp_mode: Mode,

    /// How often to log the rate where there is no terminal to show it in; 0s: never
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    report_interval: Duration,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    Auto,
    Native,
    Generic,
}

impl From<Mode> for Want {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::Native => Self::Native,
            Mode::Generic => Self::Generic,
        }
    }
}

impl Args {
    /// Runs the command until it is told to stop.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.reflect())
    }

    async fn reflect(self) -> anyhow::Result<ExitCode> {
        let mut stop = stop_signal()?;
        let keys = match self.keys() {
            Ok(keys) => keys,
            Err(error) => return Ok(refuse(&error)),
        };
        let places = Places {
            listen: self.listen,
            xdp: self.xdp,
            xdp_mode: self.xdp_mode.into(),
        };
        let mut health = Health::default();
        let mut reflector = HostReflector::start(&places, keys, health.look())?;

        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = Report::new(self.report_interval);
        loop {
            tokio::select! {
                _ = stop.recv() => break,
                _ = tick.tick() => {}
            }
            if reflector.has_ended() {
                break;
            }
            reflector.refresh(health.look())?;
            report.show(reflector.counts(), reflector.overflows());
        }
        report.end(reflector.counts(), reflector.overflows());
        reflector.stop()?;
        Ok(ExitCode::SUCCESS)
    }

    fn keys(&self) -> anyhow::Result<[Key; 2]> {
        let keys = match self.key.as_slice() {
            [] => {
                tracing::warn!(
                    "no --key: pings of any stranger are answered; make a key with: heartprobe keygen"
                );
                [Key::default(); 2]
            }
            [one] => [keys::read(one)?; 2],
            [one, other] => [keys::read(one)?, keys::read(other)?],
            _ => {
                anyhow::bail!("at most two keys can be valid at a time, --key was given more often")
            }
        };
        Ok(keys)
    }
}

/// Tells rate and counters: on one line of a terminal, else in the log.
struct Report {
    terminal: bool,
    every: Duration,
    last: Instant,
    /// Pings of every kind that had come until then.
    before: u64,
}

impl Report {
    fn new(every: Duration) -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            every,
            last: Instant::now(),
            before: 0,
        }
    }

    fn show(&mut self, counts: [u64; Reflection::ALL.len()], overflows: u64) {
        let elapsed = self.last.elapsed();
        let due = if self.terminal {
            Duration::from_millis(900)
        } else {
            self.every
        };
        if due.is_zero() || elapsed < due {
            return;
        }
        let all: u64 = counts.iter().sum();
        // Counters of the kernel that cannot be read count as nothing, and so may seem to fall.
        let rate = all.saturating_sub(self.before) as f64 / elapsed.as_secs_f64();
        let line = format!("{rate:.0} pings/s, {}", totals(counts, overflows));
        if self.terminal {
            let mut out = io::stdout();
            // A terminal that is gone is no reason to stop answering.
            let _ = write!(out, "\r{line}\x1b[K").and_then(|()| out.flush());
        } else {
            tracing::info!("{line}");
        }
        self.last = Instant::now();
        self.before = all;
    }

    fn end(&self, counts: [u64; Reflection::ALL.len()], overflows: u64) {
        if self.terminal {
            let _ = writeln!(io::stdout());
        }
        tracing::info!("stopped: {}", totals(counts, overflows));
    }
}

fn totals(counts: [u64; Reflection::ALL.len()], overflows: u64) -> String {
    let [answered, forged, malformed] = counts;
    format!(
        "{answered} answered, {forged} forged, {malformed} malformed, {overflows} lost in the socket's buffer"
    )
}
