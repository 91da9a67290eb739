//! Beats beside pings: services that beat each second at a monitor which pings a large fleet, and what they add to its cost.

use std::{
    hint,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use heartprobe_tests::{
    daemon::Daemon,
    net::Net,
    service::{FATES, monotonic, new_epoch},
};
use probe_common::{
    siphash::{Key, identity},
    wire::{BEAT_PORT, Message},
};

use crate::{
    Plan,
    cost::{self, Baseline, Cost, Machine, Memory},
    counts::Counts,
    fleet::{Engine, Fleet},
    progress,
    rate::warm_up,
    scrape::scrape,
    table::{self, digits, median, megabytes, time},
};

/// Hosts that beat, each for every one of these services.
const HOSTS: u32 = 5_000;
const SERVICES: [&str; 2] = ["one", "two"];
const BEATING: u64 = HOSTS as u64 * SERVICES.len() as u64;

/// Hosts that are pinged meanwhile, unless the plan has smaller fleets alone.
const PINGED: u32 = 100_000;

/// Between two beats of a service, and how often each host is pinged.
const EACH: Duration = Duration::from_secs(1);

/// How long it is looked at.
const WINDOW: Duration = Duration::from_secs(30);

/// Beats leave so often, those together that are due.
const STEP: Duration = Duration::from_millis(2);

/// Until the monitor knows all services, and until it has counted what was sent last.
const SETTLE: Duration = Duration::from_secs(1);

const SCRAPES: usize = 5;

/// Measures and prints.
pub fn run(plan: &Plan, baseline: Baseline) {
    let pinged = { plan.sizes.iter().copied() }
        .filter(|&size| size <= PINGED)
        .max()
        .unwrap_or(PINGED);
    let window = plan.window.max(WINDOW);
    let mut of_beats = table::new(&[
        "",
        "beats sent",
        "recorded",
        "lost",
        "otherwise",
        "services up",
        "false verdicts",
    ]);
    let mut of_pings = table::new(&[
        "",
        "pings/s",
        "missed",
        "unsent",
        "own, % of a core",
        "machine, % of a core",
        "heap",
        "scrape: groups",
        "all",
    ]);
    let mut lost = 0;
    for engine in Engine::ALL {
        let fleet = Fleet::of(engine);
        for with_beats in [false, true] {
            progress(engine.name(), pinged);
            let run = measure(&fleet, engine, pinged, with_beats, window);
            let beats = if with_beats { "beats" } else { "no beats" };
            let name = format!("{}, {beats}", engine.name());
            if let Some(beats) = &run.beats {
                lost += beats.sent.abs_diff(beats.recorded);
                of_beats.add_row([
                    name.clone(),
                    beats.sent.to_string(),
                    beats.recorded.to_string(),
                    beats.sent.saturating_sub(beats.recorded).to_string(),
                    beats.otherwise(),
                    beats.up.to_string(),
                    digits(run.false_verdicts),
                ]);
            }
            of_pings.add_row(run.row(name, baseline));
        }
    }
    println!(
        "Beats: {BEATING} services on {HOSTS} hosts beat once a second, {pinged} others are pinged once a second; for {} s\n\n{of_beats}\n",
        window.as_secs()
    );
    println!(
        "Sent and recorded are counted from the first beat to the last, at the sender and at the monitor. Otherwise: duplicate, stale, forged,\n\
         malformed or a stranger's. No host or service changes, so any change of a verdict is false. Aim: nothing lost: {}.\n",
        if lost == 0 { "met" } else { "not met" }
    );
    println!("The same fleet without them and with them\n\n{of_pings}\n");
    println!(
        "The machine's figure holds the fleet's answers and the sender of the beats too, and is without the {} % of a core that the machine\n\
         uses by itself; - where that is busy with other work. Scrapes: medians of {SCRAPES}, with `metrics.detail` as named.\n",
        digits(baseline.cores * 100.0)
    );
}

/// What became of a run.
struct Run {
    beats: Option<Beats>,
    pings: f64,
    missed: f64,
    unsent: f64,
    false_verdicts: f64,
    own: Cost,
    machine: f64,
    seconds: f64,
    memory: Memory,
    groups: f64,
    all: f64,
}

struct Beats {
    sent: u64,
    recorded: u64,
    /// By fate, in the order of [`FATES`].
    fates: [u64; FATES.len()],
    /// Services that were up at the window's end.
    up: u64,
}

impl Beats {
    /// What else became of beats, in words.
    fn otherwise(&self) -> String {
        let others = FATES.iter().zip(self.fates).skip(1);
        let some: Vec<_> = others
            .filter(|(_, count)| *count > 0)
            .map(|(fate, count)| format!("{count} {fate}"))
            .collect();
        if some.is_empty() {
            "none".into()
        } else {
            some.join(", ")
        }
    }
}

impl Run {
    fn row(&self, name: String, baseline: Baseline) -> [String; 9] {
        let share = |cores: f64| digits(cores * 100.0);
        [
            name,
            format!("{:.0}", self.pings / self.seconds),
            digits(self.missed),
            digits(self.unsent),
            share(self.own.all() / self.seconds),
            if baseline.is_quiet() {
                share((self.machine / self.seconds - baseline.cores).max(0.0))
            } else {
                "-".into()
            },
            megabytes(self.memory.own),
            time(self.groups),
            time(self.all),
        ]
    }
}

fn measure(fleet: &Fleet, engine: Engine, pinged: u32, with_beats: bool, window: Duration) -> Run {
    let config = |detail: &str| {
        let mut config = Fleet::config(pinged, engine, EACH, detail);
        if with_beats {
            config.push_str(&of_services());
        }
        config
    };
    let daemon = Daemon::run(&fleet.net.monitor, &config("groups"));
    // It takes its services in after it is ready, some each turn; who beats before that is a stranger yet.
    thread::sleep(SETTLE);
    let sender = with_beats.then(|| Sender::start(&fleet.net));
    let up = pinged + if with_beats { HOSTS } else { 0 };
    warm_up(&daemon, up, EACH);
    let used = || cost::of_process(daemon.id()).unwrap_or_default();
    let before = Counts::of(&daemon);
    let (machine, own) = (Machine::now(), used());
    thread::sleep(window);
    let (busy, seconds, own) = (machine.busy(), machine.elapsed(), used().since(own));
    let after = Counts::of(&daemon);
    let memory = Memory::of(daemon.id()).unwrap_or_default();
    let scrapes = || {
        let scrapes = (0..SCRAPES).map(|_| {
            let scrape = scrape(&fleet.net.monitor, Daemon::web(), "identity");
            scrape.expect("it serves").0
        });
        median(scrapes.collect())
    };
    let groups = scrapes();
    // What was sent last is on its way until then.
    let beats = sender.map(|sender| {
        let sent = sender.stop();
        thread::sleep(SETTLE);
        let scrape = daemon.scrape();
        Beats {
            sent,
            recorded: scrape.beats("ok"),
            fates: scrape.fates(),
            up: after.services_up,
        }
    });
    daemon.reload(&config("all"));
    daemon.until("all have series", Duration::from_secs(10), |scrape| {
        scrape.all("heartprobe_target_state", &[]).next().is_some()
    });
    let each = |of: fn(&Counts) -> f64| of(&after) - of(&before);
    let apart = (after.at - before.at).as_secs_f64();
    Run {
        beats,
        // The two scrapes are further apart than the window is long, by what it takes to read them.
        pings: each(|counts| counts.judged) / apart * seconds,
        missed: each(|counts| counts.missed),
        unsent: each(|counts| counts.unsent),
        false_verdicts: each(|counts| counts.changes),
        own,
        machine: busy,
        seconds,
        memory,
        groups,
        all: scrapes(),
    }
}

/// The group of those that beat, which are not pinged.
fn of_services() -> String {
    let hosts: Vec<_> = (1..=HOSTS).map(host).collect();
    format!(
        "- name: beating\n  pings: off\n  session_timeout: 3s\n  services: [{}]\n  targets: [{}]\n",
        SERVICES.join(", "),
        hosts.join(", ")
    )
}

fn host(number: u32) -> String {
    format!("host-{number:04}")
}

/// All services in one thread, spread evenly over the second.
struct Sender {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Sender {
    fn start(net: &Net) -> Self {
        let socket = net.fleet.enter(|| {
            let socket = UdpSocket::bind(("198.18.0.2", 0))?;
            socket.connect(("198.18.0.1", BEAT_PORT))?;
            Ok::<_, std::io::Error>(socket)
        });
        let socket = socket.expect("the fleet's end of the wire has that address");
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (stop.clone(), sent.clone());
        Self {
            stop,
            sent,
            thread: thread::spawn(move || send(&socket, &stopped, &count)),
        }
    }

    /// How many it has sent in all.
    fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        // Its panic has been printed already.
        let _ = self.thread.join();
        self.sent.load(Relaxed)
    }
}

fn send(socket: &UdpSocket, stop: &AtomicBool, sent: &AtomicU64) {
    let epoch = new_epoch();
    let mut beats: Vec<_> = (1..=HOSTS)
        .flat_map(|number| SERVICES.map(|service| (identity(&host(number)), identity(service))))
        .map(|(host, service)| Message {
            boot: host as u32 | 1,
            ..Message::beat(host, service, 1, epoch, 0)
        })
        .collect();
    let begin = Instant::now();
    let mut number: u64 = 0;
    while !stop.load(Relaxed) {
        let due = begin.elapsed().as_secs_f64() / EACH.as_secs_f64() * beats.len() as f64;
        while number < due as u64 {
            let at = (number % beats.len() as u64) as usize;
            let beat = &mut beats[at];
            beat.time = monotonic();
            let bytes = beat.encode(&Key::default()).to_bytes();
            // One that finds no room is sent again: what is not sent cannot be lost.
            while socket.send(&bytes).is_err() {
                hint::spin_loop();
            }
            beat.seq += 1;
            sent.fetch_add(1, Relaxed);
            number += 1;
        }
        thread::sleep(STEP);
    }
}
