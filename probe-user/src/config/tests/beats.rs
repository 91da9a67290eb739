//! Services and their beats in the configuration.

use super::*;

/// The services of each target: name, session timeout and beat interval in ns.
fn services(config: &Config) -> Vec<Vec<(String, u64, u64)>> {
    let of_target = |target: &Wanted| {
        let class = &config.classes[usize::from(target.class)];
        let services = class.services.iter().map(|promise| {
            let terms = promise.terms;
            (promise.name.to_string(), terms.timeout, terms.interval)
        });
        services.collect()
    };
    config.targets.iter().map(of_target).collect()
}

#[test]
fn services_of_groups_and_of_single_targets() {
    let config = read(
        "defaults: {session_timeout: 10s, beat_interval: 2s}
groups:
  - name: db
    services: [agent, {name: backup, session_timeout: 26h}, {name: pg, beat_interval: 1s}]
    targets: [192.0.2.1, 192.0.2.2, 192.0.2.3]
    overrides:
      - {match: 192.0.2.2, services: []}
      - {match: 192.0.2.3, session_timeout: 20s}
",
    )
    .unwrap();
    let second = 1_000_000_000;
    let of_group = |timeout| {
        vec![
            ("agent".to_owned(), timeout, 2 * second),
            ("backup".to_owned(), 26 * 3600 * second, 0),
            ("pg".to_owned(), timeout, second),
        ]
    };
    assert_eq!(
        services(&config),
        [of_group(10 * second), vec![], of_group(20 * second)]
    );
    assert_eq!((config.services(), config.beats), (6, Beats::default()));
}

#[test]
fn how_beats_are_heard() {
    let groups = "groups: [{name: a, targets: [192.0.2.1]}]";
    let config = read(&format!("services: {{port: 9, auto: true}}\n{groups}")).unwrap();
    let expected = Beats {
        port: 9,
        adopt: 1000,
    };
    assert_eq!(config.beats, expected);
    let config = read(&format!("services: {{auto_most: 5}}\n{groups}")).unwrap();
    assert_eq!(config.beats.adopt, 0);
    let said = says(&format!(
        "services: {{port: 70000, auto: yes, auto_most: 0, prot: 1}}\n{groups}"
    ));
    for part in [
        "hp.yml:1:18: services.port: is no port",
        "hp.yml:1:31: services.auto: \"yes\" is not known",
        "services.auto_most: 0 is out of range",
        "services.prot: unknown key; did you mean port?",
    ] {
        assert!(said.contains(part), "{part} not in\n{said}");
    }
}

#[test]
fn what_is_no_service() {
    let said = says(
        "groups:
  - name: a
    services: [{session_timeout: 5s}, x, x, {name: y, session_timeout: 1ms}, {name: z, session_timeout: 2s, beat_interval: 3s}, ' ']
    targets: [192.0.2.1]
",
    );
    for part in [
        "groups[0].services[0].name: is missing; a service needs a name",
        "groups[0].services[2]: a service \"x\" is there already at hp.yml:3:39",
        "services[3].session_timeout: 1ms is out of range; it must be 100ms to 7days",
        "beat_interval 3s of z is longer than session_timeout 2s",
        "groups[0].services[5]: is empty",
    ] {
        assert!(said.contains(part), "{part} not in\n{said}");
    }
}

#[test]
fn a_service_of_a_host_is_there_once() {
    let said = says(
        "groups:
  - {name: a, services: [x], targets: [192.0.2.1, 192.0.2.2]}
  - {name: b, services: [x, y], targets: [192.0.2.1]}
",
    );
    assert!(
        said.contains("hp.yml:3:43: services: service x of 192.0.2.1 is there already for the target at hp.yml:2:40"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn who_is_not_pinged_is_not_looked_up() {
    let config = read(
        "groups:
  - {name: a, pings: off, services: [x], targets: [laptop-1]}
  - {name: b, targets: [web.example.org]}
",
    )
    .unwrap();
    let names: Vec<_> = config.names().map(|(name, _)| name).collect();
    assert_eq!(names, ["web.example.org"]);
    let pinged: Vec<_> = config.classes.iter().map(|class| class.pinged).collect();
    assert_eq!(pinged, [false, true]);
}
