//! A process under test: started inside a namespace, its output kept, killed by its id when it is dropped.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::net::Namespace;

/// How often a condition is looked at that something waits for.
const POLL: Duration = Duration::from_millis(20);

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    readers: Vec<JoinHandle<()>>,
}

/// What a process has printed so far.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<String>>);

impl Process {
    /// Starts the command inside the namespace.
    pub fn start(namespace: &Namespace, command: &mut Command) -> Self {
        namespace.enter(|| Self::start_here(command))
    }

    /// Starts the command beside this process, without a network of its own: for what speaks over loopback alone.
    pub fn start_here(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let [stdout, stderr] = [Lines::default(), Lines::default()];
        let readers = [
            child.stdout.take().map(|pipe| stdout.follow(pipe)),
            child.stderr.take().map(|pipe| stderr.follow(pipe)),
        ];
        Self {
            child,
            stdout,
            stderr,
            readers: readers.into_iter().flatten().collect(),
        }
    }

    /// What it has printed to its standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// What it has printed to its standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal)
            .expect("the process is a child of this one, and not waited for yet");
    }

    /// How it ended, if it has; all that it printed has been read then.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child can be waited for")?;
        for reader in self.readers.drain(..) {
            // Its panic has been printed already.
            let _ = reader.join();
        }
        Some(status)
    }

    /// Waits for its end; panics with its output if it has not come in time.
    pub fn exit(&mut self, within: Duration) -> ExitStatus {
        poll(within, || self.ended()).unwrap_or_else(|| {
            panic!(
                "still running after {within:?}; it printed:\n{}{}",
                self.stdout(),
                self.stderr()
            )
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended by itself is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    /// Reads along on a thread of its own, so that the process never blocks on a full pipe.
    fn follow(&self, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let to = self.clone();
        thread::spawn(move || {
            let mut from = BufReader::new(pipe);
            let mut line = Vec::new();
            while from
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                let mut to = to.0.lock().unwrap_or_else(PoisonError::into_inner);
                to.push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        })
    }

    fn so_far(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Looks again and again until there is something to see; `None` if there was nothing in time.
pub fn poll<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        // The time is taken first: what is looked at after the deadline is looked at once more.
        let last = Instant::now() >= deadline;
        let seen = look();
        if seen.is_some() || last {
            return seen;
        }
        thread::sleep(POLL);
    }
}
