//! A command that beats are sent for while it lives.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal as _},
    os::unix::process::ExitStatusExt as _,
    process::{ExitCode, ExitStatus},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{self, SignalKind},
};

/// A running command.
pub struct Wrapped {
    child: Child,
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
}

impl Wrapped {
    /// Starts it with this process' own input and outputs. Where it cannot be started the inner error is the exit code to
    /// end with, as shells have it.
    pub fn spawn(program: &OsStr, arguments: &[OsString]) -> io::Result<Result<Self, ExitCode>> {
        // Before the start: a signal that comes right after it is for the command already.
        let [terminate, interrupt, hangup] = [
            unix::signal(SignalKind::terminate())?,
            unix::signal(SignalKind::interrupt())?,
            unix::signal(SignalKind::hangup())?,
        ];
        let child = match Command::new(program).args(arguments).spawn() {
            Ok(child) => child,
            Err(error) => {
                let program = program.display();
                tracing::error!("cannot run {program}: {error}; check its name and permissions");
                let found = error.kind() != io::ErrorKind::NotFound;
                return Ok(Err(ExitCode::from(if found { 126 } else { 127 })));
            }
        };
        Ok(Ok(Self {
            child,
            terminate,
            interrupt,
            hangup,
        }))
    }

    /// Waits for its end and hands on signals until then. Gives the exit code to end with.
    pub async fn end(&mut self) -> anyhow::Result<ExitCode> {
        loop {
            let signal = tokio::select! {
                status = self.child.wait() => return Ok(ExitCode::from(code(status?))),
                _ = self.terminate.recv() => Signal::TERM,
                _ = self.interrupt.recv() => Signal::INT,
                _ = self.hangup.recv() => Signal::HUP,
            };
            // What is typed at a terminal has reached the command already; many programs take a second one as a wish to end
            // without care.
            if signal == Signal::INT && io::stdin().is_terminal() {
                continue;
            }
            let child = self.child.id().and_then(|id| Pid::from_raw(id as i32));
            if let Some(child) = child {
                kill_process(child, signal)?;
            }
        }
    }
}

/// Its own code, or 128 and the number of the signal that killed it.
fn code(status: ExitStatus) -> u8 {
    let signal = status.signal().map(|signal| 128 + signal);
    status.code().or(signal).unwrap_or(1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_tells_how_it_ended() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(9)), 137, "killed by SIGKILL");
    }

    #[tokio::test]
    async fn the_commands_own_code_is_given() {
        let run = |script: &str| {
            let arguments = ["-c", script].map(OsString::from);
            Wrapped::spawn(OsStr::new("sh"), &arguments)
        };
        let mut failing = run("exit 7").unwrap().unwrap();
        assert_eq!(failing.end().await.unwrap(), ExitCode::from(7));
        let mut killed = run("kill -TERM $$").unwrap().unwrap();
        assert_eq!(killed.end().await.unwrap(), ExitCode::from(143));
        let none = Wrapped::spawn(OsStr::new("/nonexistent/command"), &[]).unwrap();
        assert_eq!(none.err(), Some(ExitCode::from(127)));
        let no_program = Wrapped::spawn(OsStr::new("/dev/null"), &[]).unwrap();
        assert_eq!(no_program.err(), Some(ExitCode::from(126)));
    }
}
