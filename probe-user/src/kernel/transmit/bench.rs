//! What the kernel's part costs: whole signed round trips on one core, against the shortest that live frames allow. Both
//! run on the same core with the same frames, so what the machine is else busy with does not count.
//!
//! `cargo test --release kernel::transmit::bench -- --ignored --nocapture --test-threads 1`

mod bare;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use probe_common::maps::Fate;
use rustix::time::{ClockId, clock_gettime};

use self::bare::{Bare, Wire};
use super::{
    tests::{CPU, Pair},
    *,
};
use crate::tally::Source as _;

/// How often each is measured: other work on the machine can only make it slower, so the best counts.
const ROUNDS: usize = 5;

/// How long each measurement takes at least.
const LONG: Duration = Duration::from_millis(500);

/// The processor time of this thread: that of the kernel's work on its frames as well, for it is done in this thread's place.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What was measured: of several, the best.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    /// Whole round trips a second of processor time.
    round_trips: f64,
    /// The share of frames that left and did not come back.
    lost: f64,
    /// The share of frames that the interface had no room for.
    dropped: f64,
}

impl Rate {
    fn better(self, other: Self) -> Self {
        if other.round_trips > self.round_trips {
            other
        } else {
            self
        }
    }

    /// Has `send` send until it took long enough, each time telling how many frames left and how many were dropped.
    fn measure(mut send: impl FnMut() -> (u64, u64), back: impl Fn() -> u64) -> Self {
        let (before, begin, start) = (back(), processor_time(), Instant::now());
        let (mut left, mut dropped) = (0, 0);
        while start.elapsed() < LONG {
            let (more_left, more_dropped) = send();
            left += more_left;
            dropped += more_dropped;
        }
        let took = processor_time() - begin;
        let deadline = Instant::now() + Duration::from_secs(1);
        while back() - before < left && Instant::now() < deadline {
            thread::yield_now();
        }
        let back = (back() - before) as f64;
        Self {
            round_trips: back / took,
            lost: 1.0 - back / left as f64,
            dropped: dropped as f64 / (left + dropped) as f64,
        }
    }
}

/// Ours, over all `due`, as many as `back` tells to have come to the end of their way.
fn ours(pair: &mut Pair, due: &[u32], back: impl Fn() -> u64) -> Rate {
    let mut rest = Vec::new();
    let Pair {
        transmitter,
        interface,
        ..
    } = pair;
    let mut chunks = due.chunks(ROOM).cycle();
    Rate::measure(
        || {
            let (mut left, mut dropped) = (0, 0);
            let due = chunks.next().unwrap();
            let result = transmitter.send(*interface, due, &mut rest, |departure| {
                if departure.left {
                    left += 1;
                } else {
                    dropped += 1;
                }
            });
            assert!(rest.is_empty(), "{result:?}");
            (left, dropped)
        },
        back,
    )
}

/// Ours, there and back.
fn round_trips(pair: &mut Pair, due: &[u32]) -> Rate {
    let counters = pair.monitor.kernel.counters();
    ours(pair, due, || counters.received().fates[Fate::Ok as usize])
}

#[test]
#[ignore = "a measurement"]
fn round_trips_against_the_bare_ceiling() {
    for (targets, frames) in [
        (100_000, 16),
        (100_000, 32),
        (100_000, 64),
        (100_000, 128),
        (1_000, FRAMES),
        (1_000_000, FRAMES),
    ] {
        compare(targets, frames);
    }
}

fn compare(targets: u32, frames: u32) {
    let (tell, told) = mpsc::channel();
    Pair::with(targets, None, move |mut pair| {
        let due: Vec<u32> = (0..targets).collect();
        pair.assign_fleet(targets);
        pair.transmitter.frames = frames;
        bind(CPU).unwrap();
        let wire = Wire::reflected("bare");
        let bare = Bare::by(&wire);
        let mut best = [Rate::default(); 2];
        for _ in 0..ROUNDS {
            best[0] = best[0].better(round_trips(&mut pair, &due));
            best[1] = best[1].better(Rate::measure(|| bare.send(frames), || wire.arrived()));
        }
        let rows = pair.monitor.table.rows();
        let mut rtts: Vec<u32> = rows.iter().map(|row| row.pong().1).collect();
        rtts.sort_unstable();
        let rtt = |share: usize| f64::from(rtts[rtts.len() * share / 100]) / 1e3;
        tell.send((best, rtt(50), rtt(99))).unwrap();
    });
    // Without the privilege there is nothing to tell.
    for ([ours, bare], p50, p99) in told {
        eprintln!(
            "{targets} targets, {frames} frames a batch: {:.2} million round trips a CPU-second, bare {:.2} million, ratio {:.2}; \
             lost {:.4}%, no room for {:.2}%; RTT p50 {p50:.1} us, p99 {p99:.1} us",
            ours.round_trips / 1e6,
            bare.round_trips / 1e6,
            ours.round_trips / bare.round_trips,
            ours.lost * 100.0,
            ours.dropped * 100.0,
        );
    }
}

/// What each part of a round trip takes, by what it takes with the part and without. `cargo xtask bench` runs it.
#[test]
#[ignore = "a measurement"]
fn where_the_nanoseconds_go() {
    const TARGETS: u32 = 100_000;
    const AIM: f64 = 0.65;
    let (tell, told) = mpsc::channel();
    Pair::with(TARGETS, None, move |mut pair| {
        let due: Vec<u32> = (0..TARGETS).collect();
        bind(CPU).unwrap();
        let away = Wire::new("away", None);
        let back = Wire::reflected("back");
        let answered = Wire::new("answer", Some(pair.host.program.as_fd()));
        let [bare_away, bare_back] = [&away, &back].map(Bare::by);
        let own = pair.interface;
        let mut best = [Rate::default(); 6];
        for _ in 0..ROUNDS {
            let mut rates = vec![
                Rate::measure(|| bare_away.send(FRAMES), || away.arrived()),
                Rate::measure(|| bare_back.send(FRAMES), || back.arrived()),
            ];
            for wire in [&away, &back, &answered] {
                pair.interface = wire.near;
                pair.assign_fleet(TARGETS);
                rates.push(ours(&mut pair, &due, || wire.arrived()));
            }
            pair.interface = own;
            pair.assign_fleet(TARGETS);
            rates.push(round_trips(&mut pair, &due));
            best = std::array::from_fn(|place| best[place].better(rates[place]));
        }
        tell.send(best.map(|rate| 1e9 / rate.round_trips)).unwrap();
    });
    // Without the privilege there is nothing to tell.
    for [bare_away, bare, away, back, answered, whole] in told {
        let row = |part, ns: f64| eprintln!("| {part:<70} | {ns:>4.0} |");
        eprintln!("Where the nanoseconds go: one signed round trip in the kernel, on one core\n");
        eprintln!("| {:<70} |   ns |\n|{:-<72}|-----:|", "part", "");
        row(
            "a bare frame, made by the kernel and sent to the other end",
            bare_away,
        );
        row("its way back: bare, there and back", bare - bare_away);
        row(
            "the ping: row, headers, checksums, time, one tag; noted as sent",
            away - bare_away,
        );
        row(
            "the pong, at the host: parsed, one tag checked, one made",
            answered - back,
        );
        row(
            "its receipt: parsed, one tag checked, row, round-trip time, counts",
            whole - answered,
        );
        row("all", whole);
        let ratio = bare / whole;
        eprintln!(
            "\nBare {:.2} million round trips a second of CPU time, ours {:.2} million: ratio {ratio:.2}. Aim: {AIM}, {}.\n",
            1e3 / bare,
            1e3 / whole,
            if ratio >= AIM { "met" } else { "not met" },
        );
    }
}

/// What a call costs beside its pings.
#[test]
#[ignore = "a measurement"]
fn a_call() {
    Pair::with(1_000, None, |mut pair| {
        pair.assign_fleet(1_000);
        let due: Vec<u32> = (0..1_000).collect();
        let mut rest = Vec::new();
        for pings in [1, 2, 10, 64, 100, 1_000] {
            let mut costs: Vec<f64> = (0..1_000)
                .map(|_| {
                    let begin = processor_time();
                    pair.transmitter
                        .send(pair.interface, &due[..pings], &mut rest, |_| {})
                        .unwrap();
                    (processor_time() - begin) * 1e6
                })
                .collect();
            costs.sort_by(f64::total_cmp);
            eprintln!(
                "a call with {pings} pings: p50 {:.1} us, p90 {:.1} us of processor time",
                costs[500], costs[900]
            );
        }
    });
}
