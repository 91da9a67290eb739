//! `heartprobe check-config`.

mod traffic;

use std::{fmt, io::Write as _, net::IpAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use probe_common::wire;

use self::traffic::Traffic;
use crate::{
    config::{self, Config, Host},
    fleet::{Class, Detail},
    metrics::exposition::{SERIES_PER_GROUP, SERIES_PER_SERVICE, SERIES_PER_TARGET},
    resolve::Names,
    written::duration::show,
};

/// Check a configuration file and print what it would do
///
/// Prints for each group how long it takes to tell that a host is critical or dead, and the traffic of it all.
/// What is wrong is printed a line each, with the place in the file, and the exit code is 2.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  heartprobe check-config
  heartprobe check-config --no-dns --config.file new.yml")]
pub struct Args {
    /// The configuration
    #[arg(
        long = "config.file",
        value_name = "FILE",
        default_value = "/etc/heartprobe/heartprobe.yml"
    )]
    config_file: PathBuf,

    /// Do not look up whether the names of targets exist
    #[arg(long)]
    no_dns: bool,
}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        // Names are looked up between these two, unless `no_dns` is set.
        let config = config::load(&self.config_file)?;
        if !self.no_dns {
            self.check_names(&config)?;
        }
        std::io::stdout()
            .write_all(Report(&config).to_string().as_bytes())
            .context("printing the report")?;
        Ok(ExitCode::SUCCESS)
    }

    /// Looks up every name; here, that DNS does not answer is an error too.
    fn check_names(&self, config: &Config) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let unanswered = runtime.block_on(async {
            let unanswered = Names::new()?.check(config, &self.config_file).await?;
            anyhow::Ok(unanswered)
        })?;
        match unanswered.first() {
            None => Ok(()),
            Some((name, failure)) => anyhow::bail!(
                "{name}: {failure}; --no-dns checks the rest without ({} such names)",
                unanswered.len()
            ),
        }
    }
}

/// What a configuration would do, as text.
struct Report<'a>(&'a Config);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(config) = self;
        let mut hosts = vec![[0_u64; 2]; config.classes.len()];
        let mut names = 0_usize;
        for target in &config.targets {
            let v6 = matches!(target.host, Host::Ip(IpAddr::V6(_)));
            hosts[usize::from(target.class)][usize::from(v6)] += 1;
            names += usize::from(matches!(target.host, Host::Name(_)));
        }
        self.detection(f, &hosts)?;
        self.services(f, &hosts)?;
        writeln!(f)?;
        writeln!(f, "{} targets, {names} of them names", config.targets.len())?;
        self.traffic(f, &hosts, names > 0)?;
        self.series(f)?;
        let keyed = if config.keyed {
            "keyed: only reflectors that have the key are believed"
        } else {
            "not keyed: any stranger can answer for a host; make a key with: heartprobe keygen"
        };
        writeln!(f, "{keyed}")
    }
}

impl Report<'_> {
    /// How soon a death is known, by class. `hosts` are how many IPv4 and IPv6 ones each has.
    fn detection(&self, f: &mut fmt::Formatter<'_>, hosts: &[[u64; 2]]) -> fmt::Result {
        let Self(config) = self;
        let headings = [
            "group",
            "targets",
            "interval",
            "timeout",
            "confirm",
            "critical within",
            "dead within",
            "pings/s",
            "a host's month",
        ];
        let mut rows = vec![headings.map(str::to_owned)];
        for (class, &[v4, v6]) in config.classes.iter().zip(hosts) {
            let (pings, beats) = (pings(class, [v4, v6]), beats(class, [v4, v6]));
            let of_pings = |text: String| {
                if class.pinged { text } else { "-".to_owned() }
            };
            rows.push([
                config.groups[class.group as usize].name.to_string(),
                (v4 + v6).to_string(),
                of_pings(show(class.interval)),
                of_pings(show(class.timeout)),
                class
                    .confirm_interval
                    .map_or_else(|| "off".to_owned(), show),
                of_pings(show(class.time_to_miss(class.policy.critical_after.into()))),
                of_pings(show(class.time_to_miss(class.policy.dead_after))),
                format!("{:.1}", pings.packets),
                // As many pongs come back as pings go out, of the same size.
                [pings * 2.0, beats]
                    .into_iter()
                    .sum::<Traffic>()
                    .month(v4 + v6),
            ]);
        }
        write_table(f, &rows)
    }

    /// How soon the end of a service is known, by class and service; nothing where there are none.
    fn services(&self, f: &mut fmt::Formatter<'_>, hosts: &[[u64; 2]]) -> fmt::Result {
        let Self(config) = self;
        let headings = [
            "group",
            "service",
            "hosts",
            "a beat each",
            "critical within",
            "dead within",
        ];
        let mut rows = vec![headings.map(str::to_owned)];
        for (class, &[v4, v6]) in config.classes.iter().zip(hosts) {
            for promise in class.services.iter() {
                let bounds = promise.terms.bounds(0);
                let time = |nanos| show(Duration::from_nanos(nanos));
                let asked = if promise.terms.timeout == 0 {
                    ", or as its sender asks"
                } else {
                    ""
                };
                rows.push([
                    config.groups[class.group as usize].name.to_string(),
                    promise.name.to_string(),
                    (v4 + v6).to_string(),
                    time(bounds.interval),
                    time(bounds.overdue),
                    time(bounds.timeout) + asked,
                ]);
            }
        }
        if rows.len() > 1 {
            writeln!(f)?;
            write_table(f, &rows)?;
        }
        Ok(())
    }

    /// What goes over the wire: a line for each kind of message.
    fn traffic(&self, f: &mut fmt::Formatter<'_>, hosts: &[[u64; 2]], names: bool) -> fmt::Result {
        let Self(config) = self;
        let classes = || config.classes.iter().zip(hosts.iter().copied());
        let pings: Traffic = classes().map(|(class, hosts)| pings(class, hosts)).sum();
        writeln!(
            f,
            "{} in all: pings and pongs of {} bytes, with the headers of UDP, IP and Ethernet and its check sequence{}",
            pings * 2.0,
            wire::LEN,
            if names { ", names counted as IPv4" } else { "" },
        )?;
        if classes().any(|(class, _)| class.confirm_interval.is_some()) {
            let most: Traffic = classes()
                .map(|(class, [v4, v6])| Traffic::of_each(v4, v6) * class.most_confirming())
                .sum();
            writeln!(
                f,
                "confirmation: nothing as long as hosts answer; up to {most} more, when all that have it fall silent at once"
            )?;
        }
        let beats: Traffic = classes().map(|(class, hosts)| beats(class, hosts)).sum();
        if beats.packets > 0.0 {
            writeln!(
                f,
                "{beats} of beats to each monitor; where senders ask for acks, as many come back"
            )?;
        }
        Ok(())
    }

    /// What Prometheus gets.
    fn series(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(config) = self;
        let detail = config.detail();
        let of_targets = match detail {
            Detail::All => (SERIES_PER_TARGET * config.targets.len()).to_string(),
            Detail::Exceptions => format!("{SERIES_PER_TARGET} for each target that is not up"),
            Detail::Groups => "none for targets".to_owned(),
        };
        writeln!(
            f,
            "series, metrics.detail {}: {of_targets}, and {SERIES_PER_GROUP} for each of {} groups{}",
            detail.name(),
            config.groups.len(),
            match (detail, config.services()) {
                (_, 0) | (Detail::Groups, _) => String::new(),
                (Detail::All, services) => format!(
                    ", and {} for {services} services",
                    SERIES_PER_SERVICE * services
                ),
                (Detail::Exceptions, _) =>
                    format!(", and {SERIES_PER_SERVICE} for each service that is not up"),
            }
        )
    }
}

/// The pings to so many IPv4 and IPv6 hosts of a class.
fn pings(class: &Class, [v4, v6]: [u64; 2]) -> Traffic {
    if !class.pinged {
        return Traffic::default();
    }
    Traffic::of_each(v4, v6) * (1.0 / class.interval.as_secs_f64())
}

/// The beats of the services of so many IPv4 and IPv6 hosts of a class.
fn beats(class: &Class, [v4, v6]: [u64; 2]) -> Traffic {
    let services = class.services.iter();
    let of_each = |nanos: u64| 1.0 / Duration::from_nanos(nanos).as_secs_f64();
    let beats: f64 = services
        .map(|promise| of_each(promise.terms.bounds(0).interval))
        .sum();
    Traffic::of_each(v4, v6) * beats
}

/// Columns as wide as their widest cell: names to the left, numbers to the right.
fn write_table<const N: usize>(f: &mut fmt::Formatter<'_>, rows: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in rows {
        write!(f, "{:<width$}", row[0], width = widths[0])?;
        for (cell, width) in row.iter().zip(widths).skip(1) {
            write!(f, "  {cell:>width$}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}
