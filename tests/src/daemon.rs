//! `heartprobe`, the program under test.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    config::after,
    http::{self, Response},
    metrics::Scrape,
    net::Namespace,
    process::{Process, poll},
};

/// Until the daemon stands: programs loaded, sockets open, page served.
const START: Duration = Duration::from_secs(20);

/// Which engine sends the pings in tests that do not ask for one; without this variable it is the kernel's.
const ENGINE: &str = "HEARTPROBE_TEST_ENGINE";

/// The user `nobody`.
const NOBODY: u32 = 65534;

/// A target's state, by the number that `heartprobe_target_state` carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/metrics.md describes them")]
pub enum State {
    Pending = 0,
    Up = 1,
    Overloaded = 2,
    Critical = 3,
    Dead = 4,
    Zombie = 5,
    Unknown = 6,
}

impl State {
    /// The one with this number.
    pub fn of(number: u64) -> Option<Self> {
        use State::{Critical, Dead, Overloaded, Pending, Unknown, Up, Zombie};
        let states = [Pending, Up, Overloaded, Critical, Dead, Zombie, Unknown];
        states
            .into_iter()
            .find(|&state| u64::from(state as u8) == number)
    }
}

/// A running `heartprobe run`, killed when this is dropped.
#[derive(Debug)]
pub struct Daemon<'net> {
    namespace: &'net Namespace,
    process: Process,
    folder: TempDir,
}

/// The program, to be given its arguments.
pub fn heartprobe() -> Command {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/heartprobe");
    let program = env::var_os("HEARTPROBE_BIN").map_or_else(built, PathBuf::from);
    assert!(
        program.is_file(),
        "{}: not built; run `cargo build` first",
        program.display()
    );
    let mut command = Command::new(program);
    // Colours are for terminals; a log level of the developer's own would change what tests look for.
    command.env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

/// The same, to be run by somebody without any privilege.
pub fn heartprobe_as_nobody() -> Command {
    let mut command = heartprobe();
    command.uid(NOBODY).gid(NOBODY);
    command
}

/// The same with no more than the capabilities that the systemd unit gives: `nobody` with what the kernel's receiver needs.
pub fn heartprobe_with_capabilities() -> Command {
    const CAPABILITIES: &str = "+net_admin,+bpf,+perfmon";
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"])
        .args(["--inh-caps", CAPABILITIES, "--ambient-caps", CAPABILITIES])
        .arg(heartprobe().get_program());
    command
}

/// A folder for a daemon's files, which `nobody` can read.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the configuration");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

impl<'net> Daemon<'net> {
    /// Starts the daemon with this configuration and waits until it is ready.
    pub fn run(namespace: &'net Namespace, config: &str) -> Self {
        Self::launch(namespace, folder(), config, heartprobe()).until_ready()
    }

    /// The same by this program, which may run as somebody else.
    pub fn run_by(program: Command, namespace: &'net Namespace, config: &str) -> Self {
        Self::launch(namespace, folder(), config, program).until_ready()
    }

    /// The same with the files, such as keys, that lie in this folder.
    pub fn run_in(folder: TempDir, namespace: &'net Namespace, config: &str) -> Self {
        Self::launch(namespace, folder, config, heartprobe()).until_ready()
    }

    /// Starts a daemon that is not expected to run.
    pub fn try_run(namespace: &'net Namespace, config: &str) -> Self {
        Self::launch(namespace, folder(), config, heartprobe())
    }

    /// The same by this program.
    pub fn try_run_by(program: Command, namespace: &'net Namespace, config: &str) -> Self {
        Self::launch(namespace, folder(), config, program)
    }

    fn launch(
        namespace: &'net Namespace,
        folder: TempDir,
        config: &str,
        mut program: Command,
    ) -> Self {
        let file = folder.path().join("heartprobe.yml");
        let mut config = config.to_owned();
        if let Ok(engine) = env::var(ENGINE)
            && !config.contains("engine:")
        {
            config = format!("{config}\nengine: {engine}\n");
        }
        fs::write(&file, config).expect("the folder is ours");
        let process = Process::start(namespace, program.arg("run").arg("--config.file").arg(file));
        Self {
            namespace,
            process,
            folder,
        }
    }

    fn until_ready(mut self) -> Self {
        let ready = poll(START, || {
            let page = self.get("/-/ready");
            (self.process.ended().is_some() || page.is_ok_and(|page| page.status == 200))
                .then_some(())
        });
        assert!(
            ready.is_some() && self.process.ended().is_none(),
            "the daemon did not become ready\n{}",
            self.log()
        );
        self
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it serves its pages, inside its namespace.
    pub fn web() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9862))
    }

    /// Asks it for a page.
    pub fn get(&self, path: &str) -> std::io::Result<Response> {
        http::get(self.namespace, Self::web(), path)
    }

    /// Its metrics as text.
    pub fn metrics(&self) -> String {
        match self.get("/metrics") {
            Ok(Response {
                status: 200, body, ..
            }) => body,
            other => panic!("no metrics: {other:?}\n{}", self.log()),
        }
    }

    /// Its metrics.
    pub fn scrape(&self) -> Scrape {
        Scrape::parse(&self.metrics())
    }

    /// Waits until its metrics satisfy `condition`, and returns them; panics with all that is known otherwise.
    pub fn until(
        &self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Scrape) -> bool,
    ) -> Scrape {
        poll(within, || Some(self.scrape()).filter(&condition)).unwrap_or_else(|| {
            panic!(
                "not within {within:?}: {what}\n{}\n{}",
                self.picture(),
                self.log()
            )
        })
    }

    /// Waits until a target is in this state, no longer than the policy and some slack allow.
    pub fn until_state(&self, target: &str, state: State) -> Scrape {
        self.until(&format!("{target} is {state:?}"), after(4), |scrape| {
            scrape.state(target) == Some(state)
        })
    }

    /// Waits until so many more pings of the target were sent; it must be in this state all the while.
    pub fn holds(&self, target: &str, state: State, pings: u32) -> Scrape {
        let enough = self.scrape().pings(target).unwrap_or_default() + u64::from(pings);
        self.until(
            &format!("{pings} more pings to {target}"),
            after(pings + 2),
            |scrape| {
                let now = scrape.state(target);
                assert_eq!(
                    now,
                    Some(state),
                    "{target}\n{}\n{}",
                    self.picture(),
                    self.log()
                );
                scrape.pings(target) >= Some(enough)
            },
        )
    }

    /// Waits until it has logged a line that contains this, and returns the line.
    pub fn until_logged(&self, text: &str) -> String {
        let line = || self.lines_with(text).pop();
        poll(after(4), line).unwrap_or_else(|| panic!("not logged: {text}\n{}", self.log()))
    }

    /// The lines of its log that contain this.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        let log = self.process.stderr();
        log.lines()
            .filter(|line| line.contains(text))
            .map(Into::into)
            .collect()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        format!("--- the daemon's log:\n{}---", self.process.stderr())
    }

    /// What its metrics tell of targets, and whatever it has counted, for a failure's message.
    fn picture(&self) -> String {
        let metrics = self.metrics();
        let of_target =
            |line: &str| line.starts_with("heartprobe_target_") || !line.ends_with(" 0");
        metrics
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("_bucket{") && of_target(line))
            .take(40)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Replaces its configuration and tells it to read it.
    pub fn reload(&self, config: &str) {
        self.configure(config);
        self.signal(Signal::HUP);
    }

    /// Replaces its configuration, and does not tell it.
    pub fn configure(&self, config: &str) {
        fs::write(self.folder.path().join("heartprobe.yml"), config).expect("the folder is ours");
    }

    /// The names of its threads.
    pub fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
        let names = tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.map(|name| name.trim_end().to_owned()).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    pub fn exit(&mut self, within: Duration) -> ExitStatus {
        self.process.exit(within)
    }
}

impl Scrape {
    /// The state of a target; `None` if it is not among the targets.
    pub fn state(&self, target: &str) -> Option<State> {
        State::of(self.count("heartprobe_target_state", &[("target", target)])?)
    }

    /// Missed pings in a row of a target.
    pub fn missed(&self, target: &str) -> Option<u64> {
        self.count("heartprobe_target_missed", &[("target", target)])
    }

    /// Pings sent to a target.
    pub fn pings(&self, target: &str) -> Option<u64> {
        self.count("heartprobe_target_pings_total", &[("target", target)])
    }

    /// Pongs of a target that counted.
    pub fn pongs(&self, target: &str) -> Option<u64> {
        self.count("heartprobe_target_pongs_total", &[("target", target)])
    }

    /// How many pongs met this fate.
    pub fn fate(&self, fate: &str) -> u64 {
        let labels = [("fate", fate)];
        let count = self.count("heartprobe_pongs_total", &labels);
        count.unwrap_or_else(|| panic!("no heartprobe_pongs_total of {fate}"))
    }

    /// How often a target changed to this state.
    pub fn changes_to(&self, state: &str) -> u64 {
        self.sum("heartprobe_state_changes_total", &[("state", state)])
    }

    /// How often a target changed its state.
    pub fn changes(&self) -> u64 {
        self.sum("heartprobe_state_changes_total", &[])
    }
}
