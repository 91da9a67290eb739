//! The services that beats are heard of: who is known by which identity, whose session is open, and when each is looked at.
//!
//! The first beat of a sender always comes up to here, since its session is not open yet; those that follow the kernel takes in by
//! itself. A service whose session ends is heard of again in the same way, so nobody has to look at the dead.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::IpAddr,
};

use probe_common::{
    beat::{Beat, BeatFate},
    row::{Row, session::sender_time},
};

use tokio::sync::mpsc::Sender;

use super::hosts::Hosts;
use crate::{
    core::session::{Senders, Terms},
    engine::Arrival,
    fleet::{Adopted, Service},
    kernel::Directory,
    sessions::Sessions,
};

/// All services of the fleet that is probed now.
#[derive(Default)]
pub(super) struct Services {
    known: Vec<Option<Known>>,
    /// By the identity that is configured.
    names: HashMap<[u64; 2], u32>,
    /// By the address of the host and the identity of the service: for hosts whose name for themselves is another.
    addresses: HashMap<(IpAddr, u64), u32>,
    /// The same for the kernel: each service by the identity that its beats come under now.
    kernel: Option<Directory>,
    looks: BinaryHeap<Reverse<(u64, u32)>>,
    /// Services whose session was opened just now.
    pub(super) opened: Vec<u32>,
    /// What each host has.
    pub(super) hosts: Hosts,
    /// Gets whoever was heard that nobody configured, if those are wanted.
    strangers: Option<Sender<Adopted>>,
}

/// One service.
pub(super) struct Known {
    pub(super) target: u32,
    pub(super) terms: Terms,
    /// Since when it is configured, ns.
    pub(super) begun: u64,
    /// When its last beat had come that was looked at, ns.
    pub(super) looked: u64,
    /// The interface that its session was opened by; 0: there was none yet.
    pub(super) interface: u32,
    name: [u64; 2],
    address: Option<(IpAddr, u64)>,
    /// When to look at it, ns; 0: not at all.
    next_look: u64,
    senders: Senders,
    /// The last sender, and from which of its beats on they are counted.
    epoch: u32,
    first_seq: u32,
    /// What the row had counted before that beat, and how many were lost.
    beats_before: u32,
    lost_before: u32,
}

impl Services {
    /// Nobody is known yet. `kernel` is to know whom this knows, and `strangers` gets whom it does not.
    pub(super) fn new(kernel: Option<Directory>, strangers: Option<Sender<Adopted>>) -> Self {
        Self {
            kernel,
            strangers,
            ..Self::default()
        }
    }

    /// The service of this number, if there is one.
    pub(super) fn get(&mut self, number: u32) -> Option<&mut Known> {
        self.known.get_mut(number as usize)?.as_mut()
    }

    /// Brings one service to what it is now, at `now` (ns); `host` is the address of its target.
    pub(super) fn set(
        &mut self,
        number: u32,
        service: Option<(&Service, Option<IpAddr>, u16)>,
        now: u64,
        rows: &[Row],
        sessions: &Sessions,
    ) {
        let row = sessions.row(rows, number);
        let is_same = |known: &Known, service: &Service| {
            (known.target, known.name) == (service.target, service.identity)
        };
        let stays = match (self.get(number), service) {
            (Some(known), Some((service, ..))) => is_same(known, service),
            _ => false,
        };
        if !stays {
            self.forget(number, row, sessions);
        }
        let Some((service, host, class)) = service else {
            return;
        };
        if self.known.len() <= number as usize {
            self.known.resize_with(number as usize + 1, || None);
        }
        if !stays {
            row.assign_service(service.identity, class);
            self.names.insert(service.identity, number);
            self.tell_kernel(service.identity, sessions.row_number(number));
            self.hosts.add(service.target, number);
            self.known[number as usize] = Some(Known::new(service, now));
        }
        row.set_class(class);
        let address = host.map(|ip| (ip, service.identity[1]));
        let Some(known) = &mut self.known[number as usize] else {
            return;
        };
        known.terms = service.terms;
        if known.address != address {
            if let Some(old) = std::mem::replace(&mut known.address, address) {
                self.addresses.remove(&old);
            }
            if let Some(new) = address {
                self.addresses.insert(new, number);
            }
        }
        self.look_at(number, now);
    }

    fn forget(&mut self, number: u32, row: &Row, sessions: &Sessions) {
        let known = self.known.get_mut(number as usize).and_then(Option::take);
        let Some(known) = known else {
            return;
        };
        self.names.remove(&known.name);
        if let Some(address) = known.address {
            self.addresses.remove(&address);
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.remove(row.identity());
        }
        self.hosts.remove(known.target, number);
        sessions.clear(number);
        row.clear();
    }

    fn tell_kernel(&mut self, identity: [u64; 2], row: u32) {
        if let Some(kernel) = &mut self.kernel
            && let Err(error) = kernel.insert(identity, row)
        {
            // Its beats come up to the sockets then.
            tracing::warn!("a service could not be told to the kernel: {error}");
        }
    }

    /// Judges a beat with a right tag that came up to the sockets, and records it if it counts.
    pub(super) fn hear(
        &mut self,
        beat: &Beat,
        arrival: Arrival,
        rows: &[Row],
        sessions: &Sessions,
    ) -> BeatFate {
        let source = arrival.source.ip().to_canonical();
        let Some(number) = self.find(beat, source, rows, sessions) else {
            self.note_stranger(beat, source);
            return BeatFate::Stranger;
        };
        let row = sessions.row(rows, number);
        if row.identity() != beat.identity() {
            if let Some(kernel) = &mut self.kernel {
                kernel.remove(row.identity());
            }
            row.close_session();
            row.set_identity(beat.identity());
            self.tell_kernel(beat.identity(), sessions.row_number(number));
        }
        beat.land(row, arrival.at)
            .unwrap_or_else(|_| self.open(number, beat, arrival, row, sessions))
    }

    /// Whose beat it is: the service's of that very name; else that of the host at its source, unless another one already beats
    /// for that.
    fn find(&self, beat: &Beat, source: IpAddr, rows: &[Row], sessions: &Sessions) -> Option<u32> {
        if let Some(&number) = self.names.get(&beat.identity()) {
            return Some(number);
        }
        let address = (source, beat.identity()[1]);
        let &number = self.addresses.get(&address)?;
        let row = sessions.row(rows, number);
        (row.identity() == beat.identity() || row.session() == 0).then_some(number)
    }

    /// Opens the session of a sender that has none, unless what it says was heard before.
    fn open(
        &mut self,
        number: u32,
        beat: &Beat,
        arrival: Arrival,
        row: &Row,
        sessions: &Sessions,
    ) -> BeatFate {
        let message = beat.message();
        let Some(known) = self.get(number) else {
            return BeatFate::Stranger;
        };
        let heard = row.heard();
        if heard.at != 0 {
            known.senders.note(row.boot(), heard.time);
        }
        let is_same = known.epoch == message.epoch;
        let goes_on = is_same && message.seq.wrapping_sub(heard.seq).cast_signed() > 0;
        if is_same && !goes_on || !known.senders.admit(message.boot, sender_time(message.time)) {
            return BeatFate::Stale;
        }
        let mut lost = known.lost(row, true);
        if is_same {
            lost += message.seq.wrapping_sub(heard.seq) - 1;
        } else if known.epoch != 0 {
            // The first of a sender is number 1.
            lost = lost.saturating_add(message.seq.saturating_sub(1));
            sessions.count_restart(number);
        }
        known.interface = arrival.interface;
        known.epoch = message.epoch;
        known.first_seq = message.seq;
        known.beats_before = row.pongs();
        known.lost_before = lost;
        sessions.set_lost(number, lost);
        row.open_session(message, arrival.at, is_same);
        self.opened.push(number);
        BeatFate::Ok
    }

    fn note_stranger(&self, beat: &Beat, source: IpAddr) {
        if let Some(strangers) = &self.strangers {
            // A daemon that has not caught up will hear of it again.
            let _ = strangers.try_send(Adopted {
                identity: beat.identity(),
                source,
            });
        }
    }

    /// Looks at a service at `moment` (ns), and not before.
    pub(super) fn look_at(&mut self, number: u32, moment: u64) {
        if let Some(known) = self.get(number) {
            known.next_look = moment;
            self.looks.push(Reverse((moment, number)));
        }
    }

    /// The next service that is to be looked at by `now` (ns).
    pub(super) fn due(&mut self, now: u64) -> Option<u32> {
        while let Some(&Reverse((moment, number))) = self.looks.peek() {
            if moment > now {
                return None;
            }
            self.looks.pop();
            // Another look may have been planned since, or the service be gone.
            if let Some(known) = self.get(number)
                && known.next_look == moment
            {
                known.next_look = 0;
                return Some(number);
            }
        }
        None
    }

    /// When the next service is to be looked at, ns.
    pub(super) fn next_look(&self) -> Option<u64> {
        self.looks.peek().map(|&Reverse((moment, _))| moment)
    }
}

impl Known {
    fn new(service: &Service, now: u64) -> Self {
        Self {
            target: service.target,
            terms: service.terms,
            begun: now,
            looked: 0,
            interface: 0,
            name: service.identity,
            address: None,
            next_look: 0,
            senders: Senders::default(),
            epoch: 0,
            first_seq: 0,
            beats_before: 0,
            lost_before: 0,
        }
    }

    /// How many of its beats are lost by now: all that did not come if that is `settled`, else those that are too old to come.
    pub(super) fn lost(&self, row: &Row, settled: bool) -> u32 {
        if self.epoch == 0 {
            return 0;
        }
        let sent = row.heard().seq.wrapping_sub(self.first_seq).wrapping_add(1);
        let came = row.pongs().wrapping_sub(self.beats_before);
        let may_come = if settled { 0 } else { row.gaps(self.first_seq) };
        let missing = sent.saturating_sub(came).saturating_sub(may_come);
        self.lost_before.saturating_add(missing)
    }
}

#[cfg(test)]
mod tests;
