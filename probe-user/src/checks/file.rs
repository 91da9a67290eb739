//! A file was written not long ago: for what leaves a trace and cannot be asked.

use std::{fs, path::PathBuf, time::Duration};

use super::disk::Disk;
use crate::written::duration::show as show_duration;

/// A file that is written again and again.
#[derive(Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// No longer ago than this it must have been written.
    pub fresh: Duration,
    disk: Disk,
}

impl File {
    /// This file, to be as fresh as that.
    pub fn new(path: PathBuf, fresh: Duration) -> Self {
        let disk = Disk::default();
        Self { path, fresh, disk }
    }

    /// Looks when it was written.
    pub async fn run(&self) -> Result<(), String> {
        let (path, fresh) = (self.path.clone(), self.fresh);
        let look = move || {
            let written = fs::metadata(&path).and_then(|file| file.modified());
            let written =
                written.map_err(|error| format!("cannot look at {}: {error}", path.display()))?;
            // What the clock has not come to yet is fresh: it was put back.
            let age = written.elapsed().unwrap_or_default();
            if age <= fresh {
                return Ok(());
            }
            let age = show_duration(Duration::from_secs(age.as_secs()));
            let path = path.display();
            Err(format!(
                "{path} was written {age} ago, not within {}",
                show_duration(fresh)
            ))
        };
        self.disk.look(look).await
    }
}
