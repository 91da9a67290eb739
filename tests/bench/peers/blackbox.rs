//! `blackbox_exporter`: pings a target when it is asked to, once.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;

use super::exporter::Exporter;
use crate::{
    fleet::{Block, Fleet, blocks},
    line::Line,
};

pub const PROGRAM: &str = "prometheus-blackbox-exporter";

const CONFIG: &str = "modules: {icmp: {prober: icmp, timeout: 900ms}}\n";

/// As many ask at a time: at 1,000 targets a probe may then take 32 ms.
const WORKERS: usize = 32;

/// Until connections stand.
const WARM_UP: Duration = Duration::from_secs(1);

/// What was asked so far, and how many of it found a host that answers.
#[derive(Default)]
struct Asked {
    probes: AtomicU64,
    successes: AtomicU64,
    stop: AtomicBool,
}

/// Asks it for so many targets once a second each.
pub fn measure(fleet: &Fleet, targets: u32, window: Duration) -> Result<Line, String> {
    let file = NamedTempFile::new().map_err(|error| error.to_string())?;
    fs::write(file.path(), CONFIG).map_err(|error| error.to_string())?;
    let exporter = Exporter::start(fleet, PROGRAM, file.path(), 9115)?;
    let hosts: Vec<_> = blocks(targets).into_iter().flat_map(Block::hosts).collect();
    let asked = Asked::default();
    let workers = WORKERS.min(hosts.len());
    let line = thread::scope(|scope| {
        let begin = Instant::now();
        for worker in 0..workers {
            let share: Vec<_> = hosts
                .iter()
                .copied()
                .enumerate()
                .skip(worker)
                .step_by(workers)
                .collect();
            let (asked, at, hosts) = (&asked, exporter.at, hosts.len());
            let connect = move || fleet.net.monitor.enter(|| Connection::open(at));
            scope.spawn(move || {
                // What goes wrong shows in the counts.
                let _ =
                    connect().and_then(|connection| asked.ask(connection, &share, hosts, begin));
            });
        }
        thread::sleep(WARM_UP);
        let line = exporter.watch("blackbox_exporter", targets, window, || asked.counts());
        asked.stop.store(true, Relaxed);
        line
    });
    Ok(line)
}

impl Asked {
    fn counts(&self) -> (f64, f64) {
        let [probes, successes] =
            [&self.probes, &self.successes].map(|count| count.load(Relaxed) as f64);
        (probes, successes)
    }

    /// Asks for each of these hosts once a second, each at its place in the second.
    fn ask(
        &self,
        mut connection: Connection,
        share: &[(usize, Ipv4Addr)],
        hosts: usize,
        begin: Instant,
    ) -> io::Result<()> {
        for round in 0.. {
            for &(place, host) in share {
                let due =
                    begin + Duration::from_secs_f64(f64::from(round) + place as f64 / hosts as f64);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if self.stop.load(Relaxed) {
                    return Ok(());
                }
                self.probes.fetch_add(1, Relaxed);
                if connection.probe(host)? {
                    self.successes.fetch_add(1, Relaxed);
                }
            }
        }
        Ok(())
    }
}

/// A connection that stays open from one probe to the next, as Prometheus keeps it.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(at: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(at)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Whether this host answers.
    fn probe(&mut self, host: Ipv4Addr) -> io::Result<bool> {
        let request =
            format!("GET /probe?module=icmp&target={host} HTTP/1.1\r\nHost: exporter\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        let mut line = String::new();
        while self.0.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body);
        Ok(body.lines().any(|line| line == "probe_success 1"))
    }
}
