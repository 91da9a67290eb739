//! `heartprobe agent`.

use std::{path::PathBuf, process::ExitCode};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    agent::{Agent, trial},
    commands::stop_signal,
    config::agent as config,
    web,
};

/// Beat for this host's services while they work, and answer pings
///
/// Each service has a check; it beats to every monitor while its last check passed. The agent itself beats as the service
/// named agent. Pings are answered as by heartprobe reflect. SIGHUP reads the configuration anew, and one with an error changes
/// nothing; SIGTERM or SIGINT ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  heartprobe agent --check                 what the checks find, and where the monitors are
  heartprobe agent --config.file ./agent.yml --web.listen-address 127.0.0.1:9863
  heartprobe agent --xdp eth0              answer pings inside the kernel")]
pub struct Args {
    /// The configuration, see docs/agent.md
    #[arg(
        long = "config.file",
        value_name = "FILE",
        default_value = "/etc/heartprobe/agent.yml"
    )]
    config: PathBuf,

    /// Where metrics are served [default: nowhere]
    #[arg(long = "web.listen-address", value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// Answer pings in the kernel at this interface, beside those of the configuration (as root, or with CAP_NET_ADMIN, CAP_BPF and
    /// CAP_PERFMON); may be given again
    #[arg(long, value_name = "INTERFACE")]
    xdp: Vec<String>,

    /// Run each check once, print what it finds and where the monitors are, and send nothing; exits with 0 if all is well,
    /// else with 1
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Runs the command until it is told to stop.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let code = runtime.block_on(self.watch());
        // Neither a look-up nor a file system that hangs is waited for.
        runtime.shutdown_background();
        code
    }

    async fn watch(self) -> anyhow::Result<ExitCode> {
        let config = config::load(&self.config)?;
        if self.check {
            let trial = trial::run(config).await;
            print!("{trial}");
            return Ok(ExitCode::from(u8::from(!trial.is_good())));
        }
        if !config.keyed {
            tracing::warn!(
                "no keys: pings of any stranger are answered, and any stranger can beat for this host; make a key with: \
                 heartprobe keygen"
            );
        }
        let stop = stop_signal()?;
        let hangup = signal(SignalKind::hangup())?;
        let listener = match &self.listen {
            Some(address) => Some(web::bind(address).await?),
            None => None,
        };
        let agent = Agent::start(config, self.config, self.xdp).await?;
        agent.run(stop, hangup, listener).await?;
        Ok(ExitCode::SUCCESS)
    }
}
