//! `heartprobe run`.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

use crate::{
    commands::stop_signal,
    config,
    daemon::Daemon,
    monitor,
    web::{self, Web},
};

/// By how much the runtime's threads are nicer (sched(7)) than those that probe: a ninth of their share of a busy CPU.
const POLITE: i32 = 10;

/// Probe the fleet of a configuration file and serve what is found to Prometheus
///
/// As root, or with CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON, every reply is timed inside the kernel; without, at the sockets.
/// SIGHUP or POST /-/reload reads the configuration anew; SIGTERM or SIGINT ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  heartprobe run
  heartprobe run --config.file ./heartprobe.yml --web.listen-address 0.0.0.0:9862")]
pub struct Args {
    /// The configuration, see docs/configuration.md
    #[arg(
        long = "config.file",
        value_name = "FILE",
        default_value = "/etc/heartprobe/heartprobe.yml"
    )]
    config: PathBuf,

    /// Where metrics and status page are served
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9862"
    )]
    listen: String,
}

impl Args {
    /// Runs the command until it is told to stop.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .on_thread_start(give_way)
            .build()?
            .block_on(self.probe())
    }

    async fn probe(self) -> anyhow::Result<ExitCode> {
        let mut stop = stop_signal()?;
        let mut hangup = signal(SignalKind::hangup())?;
        let config = config::load(&self.config)?;
        let listener = web::bind(&self.listen).await?;
        let mut daemon = tokio::select! {
            daemon = Daemon::start(config, self.config) => daemon?,
            _ = stop.recv() => return Ok(ExitCode::SUCCESS),
        };
        tracing::info!("metrics on http://{}/metrics", listener.local_addr()?);
        let exporter = Arc::new(daemon.exporter());
        let log = tokio::spawn(monitor::log_changes(exporter.live.clone()));
        let (reload, mut reloads) = mpsc::channel(1);
        let (end, ended) = oneshot::channel::<()>();
        let server = tokio::spawn(web::serve(listener, Web { exporter, reload }, async {
            let _ = ended.await;
        }));
        let followed = tokio::select! {
            followed = daemon.follow(&mut reloads, &mut hangup) => followed,
            _ = stop.recv() => Ok(()),
        };
        tracing::info!("stopping");
        drop(end);
        log.abort();
        let stopped = daemon.stop();
        server.await?.context("serving the metrics")?;
        // What ended the prober says more than that it ended.
        stopped.and(followed).map(|()| ExitCode::SUCCESS)
    }
}

/// Puts the calling thread behind those that probe: all that the runtime's do, scrapes above all, can wait longer than a ping.
fn give_way() {
    // Without it scrapes and pings have equal shares of a busy CPU, as they would elsewhere.
    let _ = rustix::process::nice(POLITE);
}
