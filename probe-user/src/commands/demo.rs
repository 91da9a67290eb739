//! `heartprobe demo`.

use std::{io::IsTerminal as _, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::{net::TcpListener, sync::mpsc, time::Instant};

use crate::{
    clock,
    commands::stop_signal,
    demo::{self, screen},
    fleet::Fleet,
    metrics::{Engine, Receive, Transmit},
    monitor::{self, Monitor},
    network::Link,
    prober::{Hearing, Order, Transmission},
    table::Table,
    tally::Source,
    web::{self, BindError, Web},
};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(200);

/// Show a fleet in this terminal: no root, no configuration, no network
///
/// Some hundred hosts on loopback addresses in this very process are pinged twice a second; some fall late, miss, die and
/// come back, and some go on answering though their service hangs. The metrics are on the port meanwhile. Press q to end it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the metrics are served; if the port is taken, any other
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:9862"
    )]
    listen: String,

    /// End by itself after this long
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
}

impl Args {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(self.demo())
    }

    async fn demo(self) -> anyhow::Result<ExitCode> {
        let mut stop = stop_signal()?;
        let listener = listen(&self.listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let fleet = Arc::new(demo::start().await.context("starting the demo's hosts")?);
        let (targets, services) = (fleet.targets.len(), fleet.services.len());
        let table = Table::in_memory((targets + services) as u32)?;
        let monitor = Monitor::start(
            table,
            targets,
            Default::default(),
            fleet.groups.len(),
            Transmission::default(),
            Hearing::default(),
        )?;
        monitor.vitals.set_engines(vec![Engine {
            interface: "lo".into(),
            transmit: Transmit::Socket,
            receive: Receive::Socket,
        }]);
        monitor.vitals.reloaded(true);
        monitor.order(Order::Links(vec![Link::loopback()], [].into()));
        monitor.probe(&Fleet::default(), fleet.clone());
        demo::push_beats(fleet, monitor.settings.ports.beats)
            .await
            .context("starting the demo's services")?;

        let exporter = Arc::new(monitor.exporter(None));
        // There is no configuration that could be read anew: nobody listens.
        let web = Web {
            exporter,
            reload: mpsc::channel(1).0,
        };
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(web::serve(listener, web, async {
            let _ = ended.await;
        }));

        let end_at = self.duration.map(|duration| Instant::now() + duration);
        let shown = if std::io::stdout().is_terminal() {
            show(&monitor, &url, &mut stop, end_at).await
        } else {
            tell(&monitor, &url, &mut stop, end_at).await
        };
        drop(end);
        server.await?.context("serving the metrics")?;
        monitor.stop()?;
        shown.map(|()| ExitCode::SUCCESS)
    }
}

async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    match web::bind(address).await {
        Err(BindError::InUse(_)) => Ok(web::bind("127.0.0.1:0").await?),
        bound => Ok(bound?),
    }
}

/// Draws on the terminal until the user has seen enough.
async fn show(
    monitor: &Monitor,
    url: &str,
    stop: &mut mpsc::Receiver<()>,
    end_at: Option<Instant>,
) -> anyhow::Result<()> {
    let mut terminal = ratatui::try_init().context("taking over the terminal")?;
    let begin = Instant::now();
    let result = loop {
        let snapshot = monitor.live.snapshot();
        let view = screen::View {
            snapshot: &snapshot,
            rtt: &monitor.tally.received().rtt,
            changes: &monitor.live.changes.since(0).0,
            elapsed: begin.elapsed(),
            now: clock::monotonic(),
            url,
        };
        if let Err(error) = terminal.draw(|frame| screen::draw(frame, &view)) {
            break Err(error).context("drawing on the terminal");
        }
        tokio::select! {
            _ = stop.recv() => break Ok(()),
            () = tokio::time::sleep(FRAME) => {}
        }
        if end_at.is_some_and(|end| Instant::now() >= end) || wants_to_quit()? {
            break Ok(());
        }
    };
    ratatui::restore();
    result
}

/// Whether q, Escape or Ctrl-C was pressed since the last look.
fn wants_to_quit() -> anyhow::Result<bool> {
    while event::poll(Duration::ZERO)? {
        let Event::Key(KeyEvent {
            code, modifiers, ..
        }) = event::read()?
        else {
            continue;
        };
        let control = modifiers.contains(KeyModifiers::CONTROL);
        if matches!(code, KeyCode::Char('q') | KeyCode::Esc)
            || (control && code == KeyCode::Char('c'))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Without a terminal: every change is a line of the log, and every five seconds the counts are a line.
async fn tell(
    monitor: &Monitor,
    url: &str,
    stop: &mut mpsc::Receiver<()>,
    end_at: Option<Instant>,
) -> anyhow::Result<()> {
    println!("metrics: {url}/metrics");
    let log = tokio::spawn(monitor::log_changes(monitor.live.clone()));
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    tick.tick().await;
    let end = async {
        match end_at {
            Some(end_at) => tokio::time::sleep_until(end_at).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            _ = stop.recv() => break,
            () = &mut end => break,
            _ = tick.tick() => {
                let snapshot = monitor.live.snapshot();
                for (group, counts) in snapshot.fleet.groups.iter().zip(snapshot.by_state()) {
                    println!("{}", screen::line(&group.name, &counts));
                }
            }
        }
    }
    log.abort();
    Ok(())
}
