//! What the kernel is asked: how it would send to a target, and to check a neighbour.

use std::{collections::HashMap, net::IpAddr};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_REQUEST, NetlinkMessage},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{RouteAttribute, RouteMessage, RouteType},
    },
};

use super::{Neighbour, Network, Path, routes};

/// Questions that are under way at a time.
const AT_ONCE: usize = 32;

/// The line to the kernel.
#[derive(Clone, Debug)]
pub struct Netlink(pub(super) Handle);

/// This box's addresses on the paths in use, as the kernel chooses them.
#[derive(Debug, Default)]
pub struct Sources {
    /// By path number; a path without one is not for frames made by hand.
    pub by_path: HashMap<u32, IpAddr>,
    /// Targets that the kernel sends elsewhere than their route says: a rule routes them by another table, or their frames go
    /// through a tunnel. One for each path that is so.
    pub elsewhere: Vec<IpAddr>,
}

/// How the kernel would send.
struct Answer {
    interface: u32,
    gateway: Option<IpAddr>,
    source: Option<IpAddr>,
    is_plain: bool,
}

impl Answer {
    fn is_by(&self, path: &Path) -> bool {
        self.is_plain && (self.interface, self.gateway) == (path.interface, path.gateway)
    }
}

impl Netlink {
    /// Asks for this box's addresses on paths, each with a target behind it: which address the kernel takes depends on scopes,
    /// preferences and rules (RFC 6724) that nobody but itself knows all of. The target stands for all on its path.
    pub async fn sources(
        &self,
        network: &Network,
        paths: impl IntoIterator<Item = (u32, IpAddr)>,
    ) -> Sources {
        let answers = stream::iter(paths).map(async |(number, target)| {
            let path = network.routes.path(number);
            let answer = self.source(network, path, target).await;
            (number, target, answer)
        });
        let mut answers = std::pin::pin!(answers.buffer_unordered(AT_ONCE));
        let mut sources = Sources::default();
        while let Some((number, target, answer)) = answers.next().await {
            match answer {
                // The route has gone meanwhile, or there is no address yet: the next reading tells.
                None | Some(Ok(None)) => {}
                Some(Ok(Some(source))) => {
                    sources.by_path.insert(number, source);
                }
                Some(Err(Elsewhere)) => sources.elsewhere.push(target),
            }
        }
        sources
    }

    async fn source(
        &self,
        network: &Network,
        path: &Path,
        target: IpAddr,
    ) -> Option<Result<Option<IpAddr>, Elsewhere>> {
        let answer = self.ask(target, None).await?;
        if answer.is_by(path) {
            return Some(Ok(answer.source));
        }
        let mut siblings = network.routes.siblings(target).iter();
        if !siblings.any(|sibling| answer.is_by(sibling)) {
            return Some(Err(Elsewhere));
        }
        // The kernel took another of the route's paths for this target, which is as good.
        let answer = self.ask(target, Some(path.interface)).await?;
        Some(Ok(answer
            .source
            .filter(|_| answer.interface == path.interface)))
    }

    /// How the kernel sends to a target, by whatever interface or by this one.
    async fn ask(&self, target: IpAddr, interface: Option<u32>) -> Option<Answer> {
        let mut question = RouteMessage::default();
        (
            question.header.address_family,
            question.header.destination_prefix_length,
        ) = match target {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        question.attributes = vec![RouteAttribute::Destination(target.into())];
        question
            .attributes
            .extend(interface.map(RouteAttribute::Oif));
        let answers = self.0.route().get(question).execute();
        let answer = std::pin::pin!(answers).try_next().await.ok()??;
        let attributes = &answer.attributes;
        let source = attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::PrefSource(address) => routes::ip(address),
            _ => None,
        });
        let is_wrapped = |attribute: &RouteAttribute| {
            matches!(
                attribute,
                RouteAttribute::EncapType(_) | RouteAttribute::Encap(_)
            )
        };
        Some(Answer {
            interface: routes::interface(attributes)?,
            gateway: routes::gateway(attributes),
            source,
            is_plain: answer.header.kind == RouteType::Unicast
                && !attributes.iter().any(is_wrapped),
        })
    }

    /// Has the kernel check a neighbour that it knows; [`super::Heard`] tells what came of it. Nothing happens if it does not
    /// know it, or if this user may not ask.
    pub fn check(&mut self, interface: u32, address: IpAddr) {
        let message = Neighbour::check(interface, address);
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(message));
        message.header.flags = NLM_F_REQUEST;
        // It fails only if the connection has ended, which its follower tells.
        let _ = self.0.notify(message);
    }
}

/// The kernel sends elsewhere.
struct Elsewhere;
