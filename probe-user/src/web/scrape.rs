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
const LONGEST: Duration = Duration::from_mins(1);

/// The body of a scrape. It ends in an error, not as if it were whole, when the client is too slow or the server ends.
pub fn body(
    exporter: Arc<Exporter>,
    coding: Coding,
    permit: OwnedSemaphorePermit,
    stopped: watch::Receiver<bool>,
) -> Body {
    let (sender, chunks) = mpsc::channel(AHEAD);
    let client = Chunks {
        sender,
        stopped,
        runtime: Handle::current(),
        until: Instant::now() + LONGEST,
    };
    let writer = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let written = write(&exporter, coding, client);
        if written
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
        {
            let longest = LONGEST.as_secs();
            tracing::warn!("ended a scrape that its client had not taken after {longest} s");
        }
        written
    });
    let failure = stream::once(writer).filter_map(async |written| match written {
        Ok(result) => result.err(),
        Err(panic) => Some(io::Error::other(panic)),
    });
    Body::from_stream(ReceiverStream::new(chunks).map(Ok).chain(failure.map(Err)))
}

fn write(exporter: &Exporter, coding: Coding, mut client: Chunks) -> io::Result<()> {
    match coding {
        Coding::Identity => exporter.write(&mut client),
        Coding::Gzip => {
            // The CPU is the prober's, and whoever scrapes is mostly near: time counts for more than size.
            let mut gzip = GzEncoder::new(client, Compression::fast());
            exporter.write(&mut gzip)?;
            gzip.finish().map(drop)
        }
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What a writer gets to hear when nobody takes its second chunk until `until`.
    async fn second(until: Instant, stop: bool, take: bool) -> io::Result<usize> {
        let (sender, mut chunks) = mpsc::channel(1);
        let (stopping, stopped) = watch::channel(false);
        let mut client = Chunks {
            sender,
            stopped,
            runtime: Handle::current(),
            until,
        };
        let writer = tokio::task::spawn_blocking(move || {
            client.write_all(b"one")?;
            client.write(b"two")
        });
        if take {
            assert_eq!(chunks.recv().await.unwrap(), "one");
            assert_eq!(chunks.recv().await.unwrap(), "two");
        }
        stopping.send_replace(stop);
        writer.await.unwrap()
    }

    #[tokio::test]
    async fn a_writer_waits_for_the_client_but_not_forever() {
        let kind = |written: io::Result<usize>| written.map_err(|error| error.kind());
        let soon = Instant::now() + Duration::from_millis(50);
        let later = Instant::now() + LONGEST;
        assert_eq!(
            kind(second(soon, false, false).await),
            Err(io::ErrorKind::TimedOut)
        );
        let stopped = Err(io::ErrorKind::ConnectionAborted);
        assert_eq!(kind(second(later, true, false).await), stopped);
        assert_eq!(kind(second(later, false, true).await), Ok(3));
    }
}
