//! `heartprobe simulate`.

use std::{process::ExitCode, str::FromStr, time::Duration};

use probe_common::{
    address::Address,
    simulation::{Part, Simulation, stride},
};

use crate::{
    commands::{refuse, stop_signal},
    core::verdict::Policy,
    simulate::{
        course::{self, Plan},
        fleet::{Fleet, MOST},
        judge::Rules,
    },
    written::duration::{parse as parse_duration, show as show_duration},
};

/// Probe a simulated fleet of any size on this machine, and judge the verdicts
///
/// Makes two network namespaces with a wire between them. In the one an XDP program answers for the whole fleet, in which
/// chosen shares of the hosts are dead, flapping, lossy or late; in the other runs the monitor itself, `heartprobe run`. Each
/// second it prints what the monitor does and what it costs, and at the end whether every verdict was true. No ping leaves the
/// machine, and nothing stays behind.
///
/// Needs root, Linux 5.12 or later with eBPF, and `ip` of iproute2. The exit code is 0 if all was well; 1 if a verdict was
/// false or missing, or a ping got lost or was not sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "Shares are written 0.1% or, as a number of hosts, 100.

Examples:
  heartprobe simulate
  heartprobe simulate --targets 1000000 --for 5m
  heartprobe simulate --targets 100000 --outage 1000@20s+15s
  heartprobe simulate --targets 50000 --ipv6 --with 'engine: socket'")]
pub struct Args {
    /// How many hosts there are
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    targets: u32,

    /// Between two pings of a host
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    interval: Duration,

    /// After which a ping is missed [default: 1s, or the interval if that is shorter]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// How long to run, once every host has been judged
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", value_parser = duration)]
    time: Duration,

    /// Which hosts play which part, and which pings are lost: the same seed, the same fates
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Hosts that never answer
    #[arg(long, value_name = "SHARE", default_value = "0.1%")]
    dead: Share,

    /// Hosts that answer for a time and then are silent for as long
    #[arg(long, value_name = "SHARE", default_value = "0.1%")]
    flapping: Share,

    /// How long a flapping host answers, and then is silent [default: 10s, or longer if verdicts take longer]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    flap: Option<Duration>,

    /// Hosts that lose pings
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    lossy: Share,

    /// How many of their pings those lose
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = percent)]
    loss: u32,

    /// Hosts that answer late
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    late: Share,

    /// After which those answer [default: half way from where late begins to the timeout]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    delay: Option<Duration>,

    /// Hosts that die together, when (once every host has been judged), and for how long
    #[arg(long, value_name = "SHARE@TIME+DURATION")]
    outage: Option<Outage>,

    /// Give the hosts IPv6 addresses
    #[arg(long)]
    ipv6: bool,

    /// How often the monitor's metrics are read; the time to detect is known no better than this
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    look: Duration,

    /// A line for the top of the monitor's configuration, such as 'engine: socket'; may be given again
    #[arg(long, value_name = "LINE")]
    with: Vec<String>,

    /// Print the monitor's configuration and end
    #[arg(long)]
    print_config: bool,
}

/// Some hosts of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Hosts(u32),
    /// Of a million.
    Millionths(u32),
}

impl Share {
    fn of(self, hosts: u32) -> u32 {
        match self {
            Self::Hosts(count) => count,
            // At most `hosts`.
            Self::Millionths(ppm) => {
                ((u64::from(hosts) * u64::from(ppm) + 500_000) / 1_000_000) as u32
            }
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.ends_with('%') {
            return percent(text).map(Self::Millionths);
        }
        text.parse()
            .map(Self::Hosts)
            .map_err(|_| format!("{text:?} is no share; write one like 0.1%, or a number of hosts"))
    }
}

/// Percent as millionths.
fn percent(text: &str) -> Result<u32, String> {
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(number) if (0.0..=100.0).contains(&number) => Ok((number * 10_000.0).round() as u32),
        _ => Err(format!(
            "{text:?} is no share; write one like 0.1%, up to 100%"
        )),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be more than nothing".into()),
        long if long > MOST_TIME => Err("must be no more than 1000 days".into()),
        duration => Ok(duration),
    }
}

/// Longer than anybody measures, and far from where nanoseconds overflow.
const MOST_TIME: Duration = Duration::from_hours(24_000);

/// Hosts that are silent together for a time.
#[derive(Clone, Copy, Debug)]
struct Outage {
    share: Share,
    begin: Duration,
    lasts: Duration,
}

impl FromStr for Outage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('@')
            .and_then(|(share, rest)| Some((share, rest.split_once('+')?)));
        let (share, (begin, lasts)) =
            parts.ok_or_else(|| format!("{text:?} is no outage; write one like 1000@20s+15s"))?;
        Ok(Self {
            share: share.parse()?,
            begin: parse_duration(begin)?,
            lasts: duration(lasts)?,
        })
    }
}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let plan = match self.plan() {
            Ok(plan) => plan,
            Err(error) => return Ok(refuse(&error)),
        };
        if self.print_config {
            print!("{}", plan.configuration);
            return Ok(ExitCode::SUCCESS);
        }
        // On the main thread, with which the monitor ends.
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async {
                let good = course::run(&plan, &mut stop_signal()?).await?;
                Ok(if good {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                })
            })
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let fleet = Fleet::new(self.targets, self.ipv6);
        let timeout = self
            .timeout
            .unwrap_or(self.interval.min(Duration::from_secs(1)));
        anyhow::ensure!(
            timeout <= self.interval,
            "--timeout is longer than --interval"
        );
        let late_after = (timeout / 2).min(Duration::from_millis(250));
        let delay = self.delay.unwrap_or((late_after + timeout) / 2);
        anyhow::ensure!(
            delay < timeout,
            "--delay must be shorter than the timeout: who answers later is dead"
        );
        let rules = Rules {
            interval: ns(self.interval),
            timeout: ns(timeout),
            late_after: ns(late_after),
            delay: ns(delay),
            policy: Policy::default(),
        };
        let shortest = Duration::from_nanos(rules.shortest_phase());
        let flap = self.flap.unwrap_or(shortest.max(Duration::from_secs(10)));
        let outage = self.outage.map_or(shortest, |outage| outage.lasts);
        for (option, phase) in [("--flap", flap), ("--outage", outage)] {
            anyhow::ensure!(
                phase >= shortest,
                "{option}: verdicts take up to {}: a host must be silent at least so long",
                show_duration(shortest)
            );
        }
        let outage = self.outage.map_or(Share::Hosts(0), |outage| outage.share);
        let ill = [self.dead, self.flapping, self.lossy, self.late, outage];
        let ill = ill.map(|share| share.of(self.targets));
        anyhow::ensure!(
            ill.iter().map(|&count| u64::from(count)).sum::<u64>() <= u64::from(self.targets),
            "there are but {} hosts, and {} parts to play: {}",
            self.targets,
            ill.iter().map(|&count| u64::from(count)).sum::<u64>(),
            Part::ILL
                .into_iter()
                .zip(ill)
                .map(|(part, count)| format!("{count} {}", part.name()))
                .collect::<Vec<_>>()
                .join(", "),
        );
        let mut top = self.with.clone();
        top.push(format!(
            "defaults: {{interval: {}, timeout: {}, late_after: {}}}",
            show_duration(self.interval),
            show_duration(timeout),
            show_duration(late_after),
        ));
        Ok(Plan {
            configuration: fleet.configuration(&top),
            simulation: Simulation {
                first: Address::from(fleet.prefix.addr()),
                seed: self.seed,
                flap: ns(flap),
                // Until it is known when it is to be.
                outage: [u64::MAX; 2],
                hosts: self.targets,
                ill,
                loss_ppm: self.loss,
                stride: stride(self.seed, self.targets),
                ..Simulation::default()
            },
            fleet,
            outage: self
                .outage
                .map(|outage| [ns(outage.begin), ns(outage.lasts)]),
            rules,
            time: ns(self.time),
            look: self.look,
        })
    }
}

fn ns(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
