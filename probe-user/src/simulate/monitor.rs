//! The monitor under simulation: `heartprobe run` of this very program, as a process of its own in its namespace.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use probe_common::simulation::Simulation;
use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Signal, kill_process},
};

use super::{namespace::Namespace, scrape::Scrape};
use crate::clock;

/// Where it serves its metrics, inside its namespace.
const WEB: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9862);

/// A monitor that says nothing for this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(30);

/// It is given this time to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// A running monitor, killed when this is dropped.
pub struct Monitor<'a> {
    namespace: &'a Namespace,
    child: Child,
}

impl<'a> Monitor<'a> {
    /// Starts it; its log goes where this program's goes.
    pub fn start(namespace: &'a Namespace, configuration: &str) -> anyhow::Result<Self> {
        // A file that nobody has to remove.
        let mut file = File::from(memfd_create("heartprobe.yml", MemfdFlags::CLOEXEC)?);
        file.write_all(configuration.as_bytes())?;
        let mut command = namespace.command("/proc/self/exe")?;
        command
            .arg0("heartprobe")
            .args(["run", "--config.file", "/proc/self/fd/0"])
            .args(["--web.listen-address", &WEB.to_string()])
            .stdin(Stdio::from(file))
            .stdout(Stdio::null())
            // Ctrl-C is for the simulator, which ends the monitor when it has asked it for all that it wants to know.
            .process_group(0);
        let child = command.spawn().context("starting the monitor")?;
        Ok(Self { namespace, child })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, which it does not by itself unless it cannot go on.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Whether it probes.
    pub fn is_ready(&self) -> bool {
        self.get("/-/ready").is_ok()
    }

    /// Reads its metrics.
    pub fn scrape(&self, fleet: &Simulation, into: &mut Scrape) -> anyhow::Result<()> {
        let begin = clock::monotonic();
        self.get("/metrics")
            .and_then(|text| into.read(fleet, text))
            .context("reading the monitor's metrics")?;
        into.between = [begin, clock::monotonic()];
        Ok(())
    }

    /// The page at this path, if it is there.
    fn get(&self, path: &str) -> io::Result<impl BufRead> {
        let mut stream = self
            .namespace
            .enter(|| TcpStream::connect_timeout(&WEB, HANGS_AFTER))?;
        stream.set_read_timeout(Some(HANGS_AFTER))?;
        // Version 1.0: the server closes when it is done, and sends no chunks.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut page = BufReader::with_capacity(1 << 18, stream);
        let mut line = String::new();
        page.read_line(&mut line)?;
        if line.split(' ').nth(1) != Some("200") {
            return Err(io::Error::other(format!("{path}: {}", line.trim_end())));
        }
        while !line.trim_end().is_empty() {
            line.clear();
            page.read_line(&mut line)?;
        }
        Ok(page)
    }

    /// Ends it, and waits for that.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let until = Instant::now() + GRACE;
        while self.ended()?.is_none() {
            anyhow::ensure!(
                Instant::now() < until,
                "the monitor did not end when told to"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        // One that has ended is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
