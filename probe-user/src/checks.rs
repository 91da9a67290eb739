//! Whether a service works: a file a kind of check. A check that hangs holds up nobody but itself.

mod command;
mod disk;
mod file;
mod http;
mod pid_file;
mod process;
mod systemd;
mod tcp;

use std::{fmt, time::Duration};

use tokio::time::timeout;

pub use self::{
    command::Command, file::File, http::Http, pid_file::PidFile, process::Process,
    systemd::Systemd, tcp::Tcp,
};
use crate::written::duration::show as show_duration;

/// What is looked at to tell whether a service works.
#[derive(Debug)]
pub enum Check {
    /// A unit of systemd is active.
    Systemd(Systemd),
    /// The process that a file names lives.
    PidFile(PidFile),
    /// A process of this name lives.
    Process(Process),
    /// A connection is accepted.
    Tcp(Tcp),
    /// A page is served.
    Http(Http),
    /// A command says so.
    Command(Command),
    /// A file was written not long ago.
    File(File),
}

impl Check {
    /// Runs it once, no longer than `limit`.
    ///
    /// # Errors
    /// Why the service does not work, as a person should read it.
    pub async fn run(&self, limit: Duration) -> Result<(), String> {
        let outcome = async {
            match self {
                Self::Systemd(check) => check.run().await,
                Self::PidFile(check) => check.run().await,
                Self::Process(check) => check.run(),
                Self::Tcp(check) => check.run().await,
                Self::Http(check) => check.run().await,
                Self::Command(check) => check.run().await,
                Self::File(check) => check.run().await,
            }
        };
        timeout(limit, outcome)
            .await
            .unwrap_or_else(|_| Err(format!("no result within {}", show_duration(limit))))
    }
}

/// As a configuration has it: two checks that show the same are the same.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd(check) => write!(f, "systemd {}", check.unit),
            Self::PidFile(check) => write!(f, "pid_file {}", check.path.display()),
            Self::Process(check) => write!(f, "process {}", check.name),
            Self::Tcp(check) => write!(f, "tcp {check}"),
            Self::Http(check) => write!(f, "http {}", check.uri),
            Self::Command(check) => write!(f, "command {}", check.argv.join(" ")),
            Self::File(check) => {
                let fresh = show_duration(check.fresh);
                write!(f, "file {}, fresh {fresh}", check.path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests;
