//! A process of some name lives; from procfs (proc(5)).

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// The kernel keeps so many bytes of a process' name (`TASK_COMM_LEN` but for the zero at its end).
const COMM: usize = 15;

/// Processes of one name.
#[derive(Debug)]
pub struct Process {
    /// As `ps -o comm` shows it.
    pub name: String,
    /// The one that was found last; 0: none. As long as it lives, nobody else is looked at.
    found: AtomicU32,
}

impl Process {
    /// Processes of this name.
    pub fn new(name: String) -> Self {
        Self {
            name,
            found: AtomicU32::new(0),
        }
    }

    /// Looks for one that lives.
    pub fn run(&self) -> Result<(), String> {
        if self.is(self.found.load(Relaxed)) {
            return Ok(());
        }
        let all = fs::read_dir("/proc").map_err(|error| format!("cannot read /proc: {error}"))?;
        let pids = all
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        match pids.into_iter().find(|&pid| self.is(pid)) {
            Some(pid) => {
                self.found.store(pid, Relaxed);
                Ok(())
            }
            None => Err(format!("no process named {} lives", self.name)),
        }
    }

    fn is(&self, pid: u32) -> bool {
        let name = self.name.as_bytes();
        let comm = fs::read(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|comm| comm.trim_ascii_end() == &name[..name.len().min(COMM)]) && lives(pid)
    }
}

/// Whether a process is there and has not ended: a zombie has.
pub fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // Its name stands in brackets before the state, and may hold some itself.
    stat.is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X', 'x']))
    })
}
