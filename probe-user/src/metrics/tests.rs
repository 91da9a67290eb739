use std::{collections::HashMap, net::SocketAddr, time::Duration};

use probe_common::{beat::BeatFate, maps::Fate, ports::Ports, row::Row, wire::Message};

use super::*;
use crate::{
    core::{
        session::Terms,
        verdict::{Outcome, Policy, State},
    },
    fleet::{Class, Detail, Fleet, Group, Service, Target},
    standings::Verdict,
    table::Table,
    tally::Tally,
};

const LATE_AFTER: Duration = Duration::from_millis(250);

fn class(group: u32) -> Class {
    Class {
        group,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        late_after: LATE_AFTER,
        policy: Policy::default(),
        pinged: true,
        services: [].into(),
        confirm_interval: None,
    }
}

fn group(name: &str, labels: &[(&str, &str)]) -> Group {
    let labels = labels
        .iter()
        .map(|&(name, value)| (name.into(), value.into()));
    Group {
        name: name.into(),
        labels: labels.collect(),
        gone: false,
    }
}

fn target(name: Option<&str>, address: Option<&str>, class: u16) -> Target {
    Target {
        name: name.map(Into::into),
        address: address.map(|at| at.parse::<SocketAddr>().unwrap()),
        class,
    }
}

fn service(target: u32, name: &str, identity: [u64; 2]) -> Service {
    Service {
        target,
        name: name.into(),
        identity,
        terms: Terms {
            timeout: 0,
            interval: 0,
            critical_after: 2,
        },
    }
}

/// A pong of the ping that was sent last.
fn pong(row: &Row, rtt: Duration) {
    let late = rtt > LATE_AFTER;
    assert!(row.record(
        row.sent(),
        rtt.as_nanos() as u32,
        late,
        4_000 << 16 | 0xffff,
        7
    ));
}

/// Three of four beats of the first service come, of a sender that is the second one; the other service is dead.
fn beat(live: &Live) {
    let row = live.sessions.row(live.table.rows(), 0);
    row.assign_service([11, 1], 0);
    row.open_session(&Message::beat(11, 1, 1, 9, 0), 1, false);
    for seq in [2, 4] {
        row.hear(&Message::beat(11, 1, seq, 9, 0), 1);
    }
    live.sessions.set_state(0, State::Up);
    live.sessions.set_lost(0, 1);
    live.sessions.count_restart(0);
    live.sessions.set_state(2, State::Dead);
}

/// One target is good, one is late and one dead.
fn judge(live: &Live, vitals: &Vitals) {
    let judge = |number, outcome| {
        let before = live.standings.get(number);
        let after = before.after(outcome, Policy::default());
        let verdict = Verdict {
            state: after.state,
            beats: (number == 0).then_some(true),
        };
        live.standings.set(number, after, verdict);
        if after.state != before.state {
            vitals.count_change(if number == 4 { 2 } else { 0 }, after.state);
        }
        if outcome == Outcome::Late {
            live.standings.count_late(number);
        }
    };
    for (number, outcome) in [
        (0, Outcome::Good),
        (1, Outcome::Late),
        (1, Outcome::Late),
        (4, Outcome::Missed),
        (4, Outcome::Missed),
        (4, Outcome::Missed),
    ] {
        judge(number, outcome);
    }
}

/// Three groups, one of them gone; names with all that must be escaped; one target removed, one never answered.
pub fn sample() -> Exporter {
    let mut gone = group("old", &[]);
    gone.gone = true;
    let fleet = Fleet {
        detail: Detail::All,
        groups: vec![
            group("web", &[("dc", "ams"), ("rack", "a\\b \"c\"\nd")]),
            gone,
            group("größe \"<x>\"", &[]),
        ],
        classes: vec![class(0), class(2)],
        targets: vec![
            Some(target(
                Some("web-1.example.org"),
                Some("192.0.2.10:4862"),
                0,
            )),
            Some(target(None, Some("192.0.2.11:4862"), 0)),
            None,
            Some(target(None, Some("[2001:db8::7]:9000"), 0)),
            Some(target(Some("a\"b\\c\nd"), None, 1)),
        ],
        services: vec![
            Some(service(0, "post\"gres", [11, 1])),
            None,
            Some(service(4, "backup", [44, 2])),
        ],
    };
    let live = Live::new(Arc::new(Table::in_memory(11).unwrap()), 8, 4);
    let ports = Ports {
        first: [40_000, 50_000],
        paths: 4,
        beats: 0,
    };
    live.ports.set(ports).unwrap();
    for ping in 0..80 {
        live.paths.note(3, ping % 4, ping % 4 == 2 && ping >= 20);
    }
    let vitals = Vitals::new();
    vitals.set_groups(&fleet.groups);
    live.fleet.store(Arc::new(fleet));

    let rows = live.table.rows();
    for (number, rtts) in [
        (0, &[120_000, 95_123][..]),
        (1, &[300_000_000, 301_000_000]),
        (3, &[1_000_000_007]),
    ] {
        for &rtt in rtts {
            rows[number].open();
            live.standings.count_ping(number as u32);
            pong(&rows[number], Duration::from_nanos(rtt));
        }
    }
    rows[4].open();
    live.standings.count_ping(4);
    judge(&live, &vitals);
    beat(&live);

    let sockets = Tally::new(3);
    sockets.count_beat(BeatFate::Ok);
    sockets.count_beat(BeatFate::Stranger);
    sockets.count(Fate::Ok);
    sockets.count(Fate::Malformed);
    sockets.observe(0, 95_123);
    let kernel = Tally::new(1);
    kernel.count(Fate::Ok);
    kernel.count(Fate::Late);
    kernel.observe(0, 20_000);
    kernel.observe(0, 2_000_000_001);
    vitals.set_engines(vec![
        Engine {
            interface: "eth0".to_owned(),
            transmit: Transmit::Socket,
            receive: Receive::XdpGeneric,
        },
        Engine {
            interface: "lo".to_owned(),
            transmit: Transmit::Socket,
            receive: Receive::Socket,
        },
    ]);
    Exporter {
        live: Arc::new(live),
        vitals: Arc::new(vitals),
        sources: vec![Arc::new(sockets), Arc::new(kernel)],
    }
}

/// The whole text of `exporter`.
pub fn text(exporter: &Exporter) -> String {
    let mut text = Vec::new();
    exporter.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The same text but for what differs from scrape to scrape: how old the beat is of the one service that was heard.
pub fn without_ages(text: &str) -> String {
    let is_age = |line: &&str| line.starts_with("heartprobe_service_beat_age_seconds{");
    assert_eq!(text.lines().filter(is_age).count(), 1);
    let others: Vec<_> = text.lines().filter(|line| !is_age(line)).collect();
    others.join("\n")
}

#[test]
fn the_sample_as_text() {
    let text = text(&sample());
    // What follows is the registry's, with the times that this run took.
    let (ours, _) = text.split_once("# HELP heartprobe_build_info").unwrap();
    insta::assert_snapshot!(without_ages(ours));
}

#[test]
fn the_detail_decides_which_targets_have_series() {
    let targets = |detail| {
        let sample = sample();
        let mut fleet = Fleet::clone(&sample.live.fleet.load());
        fleet.detail = detail;
        sample.live.fleet.store(Arc::new(fleet));
        let text = text(&sample);
        assert!(text.contains("heartprobe_targets{group=\"web\",state=\"up\"} "));
        let of_state = text.lines().filter_map(|line| {
            let (_, rest) = line
                .strip_prefix("heartprobe_target_state{")?
                .split_once("target=\"")?;
            rest.split_once('"').map(|(target, _)| target.to_owned())
        });
        of_state.collect::<Vec<_>>()
    };
    assert_eq!(targets(Detail::All).len(), 4);
    // One is late, one has a broken path, one is dead; the other is up.
    assert_eq!(targets(Detail::Exceptions).len(), 3);
    assert!(!targets(Detail::Exceptions).contains(&"web-1.example.org".to_owned()));
    assert!(targets(Detail::Groups).is_empty());
}

/// A family as the text has it: its type, its series and their values.
struct Family {
    kind: String,
    series: Vec<(String, String, f64)>,
}

/// Reads the text format, and takes nothing that its rules forbid.
fn parse(text: &str) -> HashMap<String, Family> {
    assert!(text.ends_with('\n'));
    let mut families: HashMap<String, Family> = HashMap::new();
    let mut current = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            assert!(!help.is_empty(), "{line}");
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").expect(line);
            let (typed, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, typed);
            let family = Family {
                kind: kind.to_owned(),
                series: Vec::new(),
            };
            assert!(
                families.insert(name.to_owned(), family).is_none(),
                "{name} comes twice"
            );
            name.clone_into(&mut current);
            continue;
        }
        let family = families
            .get_mut(&current)
            .expect("a type before the first sample");
        let name_len = line.find(['{', ' ']).expect(line);
        let (name, rest) = line.split_at(name_len);
        let part = name.strip_prefix(&current).expect(line);
        match family.kind.as_str() {
            "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&part), "{line}"),
            "counter" => assert!(part.is_empty() && name.ends_with("_total"), "{line}"),
            "gauge" => assert!(part.is_empty() && !name.ends_with("_total"), "{line}"),
            kind => panic!("{kind}"),
        }
        let (labels, value) = labels(rest);
        let value = value.strip_prefix(' ').expect(line).parse().expect(line);
        let series = (part.to_owned(), labels, value);
        let twice = family
            .series
            .iter()
            .any(|(p, l, _)| (p, l) == (&series.0, &series.1));
        assert!(!twice, "{line}");
        family.series.push(series);
    }
    families
}

/// Splits labels from what follows them; a quote or line feed within a value must be escaped.
fn labels(rest: &str) -> (String, &str) {
    let Some(mut rest) = rest.strip_prefix('{') else {
        return (String::new(), rest);
    };
    let mut labels = Vec::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect(rest);
        let valid = |c: char| c == '_' || c.is_ascii_alphanumeric();
        assert!(name.chars().all(valid), "{name:?} in {rest}");
        let mut escaped = false;
        let end = value.find(|c| match c {
            _ if escaped => {
                escaped = false;
                assert!(['\\', '"', 'n'].contains(&c), "{value}");
                false
            }
            '\\' => {
                escaped = true;
                false
            }
            c => c == '"',
        });
        let (value, after) = value.split_at(end.expect(rest));
        labels.push(format!("{name}={value}"));
        match after.split_at(2) {
            ("\",", more) => rest = more,
            ("\"}", more) => {
                let count = labels.len();
                labels.sort();
                labels.dedup_by_key(|label| label.split('=').next().map(str::to_owned));
                assert_eq!(labels.len(), count, "a label twice: {labels:?}");
                return (labels.join(","), more);
            }
            _ => panic!("{after}"),
        }
    }
}

#[test]
fn the_text_keeps_the_formats_rules() {
    let families = parse(&text(&sample()));
    assert_eq!(families["heartprobe_target_up"].series.len(), 4);
    assert_eq!(families["heartprobe_target_rtt_seconds"].series.len(), 3);
    assert_eq!(
        families["heartprobe_targets"].series.len(),
        2 * State::ALL.len()
    );
}

#[test]
fn histograms_add_up() {
    for (name, family) in parse(&text(&sample())) {
        if family.kind != "histogram" {
            continue;
        }
        let mut last = 0.0;
        for (part, labels, value) in &family.series {
            if part == "_bucket" {
                assert!(*value >= last, "{name} {labels}");
                last = *value;
            } else if part == "_count" {
                assert!((value - last).abs() < 0.5, "{name} {labels}");
                last = 0.0;
            }
        }
    }
}

#[test]
fn an_empty_fleet_is_no_error() {
    let exporter = Exporter {
        live: Arc::new(Live::new(Arc::new(Table::in_memory(0).unwrap()), 0, 1)),
        vitals: Arc::default(),
        sources: Vec::new(),
    };
    let families = parse(&text(&exporter));
    assert!(families["heartprobe_target_up"].series.is_empty());
    assert_eq!(
        families["heartprobe_pongs_total"].series.len(),
        Fate::ALL.len()
    );
}

/// `docs/metrics.md` describes each metric under a heading of its own, with its type, and names none that is not there.
#[test]
fn the_document_and_the_metrics_agree() {
    let document = include_str!("../../../docs/metrics.md");
    let families = parse(&text(&sample()));
    let mut described: Vec<_> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.split_once("` · "))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let mut written: Vec<_> = families
        .iter()
        .map(|(name, family)| (name.clone(), family.kind.clone()))
        .collect();
    described.sort();
    written.sort();
    assert_eq!(described, written);

    let words = document.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
    for name in words.filter(|word| word.starts_with("heartprobe_")) {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| families.get(name.strip_suffix(part)?))
            .filter(|family| family.kind == "histogram");
        assert!(
            families.contains_key(name) || family.is_some(),
            "{name} is no metric"
        );
    }
}
