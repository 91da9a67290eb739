//! `heartprobe check-config`.

use std::{fmt, io::Write as _, net::IpAddr, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use probe_common::wire;

use crate::{
    config::{self, Config, Host, show_duration as show},
    fleet::{Class, Detail},
    metrics::exposition::{SERIES_PER_GROUP, SERIES_PER_TARGET},
    resolve::Names,
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

/// Ethernet header and frame check sequence, and the UDP header. Preamble and gap between frames are not counted.
const ETHERNET: usize = 14 + 4;
const UDP: usize = 8;

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(config) = self;
        let mut counts = vec![[0_u64; 2]; config.classes.len()];
        let mut names = 0_usize;
        for target in &config.targets {
            let v6 = matches!(target.host, Host::Ip(IpAddr::V6(_)));
            counts[usize::from(target.class)][usize::from(v6)] += 1;
            names += usize::from(matches!(target.host, Host::Name(_)));
        }

        let headings = [
            "group",
            "targets",
            "interval",
            "timeout",
            "critical within",
            "dead within",
            "pings/s",
            "a host's month",
        ];
        let mut rows = vec![headings.map(str::to_owned)];
        let mut pings = 0.0;
        let mut bits = 0.0;
        for (class, &[v4, v6]) in config.classes.iter().zip(&counts) {
            let per_second = |targets: u64| targets as f64 / class.interval.as_secs_f64();
            pings += per_second(v4 + v6);
            bits += per_second(v4) * frame_bits(20) + per_second(v6) * frame_bits(40);
            rows.push([
                config.groups[class.group as usize].name.to_string(),
                (v4 + v6).to_string(),
                show(class.interval),
                show(class.timeout),
                show(bound(class, class.policy.critical_after.into())),
                show(bound(class, class.policy.dead_after)),
                format!("{:.1}", per_second(v4 + v6)),
                month(class, if v4 > 0 { 20 } else { 40 }),
            ]);
        }
        write_table(f, &rows)?;
        writeln!(f)?;
        writeln!(f, "{} targets, {names} of them names", config.targets.len())?;
        // As many pongs come back as pings go out, of the same size.
        writeln!(
            f,
            "{:.1} packets/s, {} in all: pings and pongs of {} bytes, with the headers of UDP, IP and Ethernet and its check sequence{}",
            2.0 * pings,
            rate(2.0 * bits),
            wire::LEN,
            if names > 0 {
                ", names counted as IPv4"
            } else {
                ""
            },
        )?;
        let detail = config.detail();
        let of_targets = match detail {
            Detail::All => (SERIES_PER_TARGET * config.targets.len()).to_string(),
            Detail::Exceptions => format!("{SERIES_PER_TARGET} for each target that is not up"),
            Detail::Groups => "none for targets".to_owned(),
        };
        writeln!(
            f,
            "series, metrics.detail {}: {of_targets}, and {SERIES_PER_GROUP} for each of {} groups",
            detail.name(),
            config.groups.len()
        )?;
        let keyed = if config.keyed {
            "keyed: only reflectors that have the key are believed"
        } else {
            "not keyed: any stranger can answer for a host; make a key with: heartprobe keygen"
        };
        writeln!(f, "{keyed}")
    }
}

/// What one message is on an Ethernet, with an IP header of so many bytes.
fn frame_bits(ip_header: usize) -> f64 {
    (8 * (wire::LEN + UDP + ip_header + ETHERNET)) as f64
}

/// What pings and pongs of one host come to in a month of 30 days, with an IP header of so many bytes.
fn month(class: &Class, ip_header: usize) -> String {
    const MONTH: f64 = 30.0 * 86_400.0;
    let bytes = 2.0 * frame_bits(ip_header) / 8.0 * MONTH / class.interval.as_secs_f64();
    let units = [(1e9, "GB"), (1e6, "MB")];
    let (unit, name) =
        { units.into_iter().find(|(unit, _)| bytes >= *unit) }.unwrap_or((1e3, "kB"));
    format!("{:.1} {name}", bytes / unit)
}

/// Within what time after a host's death as many pings in a row are known to be missed.
fn bound(class: &Class, missed: u32) -> Duration {
    class.interval * missed + class.timeout
}

/// A rate of bits with its unit.
fn rate(bits: f64) -> String {
    let units = [(1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")];
    let (unit, name) = units
        .into_iter()
        .find(|(unit, _)| bits >= *unit)
        .unwrap_or((1.0, "bit/s"));
    format!("{:.1} {name}", bits / unit)
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
