//! Network namespaces that go with the test.

use std::{
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{Pid, UnshareFlags, gettid};

/// Runs `test` in a network namespace of its own, which goes with its thread.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        unshare();
        test();
    });
    thread.join().unwrap();
}

fn unshare() {
    // SAFETY: this thread alone changes its network namespace; no file descriptor is unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
}

type Job = Box<dyn FnOnce() + Send>;

/// A second network namespace, with a thread that works there.
pub struct Namespace {
    jobs: mpsc::Sender<Job>,
    thread: Pid,
}

impl Namespace {
    pub fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            unshare();
            tell.send(gettid()).unwrap();
            for job in inbox {
                job();
            }
        });
        let thread = told.recv().unwrap();
        Self { jobs, thread }
    }

    /// What `ip` takes for its name.
    pub fn name(&self) -> String {
        self.thread.as_raw_nonzero().to_string()
    }

    pub fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let (tell, told) = mpsc::channel();
        let job = move || tell.send(job()).unwrap();
        self.jobs.send(Box::new(job)).unwrap();
        told.recv().unwrap()
    }
}

pub fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

pub fn is_up(interface: &str) -> bool {
    let link = Command::new("ip")
        .args(["-o", "link", "show", "up", interface])
        .output();
    String::from_utf8_lossy(&link.unwrap().stdout).contains("state UP")
}

pub fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::yield_now();
    }
}
