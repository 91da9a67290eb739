//! The process whose number a file holds lives.

use std::{fs, path::PathBuf};

use super::{disk::Disk, process};

/// A file with a process id in it.
#[derive(Debug)]
pub struct PidFile {
    /// Where it is.
    pub path: PathBuf,
    disk: Disk,
}

impl PidFile {
    /// The file at this path.
    pub fn new(path: PathBuf) -> Self {
        let disk = Disk::default();
        Self { path, disk }
    }

    /// Looks whether the process lives.
    pub async fn run(&self) -> Result<(), String> {
        let path = self.path.clone();
        let look = move || {
            let name = path.display();
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("cannot read {name}: {error}"))?;
            // Some write more behind it.
            let first = text.split_whitespace().next().unwrap_or_default();
            let pid = first.parse::<u32>();
            let pid = pid.map_err(|_| format!("{name} holds no process id"))?;
            if process::lives(pid) {
                Ok(())
            } else {
                Err(format!("process {pid} of {name} does not live"))
            }
        };
        self.disk.look(look).await
    }
}
