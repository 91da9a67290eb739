//! `heartprobe beat`.

mod sender;
mod textfile;
mod wrapper;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use probe_common::siphash::Key;

use self::{sender::Sender, textfile::Textfile, wrapper::Wrapped};
use crate::{
    commands::{refuse, stop_signal},
    keys,
    outlet::Outlet,
    pulse::Pulse,
    random,
    recipient::Name,
    written::duration::parse as parse_duration,
};

/// The usual time between two beats.
const INTERVAL: Duration = Duration::from_secs(5);

/// Beats that an ack is waited for, one after the other, before a monitor counts as not answering.
const ATTEMPTS: u32 = 3;

/// Tell monitors that a service is alive
///
/// Sends one beat; or beats at an interval; or runs a command and beats for as long as it lives. A monitor that knows the
/// service holds it dead when no beat came for a session timeout.
///
/// Exits with 0 if every monitor was sent a beat (with --ack: acked the last one), with 1 if not, with 2 if an argument is
/// wrong. Around a command: with the command's code, 128 and the signal's number if a signal killed it, 127 if there is no
/// such command, 126 if it cannot be run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  backup.sh && heartprobe beat --to mon-1 --service backup --key /etc/heartprobe/key --ack
  heartprobe beat --to mon-1 --to mon-2:4863 --service queue --session-timeout 15s --interval 5s
  heartprobe beat --to mon-1 --service worker --session-timeout 30s -- /usr/bin/worker --verbose")]
pub struct Args {
    /// Address or name of a monitor, with :PORT if it is not 4863; may be given again
    #[arg(long, required = true, value_name = "MONITOR", value_parser = Name::parse)]
    to: Vec<Name>,

    /// Name of the service, as the monitor's configuration has it
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    service: String,

    /// Name of this host, as the monitor's configuration has it [default: this host's name]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    host: Option<String>,

    /// File with the fleet's key [default: the all-zero key]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Ask for acks; without an interval, up to 3 beats are sent until one is acked
    #[arg(long)]
    ack: bool,

    /// How long to wait for an ack
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = positive)]
    ack_timeout: Duration,

    /// The time without beats after which the monitor is to hold the service dead, 100ms to 7d [default: the monitor's own]
    #[arg(long, value_name = "DURATION", value_parser = session)]
    session_timeout: Option<Duration>,

    /// Beat again and again, at least 10ms apart [default around a command: a third of --session-timeout, else 5s]
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    interval: Option<Duration>,

    /// End after so many beats
    #[arg(long, value_name = "N", requires = "interval", conflicts_with = "command", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Tell in this file what was sent and acked, for the textfile collector of Prometheus' node exporter
    #[arg(long, value_name = "FILE")]
    textfile: Option<PathBuf>,

    /// Command to run, with its arguments: beats are sent while it lives
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn positive(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be longer than 0".into()),
        time => Ok(time),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        short if short < Duration::from_millis(10) => Err("is at least 10ms".into()),
        interval => Ok(interval),
    }
}

fn session(text: &str) -> Result<Duration, String> {
    let session = parse_duration(text)?;
    if (Duration::from_millis(100)..=Duration::from_hours(7 * 24)).contains(&session) {
        Ok(session)
    } else {
        Err("must be 100ms to 7d".into())
    }
}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let key = match self.key.as_deref().map(keys::read).transpose() {
            Ok(key) => key.unwrap_or_default(),
            Err(error) => return Ok(refuse(&error.into())),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let code = runtime.block_on(self.beat(key));
        // A look-up that hangs is not waited for.
        runtime.shutdown_background();
        code
    }

    async fn beat(self, key: Key) -> anyhow::Result<ExitCode> {
        let host = self.host.clone().unwrap_or_else(crate::health::host_name);
        let session = self.session_timeout.unwrap_or_default();
        let pulse = Pulse::new(&host, &self.service, session, self.ack, random::epoch()?);
        let names = self.to.iter().map(|name| &*name.text);
        let textfile = self
            .textfile
            .as_ref()
            .map(|path| Textfile::open(path, &self.service, names));
        let outlet = Outlet::open([key; 2]).await;
        let mut sender = Sender::new(pulse, outlet, self.to.clone(), textfile);

        let done = if let Some((program, arguments)) = self.command.split_first() {
            let mut command = match Wrapped::spawn(program, arguments)? {
                Ok(command) => command,
                Err(code) => return Ok(code),
            };
            let end = command.end();
            return match sender.beat_until(self.pace(), None, end).await {
                Some(code) => code,
                None => anyhow::bail!("beats ended before the command did"),
            };
        } else if let Some(interval) = self.interval {
            let mut stop = stop_signal()?;
            sender.beat_until(interval, self.count, stop.recv()).await;
            if self.ack {
                sender.listen(self.ack_timeout, Sender::last_is_acked).await;
            }
            sender.last_is_sent() && (!self.ack || sender.last_is_acked())
        } else {
            self.beat_once(&mut sender).await
        };
        if !done {
            sender.complain(self.ack);
        }
        Ok(ExitCode::from(u8::from(!done)))
    }

    /// One beat, or a few until each monitor has acked one. Tells whether that worked.
    async fn beat_once(&self, sender: &mut Sender) -> bool {
        sender.first_looks().await;
        for _ in 0..if self.ack { ATTEMPTS } else { 1 } {
            sender.beat(|to| !to.has_acked());
            if !self.ack {
                return sender.last_is_sent();
            }
            if sender
                .listen(self.ack_timeout, Sender::all_have_acked)
                .await
            {
                return true;
            }
        }
        false
    }

    /// The time between two beats around a command.
    fn pace(&self) -> Duration {
        let third = self.session_timeout.map(|session| session / 3);
        self.interval.or(third).unwrap_or(INTERVAL)
    }
}
