//! A command that exits with 0 if the service works.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process;

/// A program and its arguments; no shell reads them.
#[derive(Debug)]
pub struct Command {
    /// The program, then its arguments: never empty.
    pub argv: Vec<String>,
}

impl Command {
    /// Runs it. When this is dropped before the end, the command and all that it started are killed.
    pub async fn run(&self) -> Result<(), String> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err("there is no command".into());
        };
        let mut child = process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot run {program}: {error}"))?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id as i32)));
        let status = child.wait().await;
        // What it leaves behind on purpose may live on.
        group.0 = None;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(said(status)),
            Err(error) => Err(format!("cannot wait for {program}: {error}")),
        }
    }
}

fn said(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended".into(),
    }
}

/// A command that has not been waited for yet, and what it started.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // It may have ended by itself just now.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
