//! Reading a socket empty, as far as one turn of the loop has time for.

use crate::{
    clock,
    udp::{Datagram, Inbox, Socket},
};

/// Batches that are read before the daemon looks at its schedule again.
const MOST_READS: usize = 64;

/// How far the sockets have been heard.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// Everything that the kernel received before this has been read, ns of the monotonic clock.
    pub until: u64,
    /// If the kernel had to drop some because a buffer was full: since when, at the earliest.
    pub lost_since: Option<u64>,
}

/// Hands on what waits in a socket, with `inbox`, which has room for `size` datagrams. Tells until when all has been read, and
/// how many the kernel dropped beyond the `dropped` that were known.
pub(super) fn read(
    socket: &Socket,
    inbox: &mut Inbox,
    size: usize,
    dropped: &mut u32,
    mut take: impl FnMut(&Datagram<'_>),
) -> (u64, u32) {
    let mut until = clock::monotonic();
    let before = *dropped;
    for _ in 0..MOST_READS {
        let begin = clock::monotonic();
        // A pending ICMP error is also given to whoever reads next; it is told by the queue of rejections.
        let count = socket.receive(inbox).unwrap_or(0);
        for datagram in inbox.datagrams() {
            take(&datagram);
            until = datagram.received;
            *dropped = datagram.dropped;
        }
        if count < size {
            until = begin;
            break;
        }
    }
    (until, dropped.wrapping_sub(before))
}
