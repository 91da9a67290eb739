use std::{collections::HashSet, fs};

use super::*;

const NONE: Services = Services {
    up: false,
    overdue: false,
    ended: false,
    unknown: false,
    loaded: false,
    outlived: false,
    arrive: false,
};

/// The columns of the table in docs/verdicts.md.
const COLUMNS: [(&str, Services); 7] = [
    ("no services", NONE),
    ("live", Services { up: true, ..NONE }),
    (
        "live, beats arrive",
        Services {
            up: true,
            arrive: true,
            ..NONE
        },
    ),
    (
        "overdue",
        Services {
            overdue: true,
            ..NONE
        },
    ),
    (
        "one ended, another lives",
        Services {
            up: true,
            ended: true,
            outlived: true,
            ..NONE
        },
    ),
    (
        "all ended",
        Services {
            ended: true,
            outlived: true,
            ..NONE
        },
    ),
    (
        "not to be heard",
        Services {
            unknown: true,
            ..NONE
        },
    ),
];

/// Its rows: what pings hold the host to be.
const ROWS: [(&str, Option<State>); 7] = [
    ("pending", Some(State::Pending)),
    ("up", Some(State::Up)),
    ("overloaded", Some(State::Overloaded)),
    ("critical", Some(State::Critical)),
    ("dead", Some(State::Dead)),
    ("unknown", Some(State::Unknown)),
    ("not pinged", None),
];

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<&str> {
    let line = line.trim().trim_matches('|');
    line.split('|')
        .map(|cell| cell.trim().trim_matches(['`', '*']))
        .collect()
}

#[test]
fn the_documented_table_holds_cell_by_cell() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/verdicts.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("## Host and services").unwrap();
    let mut lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let columns: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    assert_eq!(cells(lines.next().unwrap())[1..], columns);
    lines.next();
    for (name, pings) in ROWS {
        let cells = cells(lines.next().unwrap());
        assert_eq!(cells[0], name);
        assert_eq!(cells.len(), 1 + COLUMNS.len());
        for ((column, services), cell) in COLUMNS.into_iter().zip(&cells[1..]) {
            for before in State::ALL {
                assert_eq!(
                    verdict(pings, services, before).name(),
                    *cell,
                    "{name}, {column}, was {}",
                    before.name()
                );
            }
        }
    }
    assert!(!lines.next().unwrap().starts_with('|'), "no more rows");
}

fn all() -> impl Iterator<Item = (Option<State>, Services, State)> {
    let pings = State::ALL
        .into_iter()
        .filter(|&state| state != State::Zombie)
        .map(Some)
        .chain([None]);
    pings.flat_map(|pings| {
        (0..1_u32 << 7).flat_map(move |bits| {
            let bit = |n: u32| bits >> n & 1 != 0;
            let services = Services {
                up: bit(0),
                overdue: bit(1),
                ended: bit(2),
                unknown: bit(3),
                loaded: bit(4),
                outlived: bit(5),
                arrive: bit(6),
            };
            State::ALL.map(|before| (pings, services, before))
        })
    })
}

#[test]
fn whatever_is_known_no_rule_is_broken() {
    let mut seen = HashSet::new();
    for (pings, services, before) in all() {
        let verdict = verdict(pings, services, before);
        seen.insert(verdict);
        let said = format!("{pings:?} {services:?} {before:?}: {verdict:?}");
        match verdict {
            State::Zombie => {
                assert!(services.ended, "{said}");
                let lives = pings.map_or(services.up || services.overdue, State::is_up);
                assert!(lives, "a zombie's host shows that it lives: {said}");
            }
            State::Dead => {
                assert!(pings.is_none_or(|pings| pings == State::Dead), "{said}");
                assert!(!(pings.is_some() && services.arrive), "{said}");
                assert!(pings.is_some() || !services.up, "{said}");
            }
            State::Up | State::Overloaded => {
                assert!(pings.map_or(services.up, State::is_up), "{said}");
            }
            State::Pending | State::Unknown | State::Critical => {
                assert!(pings.is_none_or(|pings| !pings.is_up()), "{said}");
            }
        }
    }
    assert_eq!(seen.len(), State::ALL.len(), "each is given");
}

#[test]
fn a_zombie_is_one_only_once_its_host_was_seen_to_outlive_the_service() {
    let both = Services {
        ended: true,
        ..NONE
    };
    let up = Some(State::Up);
    assert_eq!(verdict(up, both, State::Up), State::Up);
    let outlived = Services {
        outlived: true,
        ..both
    };
    assert_eq!(verdict(up, outlived, State::Up), State::Zombie);
    assert_eq!(
        verdict(up, both, State::Zombie),
        State::Zombie,
        "it stays one"
    );
    assert_eq!(
        verdict(Some(State::Critical), both, State::Zombie),
        State::Critical
    );
}

#[test]
fn a_host_that_is_not_pinged_may_be_overloaded() {
    let loaded = Services {
        up: true,
        loaded: true,
        ..NONE
    };
    assert_eq!(verdict(None, loaded, State::Up), State::Overloaded);
}
