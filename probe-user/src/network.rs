//! The box's own network, as the kernel tells it by rtnetlink: its links, the routes to targets, and the neighbours that
//! pings go to first.
//!
//! Routes and links are read anew, as a whole, whenever one changes. Neighbours, of which there may be thousands, each with
//! changes of its own, are told one by one.

mod follow;
mod link;
mod neighbour;
mod netlink;
mod routes;

use std::net::IpAddr;

pub use self::{
    follow::{Follower, follow},
    link::{Exit, Link},
    neighbour::{Heard, Neighbour},
    netlink::{Netlink, Sources},
    routes::{Path, Routes},
};

/// Links and routes as of one moment.
#[derive(Debug, Default)]
pub struct Network {
    /// Every interface.
    pub links: Vec<Link>,
    /// The routes of the main and the local table.
    pub routes: Routes,
}

/// How pings reach a target: what has to be known to make a frame of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Index of the interface that the route names.
    pub interface: u32,
    /// Whom frames go to there: the gateway, or the target itself.
    pub neighbour: IpAddr,
    /// This box's address on that way; of the target's family, which the neighbour's need not be.
    pub source: IpAddr,
}

impl Network {
    /// The link of that index.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The interfaces by which packets leave that are routed to these (indices, each once): for a VLAN that is its parent.
    pub fn served(&self, interfaces: &[u32]) -> Vec<u32> {
        let served = interfaces
            .iter()
            .map(|&index| self.exit(index).map_or(index, |exit| exit.interface));
        let mut served: Vec<u32> = served.collect();
        served.sort_unstable();
        served.dedup();
        served
    }

    /// How frames leave by that interface, if it is an Ethernet or a VLAN on one.
    pub fn exit(&self, index: u32) -> Option<Exit> {
        let link = self.link(index)?;
        let mac = link.ethernet?;
        let Some(vlan) = link.vlan else {
            return Some(Exit {
                interface: index,
                tag: 0,
                mac,
                mtu: link.mtu,
            });
        };
        let parent = self.link(vlan.parent?)?;
        let is_plain = parent.ethernet.is_some() && parent.vlan.is_none();
        is_plain.then_some(Exit {
            interface: parent.index,
            tag: vlan.tag,
            mac,
            mtu: link.mtu,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
