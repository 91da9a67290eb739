//! The agent on a host that has nothing else to do: its memory and its CPU time, beside a reflector that only answers pings.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use heartprobe_tests::{
    beats::Hearing,
    daemon::{folder, heartprobe},
    process::Process,
};

use crate::{
    Plan,
    table::{self, digits, megabytes},
};

/// Between two checks of a service, and between two of its beats.
const EACH: Duration = Duration::from_secs(5);

/// How long it is looked at: a dozen of each.
const WINDOW: Duration = Duration::from_mins(1);

/// Until it has begun, and been looked at for the first time.
const SETTLE: Duration = Duration::from_secs(7);

/// Measures and prints.
pub fn run(plan: &Plan) {
    let window = if plan.only.is_some() {
        WINDOW
    } else {
        plan.window.max(EACH * 2)
    };
    let folder = folder();
    let mut rows = table::new(&["", "resident", "its own", "% of a core", "beats"]);
    let mut add = |name: &str, command: &mut Command, monitor: Option<&Hearing>| {
        eprintln!("measuring {name}: {} s", window.as_secs());
        let mut process = Process::start_here(command);
        let mut beats = 0;
        let mut listen = |until: Instant| {
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                let Some(monitor) = monitor else {
                    thread::sleep(left);
                    continue;
                };
                if let Some((beat, from)) = monitor.beat_within(left) {
                    monitor.ack(&beat, from);
                    beats += 1;
                }
            }
        };
        listen(Instant::now() + SETTLE);
        assert!(process.ended().is_none(), "{}", process.stderr());
        let (before, begin) = (run_time(process.id()), Instant::now());
        listen(begin + window);
        let share = run_time(process.id()).saturating_sub(before).as_secs_f64()
            / begin.elapsed().as_secs_f64();
        rows.add_row([
            name.to_owned(),
            megabytes(status(process.id(), "VmRSS:")),
            megabytes(status(process.id(), "RssAnon:")),
            digits(100.0 * share),
            beats.to_string(),
        ]);
    };
    add(
        "heartprobe reflect",
        heartprobe().args(["reflect", "--listen", "127.0.0.1:0"]),
        None,
    );
    let monitor = Hearing::new();
    let config = folder.path().join("agent.yml");
    fs::write(&config, configuration(monitor.at(), page(), &config)).expect("the folder is ours");
    add(
        "heartprobe agent, five services",
        heartprobe()
            .args(["agent", "--web.listen-address", "127.0.0.1:0"])
            .arg("--config.file")
            .arg(&config),
        Some(&monitor),
    );
    println!(
        "## The agent\n\n{rows}\n\nOver {} s. Five services are checked and beat each {} s: by a port, a page, a process, a file and a command; the \
         time of what the command runs is not the agent's. All beats are acked.\n",
        window.as_secs(),
        EACH.as_secs()
    );
}

/// An agent's configuration with a service for each kind of check that needs no systemd; `file` is there and stays.
fn configuration(monitor: SocketAddr, page: SocketAddr, file: &Path) -> String {
    let (each, file) = (EACH.as_secs(), file.display());
    let checks = [
        format!("tcp: \"{page}\""),
        format!("http: \"http://{page}/\""),
        "process: heartprobe-benc".to_owned(),
        format!("file: {{path: {file}, fresh: 1h}}"),
        "command: [\"true\"]".to_owned(),
    ];
    let services = checks.iter().enumerate().map(|(number, check)| {
        format!("  - {{name: service-{number}, interval: {each}s, check: {{{check}}}}}\n")
    });
    format!(
        "host: bench\nmonitors: [\"{monitor}\"]\nbeat_interval: {each}s\nreflect: {{listen: [\"127.0.0.1:0\"]}}\nservices:\n{}",
        services.collect::<String>()
    )
}

/// Serves an empty page as long as this program runs, and tells where.
fn page() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let at = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // Whoever only wants to see the port open asks for nothing.
            let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
            if client.read(&mut [0; 1024]).is_ok_and(|length| length > 0) {
                let _ = client.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
            }
        }
    });
    at
}

/// How long all threads of a process have run so far; more exact than the ticks of its stat.
fn run_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let nanos = tasks.flatten().filter_map(|task| {
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// A line of a process's status that is in kB, in bytes.
fn status(pid: u32, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    1024.0 * kilobytes.unwrap_or_default()
}
