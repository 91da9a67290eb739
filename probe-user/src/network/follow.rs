//! Follows the network: reads it, and reads it again whenever the kernel tells of a change.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use rtnetlink::{
    Handle, MulticastGroup, RouteMessageBuilder, new_multicast_connection,
    packet_core::NetlinkPayload,
    packet_route::{
        RouteNetlinkMessage, link::LinkMessage, neighbour::NeighbourMessage, route::RouteMessage,
    },
    sys::AsyncSocket as _,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{Heard, Link, Neighbour, Netlink, Network, Routes};

/// Changes come in bursts (an interface that goes down takes its routes along): they are read together.
const SETTLE: Duration = Duration::from_millis(100);

/// Room for what the kernel tells, bytes: thousands of neighbours may change at once.
const RECEIVE_BUFFER: usize = 8 << 20;

/// The network as it is followed.
#[derive(Debug)]
pub struct Follower {
    /// Links and routes as read last.
    pub network: watch::Receiver<Arc<Network>>,
    /// First all neighbours, then each change.
    pub neighbours: mpsc::UnboundedReceiver<Heard>,
    /// The line to the kernel.
    pub netlink: Netlink,
}

/// Starts to follow the network.
///
/// # Errors
/// When the kernel gives no netlink socket or does not answer the first reading.
pub async fn follow() -> anyhow::Result<Follower> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Neigh,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
    ];
    let (mut connection, handle, mut changes) =
        new_multicast_connection(&groups).context("opening a netlink socket")?;
    let socket = connection.socket_mut().socket_mut();
    // Without the privilege it has less room, and reads all anew more often.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&*socket, RECEIVE_BUFFER);
    tokio::spawn(connection);
    let (network, reader) = watch::channel(Arc::new(read(&handle).await?));
    let (neighbours, hearer) = mpsc::unbounded_channel();
    // The receiver is at hand.
    let _ = neighbours.send(Heard::All(read_neighbours(&handle).await?));
    let follower = Follower {
        network: reader,
        neighbours: hearer,
        netlink: Netlink(handle.clone()),
    };
    tokio::spawn(async move {
        let mut due = None;
        loop {
            let news = tokio::select! {
                change = changes.next() => match change {
                    Some((message, _)) => news(message.payload),
                    None => break,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    match read(&handle).await {
                        Ok(read) => {
                            if network.send(Arc::new(read)).is_err() {
                                break;
                            }
                        }
                        Err(error) => tracing::warn!("{error:#}"),
                    }
                    continue;
                }
            };
            let heard = match news {
                News::None => continue,
                News::Neighbour(neighbour) => Heard::One(neighbour),
                News::Network => {
                    due.get_or_insert_with(|| Instant::now() + SETTLE);
                    continue;
                }
                News::Lost => {
                    due.get_or_insert_with(Instant::now);
                    match read_neighbours(&handle).await {
                        Ok(all) => Heard::All(all),
                        Err(error) => {
                            tracing::warn!("{error:#}");
                            continue;
                        }
                    }
                }
            };
            if neighbours.send(heard).is_err() {
                break;
            }
        }
    });
    Ok(follower)
}

/// What a message that nobody asked for tells.
enum News {
    None,
    /// Links, addresses, routes or rules have changed.
    Network,
    Neighbour(Neighbour),
    /// There was no room for a message.
    Lost,
}

fn news(payload: NetlinkPayload<RouteNetlinkMessage>) -> News {
    use RouteNetlinkMessage::{DelNeighbour, NewNeighbour};
    let neighbour = match payload {
        NetlinkPayload::InnerMessage(NewNeighbour(message)) => Neighbour::read(&message),
        NetlinkPayload::InnerMessage(DelNeighbour(message)) => {
            Neighbour::read(&message).map(Neighbour::gone)
        }
        NetlinkPayload::InnerMessage(_) => return News::Network,
        NetlinkPayload::Overrun(_) => return News::Lost,
        // The answer to a check of a neighbour that is gone.
        _ => None,
    };
    neighbour.map_or(News::None, News::Neighbour)
}

async fn read(handle: &Handle) -> anyhow::Result<Network> {
    let links: Vec<LinkMessage> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .context("reading links")?;
    let v4 = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<std::net::Ipv6Addr>::new().build();
    let routes: Vec<RouteMessage> = stream::iter([v4, v6])
        .map(|family| handle.route().get(family).execute())
        .flatten()
        .try_collect()
        .await
        .context("reading routes")?;
    Ok(Network {
        links: links.into_iter().map(Link::read).collect(),
        routes: Routes::read(&routes),
    })
}

async fn read_neighbours(handle: &Handle) -> anyhow::Result<Vec<Neighbour>> {
    let messages: Vec<NeighbourMessage> = handle
        .neighbours()
        .get()
        .execute()
        .try_collect()
        .await
        .context("reading neighbours")?;
    Ok(messages.iter().filter_map(Neighbour::read).collect())
}
