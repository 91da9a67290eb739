//! Network namespaces without a name: the kernel removes one, with all that is in it, when no process and no descriptor is
//! left in it. So whatever way a simulation ends, nothing stays behind.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::process::CommandExt as _,
    },
    process::Command,
    thread,
};

use anyhow::Context as _;
use rustix::{
    process::{Signal, getpid, getppid, set_parent_process_death_signal},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

/// A network namespace, gone when this and all processes in it are.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// A new one, with nothing in it but a loopback interface that is down.
    pub fn new() -> io::Result<Self> {
        on_a_thread(|| {
            // SAFETY: the thread gets another network; it shares its descriptors as before.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            File::open("/proc/thread-self/ns/net").map(Self)
        })
    }

    /// Runs `work` on a thread inside. Sockets that it opens stay there.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
        on_a_thread(|| {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }

    /// A program to be started inside. It is killed when the thread that started it ends, however that may be.
    pub fn command(&self, program: impl AsRef<OsStr>) -> io::Result<Command> {
        let inside = self.0.try_clone()?;
        let parent = getpid();
        let mut command = Command::new(program);
        let enter = move || {
            move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network))?;
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // If it has ended meanwhile there will be no signal.
            if getppid() == Some(parent) {
                Ok(())
            } else {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        };
        // SAFETY: between fork and exec it makes system calls and nothing else.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }

    /// Runs `ip` of iproute2 inside; the arguments are split at white space.
    ///
    /// # Errors
    /// With what it printed.
    pub fn ip(&self, arguments: &str) -> anyhow::Result<()> {
        let mut command = self.command("ip")?;
        let output = command
            .args(arguments.split_whitespace())
            .output()
            .context("running `ip`, which sets up the network: install iproute2")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "ip {arguments}: {}", said.trim());
        Ok(())
    }

    /// What `ip` takes for this namespace's name, as long as this lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// A thread that moved to another namespace is not used for anything else.
fn on_a_thread<R: Send>(work: impl FnOnce() -> io::Result<R> + Send) -> io::Result<R> {
    thread::scope(|scope| {
        let inside = scope.spawn(work).join();
        inside.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
