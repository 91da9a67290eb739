//! Table 3: what a scrape costs, and what the daemon takes in memory.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use heartprobe_tests::{
    daemon::Daemon,
    net::{Namespace, Net},
};

use crate::{
    Plan,
    cost::{Memory, of_process},
    fleet::{Engine, Fleet},
    table::{self, digits, median, megabytes, time},
};

const SCRAPES: usize = 7;

/// Larger fleets have no series for each target.
const MOST: u32 = 100_000;

/// Between two pings of a target.
const EACH: Duration = Duration::from_secs(1);

/// Until a daemon's memory has settled.
const SETTLE: Duration = Duration::from_secs(3);

/// Measures at the largest size and prints the tables.
pub fn run(plan: &Plan) {
    let targets = { plan.sizes.iter().copied() }
        .filter(|&size| size <= MOST)
        .max()
        .unwrap_or(MOST);
    let mut scrapes = table::new(&[
        "/metrics",
        "size",
        "time",
        "daemon's CPU time",
        "the bytes alone",
    ]);
    let mut memory = table::new(&["", "1 target", "all targets", "bytes a target"]);
    for engine in [Engine::Kernel, Engine::SocketsAlone] {
        let fleet = Fleet::of(engine);
        let least = {
            let daemon = fleet.monitor_with(1, engine, EACH, "all");
            thread::sleep(SETTLE);
            scrape(&fleet.net.monitor, Daemon::web(), "identity").expect("it serves");
            Memory::of(daemon.id()).unwrap_or_default()
        };
        let daemon = fleet.monitor_with(targets, engine, EACH, "all");
        thread::sleep(SETTLE);
        let before = Memory::of(daemon.id()).unwrap_or_default();
        if engine == Engine::Kernel {
            scrapes.add_row(row(&fleet.net, &daemon, "identity").expect("it serves"));
            scrapes.add_row(row(&fleet.net, &daemon, "gzip").expect("it serves"));
        } else {
            scrape(&fleet.net.monitor, Daemon::web(), "identity").expect("it serves");
        }
        let after = Memory::of(daemon.id()).unwrap_or_default();
        for (what, one, all) in [
            ("own, before any scrape", least.own, before.own),
            ("own, after scrapes", least.own, after.own),
            ("the table, as mapped", least.table, after.table),
            ("the kernel's maps", least.maps, after.maps),
        ] {
            memory.add_row([
                format!("{}: {what}", engine.name()),
                megabytes(one),
                megabytes(all),
                digits(((all - one) / f64::from(targets)).round()),
            ]);
        }
    }
    println!("Scrape: {targets} targets, pinged once a second meanwhile\n\n{scrapes}\n");
    println!(
        "Medians of {SCRAPES}. The bytes alone: the same bytes from a socket that has them ready; for gzip, by gzip -1 from a file.\n\
         Aim: under 0.3 s for 100,000 targets.\n"
    );
    println!("Memory: {targets} targets\n\n{memory}\n");
    println!(
        "Own: resident heap and stacks. The table is one of the kernel's maps, and has room for a quarter more targets; where sockets\n\
         receive it is in the daemon's own memory. Aim: under 400 bytes a target.\n"
    );
}

/// Size, time, the daemon's own processor time, and the time of the bare bytes.
fn row(net: &Net, daemon: &Daemon<'_>, coding: &str) -> io::Result<[String; 5]> {
    let used = || of_process(daemon.id()).unwrap_or_default();
    let mut times = Vec::new();
    let mut size = 0;
    let (before, start) = (used(), Instant::now());
    for _ in 0..SCRAPES {
        let (time, body) = scrape(&net.monitor, Daemon::web(), coding)?;
        times.push(time);
        size = body.len();
    }
    // What pings take meanwhile is seen in a pause that is as long.
    let (after, pause) = (used(), start.elapsed());
    thread::sleep(pause);
    let own = after.since(before).all() - used().since(after).all();
    let (_, plain) = scrape(&net.monitor, Daemon::web(), "identity")?;
    let bare = match coding {
        "gzip" => bare_gzip(&plain)?,
        _ => bare_socket(&net.monitor, plain)?,
    };
    Ok([
        if coding == "gzip" { "gzip" } else { "plain" }.into(),
        megabytes(size as f64),
        time(median(times)),
        time(own.max(0.0) / SCRAPES as f64),
        time(bare),
    ])
}

/// One scrape: how long until its last byte, in seconds, and its bytes.
pub fn scrape(namespace: &Namespace, at: SocketAddr, coding: &str) -> io::Result<(f64, Vec<u8>)> {
    let begin = Instant::now();
    let mut stream = namespace.enter(|| TcpStream::connect(at))?;
    let request = format!("GET /metrics HTTP/1.0\r\nAccept-Encoding: {coding}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut body = Vec::new();
    stream.read_to_end(&mut body)?;
    Ok((begin.elapsed().as_secs_f64(), body))
}

/// What the same bytes take from a server that has them ready.
fn bare_socket(namespace: &Namespace, body: Vec<u8>) -> io::Result<f64> {
    let listener = namespace.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let at = listener.local_addr()?;
    thread::spawn(move || {
        // The client tells of what goes wrong here.
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(&body);
        }
    });
    let times = (0..SCRAPES).map(|_| Ok(scrape(namespace, at, "identity")?.0));
    Ok(median(times.collect::<io::Result<_>>()?))
}

/// What `gzip -1` takes for the same bytes.
fn bare_gzip(body: &[u8]) -> io::Result<f64> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), body)?;
    let times = (0..SCRAPES).map(|_| {
        let begin = Instant::now();
        let mut gzip = Command::new("gzip");
        gzip.arg("-1")
            .stdin(File::open(file.path())?)
            .stdout(Stdio::null());
        gzip.status()?;
        Ok(begin.elapsed().as_secs_f64())
    });
    Ok(median(times.collect::<io::Result<_>>()?))
}
