mod beats;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;
use crate::core::verdict::{Overload, Policy};

/// Reads a configuration that has no key files.
fn read(text: &str) -> Result<Config, String> {
    let mut problems = Problems::new(path::Path::new("hp.yml"));
    let config = parse(
        text.as_bytes(),
        path::Path::new("/nonexistent"),
        &mut problems,
    );
    match config {
        Some(config) if problems.len() == 0 => Ok(config),
        _ => Err(problems.into_errors().to_string()),
    }
}

/// What is said about a wrong configuration.
#[track_caller]
fn says(text: &str) -> String {
    read(text).expect_err("it should be refused")
}

/// The labels of all targets.
fn labels(config: Config) -> Vec<String> {
    let fleet = config.fleet(|_| None);
    fleet
        .iter()
        .map(|(_, target)| target.label().to_string())
        .collect()
}

const DESIGN: &str = r#"
defaults: {interval: 5s, timeout: 1s, late_after: 250ms, critical_after: 2, dead_after: 3, up_after: 1}
groups:
  - name: web
    interval: 1s                          # any key of defaults
    labels: {dc: ams, rack: 007, ratio: 1.10, spare: off}
    targets: [192.0.2.10, "web-2.example.org:4862", 198.51.100.0/29, "[2001:db8::7]:4863"]
    overrides: [{match: 192.0.2.10, late_after: 50ms}]
"#;

#[test]
fn the_example_of_the_design() {
    let config = read(DESIGN).unwrap();
    assert_eq!(config.xdp, Some(Want::Auto));
    assert!(!config.keyed && config.keys == [Key::default(); 2]);
    let texts = [
        ("dc", "ams"),
        ("rack", "007"),
        ("ratio", "1.10"),
        ("spare", "off"),
    ];
    assert_eq!(
        config.groups[0].labels,
        texts.map(|(name, value)| (name.to_owned(), value.to_owned())),
        "labels are texts, whatever YAML takes them for"
    );
    assert_eq!(config.classes.len(), 2);
    assert_eq!(config.classes[0].late_after, Duration::from_millis(50));
    assert_eq!(config.classes[1].late_after, Duration::from_millis(250));
    assert_eq!(config.classes[1].interval, Duration::from_secs(1));
    assert_eq!(config.classes[1].policy, Policy::default());
    assert_eq!(config.targets[0].class, 0);
    assert!(config.targets[1..].iter().all(|target| target.class == 1));
    let names: Vec<_> = config.names().collect();
    let place = Place {
        line: 7,
        column: 27,
    };
    assert_eq!(names, [("web-2.example.org", place)]);
    assert_eq!(
        labels(config),
        [
            "192.0.2.10",
            "web-2.example.org",
            "198.51.100.1",
            "198.51.100.2",
            "198.51.100.3",
            "198.51.100.4",
            "198.51.100.5",
            "198.51.100.6",
            "[2001:db8::7]:4863",
        ]
    );
}

#[test]
fn labels_are_as_configured() {
    let config = read(
        "groups: [{name: a, port: 7, targets: [Web.Example.org, 192.0.2.1, '192.0.2.2:4862', '2001:0DB8::1', '[2001:db8::2]']}]",
    )
    .unwrap();
    let named: Vec<_> = config.targets.iter().map(|t| t.name.is_some()).collect();
    assert_eq!(named, [true, false, false, true, false]);
    assert_eq!(config.names().next().unwrap().0, "web.example.org");
    let shown = [
        "Web.Example.org:7",
        "192.0.2.1:7",
        "192.0.2.2",
        "[2001:0DB8::1]:7",
        "[2001:db8::2]:7",
    ];
    assert_eq!(labels(config), shown);
}

#[test]
fn names_resolve_when_the_fleet_is_made() {
    let config = read("groups: [{name: a, targets: [a.example:9, b.example]}]").unwrap();
    let fleet = config.fleet(|name| (name == "a.example").then_some([192, 0, 2, 1].into()));
    let addresses: Vec<_> = fleet.iter().map(|(_, target)| target.address).collect();
    assert_eq!(addresses, [Some(([192, 0, 2, 1], 9).into()), None]);
}

#[test]
fn unknown_keys() {
    assert_eq!(
        says("groups: [{name: a, intervall: 1s, targets: []}]\ninterval: 5s\nzzz: 1"),
        "hp.yml:1:20: groups[0].intervall: unknown key; did you mean interval?\n\
         hp.yml:2:1: interval: unknown key; interval belongs under defaults or under a group\n\
         hp.yml:3:1: zzz: unknown key; the keys here are keys, engine, pumps, source_ports, source_port, dscp, xdp, interfaces, services, metrics, defaults, groups"
    );
}

#[test]
fn durations() {
    assert_eq!(
        says(
            "defaults:\n  interval: 5\n  timeout: 1sex\n  late_after: 9s\ngroups: [{name: a, targets: []}]"
        ),
        "hp.yml:2:13: defaults.interval: \"5\": missing unit: write 5s or 5ms\n\
         hp.yml:3:12: defaults.timeout: \"1sex\": unknown unit \"sex\"; did you mean sec?\n\
         hp.yml:4:15: defaults.late_after: 9s is out of range; it must be 1us to 4s"
    );
}

#[test]
fn an_interval_shorter_than_its_timeout() {
    assert_eq!(
        says("groups:\n- name: a\n  interval: 500ms\n  targets: [192.0.2.1]"),
        "hp.yml:3:13: groups[0].interval: interval 500ms is shorter than timeout 1s; make the timeout 500ms or less, or the interval longer"
    );
    // The more special section is to blame, be it an override that comes to no target alone.
    assert_eq!(
        says(
            "groups:\n- name: a\n  interval: 2s\n  targets: [192.0.2.1]\n  overrides: [{match: 192.0.2.0/24, timeout: 3s}]"
        ),
        "hp.yml:5:46: groups[0].overrides[0].timeout: interval 2s is shorter than timeout 3s; make the timeout 2s or less, or the interval longer"
    );
}

#[test]
fn late_after_follows_a_short_timeout_unless_it_is_set() {
    let config = read("groups: [{name: a, timeout: 100ms, targets: [192.0.2.1]}]").unwrap();
    assert_eq!(config.classes[0].late_after, Duration::from_millis(50));
    assert_eq!(
        says(
            "defaults: {late_after: 250ms}\ngroups: [{name: a, timeout: 100ms, targets: [192.0.2.1]}]"
        ),
        "hp.yml:2:29: groups[0].timeout: late_after 250ms is longer than timeout 100ms: nothing would ever be late; make late_after 100ms or less"
    );
}

#[test]
fn counts() {
    assert_eq!(
        says(
            "defaults: {critical_after: 1, up_after: 0, port: 70000, dead_after: -3}\ngroups: [{name: a, targets: []}]"
        ),
        "hp.yml:1:28: defaults.critical_after: 1 is out of range; one single miss never changes a verdict, so it must be 2 to 100\n\
         hp.yml:1:41: defaults.up_after: 0 is out of range; it must be 1 to 100\n\
         hp.yml:1:50: defaults.port: 70000 is no port; ports are 1 to 65535\n\
         hp.yml:1:69: defaults.dead_after: \"-3\" is no whole number; write digits alone"
    );
    assert_eq!(
        says("groups: [{name: a, critical_after: 5, targets: []}]"),
        "hp.yml:1:36: groups[0].critical_after: dead_after 3 is less than critical_after 5; make dead_after 5 or more"
    );
}

#[test]
fn duplicates_name_both_places() {
    assert_eq!(
        says(
            "groups:\n- name: a\n  targets:\n  - 192.0.2.0/29\n  - 192.0.2.1\n  - a.example\n  - A.example:4862\n  - 192.0.2.2:4863\n  - 192.0.2.0/30"
        ),
        "hp.yml:5:5: groups[0].targets[1]: duplicate target: 192.0.2.1 is there already at hp.yml:4:5; leave one out\n\
         hp.yml:7:5: groups[0].targets[3]: duplicate target: A.example is there already at hp.yml:6:5; leave one out\n\
         hp.yml:9:5: groups[0].targets[5]: duplicate target: 192.0.2.1 and 1 more is there already at hp.yml:4:5; leave one out"
    );
    let two = "groups: [{name: a, targets: [192.0.2.1]}, {name: b, targets: [192.0.2.1]}]";
    assert_eq!(read(two).unwrap().targets.len(), 2, "of two groups");
}

#[test]
fn targets_that_are_none() {
    assert_eq!(
        says("groups: [{name: a, targets: [192.0.2.7/24, 192.0.2.0/33, 10.0.0.0/8, [x], null]}]"),
        "hp.yml:1:30: groups[0].targets[0]: 192.0.2.7/24 has host bits set; write 192.0.2.0/24 for the block or 192.0.2.7 for the host\n\
         hp.yml:1:44: groups[0].targets[1]: \"33\" is no length of a block; lengths are 0 to 32, as in 192.0.2.0/32\n\
         hp.yml:1:58: groups[0].targets[2]: 10.0.0.0/8 has 16777214 targets; with the 0 before it that is more than the 1048576 that one monitor takes\n\
         hp.yml:1:70: groups[0].targets[3]: is a list; write a single value\n\
         hp.yml:1:75: groups[0].targets[4]: is nothing; write a single value"
    );
}

#[test]
fn key_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hp.yml");
    let groups = "groups: [{name: a, targets: []}]";
    fs::write(
        folder.path().join("key"),
        "000102030405060708090a0b0c0d0e0f\n",
    )
    .unwrap();
    fs::write(folder.path().join("bad"), "nonsense").unwrap();

    fs::write(&file, format!("keys: {{current: key}}\n{groups}")).unwrap();
    let config = load(&file).unwrap();
    let key = Key::from_bytes(std::array::from_fn(|i| i as u8));
    assert!(config.keyed && config.keys == [key; 2]);

    fs::write(
        &file,
        format!("keys: {{current: bad, previous: none}}\n{groups}"),
    )
    .unwrap();
    let said = load(&file).unwrap_err().to_string();
    let said = said.replace(folder.path().to_str().unwrap(), "DIR");
    assert_eq!(
        said,
        "DIR/hp.yml:1:17: keys.current: DIR/bad: a key is 32 hex digits, this file holds 8 characters, 2 of them hex digits; make one with: heartprobe keygen --out FILE\n\
         DIR/hp.yml:1:32: keys.previous: cannot read the key file DIR/none: No such file or directory (os error 2)"
    );
    assert_eq!(
        says(&format!("keys: {{previous: key}}\n{groups}"))
            .lines()
            .count(),
        2,
        "unreadable, and no current one"
    );
}

#[test]
fn a_file_that_is_not_there() {
    let said = load(path::Path::new("/nonexistent/hp.yml")).unwrap_err();
    assert_eq!(
        said.to_string(),
        "/nonexistent/hp.yml: cannot read the configuration: No such file or directory (os error 2)"
    );
}

#[test]
fn overrides() {
    assert_eq!(
        says(
            "groups: [{name: a, targets: [192.0.2.1, 'b.example:9'], overrides: [{match: 192.0.2.2}, {match: 'b.example:9'}, {port: 9}, x, {match: b.example}, {match: c.example}]}]"
        ),
        "hp.yml:1:77: groups[0].overrides[0].match: 192.0.2.2 matches no target of the group\n\
         hp.yml:1:97: groups[0].overrides[1].match: \"b.example:9\" has a port; an override is for every port of a host, leave :9 out\n\
         hp.yml:1:113: groups[0].overrides[2].match: is missing; write the address, name or block it is for\n\
         hp.yml:1:124: groups[0].overrides[3]: is a single value; write a mapping of keys to values\n\
         hp.yml:1:155: groups[0].overrides[5].match: c.example matches no target of the group"
    );
    let config = read(
        "groups: [{name: a, targets: [192.0.2.0/30, b.example], overrides: [{match: 192.0.2.1, up_after: 3, port: 9}, {match: 192.0.2.0/24, up_after: 2}, {match: B.example, up_after: 2}]}]",
    )
    .unwrap();
    let seen: Vec<_> = config
        .targets
        .iter()
        .map(|t| (config.classes[usize::from(t.class)].policy.up_after, t.port))
        .collect();
    assert_eq!(
        seen,
        [(2, 9), (2, 4862), (2, 4862)],
        "later ones win, key by key"
    );
    assert_eq!(config.classes.len(), 1, "what is alike is one class");
}

#[test]
fn groups() {
    let missing = "groups: is missing; a configuration needs at least one group of targets";
    assert_eq!(says(""), format!("hp.yml:1:1: {missing}"));
    assert_eq!(says("engine: socket"), format!("hp.yml:1:1: {missing}"));
    assert_eq!(
        says("groups: []"),
        "hp.yml:1:9: groups: holds no group; write at least one"
    );
    assert_eq!(
        says(
            "groups:\n- {name: a, targets: []}\n- {name: a, targets: []}\n- {targets: []}\n- {name: ''}\n- x"
        ),
        "hp.yml:3:10: groups[1].name: a group \"a\" is there already at hp.yml:2:10; merge them or choose another name\n\
         hp.yml:4:3: groups[2].name: is missing; a group needs a name\n\
         hp.yml:5:3: groups[3].targets: is missing; write a list of addresses, names and blocks\n\
         hp.yml:5:10: groups[3].name: is empty; a group needs a name\n\
         hp.yml:6:3: groups[4]: is a single value; write a mapping of keys to values"
    );
}

#[test]
fn label_names() {
    assert_eq!(
        says("groups: [{name: a, labels: {group: x, 9x: y, __z: 1, ok: null}, targets: []}]"),
        "hp.yml:1:29: groups[0].labels.group: the label group is taken; choose another name\n\
         hp.yml:1:39: groups[0].labels.9x: is no label name; it takes letters, digits and _, and begins with no digit\n\
         hp.yml:1:46: groups[0].labels.__z: the label __z is taken; choose another name\n\
         hp.yml:1:58: groups[0].labels.ok: is nothing; write a single value"
    );
}

#[test]
fn engine_and_xdp() {
    let groups = "groups: [{name: a, targets: []}]";
    let config = read(&format!(
        "engine: socket\nxdp: off\ninterfaces: [eth0, eth1]\n{groups}"
    ))
    .unwrap();
    assert_eq!(config.xdp, None);
    assert_eq!(config.interfaces.unwrap(), ["eth0", "eth1"]);
    assert_eq!(
        says(&format!(
            "engine: kernel\nxdp: natve\ninterfaces: [eth0, eth0, 'a b']\n{groups}"
        )),
        "hp.yml:2:6: xdp: \"natve\" is not known; did you mean native?\n\
         hp.yml:3:20: interfaces[1]: eth0 is there twice; leave one out\n\
         hp.yml:3:26: interfaces[2]: \"a b\" is no name of an interface; see: ip link"
    );
}

#[test]
fn series_of_targets() {
    let groups = "groups: [{name: a, targets: [192.0.2.1]}]";
    let detail = |text: &str| read(&format!("{text}\n{groups}")).unwrap().detail();
    assert_eq!(detail(""), Detail::All);
    assert_eq!(detail("metrics: {detail: groups}"), Detail::Groups);
    let block = "groups: [{name: a, targets: [10.0.0.0/15]}]";
    assert_eq!(read(block).unwrap().detail(), Detail::Exceptions);
    assert_eq!(
        says(&format!("metrics: {{detail: none, deatil: all}}\n{groups}")),
        "hp.yml:1:19: metrics.detail: \"none\" is not known; write one of all, exceptions, groups\n\
         hp.yml:1:25: metrics.deatil: unknown key; did you mean detail?"
    );
}

#[test]
fn loads_that_are_too_much() {
    let overload = |text: &str| {
        let config = read(&format!(
            "groups: [{{name: a, {text}, targets: [192.0.2.1]}}]"
        ));
        let Overload { cpu, memory } = config.unwrap().classes[0].policy.overload;
        (cpu, memory)
    };
    assert_eq!(overload("port: 1"), (u16::MAX, u16::MAX));
    assert_eq!(
        overload("overload_cpu: 90%, overload_memory: 95.5%"),
        (9_000, 9_550)
    );
    assert_eq!(
        says(
            "defaults: {overload_cpu: 90, overload_memory: 101%}\ngroups: [{name: a, overload_cpu: -1%, targets: []}]"
        ),
        "hp.yml:1:26: defaults.overload_cpu: \"90\" is no share; write 0% to 100%\n\
         hp.yml:1:47: defaults.overload_memory: \"101%\" is no share; write 0% to 100%\n\
         hp.yml:2:34: groups[0].overload_cpu: \"-1%\" is no share; write 0% to 100%"
    );
}

#[test]
fn silence_may_be_confirmed() {
    let config = read(
        "defaults: {confirm_interval: 500ms}\n\
         groups:\n\
         - {name: a, targets: [192.0.2.1, 192.0.2.2], overrides: [{match: 192.0.2.2, confirm_interval: off}]}\n\
         - {name: b, dead_after: 4, interval: 1s, targets: [192.0.2.3]}",
    )
    .unwrap();
    let [on, off, short] = &config.classes[..] else {
        panic!("{:?}", config.classes);
    };
    assert_eq!(on.time_to_miss(3), Duration::from_millis(6_750));
    assert_eq!(on.time_to_miss(2), Duration::from_millis(6_250));
    assert_eq!(off.time_to_miss(3), Duration::from_secs(16));
    assert_eq!(off.confirmation(), None);
    assert_eq!(short.time_to_miss(4), Duration::from_millis(3_250));
    assert_eq!(short.confirmation().map(|plan| plan.most), Some(3));
    assert_eq!((on.most_confirming(), short.most_confirming()), (0.4, 2.0));

    assert_eq!(
        says(
            "groups:\n\
             - {name: a, confirm_interval: 6s, targets: []}\n\
             - {name: b, confirm_interval: 10ms, dead_after: 100, targets: []}\n\
             - {name: c, confirm_interval: 5ms, targets: []}\n\
             - {name: d, confirm_interval: no, targets: []}"
        ),
        "hp.yml:2:31: groups[0].confirm_interval: confirm_interval 6s is longer than interval 5s: nothing would be known sooner; make it 5s or less\n\
         hp.yml:3:31: groups[1].confirm_interval: confirm_interval 10ms is too short for timeout 1s: more than 32 pings of a target would be out; make it 31ms250us or longer\n\
         hp.yml:4:31: groups[2].confirm_interval: 5ms is out of range; it must be 10ms to 1h\n\
         hp.yml:5:31: groups[3].confirm_interval: \"no\" is no duration; write one like 5s, 250ms or 1m30s"
    );
}

#[test]
fn how_pings_leave() {
    let groups = "groups: [{name: a, targets: []}]";
    assert_eq!(read(groups).unwrap().transmit, Transmit::default());
    let config = read(&format!(
        "engine: kernel\nsource_ports: 4\nsource_port: 40000\npumps: [2, 3]\ndscp: 46\n{groups}"
    ))
    .unwrap();
    let expected = Transmit {
        engine: Engine::Kernel,
        paths: 4,
        first_port: Some(40_000),
        pumps: vec![2, 3],
        dscp: 46,
    };
    assert_eq!(config.transmit, expected);
    assert_eq!(expected.traffic_class(), 0xb8);
    assert_eq!(
        says(&format!(
            "engine: kernle\nsource_ports: 3\nsource_port: 65505\npumps: [0, 0, 9999, x]\ndscp: 64\n{groups}"
        )),
        "hp.yml:1:9: engine: \"kernle\" is not known; did you mean kernel?\n\
         hp.yml:2:15: source_ports: 3 cannot be; write 1, 2, 4, 8 or 16\n\
         hp.yml:3:14: source_port: 65505 is out of range; it is the first of 32 ports and must be 1 to 65504\n\
         hp.yml:4:12: pumps[1]: CPU 0 is there twice; leave one out\n\
         hp.yml:4:15: pumps[2]: 9999 is no CPU; see: lscpu --extended\n\
         hp.yml:4:21: pumps[3]: \"x\" is no whole number; write digits alone\n\
         hp.yml:5:7: dscp: 64 is no DSCP; those are 0 to 63"
    );
    assert_eq!(
        says(&format!("engine: kernel\nxdp: off\n{groups}")),
        "hp.yml:1:9: engine: the kernel sends pings by the program that receives them; leave xdp: off out"
    );
}

#[test]
fn a_syntax_error_stands_alone() {
    for text in [
        "groups: [",
        "a: 1\na: 2",
        "groups:\n\t- x",
        "a: 1\n---\nb: 2",
    ] {
        let said = says(text);
        assert!(said.starts_with("hp.yml:"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains(" at line"), "{said}");
        assert!(!said.contains("Options"), "{said}");
    }
    let mut problems = Problems::new(path::Path::new("hp.yml"));
    assert!(parse(b"a: 1\nb: \xff", path::Path::new(""), &mut problems).is_none());
    assert_eq!(
        problems.into_errors().to_string(),
        "hp.yml:2:1: this line is not UTF-8"
    );
}

#[test]
fn a_million_targets() {
    let start = Instant::now();
    let config = read("groups: [{name: a, targets: [10.0.0.0/12, 192.0.2.1, 192.0.2.2], overrides: [{match: 10.1.0.0/16, up_after: 2}]}]").unwrap();
    let elapsed = start.elapsed();
    assert_eq!(config.targets.len(), targets::MOST_TARGETS);
    let ends = [0, (1 << 20) - 3].map(|number: usize| config.targets[number].host.clone());
    let expected = [[10, 0, 0, 1], [10, 15, 255, 254]].map(|ip| Host::Ip(ip.into()));
    assert_eq!(ends, expected);
    let strict = config.targets.iter().filter(|t| t.class == 1).count();
    assert_eq!(strict, 1 << 16);
    // Unoptimised code on a busy machine: this finds only what grows with the square.
    assert!(elapsed < Duration::from_secs(30), "{elapsed:?}");
    let one_more =
        "groups: [{name: a, targets: [10.0.0.0/12, 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4]}]";
    assert_eq!(
        says(one_more),
        "hp.yml:1:65: groups[0].targets[3]: 192.0.2.3 has 1 target; with the 1048576 before it that is more than the 1048576 that one monitor takes"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text: Vec<u8>) {
        let mut problems = Problems::new(path::Path::new("hp.yml"));
        let config = parse(&text, path::Path::new(""), &mut problems);
        prop_assert!(config.is_none() || problems.len() > 0);
    }

    #[test]
    fn nor_does_what_looks_like_yaml(text in "(groups|name|targets|overrides|match|port|interval|keys|[-:{}\\[\\], \n&*!'\"0-9s./]|<<){0,60}") {
        let _ = read(&text);
    }

    #[test]
    fn nor_a_design_with_a_hole(start in 0..DESIGN.len(), len in 0..20_usize, put in "[ -~]{0,3}") {
        let end = (start + len).min(DESIGN.len());
        let _ = read(&format!("{}{put}{}", &DESIGN[..start], &DESIGN[end..]));
    }
}

/// So that no key is forgotten, and none is described that is not there.
#[test]
fn the_documentation_describes_every_key() {
    let document = include_str!("../../../docs/configuration.md");
    // Rows of tables that begin with one single key, and so not with the ways to write a target.
    let described: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(key, _)| key.rsplit_once('.').map_or(key, |(_, key)| key))
        .filter(|key| key.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'))
        .collect();
    let known: BTreeSet<&str> = [
        &TOP_KEYS[..],
        &KEY_KEYS,
        &METRICS_KEYS,
        &services::TOP_KEYS,
        &services::KEYS,
        &Settings::KEYS,
        &groups::KEYS,
        &[overrides::KEY],
    ]
    .concat()
    .into_iter()
    .collect();
    assert_eq!(described, known);
}

#[test]
fn the_example_to_deploy_is_accepted() {
    let example = include_str!("../../../deploy/heartprobe.yml");
    let config = read(example).unwrap();
    assert_eq!(config.targets.len(), 3 + 254 + 1);
    // What it has in comments holds as well, but for the keys, whose files are not there.
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') || rest.starts_with("  ") => rest.to_owned(),
        _ => line.to_owned(),
    };
    let with_all: Vec<_> = example.lines().map(bare).collect();
    let with_all = with_all.join("\n");
    let said = says(&with_all);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.lines().all(|line| line.contains(": keys.")), "{said}");
}
