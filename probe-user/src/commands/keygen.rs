//! `heartprobe keygen`.

use std::{
    fs::{OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;

use crate::{keys, random};

/// Make a new key for the fleet
///
/// A key is 128 random bits, written as 32 hex digits. Monitors and reflectors of a fleet share it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  heartprobe keygen --out /etc/heartprobe/key
  heartprobe keygen | ssh web-1 'umask 077; cat > /etc/heartprobe/key'")]
pub struct Args {
    /// Write it to this file, readable by its owner alone [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Overwrite the file if it is there: the old key is lost
    #[arg(long, requires = "out")]
    force: bool,
}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let key = random::bytes().context("asking the kernel for random bits")?;
        let text = keys::format(key);
        let Some(path) = self.out else {
            std::io::stdout()
                .write_all(text.as_bytes())
                .context("writing the key")?;
            return Ok(ExitCode::SUCCESS);
        };
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        if self.force {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        let mut file = options.open(&path).with_context(|| {
            format!(
                "cannot make {} (--force overwrites a key that is there)",
                path.display()
            )
        })?;
        // A file that was there keeps its mode, which may have been for others to read.
        file.set_permissions(Permissions::from_mode(0o600))
            .with_context(|| format!("making {} readable by its owner alone", path.display()))?;
        file.write_all(text.as_bytes())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
