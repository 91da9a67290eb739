//! Services that beat: what their targets are held to be for it, and when.

use std::{
    fs,
    time::{Duration, Instant},
};

use heartprobe_tests::{
    behaviour::{Behaviour, answer, silent},
    config::{SLACK, after, fleet},
    daemon::{Daemon, State, folder},
    metrics::Scrape,
    net::{Net, WIRE},
    peer::Host,
    process::poll,
    require_root,
    service::{BEAT, Sender, Service},
};
use probe_common::siphash::Key;
use rustix::process::Signal;

const HOST: &str = "198.19.0.1";

/// Some beats of a service, and longer than a host that dies takes to be dead.
const SESSION: Duration = Duration::from_secs(1);

/// As [`fleet`], with a service `web` on each target.
fn watched(targets: &[&str]) -> String {
    with("session_timeout: 1s, services: [web]", &fleet(targets))
}

/// The configuration with these settings for all.
fn with(settings: &str, config: &str) -> String {
    config.replace("late_after:", &format!("{settings}, late_after:"))
}

/// Targets that are not pinged, each with these services.
fn push_only(targets: &str, services: &str) -> String {
    format!(
        "groups:\n- name: test\n  pings: off\n  session_timeout: 1s\n  services: [{services}]\n  targets: [{targets}]\n"
    )
}

/// Waits for a verdict that a session's end brings, since the last beat; it must not come before that.
fn until_session_ends(daemon: &Daemon<'_>, target: &str, state: State, last: Instant) -> Scrape {
    let what = format!("{target} is {state:?} at the session's end");
    let scrape = daemon.until(&what, SESSION + SLACK, |scrape| {
        scrape.state(target) == Some(state)
    });
    let took = last.elapsed();
    eprintln!("{what}: {took:?} after the last beat");
    assert!(took >= SESSION, "too soon: {took:?}\n{}", daemon.log());
    assert!(took < SESSION + SLACK, "too late: {took:?}");
    scrape
}

fn until_up(daemon: &Daemon<'_>, target: &str, service: &str) -> Scrape {
    daemon.until_service(target, service, State::Up, after(4));
    daemon.until_state(target, State::Up)
}

/// Lets so much time pass, in which the target's state must not change. Where it is pinged, [`Daemon::holds`] tells more.
fn holds_for(daemon: &Daemon<'_>, target: &str, state: State, time: Duration) {
    let changed = poll(time, || {
        Some(daemon.scrape().state(target)).filter(|&now| now != Some(state))
    });
    assert_eq!(changed, None, "{target}\n{}", daemon.log());
}

#[test]
fn a_service_that_ends_makes_its_host_a_zombie_and_one_that_beats_again_raises_it() {
    require_root!();
    for xdp in ["auto", "off"] {
        let net = Net::new();
        let _host = Host::start(&net.fleet, HOST);
        let config = format!("xdp: {xdp}\n{}", watched(&[HOST]));
        let daemon = Daemon::run(&net.monitor, &config);
        let service = Service::of(HOST, "web").start(&net.fleet);
        until_up(&daemon, HOST, "web");
        let scrape = daemon.until("ten beats", BEAT * 10 + SLACK, |scrape| {
            scrape.service("beats_total", HOST, "web") >= Some(10)
        });
        assert_eq!(scrape.service("up", HOST, "web"), Some(1));
        let age = [("target", HOST), ("service", "web")];
        let age = scrape.metric("heartprobe_service_beat_age_seconds", &age);
        assert!(age.is_some_and(|age| (0.0..1.0).contains(&age)), "{age:?}");

        let scrape = until_session_ends(&daemon, HOST, State::Zombie, service.stop());
        assert_eq!(scrape.service("up", HOST, "web"), Some(0));
        assert_eq!(scrape.service_state(HOST, "web"), Some(State::Dead));
        let counted = scrape.service("beats_total", HOST, "web");
        assert_eq!(counted, Some(service.count()), "each beat is counted once");
        assert_eq!(scrape.service("beats_lost_total", HOST, "web"), Some(0));
        let up = scrape.metric("heartprobe_target_up", &[("target", HOST)]);
        assert_eq!(up, Some(0.0));
        let dead = [("group", "test"), ("state", "dead")];
        assert_eq!(scrape.count("heartprobe_services", &dead), Some(1));
        let said = daemon.until_logged("zombie");
        assert!(said.contains("web") && said.contains(HOST), "{said}");
        daemon.holds(HOST, State::Zombie, 3);

        service.resume();
        let scrape = until_up(&daemon, HOST, "web");
        assert_eq!(scrape.changes_to("zombie"), 1);
        assert_eq!(scrape.changes_to("dead") + scrape.changes_to("critical"), 0);
        assert_eq!(scrape.service("restarts_total", HOST, "web"), Some(0));
    }
}

#[test]
fn pings_and_beats_together_make_the_verdict() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &watched(&[HOST]));
    let service = Service::of(HOST, "web").start(&net.fleet);
    // Whether the host answers, whether the service beats, and what that makes of the target.
    let steps = [
        (true, true, State::Up),
        (false, true, State::Critical),
        (false, false, State::Dead),
        (true, false, State::Zombie),
        (false, false, State::Dead),
        (false, true, State::Critical),
        (true, true, State::Up),
        (true, false, State::Zombie),
        (true, true, State::Up),
    ];
    for (at, (answers, beats, state)) in steps.into_iter().enumerate() {
        let behaviour: Behaviour = if answers { answer() } else { silent() };
        host.now(behaviour);
        if beats {
            service.resume();
        } else {
            service.stop();
        }
        eprintln!("step {at}: answers {answers}, beats {beats}");
        let scrape = daemon.until(&format!("step {at}"), SESSION + after(4), |scrape| {
            let arrive = scrape.metric("heartprobe_target_beats_arrive", &[("target", HOST)]);
            // While pings are answered nobody needs to be told.
            let told = answers || arrive == Some(f64::from(u8::from(beats)));
            scrape.state(HOST) == Some(state) && told
        });
        let up = scrape.service("up", HOST, "web");
        assert_eq!(up, Some(u64::from(beats)), "step {at}");
        daemon.holds(HOST, state, 4);
    }
}

#[test]
fn a_host_that_is_cut_off_is_dead_and_no_zombie() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &watched(&[HOST]));
    let service = Service::of(HOST, "web").start(&net.fleet);
    until_up(&daemon, HOST, "web");
    host.now(silent());
    service.stop();
    daemon.until("it is dead", SESSION + after(4), |scrape| {
        scrape.state(HOST) == Some(State::Dead)
    });
    let scrape = daemon.holds(HOST, State::Dead, 4);
    assert_eq!(scrape.changes_to("zombie"), 0, "{}", daemon.log());
    assert_eq!(scrape.service_state(HOST, "web"), Some(State::Dead));
}

#[test]
fn a_host_whose_pings_alone_are_lost_is_critical_and_never_dead_and_the_log_says_why() {
    require_root!();
    let net = Net::new();
    let host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &watched(&[HOST]));
    let _service = Service::of(HOST, "web").start(&net.fleet);
    until_up(&daemon, HOST, "web");
    host.now(silent());
    daemon.until_state(HOST, State::Critical);
    let scrape = daemon.holds(HOST, State::Critical, 8);
    assert!(scrape.missed(HOST) >= Some(8));
    let arrive = scrape.metric("heartprobe_target_beats_arrive", &[("target", HOST)]);
    assert_eq!(arrive, Some(1.0));
    let said = daemon.until_logged("critical");
    assert!(said.contains("beats") && said.contains("arrive"), "{said}");
    assert_eq!(scrape.changes_to("dead"), 0);
    host.now(answer());
    daemon.until_state(HOST, State::Up);
}

#[test]
fn a_service_that_never_beats_is_pending_for_a_session_and_then_dead() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let config = watched(&[HOST]).replace("session_timeout: 1s", "session_timeout: 3s");
    let daemon = Daemon::run(&net.monitor, &config);
    let scrape = daemon.until_state(HOST, State::Up);
    assert_eq!(scrape.service_state(HOST, "web"), Some(State::Pending));
    let within = Duration::from_secs(3) + SLACK;
    daemon.until_service(HOST, "web", State::Dead, within);
    let scrape = daemon.until_state(HOST, State::Zombie);
    assert_eq!(scrape.service("beats_total", HOST, "web"), Some(0));
}

#[test]
fn a_service_whose_beats_are_overdue_is_critical_before_its_session_ends() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let config = watched(&[HOST]).replace("1s", "1m, beat_interval: 200ms");
    let daemon = Daemon::run(&net.monitor, &config);
    let service = Service::of(HOST, "web").start(&net.fleet);
    until_up(&daemon, HOST, "web");
    service.stop();
    daemon.until_service(HOST, "web", State::Critical, after(4));
    let scrape = daemon.scrape();
    assert_eq!(scrape.changes_to("zombie") + scrape.changes_to("dead"), 0);
    service.resume();
    until_up(&daemon, HOST, "web");
}

#[test]
fn the_session_that_a_sender_asks_for_holds_where_no_section_sets_one() {
    require_root!();
    let net = Net::new();
    let hosts = [HOST, "198.19.0.2"];
    let _hosts = hosts.map(|host| Host::start(&net.fleet, host));
    let config = format!(
        "{}\x20   overrides: [{{match: 198.19.0.2, session_timeout: 1m}}]\n",
        with("services: [web]", &fleet(&hosts))
    );
    let daemon = Daemon::run(&net.monitor, &config);
    let services = hosts.map(|host| Service::of(host, "web").asks_for(SESSION).start(&net.fleet));
    for host in hosts {
        until_up(&daemon, host, "web");
    }
    let last = services.map(|service| service.stop());
    until_session_ends(&daemon, HOST, State::Zombie, last[0]);
    daemon.holds(hosts[1], State::Up, 4);
}

#[test]
fn beats_over_ipv6_count_as_well() {
    require_root!();
    let host = "2001:db8:1::1";
    for xdp in ["auto", "off"] {
        let net = Net::new();
        let _host = Host::start(&net.fleet, host);
        let config = format!("xdp: {xdp}\n{}", watched(&[host]));
        let daemon = Daemon::run(&net.monitor, &config);
        let service = Service::of(host, "web").with_acks().start(&net.fleet);
        until_up(&daemon, host, "web");
        heard(&daemon, &service, 5);
        let scrape = until_session_ends(&daemon, host, State::Zombie, service.stop());
        let counted = scrape.service("beats_total", host, "web");
        assert_eq!(counted, Some(service.count()));
    }
}

/// Waits until so many acks have come.
fn heard(daemon: &Daemon<'_>, service: &Sender, acks: u64) {
    let heard = poll(after(4), || (service.acks() >= acks).then_some(()));
    let said = (service.acks(), service.wrong_answers());
    assert!(heard.is_some(), "{said:?}\n{}", daemon.log());
}

#[test]
fn targets_that_are_not_pinged_are_judged_by_their_beats() {
    require_root!();
    let net = Net::new();
    let daemon = Daemon::run(&net.monitor, &push_only("web-1, web-2", "nginx, cron"));
    // Two hosts behind one address, such as a router's.
    let start = |host, name| Service::of(host, name).from(HOST).start(&net.fleet);
    let [nginx, cron] = ["nginx", "cron"].map(|name| start("web-1", name));
    let _others = ["nginx", "cron"].map(|name| start("web-2", name));
    for host in ["web-1", "web-2"] {
        daemon.until_state(host, State::Up);
    }
    let last = nginx.stop();
    let scrape = until_session_ends(&daemon, "web-1", State::Zombie, last);
    assert_eq!(scrape.service_state("web-1", "cron"), Some(State::Up));
    assert_eq!(scrape.state("web-2"), Some(State::Up));

    let scrape = until_session_ends(&daemon, "web-1", State::Dead, cron.stop());
    assert_eq!(scrape.state("web-2"), Some(State::Up));
    assert_eq!(scrape.changes(), 4, "web-2 changed once\n{}", daemon.log());

    cron.resume();
    daemon.until_state("web-1", State::Zombie);
    nginx.resume();
    daemon.until_state("web-1", State::Up);
    let scrape = daemon.scrape();
    assert_eq!(scrape.pings("web-1").unwrap_or_default(), 0);
    assert_eq!(scrape.sum("heartprobe_send_errors_total", &[]), 0);
    assert_eq!(scrape.beats("stranger"), 0);
    assert!(
        daemon.lines_with("DNS").is_empty(),
        "their names are not looked up\n{}",
        daemon.log()
    );
}

#[test]
fn beats_tell_load_and_boots_of_a_host_that_is_not_pinged() {
    require_root!();
    let net = Net::new();
    let config =
        push_only("web-1", "nginx").replace("pings: off", "pings: off\n  overload_cpu: 90%");
    let daemon = Daemon::run(&net.monitor, &config);
    let told = |cpu: u32, boot| {
        Service::of("web-1", "nginx")
            .from(HOST)
            .tells(cpu * 0x1_0000 + 5_000, boot)
    };
    let calm = told(9_000, 1).start(&net.fleet);
    daemon.until_state("web-1", State::Up);
    calm.stop();
    let _busy = told(9_100, 2).start(&net.fleet);
    let scrape = daemon.until_state("web-1", State::Overloaded);
    let host = [("target", "web-1")];
    assert_eq!(
        scrape.metric("heartprobe_target_cpu_load_ratio", &host),
        Some(0.91)
    );
    assert_eq!(
        scrape.count("heartprobe_target_boots_total", &host),
        Some(1)
    );
    assert_eq!(scrape.service("restarts_total", "web-1", "nginx"), Some(1));
}

#[test]
fn one_that_is_not_pinged_and_never_beats_is_dead() {
    require_root!();
    let net = Net::new();
    let daemon = Daemon::run(&net.monitor, &push_only("web-1", "nginx"));
    let scrape = daemon.until_state("web-1", State::Dead);
    assert_eq!(scrape.changes_to("up"), 0);
}

#[test]
fn a_host_whose_name_nobody_knows_is_told_by_its_address() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(&net.monitor, &watched(&[HOST, "198.19.0.2"]));
    let _service = Service::of("web-1.example.org", "web")
        .from(HOST)
        .start(&net.fleet);
    let scrape = until_up(&daemon, HOST, "web");
    assert_eq!(scrape.beats("stranger"), 0);
    let other = scrape.service("beats_total", "198.19.0.2", "web");
    assert_eq!(other, Some(0));
}

#[test]
fn services_that_nobody_configured_are_taken_up_to_the_most() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let auto = "services: {auto: true, auto_most: 2}\n";
    let daemon = Daemon::run(&net.monitor, &format!("{auto}{}", fleet(&[HOST])));
    let wrong = Key::from_bytes(*b"not the fleet's!");
    let _forger = Service::of(HOST, "forged").key(wrong).start(&net.fleet);
    daemon.until("forged beats", after(4), |scrape| {
        scrape.beats("forged") >= 3
    });
    let services = ["one", "two", "three"].map(|name| {
        let service = Service::of(HOST, name).with_acks().asks_for(SESSION);
        let service = service.start(&net.fleet);
        poll(after(4), || (service.count() >= 3).then_some(())).expect("it beats");
        service
    });
    let up = [("group", "test"), ("state", "up")];
    let scrape = daemon.until("two are up", after(4), |scrape| {
        scrape.count("heartprobe_services", &up) == Some(2) && scrape.beats("stranger") >= 3
    });
    let series = scrape.all("heartprobe_service_up", &[("target", HOST)]);
    assert_eq!(series.count(), 2);
    assert_eq!(services[2].acks(), 0);
    for service in &services[..2] {
        heard(&daemon, service, 3);
    }
    // One of them ends: the target is a zombie as with any other.
    until_session_ends(&daemon, HOST, State::Zombie, services[0].stop());
}

#[test]
fn a_reload_keeps_services_and_what_was_counted_and_forgets_those_that_are_gone() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    let daemon = Daemon::run(
        &net.monitor,
        &watched(&[HOST]).replace("[web]", "[web, cron]"),
    );
    let start = |name| Service::of(HOST, name).start(&net.fleet);
    let (web, cron) = (start("web"), start("cron"));
    for name in ["web", "cron"] {
        until_up(&daemon, HOST, name);
    }
    cron.stop();
    let before = daemon.until_state(HOST, State::Zombie);
    assert_eq!(before.service_state(HOST, "cron"), Some(State::Dead));

    // Another target, another service; both that were there stay as they are.
    daemon.reload(&watched(&["198.19.0.7", HOST]).replace("[web]", "[new, cron, web]"));
    daemon.until("the new service", after(4), |scrape| {
        scrape.service_state(HOST, "new").is_some()
    });
    let scrape = daemon.scrape();
    assert_eq!(scrape.service_state(HOST, "cron"), Some(State::Dead));
    assert_eq!(scrape.service_state(HOST, "web"), Some(State::Up));
    let beats = |scrape: &Scrape, name| scrape.service("beats_total", HOST, name);
    assert_eq!(beats(&scrape, "cron"), beats(&before, "cron"));
    assert!(beats(&scrape, "web") >= beats(&before, "web"));

    daemon.reload(&watched(&[HOST]));
    daemon.until_state(HOST, State::Up);
    let scrape = daemon.holds(HOST, State::Up, 4);
    assert_eq!(scrape.service_state(HOST, "cron"), None);
    let strangers = scrape.beats("stranger");
    cron.resume();
    daemon.until("strangers", after(4), |scrape| {
        scrape.beats("stranger") >= strangers + 3
    });
    web.stop();
    let scrape = daemon.until_state(HOST, State::Zombie);
    assert_eq!(beats(&scrape, "web"), Some(web.count()));
    assert_eq!(scrape.service("beats_lost_total", HOST, "web"), Some(0));
    assert_eq!(scrape.service("restarts_total", HOST, "web"), Some(0));
}

#[test]
fn a_monitor_that_cannot_hear_holds_no_service_dead() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, HOST);
    // One that is pinged and one that is not, by the same link.
    let pushed = "pings: off, session_timeout: 1s, services: [web], targets: [web-1]";
    let config = format!("{}\x20 - {{name: pushed, {pushed}}}\n", watched(&[HOST]));
    for side in [&net.fleet, &net.monitor] {
        let daemon = Daemon::run(&net.monitor, &config);
        let services =
            [HOST, "web-1"].map(|host| Service::of(host, "web").from(HOST).start(&net.fleet));
        for host in [HOST, "web-1"] {
            until_up(&daemon, host, "web");
        }
        side.ip(&format!("link set {WIRE} down"));
        for host in [HOST, "web-1"] {
            daemon.until_state(host, State::Unknown);
            holds_for(&daemon, host, State::Unknown, SESSION * 2);
        }
        let scrape = daemon.scrape();
        assert_eq!(scrape.service_state(HOST, "web"), Some(State::Unknown));
        side.ip(&format!("link set {WIRE} up"));
        net.route();
        for host in [HOST, "web-1"] {
            until_up(&daemon, host, "web");
        }
        let scrape = daemon.holds(HOST, State::Up, 4);
        let wrong = ["dead", "zombie"].map(|state| scrape.changes_to(state));
        assert_eq!(wrong, [0; 2], "{}", daemon.log());
        // From then on it judges as before.
        let [one, other] = services.map(|service| service.stop());
        until_session_ends(&daemon, HOST, State::Zombie, one);
        until_session_ends(&daemon, "web-1", State::Dead, other);
    }
}

#[test]
fn a_monitor_that_stalled_holds_no_service_dead() {
    require_root!();
    for xdp in ["auto", "off"] {
        let net = Net::new();
        let _host = Host::start(&net.fleet, HOST);
        let config = format!("xdp: {xdp}\n{}", watched(&[HOST]));
        let daemon = Daemon::run(&net.monitor, &config);
        let service = Service::of(HOST, "web").start(&net.fleet);
        let before = until_up(&daemon, HOST, "web");
        for _ in 0..3 {
            daemon.signal(Signal::STOP);
            let beats = service.count();
            // The stall itself, of more than a session.
            poll(SESSION * 2, || {
                (service.count() >= beats + 15).then_some(())
            });
            daemon.signal(Signal::CONT);
            let scrape = daemon.holds(HOST, State::Up, 2);
            assert_eq!(scrape.changes(), before.changes(), "{}", daemon.log());
            assert_eq!(scrape.service_state(HOST, "web"), Some(State::Up));
        }
        until_session_ends(&daemon, HOST, State::Zombie, service.stop());
        let scrape = daemon.scrape();
        let counted = scrape.service("beats_total", HOST, "web");
        assert_eq!(counted, Some(service.count()), "none is lost by a stall");
    }
}

#[test]
fn beats_with_the_previous_key_are_taken() {
    require_root!();
    let net = Net::new();
    let (new, old) = (
        "000102030405060708090a0b0c0d0e0f",
        "f0e0d0c0b0a090807060504030201000",
    );
    let hosts = [HOST, "198.19.0.2"];
    let folder = folder();
    let mut services = Vec::new();
    let mut answering = Vec::new();
    for (name, digits, host) in [("new", new, hosts[0]), ("old", old, hosts[1])] {
        fs::write(folder.path().join(name), format!("{digits}\n")).unwrap();
        let bytes = u128::from_str_radix(digits, 16).unwrap().to_be_bytes();
        let key = Key::from_bytes(bytes);
        // Pings carry the current key. The one with the old key is not pinged.
        if name == "new" {
            answering.push(Host::with_key(&net.fleet, host, key));
        }
        services.push(Service::of(host, "web").key(key).with_acks());
    }
    let config = format!(
        "keys: {{current: new, previous: old}}\n{}\x20   overrides: [{{match: 198.19.0.2, pings: off}}]\n",
        watched(&hosts)
    );
    let daemon = Daemon::run_in(folder, &net.monitor, &config);
    for (host, service) in hosts.iter().zip(&services) {
        let service = service.start(&net.fleet);
        until_up(&daemon, host, "web");
        heard(&daemon, &service, 3);
        assert_eq!(service.wrong_answers(), 0);
    }
    assert_eq!(daemon.scrape().beats("forged"), 0);
}
