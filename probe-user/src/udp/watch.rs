//! Which of many sockets have something to read (epoll(7)): asking for all of them costs one call.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

use super::Socket;

/// A set of sockets. Waiting for it (as [`AsFd`]) is waiting for any of them.
#[derive(Debug)]
pub struct Watch {
    epoll: OwnedFd,
    sockets: usize,
}

impl Watch {
    /// Of these sockets, which it calls by their place in the order. A socket that is closed is no longer of the set.
    pub fn new<'a>(sockets: impl Iterator<Item = &'a Socket>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut watch = Self { epoll, sockets: 0 };
        for socket in sockets {
            let place = epoll::EventData::new_u64(watch.sockets as u64);
            epoll::add(&watch.epoll, socket, place, epoll::EventFlags::IN)?;
            watch.sockets += 1;
        }
        Ok(watch)
    }

    /// Those that have something to read now: a datagram or a rejection.
    pub fn ready(&self) -> io::Result<impl Iterator<Item = usize> + use<>> {
        let mut events = Vec::with_capacity(self.sockets);
        epoll::wait(
            &self.epoll,
            spare_capacity(&mut events),
            Some(&Timespec::default()),
        )?;
        Ok(events
            .into_iter()
            .map(|event: epoll::Event| event.data.u64() as usize))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
