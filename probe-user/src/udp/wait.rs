//! Waiting for a datagram, for a moment, or to be woken by another thread.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::{Errno, read, write},
};

use crate::clock;

/// Ends a [`wait`] of another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A new one, for one waiting thread.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(
            0,
            EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC,
        )?)))
    }

    /// Ends the wait that goes on, or else the next one.
    pub fn wake(&self) {
        // The only error is a full counter: then the thread is woken already.
        let _ = write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// Waits until one of these (a socket, or those of a [`Watch`](super::Watch)) has something to read, a datagram or a rejection;
/// until `moment` (ns of the monotonic clock); or until woken.
pub fn wait<'a, F: AsFd + 'a>(
    readers: impl IntoIterator<Item = &'a F>,
    waker: &Waker,
    moment: u64,
) -> io::Result<()> {
    let left = moment.saturating_sub(clock::monotonic());
    if left == 0 {
        return Ok(());
    }
    let timeout = Timespec {
        tv_sec: (left / 1_000_000_000) as i64,
        tv_nsec: (left % 1_000_000_000) as i64,
    };
    let mut watched = vec![PollFd::new(&waker.0, PollFlags::IN)];
    let readers = readers.into_iter();
    watched.extend(readers.map(|reader| PollFd::new(reader, PollFlags::IN)));
    match poll(&mut watched, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    if !watched[0].revents().is_empty() {
        // Nothing to read is no error: another wait has taken it.
        let _ = read(&waker.0, &mut [0; 8]);
    }
    Ok(())
}
