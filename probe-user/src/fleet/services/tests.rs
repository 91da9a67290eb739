use super::*;

/// A fleet of one pinged group with these services, of the hosts with these names and last bytes of their addresses.
fn fleet(services: &[&str], hosts: &[(&str, u8)]) -> Fleet {
    let mut fleet = Fleet {
        groups: vec![Group {
            name: "web".into(),
            labels: vec![],
            gone: false,
        }],
        ..Fleet::default()
    };
    let promise = |name: &&str| Promise {
        name: (*name).into(),
        terms: AS_ASKED,
    };
    fleet.classes.push(Class {
        group: 0,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        late_after: Duration::from_secs(1),
        policy: Policy::default(),
        confirm_interval: None,
        pinged: true,
        services: services.iter().map(promise).collect(),
    });
    fleet.targets = hosts
        .iter()
        .map(|&(name, last)| {
            Some(Target {
                name: Some(name.into()),
                address: Some(([192, 0, 2, last], 4862).into()),
                class: 0,
            })
        })
        .collect();
    fleet
}

/// Its services: number, host, name.
fn list(fleet: &Fleet) -> Vec<(u32, String, String)> {
    let services = fleet.services().map(|(number, service)| {
        let host = fleet.host_of(service).unwrap().host().into_owned();
        (number, host, service.name.to_string())
    });
    services.collect()
}

fn entry(number: u32, host: &str, name: &str) -> (u32, String, String) {
    (number, host.into(), name.into())
}

fn heard(host: &str, service: &str, last: u8) -> Adopted {
    Adopted {
        identity: [identity(host), identity(service)],
        source: [192, 0, 2, last].into(),
    }
}

#[test]
fn every_target_has_the_services_of_its_class_and_who_stays_keeps_the_number() {
    let mut first = fleet(&["db", "web"], &[("a", 1), ("b", 2)]);
    first.place_services(&Fleet::default(), &[]);
    assert_eq!(
        list(&first),
        [
            entry(0, "a", "db"),
            entry(1, "a", "web"),
            entry(2, "b", "db"),
            entry(3, "b", "web")
        ]
    );
    assert_eq!(
        first.services[3].as_ref().unwrap().identity,
        [identity("b"), identity("web")]
    );
    let mut second = fleet(&["web", "mail"], &[("a", 1), ("b", 2)]);
    second.place_services(&first, &[]);
    assert_eq!(
        list(&second),
        [
            entry(1, "a", "web"),
            entry(3, "b", "web"),
            entry(4, "a", "mail"),
            entry(5, "b", "mail")
        ],
        "numbers that became free rest"
    );
}

#[test]
fn who_was_heard_is_adopted_by_the_name_or_address_of_its_host_or_gets_a_host() {
    let adopted = [
        heard("a", "cron", 9),
        heard("who", "web", 2),
        heard("who", "cron", 2),
        heard("else", "cron", 77),
        heard("else", "web", 77),
        heard("a", "web", 1),
    ];
    let mut fleet = fleet(&["web"], &[("a", 1), ("b", 2)]);
    fleet.add_hosts(&adopted);
    fleet.place_services(&Fleet::default(), &adopted);
    let cron = format!("{:016x}", identity("cron"));
    let host = format!("{:016x}", identity("else"));
    assert_eq!(
        list(&fleet),
        [
            entry(0, "a", "web"),
            entry(1, "b", "web"),
            entry(2, "a", &cron),
            entry(3, "b", &cron),
            entry(4, &host, &cron),
            entry(5, &host, "web"),
        ]
    );
    let added = fleet.targets[2].as_ref().unwrap();
    assert_eq!(&*fleet.group_of(added).name, AUTO_GROUP);
    assert!(!fleet.class_of(added).pinged);
    assert_eq!(fleet.targets.len(), 3, "each host once");
}
