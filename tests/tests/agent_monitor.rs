//! An agent and a monitor: real processes on both sides, and what becomes of the verdict when one of them ends.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use heartprobe_tests::{
    config::{SLACK, after, fleet},
    daemon::{Daemon, State, folder, heartprobe},
    net::{Net, WIRE},
    process::{Process, poll},
    require_root,
};
use rustix::process::Signal;
use tempfile::TempDir;

/// The fleet's end of the wire, where the agent answers.
const HOST: &str = "198.18.0.2";

/// The monitor.
const MONITOR: &str = "198.18.0.1";

const SESSION: Duration = Duration::from_secs(1);

/// How often the agent checks a service, and lets it beat.
const CHECK: Duration = Duration::from_millis(200);

/// Clients without heartprobe, each for a service of its own name.
const EXAMPLES: [&str; 2] = ["beat.py", "beat.sh"];

/// What a program takes to start and to end.
const RUN: Duration = Duration::from_secs(20);

/// A monitor that pings the host and expects these services of it.
fn monitor<'net>(net: &'net Net, services: &str) -> Daemon<'net> {
    let settings = format!("session_timeout: 1s, services: [{services}], late_after:");
    let config = fleet(&[HOST]).replace("late_after:", &settings);
    Daemon::run(&net.monitor, &config)
}

/// An agent with this in its configuration, beside what all have.
struct Agent {
    process: Process,
    _folder: TempDir,
}

impl Agent {
    fn start(net: &Net, config: &str) -> Self {
        Self::start_with(net, config, &[])
    }

    fn start_with(net: &Net, config: &str, arguments: &[&str]) -> Self {
        let folder = folder();
        let file = folder.path().join("agent.yml");
        let config = format!(
            "host: {HOST}\nmonitors: [{MONITOR}]\nbeat_interval: 200ms\nsession_timeout: 1s\n{config}\n"
        );
        fs::write(&file, config).expect("the folder is ours");
        let mut command = heartprobe();
        command.arg("agent").args(arguments);
        command.arg("--config.file").arg(&file);
        let process = Process::start(&net.fleet, &mut command);
        Self {
            process,
            _folder: folder,
        }
    }

    fn until_logged(&self, text: &str) {
        let said = poll(after(8), || {
            self.process.stderr().contains(text).then_some(())
        });
        assert!(
            said.is_some(),
            "not logged: {text}\n{}",
            self.process.stderr()
        );
    }
}

/// Something that runs until it is killed, and its process id in a file.
struct Work {
    process: Process,
    pid_file: std::path::PathBuf,
}

impl Work {
    fn start(net: &Net, folder: &Path) -> Self {
        let process = Process::start(&net.fleet, Command::new("sleep").arg("1000"));
        let pid_file = folder.join("work.pid");
        fs::write(&pid_file, format!("{}\n", process.id())).expect("the folder is ours");
        Self { process, pid_file }
    }

    fn check(&self) -> String {
        format!(
            "services: [{{name: work, check: {{pid_file: {}}}, interval: 200ms, timeout: 1s}}]",
            self.pid_file.display()
        )
    }
}

fn until_up(daemon: &Daemon<'_>, services: &[&str], agent: &Agent) {
    let up = poll(after(8), || {
        let scrape = daemon.scrape();
        let all = services
            .iter()
            .all(|service| scrape.service_state(HOST, service) == Some(State::Up));
        (all && scrape.state(HOST) == Some(State::Up)).then_some(())
    });
    assert!(up.is_some(), "{}\n{}", daemon.log(), agent.process.stderr());
}

fn until_within(daemon: &Daemon<'_>, state: State, begin: Instant, within: Duration) {
    daemon.until(&format!("{state:?}"), within + SLACK, |scrape| {
        scrape.state(HOST) == Some(state)
    });
    eprintln!("{state:?} after {:?}, bound {within:?}", begin.elapsed());
}

#[test]
fn a_process_that_is_killed_on_a_host_that_lives_makes_a_zombie() {
    require_root!();
    let net = Net::new();
    let files = folder();
    let mut work = Work::start(&net, files.path());
    let daemon = monitor(&net, "agent, work");
    let agent = Agent::start(&net, &work.check());
    until_up(&daemon, &["agent", "work"], &agent);

    work.process.signal(Signal::KILL);
    let death = Instant::now();
    work.process.exit(RUN);
    until_within(&daemon, State::Zombie, death, SESSION + CHECK);
    let scrape = daemon.holds(HOST, State::Zombie, 3);
    assert_eq!(scrape.service_state(HOST, "work"), Some(State::Dead));
    assert_eq!(scrape.service_state(HOST, "agent"), Some(State::Up));
    assert_eq!(scrape.service("beats_lost_total", HOST, "work"), Some(0));
    agent.until_logged("work");

    let _again = Work::start(&net, files.path());
    until_up(&daemon, &["agent", "work"], &agent);
}

#[test]
fn an_agent_that_hangs_while_the_kernel_answers_makes_a_zombie_and_one_that_is_gone_a_dead_host() {
    require_root!();
    let net = Net::new();
    let daemon = monitor(&net, "agent");
    let reflect = format!("reflect: {{xdp: [{WIRE}], xdp_mode: generic}}");
    let mut agent = Agent::start(&net, &reflect);
    until_up(&daemon, &["agent"], &agent);

    agent.process.signal(Signal::STOP);
    until_within(&daemon, State::Zombie, Instant::now(), SESSION + CHECK);
    daemon.holds(HOST, State::Zombie, 4);
    agent.process.signal(Signal::CONT);
    until_up(&daemon, &["agent"], &agent);

    agent.process.signal(Signal::KILL);
    let death = Instant::now();
    agent.process.exit(RUN);
    until_within(&daemon, State::Dead, death, SESSION + after(3));
    let scrape = daemon.holds(HOST, State::Dead, 4);
    assert_eq!(scrape.changes_to("zombie"), 1, "{}", daemon.log());

    // Another process of the same boot: a restart, and no stranger.
    let agent = Agent::start_with(&net, "", &["--xdp", WIRE]);
    agent.until_logged(&format!("the kernel answers on {WIRE}"));
    until_up(&daemon, &["agent"], &agent);
    let scrape = daemon.scrape();
    assert_eq!(scrape.service("restarts_total", HOST, "agent"), Some(1));
}

#[test]
fn an_agent_that_hangs_and_answers_by_itself_is_a_dead_host() {
    require_root!();
    let net = Net::new();
    let daemon = monitor(&net, "agent");
    let agent = Agent::start(&net, "");
    until_up(&daemon, &["agent"], &agent);
    agent.process.signal(Signal::STOP);
    until_within(&daemon, State::Dead, Instant::now(), SESSION + after(3));
    let scrape = daemon.holds(HOST, State::Dead, 4);
    assert_eq!(scrape.changes_to("zombie"), 0, "{}", daemon.log());
    agent.process.signal(Signal::CONT);
    until_up(&daemon, &["agent"], &agent);
}

#[test]
fn an_agent_says_that_its_monitor_does_not_hear_it() {
    require_root!();
    let net = Net::new();
    let daemon = monitor(&net, "agent");
    let agent = Agent::start(&net, "");
    until_up(&daemon, &["agent"], &agent);
    let acked = daemon.until("acks", after(4), |scrape| {
        scrape.count("heartprobe_acks_total", &[]) >= Some(3)
    });
    assert_eq!(acked.beats("stranger"), 0);
    // Beats get there and no ack comes back: who should give it does not run.
    daemon.signal(Signal::STOP);
    agent.until_logged("has acked no beat");
    daemon.signal(Signal::CONT);
    agent.until_logged("acks beats again");
    let scrape = daemon.holds(HOST, State::Up, 4);
    assert_eq!(scrape.changes_to("zombie") + scrape.changes_to("dead"), 0);
}

#[test]
fn an_agent_that_is_not_believed_says_so() {
    require_root!();
    let net = Net::new();
    // It is pinged, and expects no service of it.
    let daemon = Daemon::run(&net.monitor, &fleet(&[HOST]));
    let agent = Agent::start(&net, "");
    daemon.until_state(HOST, State::Up);
    agent.until_logged("has acked no beat");
    assert!(daemon.scrape().beats("stranger") >= 3);
}

fn beat(net: &Net, arguments: &[&str]) -> Process {
    let mut command = heartprobe();
    command
        .args(["beat", "--to", MONITOR, "--host", HOST])
        .args(arguments);
    Process::start(&net.fleet, &mut command)
}

#[test]
fn a_beat_from_a_script_tells_by_its_exit_code_whether_it_was_heard() {
    require_root!();
    let net = Net::new();
    let daemon = monitor(&net, "backup");
    let code = |arguments: &[&str]| {
        let quick = ["--ack-timeout", "300ms"];
        let mut process = beat(&net, &[arguments, &quick].concat());
        process.exit(RUN).code()
    };
    assert_eq!(code(&["--service", "backup", "--ack"]), Some(0));
    daemon.until("it is heard", after(4), |scrape| {
        scrape.service("beats_total", HOST, "backup") == Some(1)
    });
    // Another one at once is another sender, and heard as well.
    assert_eq!(code(&["--service", "backup", "--ack"]), Some(0));
    assert_eq!(code(&["--service", "unknown", "--ack"]), Some(1));
    assert_eq!(code(&["--service", "unknown"]), Some(0), "it was sent");
    assert_eq!(code(&["--service"]), Some(2));

    let files = folder();
    let key = files.path().join("key");
    fs::write(&key, "000102030405060708090a0b0c0d0e0f\n").expect("the folder is ours");
    let key = key.to_str().expect("a plain path");
    assert_eq!(
        code(&["--service", "backup", "--ack", "--key", key]),
        Some(1)
    );
    let scrape = daemon.scrape();
    assert!(scrape.beats("forged") >= 1 && scrape.beats("stranger") >= 2);

    daemon.signal(Signal::STOP);
    assert_eq!(code(&["--service", "backup", "--ack"]), Some(1));
    daemon.signal(Signal::CONT);
    assert_eq!(code(&["--service", "backup", "--ack"]), Some(0));
}

#[test]
fn a_command_is_beaten_for_while_it_lives() {
    require_root!();
    let net = Net::new();
    let _agent = Agent::start(&net, "");
    let daemon = monitor(&net, "agent, job");
    let started = Instant::now();
    let wrapped = ["--service", "job", "--interval", "200ms", "--ack", "--"];
    let mut job = beat(
        &net,
        &[&wrapped[..], &["sh", "-c", "sleep 4; exit 7"]].concat(),
    );
    daemon.until_service(HOST, "job", State::Up, after(4));
    daemon.until_state(HOST, State::Up);
    let code = job.exit(RUN).code();
    assert_eq!(code, Some(7), "{}", job.stderr());
    assert!(started.elapsed() >= Duration::from_secs(4));
    let beats = daemon.scrape().service("beats_total", HOST, "job");
    assert!(beats >= Some(15), "{beats:?}");
    until_within(&daemon, State::Zombie, Instant::now(), SESSION);
    let killed = ["sh", "-c", "kill -TERM $$"];
    let mut job = beat(&net, &[&wrapped[..], &killed].concat());
    assert_eq!(job.exit(RUN).code(), Some(128 + 15));
}

#[test]
fn clients_in_other_languages_are_heard() {
    require_root!("python3", "bash");
    let net = Net::new();
    let files = folder();
    let digits = "000102030405060708090a0b0c0d0e0f";
    fs::write(files.path().join("key"), digits).expect("the folder is ours");
    let key = files.path().join("key");
    let config = format!(
        "keys: {{current: key}}\ngroups:\n- {{name: pushed, pings: off, session_timeout: 1m, services: [{}], targets: [web-1]}}\n",
        EXAMPLES.join(", ")
    );
    let daemon = Daemon::run_in(files, &net.monitor, &config);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    for name in EXAMPLES {
        let mut command = Command::new(examples.join(name));
        command
            .args([
                "--to",
                "198.18.0.1:4863",
                "--host",
                "web-1",
                "--service",
                name,
            ])
            .arg("--key")
            .arg(&key);
        if name == "beat.py" {
            command.arg("--ack");
        }
        let mut client = Process::start(&net.fleet, &mut command);
        assert_eq!(client.exit(RUN).code(), Some(0), "{}", client.stderr());
        daemon.until_service("web-1", name, State::Up, after(4));
    }
    daemon.until_state("web-1", State::Up);
}
