//! A unit of systemd is active, as `systemctl` tells it: the one interface that every version of it has.

use super::Command;

/// A unit.
#[derive(Debug)]
pub struct Systemd {
    /// Its name, such as `nginx.service`.
    pub unit: String,
}

impl Systemd {
    /// Asks systemd.
    pub async fn run(&self) -> Result<(), String> {
        let argv = ["systemctl", "is-active", "--quiet", "--", &self.unit];
        let command = Command {
            argv: argv.map(Into::into).into(),
        };
        let outcome = command.run().await;
        outcome.map_err(|error| format!("{} is not active: systemctl {error}", self.unit))
    }
}
