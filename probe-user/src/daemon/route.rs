//! The ways to all targets, found anew whenever targets or the network change.

use super::{Daemon, hops::Routing};
use crate::{
    network::{Heard, Network, Sources},
    prober::Order,
};

impl Daemon {
    /// Finds the way to every target anew.
    pub(super) async fn route(&mut self) {
        let network = self.follower.network.borrow_and_update().clone();
        let routing = Routing::find(&self.fleet, &network);
        let used = routing.interfaces(&network);
        let ears = network.links.iter().map(|link| (link.index, link.works));
        self.monitor.order(Order::Ears(ears.collect()));
        let sources = self.sources(&network, &routing).await;
        while self.assign(&network, &routing, &sources, &used) {}
        self.used = used;
        self.serve();
    }

    /// This box's addresses on the paths that frames may be made for.
    async fn sources(&mut self, network: &Network, routing: &Routing) -> Sources {
        let has_exit = |path| network.exit(network.routes.path(path).interface).is_some();
        let paths = routing.used.iter().copied();
        let paths = paths.filter(|&(path, _)| self.hops.has_room() && has_exit(path));
        let sources = self.follower.netlink.sources(network, paths).await;
        if let Some(target) = sources.elsewhere.first()
            && !std::mem::replace(&mut self.told_elsewhere, true)
        {
            tracing::warn!(
                "pings to {target}, for one, leave by sockets: the kernel sends them elsewhere than its main routing table says"
            );
        }
        sources
    }

    /// Points every row to its next hop, and tells whether that is to be done once more.
    fn assign(
        &mut self,
        network: &Network,
        routing: &Routing,
        sources: &Sources,
        used: &[u32],
    ) -> bool {
        let interfaces = &mut self.interfaces;
        let assigned = self
            .hops
            .assign(&self.fleet, network, routing, sources, |number, hop| {
                interfaces.set_hop(number, hop);
            });
        let exits = network.served(used);
        let links = used
            .iter()
            .chain(&exits)
            .filter_map(|&index| network.link(index));
        let mut links: Vec<_> = links.cloned().collect();
        links.sort_by_key(|link| link.index);
        links.dedup();
        // The prober first: it has to know a number before it meets it in a row.
        self.monitor.order(Order::Links(links, assigned.interfaces));
        let rows = self.monitor.live.table.rows();
        for ((target, _), &hop) in self.fleet.iter().zip(&assigned.numbers) {
            rows[target as usize].set_hop(hop);
        }
        assigned.is_short
    }

    /// Takes in what the kernel tells of neighbours.
    pub(super) fn hear(&mut self, heard: Heard) {
        let interfaces = &mut self.interfaces;
        self.hops
            .hear(heard, |number, hop| interfaces.set_hop(number, hop));
    }

    /// Has every interface in use served by the best engines that it can have now.
    pub(super) fn serve(&mut self) {
        let network = self.follower.network.borrow();
        let served = network.served(&self.used);
        let engines = self.interfaces.follow(&network, &served, &self.monitor);
        self.monitor.vitals.set_engines(engines);
    }
}
