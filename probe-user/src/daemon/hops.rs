//! The next hops of all pings: which number each target's row has, and what the numbers mean to the kernel's transmit engine.
//!
//! A number below `room` is a [`Way`]'s, for as long as a target takes it; its [`Hop`] is written again in place as the
//! neighbour's Ethernet address changes, so that no row is touched. A number from `room` on means nothing to the kernel: it
//! leaves those targets to the sockets. Each interface has one, for targets that frames cannot be made for; it tells the
//! prober whose outages they share.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use probe_common::maps::Hop;

use crate::{
    fleet::Fleet,
    network::{Exit, Heard, Neighbour, Network, Path, Sources, Way},
};

/// The time to live of pings, as of most packets.
const TTL: u8 = 64;

/// Between two checks of a neighbour. The kernel does not see that it is used, and would notice a new Ethernet address of a
/// gateway that does not announce it only after up to a minute.
const CHECK: Duration = Duration::from_secs(5);

/// Checks that are asked for at a time.
const CHECKS: usize = 50;

/// IP and UDP header and message: what a ping needs of an MTU, bytes.
const IPV4_PING: u32 = 92;
const IPV6_PING: u32 = 112;

/// The next hops in use.
#[derive(Debug)]
pub struct Hops {
    /// The first number that the kernel has no room for; 1 where it sends nothing.
    room: u32,
    traffic_class: u8,
    exits: HashMap<u32, Exit>,
    neighbours: HashMap<(u32, IpAddr), Neighbour>,
    ways: BTreeMap<Way, u32>,
    /// By number, less one.
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The interfaces that the numbers from `room` on are for.
    interfaces: Vec<u32>,
    /// When the neighbour of which number is to be checked, in order.
    checks: VecDeque<(Instant, u32)>,
    /// Whether there were too few numbers, and whether that was said.
    is_full: bool,
    told_full: bool,
}

#[derive(Debug)]
struct Slot {
    way: Way,
    /// As the kernel was told.
    hop: Hop,
    is_used: bool,
    has_check: bool,
}

/// Which path each target takes.
#[derive(Debug)]
pub struct Routing {
    /// In the order of the fleet's targets.
    paths: Vec<Option<u32>>,
    /// The paths in use, each with a target that takes it.
    pub used: Vec<(u32, IpAddr)>,
}

/// Numbers for all targets.
#[derive(Debug)]
pub struct Assignment {
    /// In the order of the fleet's targets; 0: there is no route.
    pub numbers: Vec<u32>,
    /// The index of the interface that each number stands for.
    pub interfaces: Arc<[u32]>,
    /// Whether there were too few numbers for all, and are more as soon as the rows have these.
    pub is_short: bool,
}

/// What targets on a path have for a next hop.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// All the same.
    Number(u32),
    /// Each itself.
    Itself { interface: u32, source: IpAddr },
}

impl Routing {
    /// Finds the path of every target.
    pub fn find(fleet: &Fleet, network: &Network) -> Self {
        let mut is_used = vec![false; network.routes.paths()];
        let mut used = Vec::new();
        let paths = fleet.iter().map(|(_, target)| {
            let address = target.address?.ip();
            let path = network.routes.path_to(address)?;
            if !std::mem::replace(&mut is_used[path as usize], true) {
                used.push((path, address));
            }
            Some(path)
        });
        Self {
            paths: paths.collect(),
            used,
        }
    }

    /// The indices of the interfaces in use, each once, in order.
    pub fn interfaces(&self, network: &Network) -> Vec<u32> {
        let paths = self
            .used
            .iter()
            .map(|&(path, _)| network.routes.path(path).interface);
        let mut interfaces: Vec<u32> = paths.collect();
        interfaces.sort_unstable();
        interfaces.dedup();
        interfaces
    }
}

impl Hops {
    /// No hops yet. The kernel has room for `room`, the number 0, which is none, among them; 1: it sends nothing.
    pub fn new(room: u32, traffic_class: u8) -> Self {
        Self {
            room,
            traffic_class,
            exits: HashMap::new(),
            neighbours: HashMap::new(),
            ways: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            interfaces: Vec::new(),
            checks: VecDeque::new(),
            is_full: false,
            told_full: false,
        }
    }

    /// Whether the kernel sends at all, so that it is worth knowing more than interfaces.
    pub fn has_room(&self) -> bool {
        self.room > 1
    }

    /// Pings bear this type of service or traffic class, from the next [`Self::assign`] on.
    pub fn set_traffic_class(&mut self, traffic_class: u8) {
        self.traffic_class = traffic_class;
    }

    /// Gives a number to the way of each target, and tells what those mean that are new or mean something else now. Numbers of
    /// ways that no target takes any more are free for the next call: by then the rows must have these.
    pub fn assign(
        &mut self,
        fleet: &Fleet,
        network: &Network,
        routing: &Routing,
        sources: &Sources,
        mut tell: impl FnMut(u32, &Hop),
    ) -> Assignment {
        let exit = |index| Some((index, network.exit(index)?));
        self.exits = network
            .links
            .iter()
            .filter_map(|link| exit(link.index))
            .collect();
        for slot in &mut self.slots {
            slot.is_used = false;
        }
        self.is_full = false;
        let mut known: Vec<Option<Next>> = vec![None; network.routes.paths()];
        let targets = fleet.iter().zip(&routing.paths);
        let numbers = targets.map(|((_, target), path)| {
            let (Some(number), Some(address)) = (*path, target.address) else {
                return 0;
            };
            let next = known[number as usize].get_or_insert_with(|| {
                let source = sources.by_path.get(&number).copied();
                self.next(network.routes.path(number), source)
            });
            match *next {
                Next::Number(number) => number,
                Next::Itself { interface, source } => self.number(Way {
                    interface,
                    neighbour: address.ip(),
                    source,
                }),
            }
        });
        let numbers = numbers.collect();
        let free = self.free.len();
        for number in (1..).take(self.slots.len()) {
            let slot = &self.slots[number as usize - 1];
            if slot.is_used {
                self.write(number, &mut tell);
            } else if self.ways.remove(&slot.way).is_some() {
                self.free.push(number);
            }
        }
        let is_short = self.is_full && self.free.len() > free;
        if self.is_full && !is_short && !std::mem::replace(&mut self.told_full, true) {
            tracing::warn!(
                "more than {} next hops: the pings behind the others leave by sockets",
                self.room - 1
            );
        }
        Assignment {
            numbers,
            interfaces: self.interfaces(),
            is_short,
        }
    }

    /// Notes what the kernel knows of neighbours, and tells what the numbers of those that changed mean now.
    pub fn hear(&mut self, heard: Heard, mut tell: impl FnMut(u32, &Hop)) {
        match heard {
            Heard::All(neighbours) => {
                self.neighbours.clear();
                for neighbour in neighbours {
                    self.note(neighbour);
                }
                for number in (1..).take(self.slots.len()) {
                    if self.slots[number as usize - 1].is_used {
                        self.write(number, &mut tell);
                    }
                }
            }
            Heard::One(neighbour) => {
                self.note(neighbour);
                let Neighbour {
                    interface, address, ..
                } = neighbour;
                let first = Way {
                    interface,
                    neighbour: address,
                    // The least of all addresses.
                    source: Ipv4Addr::UNSPECIFIED.into(),
                };
                let is_same = |way: &Way| (way.interface, way.neighbour) == (interface, address);
                let ways = self.ways.range(first..);
                let numbers: Vec<u32> = ways
                    .take_while(|(way, _)| is_same(way))
                    .map(|(_, number)| *number)
                    .collect();
                for number in numbers {
                    self.write(number, &mut tell);
                }
            }
        }
    }

    /// Calls `check` with the neighbours (interface and address) that the kernel should check now, not too many at a time.
    pub fn check(&mut self, now: Instant, mut check: impl FnMut(u32, IpAddr)) {
        let mut asked = 0;
        while asked < CHECKS
            && let Some((_, number)) = self.checks.pop_front_if(|(due, _)| *due <= now)
        {
            let slot = &mut self.slots[number as usize - 1];
            slot.has_check = slot.is_used;
            if !slot.is_used {
                continue;
            }
            let Way {
                interface,
                neighbour,
                ..
            } = slot.way;
            // One that is not known is found by the kernel as the sockets ping what is behind it.
            if self
                .neighbours
                .get(&(interface, neighbour))
                .is_some_and(|known| known.at_rest)
            {
                check(interface, neighbour);
                asked += 1;
            }
            self.checks.push_back((now + CHECK, number));
        }
    }

    fn note(&mut self, neighbour: Neighbour) {
        let key = (neighbour.interface, neighbour.address);
        if neighbour.mac.is_some() {
            self.neighbours.insert(key, neighbour);
        } else {
            self.neighbours.remove(&key);
        }
    }

    fn next(&mut self, path: &Path, source: Option<IpAddr>) -> Next {
        let interface = path.interface;
        let Some(source) = source.filter(|_| self.exits.contains_key(&interface)) else {
            return Next::Number(self.for_sockets(interface));
        };
        match path.gateway {
            None => Next::Itself { interface, source },
            Some(neighbour) => Next::Number(self.number(Way {
                interface,
                neighbour,
                source,
            })),
        }
    }

    /// The number of a way; its interface's where there is no room.
    fn number(&mut self, way: Way) -> u32 {
        if let Some(&number) = self.ways.get(&way) {
            self.slots[number as usize - 1].is_used = true;
            return number;
        }
        let next = self.slots.len() as u32 + 1;
        let Some(number) = self.free.pop().or((next < self.room).then_some(next)) else {
            self.is_full = true;
            return self.for_sockets(way.interface);
        };
        self.ways.insert(way, number);
        if number == next {
            self.slots.push(Slot {
                way,
                hop: Hop::default(),
                is_used: true,
                has_check: false,
            });
        }
        let slot = &mut self.slots[number as usize - 1];
        (slot.way, slot.is_used) = (way, true);
        if !std::mem::replace(&mut slot.has_check, true) {
            self.checks.push_back((Instant::now() + CHECK, number));
        }
        number
    }

    /// The number of an interface for targets that the kernel engine cannot reach.
    fn for_sockets(&mut self, interface: u32) -> u32 {
        let mut known = self.interfaces.iter();
        let at = known.position(|&index| index == interface);
        let at = at.unwrap_or_else(|| {
            self.interfaces.push(interface);
            self.interfaces.len() - 1
        });
        self.room + at as u32
    }

    /// Tells what a number means if that has changed.
    fn write(&mut self, number: u32, tell: &mut impl FnMut(u32, &Hop)) {
        let hop = self.hop(&self.slots[number as usize - 1].way);
        let slot = &mut self.slots[number as usize - 1];
        if slot.hop != hop {
            slot.hop = hop;
            tell(number, &hop);
        }
    }

    /// What frames that take this way look like; of no interface as long as that cannot be told.
    fn hop(&self, way: &Way) -> Hop {
        let neighbour = self.neighbours.get(&(way.interface, way.neighbour));
        let mac = neighbour.and_then(|neighbour| neighbour.mac);
        let least = if way.source.is_ipv4() {
            IPV4_PING
        } else {
            IPV6_PING
        };
        // Where the MTU is too small, the sockets say so.
        let exit = self
            .exits
            .get(&way.interface)
            .filter(|exit| exit.mtu >= least);
        let (Some(mac), Some(exit)) = (mac, exit) else {
            return Hop::default();
        };
        Hop {
            source: way.source.into(),
            macs: [mac, exit.mac],
            interface: exit.interface,
            vlan: exit.tag,
            ttl: TTL,
            traffic_class: self.traffic_class,
            reserved: 0,
        }
    }

    /// The interface by number. A number that is free keeps its last one until it is given again: the prober may still judge
    /// pings by it.
    fn interfaces(&self) -> Arc<[u32]> {
        let mut interfaces = vec![0; self.room as usize];
        for (to, slot) in interfaces.iter_mut().skip(1).zip(&self.slots) {
            *to = slot.way.interface;
        }
        interfaces.extend(&self.interfaces);
        interfaces.into()
    }
}

#[cfg(test)]
mod tests;
