//! One scrape: written by a thread of its own, a chunk at a time, as fast as the client takes it.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use axum::body::{Body, Bytes};
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, stream};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;

use super::coding::Coding;
use crate::metrics::Exporter;

/// How many chunks wait for the client at most.
const AHEAD: usize = 4;

/// A client that has not taken the whole scrape after this is not served further. Prometheus itself gives up sooner.
const LONGEST: Duration = Duration::from_secs(60);

/// The body of a scrape. It ends in an error, not as if it were whole, when the client is too slow or the server ends.
pub fn body(
    exporter: Arc<Exporter>,
    coding: Coding,
    permit: OwnedSemaphorePermit,
    stopped: watch::Receiver<bool>,
) -> Body {
    let (sender, chunks) = mpsc::channel(AHEAD);
    let mut chunks_to_client = Chunks {
        sender,
        stopped,
        runtime: Handle::current(),
        until: Instant::now() + LONGEST,
    };
    let writer = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        match coding {
            Coding::Identity => exporter.write(&mut chunks_to_client),
            Coding::Gzip => {
                let mut gzip = GzEncoder::new(chunks_to_client, Compression::fast());
                exporter.write(&mut gzip)?;
                gzip.finish().map(drop)
            }
        }
    });
    let failure = stream::once(writer).filter_map(async |written| match written {
        Ok(result) => result.err(),
        Err(panic) => Some(io::Error::other(panic)),
    });
    Body::from_stream(ReceiverStream::new(chunks).map(Ok).chain(failure.map(Err)))
}

/// The client, as a writer sees it.
struct Chunks {
    sender: mpsc::Sender<Bytes>,
    stopped: watch::Receiver<bool>,
    runtime: Handle,
    until: Instant,
}

impl Write for Chunks {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let chunk = Bytes::copy_from_slice(text);
        let Self {
            sender,
            stopped,
            runtime,
            until,
        } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|&stopped| stopped) => Err(io::ErrorKind::ConnectionAborted),
                sent = sender.send(chunk) => sent.map_err(|_| io::ErrorKind::BrokenPipe),
                () = tokio::time::sleep_until(*until) => Err(io::ErrorKind::TimedOut),
            }
        })?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
