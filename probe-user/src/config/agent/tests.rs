use std::collections::BTreeSet;

use super::*;

/// Reads a configuration that has no key files.
fn read(text: &str) -> Result<Agent, String> {
    let mut problems = Problems::new(path::Path::new("agent.yml"));
    let folder = path::Path::new("/nonexistent");
    match parse(text.as_bytes(), folder, &mut problems) {
        Some(agent) if problems.len() == 0 => Ok(agent),
        _ => Err(problems.into_errors().to_string()),
    }
}

/// What is said about a wrong configuration.
#[track_caller]
fn says(text: &str) -> String {
    read(text).expect_err("it should be refused")
}

#[test]
fn the_least_that_is_needed() {
    let agent = read("monitors: [mon-1.example.org]").unwrap();
    assert_eq!(agent.host, health::host_name());
    assert_eq!(agent.reflect, Some(Places::default()));
    assert_eq!(&*agent.monitors[0].text, "mon-1.example.org");
    assert!(agent.ack && !agent.keyed && agent.services.is_empty());
    assert_eq!(agent.beat_interval, Duration::from_secs(5));
    assert_eq!(agent.session, Duration::ZERO);
}

#[test]
fn all_that_can_be_said() {
    let agent = read(
        r#"
host: web-1
reflect: {listen: ["0.0.0.0:4862", "[::1]:4862"], xdp: [eth0], xdp_mode: native}
monitors: ["mon-1.example.org", "192.0.2.1:4863"]
ack: false
session_timeout: 30s
services:
  - {name: nginx, check: {systemd: nginx.service}, interval: 5s, timeout: 1s}
  - {name: db, check: {pid_file: /run/db.pid}}
  - {name: queue, check: {process: rabbit}}
  - {name: port, check: {tcp: "[::1]:80"}}
  - {name: page, check: {http: "http://localhost:8080/health"}}
  - {name: script, check: {command: [/bin/check, --deep]}, interval: 1m}
  - {name: backup, check: {file: {path: stamp, fresh: 10m}}}
"#,
    )
    .unwrap();
    let places = agent.reflect.unwrap();
    assert_eq!((places.listen.len(), places.xdp_mode), (2, Want::Native));
    assert_eq!(places.xdp, ["eth0"]);
    assert_eq!(agent.host, "web-1");
    assert!(!agent.ack);
    assert_eq!(agent.beat_interval, Duration::from_secs(10));
    let first = &agent.services[0];
    assert_eq!(first.interval, Duration::from_secs(5));
    assert_eq!(first.timeout, Duration::from_secs(1));
    let checks: Vec<String> = { agent.services.iter() }
        .map(|service| service.check.to_string())
        .collect();
    assert_eq!(
        checks,
        [
            "systemd nginx.service",
            "pid_file /run/db.pid",
            "process rabbit",
            "tcp [::1]:80",
            "http http://localhost:8080/health",
            "command /bin/check --deep",
            "file /nonexistent/stamp, fresh 10m",
        ]
    );
    assert_eq!(read("{monitors: [a], reflect: off}").unwrap().reflect, None);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, said) in [
        ("services: []", "agent.yml:1:1: monitors: is missing"),
        ("monitors: []", "monitors: names no monitor"),
        (
            "monitors: [a, a]",
            "agent.yml:1:15: monitors[1]: a is there twice",
        ),
        (
            "monitors: [192.0.2.0/24]",
            "is a block; name the monitors one by one",
        ),
        (
            "{monitors: [a], beat_intervall: 5s}",
            "did you mean beat_interval?",
        ),
        (
            "{monitors: [a], interval: 5s}",
            "the keys here are keys, host",
        ),
        (
            "{monitors: [a], session_timeout: 50ms}",
            "it must be 100ms to 7days",
        ),
        (
            "{monitors: [a], session_timeout: 5s, beat_interval: 6s}",
            "beat_interval: 6s is out of range; it must be 10ms to 5s",
        ),
        (
            "{monitors: [a], beat_interval: 5}",
            "missing unit: write 5s or 5ms",
        ),
        (
            "{monitors: [a], ack: maybe}",
            "write one of true, false, on, off",
        ),
        ("{monitors: [a], reflect: of}", "did you mean off?"),
        (
            "{monitors: [a], reflect: {listen: [eth0]}}",
            "is no address with a port",
        ),
        (
            "{monitors: [a], reflect: {xdp_mode: nativ}}",
            "did you mean native?",
        ),
        ("{monitors: [a], host: ''}", "host: is empty"),
    ] {
        let all = says(text);
        assert!(all.contains(said), "{text}\n{said:?} is not in {all:?}");
    }
}

#[test]
fn what_is_wrong_with_a_service_is_said() {
    for (service, said) in [
        ("{check: {process: a}}", "services[0].name: is missing"),
        ("{name: a}", "services[0].check: is missing"),
        (
            "{name: agent, check: {process: a}}",
            "the agent's own beats",
        ),
        ("{name: a, check: {}}", "needs one of systemd, pid_file"),
        (
            "{name: a, check: {process: a, tcp: 'a:1'}}",
            "a service has one check",
        ),
        ("{name: a, check: {sytemd: a}}", "did you mean systemd?"),
        ("{name: a, check: nginx}", "check: is a single value"),
        (
            "{name: a, check: {tcp: localhost}}",
            "has no port; write HOST:PORT",
        ),
        (
            "{name: a, check: {http: 'https://a/'}}",
            r#"services[0].check.http: TLS is not spoken here; write check: {command: [curl, -fsS, "https://a/"]}"#,
        ),
        (
            "{name: a, check: {command: curl -f x}}",
            "write a list: [curl, -f, x]",
        ),
        ("{name: a, check: {command: []}}", "names no program"),
        (
            "{name: a, check: {file: {path: /x}}}",
            "file.fresh: is missing",
        ),
        ("{name: a, check: {file: /x}}", "write a mapping"),
        (
            "{name: a, check: {process: a}, interval: 1ms}",
            "interval: 1ms is out of range",
        ),
        (
            "{name: a, check: {process: a}, timeout: 0s}",
            "timeout: 0s is out of range",
        ),
        (
            "{name: a, check: {process: a}, intervall: 1s}",
            "did you mean interval?",
        ),
    ] {
        let all = says(&format!("monitors: [m]\nservices:\n  - {service}\n"));
        assert!(all.contains(said), "{service}\n{said:?} is not in {all:?}");
        assert!(all.starts_with("agent.yml:3:"), "{all}");
        assert_eq!(all.lines().count(), 1, "{all}");
    }
    let twice = "monitors: [m]\nservices:\n  - &a {name: a, check: {process: a}}\n  - *a\n";
    assert!(says(twice).contains("is there already at agent.yml:3:"));
}

/// So that no key is forgotten, and none is described that is not there.
#[test]
fn the_documentation_describes_every_key() {
    let document = include_str!("../../../../docs/agent.md");
    let described: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(key, _)| key.rsplit_once('.').map_or(key, |(_, key)| key))
        .filter(|key| key.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'))
        .collect();
    let known: BTreeSet<&str> = [
        &TOP_KEYS[..],
        &super::super::KEY_KEYS,
        &REFLECT_KEYS,
        &SERVICE_KEYS,
        &check::KINDS,
        &check::FILE_KEYS,
    ]
    .concat()
    .into_iter()
    .collect();
    // The tables of metrics begin with names, too.
    let described: BTreeSet<&str> = described
        .into_iter()
        .filter(|key| !key.starts_with("heartprobe_"))
        .collect();
    assert_eq!(described, known);
}

#[test]
fn the_example_to_deploy_is_accepted() {
    let example = include_str!("../../../../deploy/agent.yml");
    let agent = read(example).unwrap();
    assert!(!agent.services.is_empty());
    // What it has in comments holds as well, but for the keys, whose files are not there.
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') || rest.starts_with("  ") => rest.to_owned(),
        _ => line.to_owned(),
    };
    let with_all: Vec<_> = example.lines().map(bare).collect();
    let said = says(&with_all.join("\n"));
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.lines().all(|line| line.contains(": keys.")), "{said}");
}
