//! `heartprobe agent`, with a socket in the monitor's place.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use heartprobe_tests::{
    beats::Hearing,
    config::SLACK,
    daemon::heartprobe,
    http,
    metrics::Scrape,
    net::Net,
    process::{Process, poll},
    require_root,
};
use probe_common::{siphash::identity, wire::Message};
use rustix::process::Signal;
use tempfile::TempDir;

/// Until something is seen that the agent does within a few of its intervals.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running agent, killed when this is dropped.
struct Agent {
    process: Process,
    folder: TempDir,
}

/// Where the configuration lies in its folder.
fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("agent.yml")
}

/// A configuration with this monitor and these services.
fn config(monitor: &Hearing, rest: &str) -> String {
    let at = monitor.at();
    format!("host: web-1\nreflect: off\nmonitors: [\"{at}\"]\nbeat_interval: 50ms\n{rest}\n")
}

impl Agent {
    fn start(config: &str) -> Self {
        Self::start_by(heartprobe(), config)
    }

    fn start_by(mut command: Command, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(file(&folder), config).unwrap();
        command.args(["agent", "--web.listen-address", "127.0.0.1:0"]);
        command.arg("--config.file").arg(file(&folder));
        let process = Process::start_here(command.current_dir(folder.path()));
        Self { process, folder }
    }

    /// Waits until it has logged this, and returns the line.
    fn until_logged(&self, text: &str) -> String {
        let line = || self.lines_with(text).pop();
        poll(PATIENCE, line)
            .unwrap_or_else(|| panic!("not logged: {text}\n{}", self.process.stderr()))
    }

    fn lines_with(&self, text: &str) -> Vec<String> {
        let log = self.process.stderr();
        let lines = log.lines().filter(|line| line.contains(text));
        lines.map(Into::into).collect()
    }

    /// The address at the end of a line that contains this.
    fn address(&self, text: &str) -> SocketAddr {
        let line = self.until_logged(text);
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn scrape(&self) -> Scrape {
        let page = http::get_here(self.address("serving metrics on"), "/metrics").unwrap();
        assert_eq!(page.status, 200);
        Scrape::parse(&page.body)
    }

    fn until(&self, what: &str, condition: impl Fn(&Scrape) -> bool) {
        let seen = poll(PATIENCE, || condition(&self.scrape()).then_some(()));
        seen.unwrap_or_else(|| panic!("not seen: {what}\n{}", self.process.stderr()));
    }

    fn reload(&self, config: &str) {
        fs::write(file(&self.folder), config).unwrap();
        self.process.signal(Signal::HUP);
    }

    fn flag(&self) -> PathBuf {
        self.folder.path().join("flag")
    }

    fn end(mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.exit(SLACK);
        assert_eq!(status.code(), Some(0), "{}", self.process.stderr());
    }
}

fn is(service: &str) -> impl Fn(&Message) -> bool {
    let service = identity(service);
    move |beat| beat.sent == service
}

/// No beat of the service while the agent beats ten times.
fn is_silent(monitor: &Hearing, service: &str) {
    monitor.forget();
    let (first, _) = monitor.until("the agent's own", is("agent"));
    monitor.until("ten more of the agent's own", |beat| {
        assert!(!is(service)(beat), "{service} beats");
        is("agent")(beat) && beat.seq >= first.seq + 10
    });
}

#[test]
fn a_service_beats_while_its_check_passes_and_the_agent_always() {
    let monitor = Hearing::new();
    let service = "{name: a, check: {command: [test, -e, flag]}, interval: 100ms, timeout: 5s}";
    let agent = Agent::start(&config(
        &monitor,
        &format!("session_timeout: 2s\nservices: [{service}]"),
    ));
    agent.until_logged("a does not work, its beats stop: exited with 1");
    is_silent(&monitor, "a");

    fs::write(agent.flag(), "").unwrap();
    let (beat, _) = monitor.until("the service's", is("a"));
    assert_eq!((beat.seq, beat.received), (1, identity("web-1")));
    assert_eq!((beat.session, beat.target), (2000, 0));
    assert!(beat.wants_ack() && beat.boot != 0 && beat.epoch != 0);
    let (later, _) = monitor.until("a few more", |beat| is("a")(beat) && beat.seq >= 5);
    assert_eq!(later.epoch, beat.epoch);
    let (own, _) = monitor.until("with its load", |beat| {
        is("agent")(beat) && beat.health >> 16 <= 10_000
    });
    assert!(own.epoch != beat.epoch, "each service counts for itself");

    fs::remove_file(agent.flag()).unwrap();
    let stopped = || (agent.lines_with("its beats stop").len() == 2).then_some(());
    assert!(poll(PATIENCE, stopped).is_some());
    is_silent(&monitor, "a");
    assert_eq!(
        agent.lines_with("a works").len(),
        1,
        "each change is logged once"
    );
    assert_eq!(agent.lines_with("does not work").len(), 2);
    agent.end();
}

#[test]
fn a_check_that_hangs_holds_nobody_up() {
    let monitor = Hearing::new();
    let services = "
services:
  - {name: hangs, check: {command: [sleep, '600']}, interval: 100ms, timeout: 300ms}
  - {name: good, check: {command: ['true']}, interval: 100ms}
  - {name: gone, check: {command: [/nonexistent/check]}, interval: 100ms}";
    let agent = Agent::start(&config(&monitor, services));
    agent.until_logged("hangs does not work, its beats stop: no result within 300ms");
    agent.until_logged("gone does not work, its beats stop: cannot run /nonexistent/check");
    monitor.until("the good one's", is("good"));
    is_silent(&monitor, "hangs");
    is_silent(&monitor, "gone");
    monitor.until("the good one's, still", is("good"));
    let up = |service| {
        agent
            .scrape()
            .metric("heartprobe_agent_check_up", &[("service", service)])
    };
    assert_eq!(
        (up("hangs"), up("good"), up("agent")),
        (Some(0.0), Some(1.0), None)
    );
    agent.end();
}

#[test]
fn a_monitor_that_does_not_ack_is_told_once_and_again_when_it_does() {
    let monitor = Hearing::new();
    let agent = Agent::start(&config(&monitor, ""));
    let at = monitor.at().to_string();
    agent.until_logged(&format!("{at} has acked no beat for 0.15 s"));
    let both = [("service", "agent"), ("monitor", &*at)];
    assert_eq!(
        agent.scrape().count("heartprobe_agent_acks_total", &both),
        Some(0)
    );
    monitor.forget();
    // What is not an ack of its own changes nothing.
    let (beat, from) = monitor.beat();
    monitor.send(&beat, from);
    monitor.send(
        &Message {
            epoch: beat.epoch ^ 1,
            ..beat.ack()
        },
        from,
    );
    monitor.ack(&monitor.beat().0, from);
    agent.until_logged(&format!("{at} acks beats again"));
    agent.until("the ack is counted", |scrape| {
        scrape.count("heartprobe_agent_acks_total", &both) == Some(1)
            && scrape.count("heartprobe_agent_beats_total", &both) > Some(3)
            && scrape.metric(
                "heartprobe_agent_last_ack_timestamp_seconds",
                &[("monitor", &at)],
            ) > Some(1.7e9)
    });
    assert_eq!(agent.scrape().all("heartprobe_build_info", &[]).count(), 1);
    agent.end();
}

#[test]
fn without_acks_nobody_is_asked_for_them() {
    let monitor = Hearing::new();
    let agent = Agent::start(&config(&monitor, "ack: false"));
    let (beat, _) = monitor.until("the tenth", |beat| beat.seq == 10);
    assert!(!beat.wants_ack());
    assert_eq!(agent.lines_with("has acked no beat"), [""; 0]);
    agent.end();
}

#[test]
fn a_monitor_that_does_not_resolve_stops_no_other() {
    require_root!();
    // From here no question leaves the machine.
    let net = Net::new();
    let monitor = net.monitor.enter(Hearing::new);
    let two = config(&monitor, "").replace("monitors: [", "monitors: [no-such-host.invalid, ");
    let agent = net.monitor.enter(|| Agent::start(&two));
    monitor.until("the fifth", |beat| beat.seq == 5);
    agent.until_logged("cannot resolve no-such-host.invalid");
    agent.end();
}

#[test]
fn systemd_is_asked_by_systemctl() {
    let folder = tempfile::tempdir().unwrap();
    let fake = folder.path().join("systemctl");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}/asked\n[ \"$4\" = good.service ]\n",
        folder.path().display()
    );
    fs::write(&fake, script).unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), env::var("PATH").unwrap());
    let mut command = heartprobe();
    command.env("PATH", path);
    let monitor = Hearing::new();
    let services = "
services:
  - {name: good, check: {systemd: good.service}, interval: 100ms}
  - {name: bad, check: {systemd: bad.service}, interval: 100ms}";
    let agent = Agent::start_by(command, &config(&monitor, services));
    monitor.until("the good one's", is("good"));
    agent.until_logged(
        "bad does not work, its beats stop: bad.service is not active: systemctl exited with 1",
    );
    is_silent(&monitor, "bad");
    let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
    assert!(
        asked.contains("is-active --quiet -- good.service\n"),
        "{asked}"
    );
    agent.end();
}

#[test]
fn a_reload_keeps_who_stays_and_a_bad_file_changes_nothing() {
    let monitor = Hearing::new();
    let service = |name: &str| {
        format!("  - {{name: {name}, check: {{command: ['true']}}, interval: 100ms}}\n")
    };
    let services = |names: &[&str]| {
        let all: String = names.iter().map(|name| service(name)).collect();
        config(&monitor, &format!("services:\n{all}"))
    };
    let agent = Agent::start(&services(&["a", "b"]));
    let (before, _) = monitor.until("a's", |beat| is("a")(beat) && beat.seq > 2);
    monitor.until("b's", is("b"));

    agent.reload("monitors: [192.0.2.1]\nservices: [{name: a, check: {sytemd: a}}]\n");
    agent.until_logged("the configuration is as it was");
    agent.until_logged("did you mean systemd?");
    monitor.forget();
    monitor.until("b's, still", is("b"));

    agent.reload(&services(&["a", "c"]));
    agent.until_logged("the configuration is reloaded");
    monitor.until("c's", is("c"));
    let (after, _) = monitor.until("a's", is("a"));
    assert_eq!(after.epoch, before.epoch);
    assert!(after.seq > before.seq);
    is_silent(&monitor, "b");
    let scrape = agent.scrape();
    let series = |service| {
        scrape
            .all("heartprobe_agent_beats_total", &[("service", service)])
            .count()
    };
    assert_eq!((series("a"), series("b"), series("c")), (1, 0, 1));
    agent.end();
}

#[test]
fn pings_are_answered_as_by_reflect_until_a_reload_says_otherwise() {
    let monitor = Hearing::new();
    let off = config(&monitor, "");
    let on = off.replace("reflect: off", "reflect: {listen: ['127.0.0.1:0']}");
    let agent = Agent::start(&on);
    let at = agent.address("answering pings on").to_string();
    let ping = || {
        let arguments = ["ping", "--count", "1", "--timeout", "1s", &at];
        heartprobe().args(arguments).output().unwrap().status.code()
    };
    assert_eq!(ping(), Some(0));
    agent.reload(&off);
    agent.until_logged("the configuration is reloaded");
    assert_eq!(ping(), Some(1));
    agent.end();
}

#[test]
fn a_port_that_is_taken_is_told_with_a_way_out() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let monitor = Hearing::new();
    let config = config(&monitor, "").replace("off", &format!("{{listen: ['{at}']}}"));
    let mut agent = Agent::start(&config);
    assert_eq!(agent.process.exit(SLACK).code(), Some(1));
    agent.until_logged("reflect: off");
    agent.until_logged(&at);
}

#[test]
fn systemd_is_told_when_it_is_ready_and_that_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = heartprobe();
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000");
    let monitor = Hearing::new();
    let agent = Agent::start_by(command, &config(&monitor, ""));
    let told = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    assert_eq!(told(), "READY=1");
    for _ in 0..3 {
        assert_eq!(told(), "WATCHDOG=1");
    }
    agent.process.signal(Signal::TERM);
    let last = std::iter::repeat_with(told).find(|told| told != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}

#[test]
fn a_trial_shows_what_the_checks_find_and_sends_nothing() {
    let monitor = Hearing::new();
    let folder = tempfile::tempdir().unwrap();
    let check = |services: &str| {
        fs::write(file(&folder), config(&monitor, services)).unwrap();
        let mut command = heartprobe();
        command
            .args(["agent", "--check", "--config.file"])
            .arg(file(&folder));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let good = "services: [{name: good, check: {command: ['true']}}]";
    let (code, said) = check(good);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("command true") && said.contains("works, "),
        "{said}"
    );
    assert!(said.contains(&format!("is at {}", monitor.at())), "{said}");

    let (code, said) = check("services: [{name: bad, check: {command: ['false']}}]");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED: exited with 1"), "{said}");

    let (code, said) = check("services: [{name: bad, check: {https: a}}]");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("agent.yml:5:"), "{said}");
    assert!(said.contains("did you mean http?"), "{said}");
    assert!(monitor.beat_within(Duration::from_millis(1)).is_none());
}
