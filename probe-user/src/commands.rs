//! What `heartprobe COMMAND` does, a file a command.

pub mod agent;
pub mod beat;
pub mod check_config;
pub mod demo;
pub mod keygen;
pub mod ping;
pub mod reflect;
pub mod run;
pub mod simulate;
pub mod version;

use std::{io, process::ExitCode};

use tokio::signal::unix::{SignalKind, signal};

/// Says what the user must change; the exit code for that.
pub fn refuse(error: &anyhow::Error) -> ExitCode {
    eprintln!("heartprobe: {error:#}");
    ExitCode::from(2)
}

/// Tells when the user wants the command to end: SIGTERM or SIGINT.
pub fn stop_signal() -> io::Result<tokio::sync::mpsc::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
