//! What the monitor tells of itself and of the fleet: its metrics, as far as a simulation needs them.

use std::{
    io::{self, BufRead},
    net::IpAddr,
};

use probe_common::{address::Address, simulation::Simulation};

use crate::core::verdict::State;

/// One scrape; its memory is used again for the next.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// When it was asked for and when it was read, ns of the monotonic clock: what it tells was so in between.
    pub between: [u64; 2],
    /// Pongs that counted.
    pub pongs: u64,
    /// Pings that were missed.
    pub missed: u64,
    /// Pings that were due and not sent.
    pub unsent: u64,
    /// How pings leave and how pongs are received.
    pub engine: String,
    /// How late pings left.
    pub lag: Lag,
    /// By the number of the host; one that the monitor does not list is up.
    pub states: Vec<State>,
    /// Pings sent, by the number of the host; 0 where the monitor does not tell.
    pub pings: Vec<u32>,
}

impl Scrape {
    /// Reads the metrics of a monitor that probes this fleet.
    ///
    /// # Errors
    /// Those of `text`; at a line that is none of the format.
    pub fn read(&mut self, fleet: &Simulation, mut text: impl BufRead) -> io::Result<()> {
        let hosts = fleet.hosts as usize;
        (self.pongs, self.missed, self.unsent) = (0, 0, 0);
        self.lag = Lag::default();
        self.engine.clear();
        self.states.clear();
        self.states.resize(hosts, State::Up);
        self.pings.clear();
        self.pings.resize(hosts, 0);
        let mut line = String::new();
        while text.read_line(&mut line)? > 0 {
            let sample = line.trim_end();
            if !sample.starts_with('#') && self.take(fleet, sample).is_none() {
                let what = format!("not a metric: {sample:.80}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            line.clear();
        }
        Ok(())
    }

    fn take(&mut self, fleet: &Simulation, sample: &str) -> Option<()> {
        let (series, value) = sample.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let host = || {
            let ip: IpAddr = label(labels, "target")?.parse().ok()?;
            fleet
                .number(Address::from(ip))
                .map(|number| number as usize)
        };
        let count = || value.parse::<f64>().ok().map(|value| value as u64);
        match name {
            "heartprobe_target_state" => {
                self.states[host()?] = *State::ALL.get(count()? as usize)?;
            }
            "heartprobe_target_pings_total" => self.pings[host()?] = count()? as u32,
            "heartprobe_pongs_total" if ["ok", "late"].contains(&label(labels, "fate")?) => {
                self.pongs += count()?;
            }
            "heartprobe_pings_missed_total" => self.missed = count()?,
            "heartprobe_pings_unsent_total" => self.unsent = count()?,
            "heartprobe_engine_info" => {
                let [transmit, receive] = ["transmit", "receive"].map(|name| label(labels, name));
                self.engine = format!("transmit {}, receive {}", transmit?, receive?);
            }
            "heartprobe_ping_lag_seconds_bucket" => {
                let bound = label(labels, "le")?.parse().ok()?;
                self.lag.0.push((bound, count()?));
            }
            _ => {}
        }
        Some(())
    }
}

/// The value of a label; those that are asked for hold nothing that would be escaped.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = labels;
    loop {
        let (found, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        if found.trim_start_matches(',') == name {
            return Some(value);
        }
        rest = after;
    }
}

/// A histogram of how late behind the schedule pings left: upper bounds in seconds, and how many pings are below each.
#[derive(Clone, Debug, Default)]
pub struct Lag(Vec<(f64, u64)>);

impl Lag {
    /// The bound in seconds that 99 of 100 pings since `before` kept; `None` if there was no ping.
    pub fn p99_since(&self, before: &Self) -> Option<f64> {
        let since = |at: usize| {
            let (bound, count) = self.0[at];
            let then = before.0.get(at).map_or(0, |&(_, count)| count);
            (bound, count.saturating_sub(then))
        };
        let (_, all) = since(self.0.len().checked_sub(1)?);
        let reached = |&(_, count): &(f64, u64)| all > 0 && count as f64 >= 0.99 * all as f64;
        (0..self.0.len())
            .map(since)
            .find(reached)
            .map(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const TEXT: &str = r#"# HELP heartprobe_target_state The verdict.
heartprobe_target_up{group="fleet",target="198.18.0.1"} 0
heartprobe_target_state{group="fleet",target="198.18.0.1"} 4
heartprobe_target_pings_total{group="fleet",target="198.18.0.1"} 17
heartprobe_pongs_total{fate="ok"} 5
heartprobe_pongs_total{fate="late"} 2
heartprobe_pongs_total{fate="stale"} 100
heartprobe_ping_lag_seconds_bucket{le="0.001"} 980
heartprobe_ping_lag_seconds_bucket{le="0.01"} 990
heartprobe_ping_lag_seconds_bucket{le="+Inf"} 1000
heartprobe_pings_missed_total 3
heartprobe_engine_info{interface="hp0",transmit="kernel",receive="xdp-native"} 1
heartprobe_pings_unsent_total 1e3
"#;

    fn fleet() -> Simulation {
        Simulation {
            first: Address::from(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0))),
            hosts: 3,
            ..Simulation::default()
        }
    }

    #[test]
    fn what_is_needed_is_read() {
        let mut scrape = Scrape::default();
        // Twice: nothing is left of the first.
        for _ in 0..2 {
            scrape.read(&fleet(), TEXT.as_bytes()).unwrap();
        }
        assert_eq!(scrape.states, [State::Up, State::Dead, State::Up]);
        assert_eq!(scrape.pings, [0, 17, 0]);
        assert_eq!(scrape.engine, "transmit kernel, receive xdp-native");
        assert_eq!((scrape.pongs, scrape.missed, scrape.unsent), (7, 3, 1000));
        assert_eq!(scrape.lag.p99_since(&Lag::default()), Some(0.01));
        assert_eq!(scrape.lag.p99_since(&scrape.lag), None);
    }

    #[test]
    fn what_is_no_metric_of_this_fleet_is_an_error() {
        for text in [
            "nonsense\n",
            "heartprobe_target_state{target=\"198.18.0.3\"} 1\n",
        ] {
            let read = Scrape::default().read(&fleet(), text.as_bytes());
            assert!(read.is_err(), "{text}");
        }
    }
}
