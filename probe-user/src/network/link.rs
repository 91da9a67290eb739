//! The box's interfaces.

use rtnetlink::packet_route::link::{
    InfoData, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    VlanProtocol,
};

/// The loopback interface's index, the same in every network namespace.
pub(super) const LOOPBACK: u32 = 1;

/// An interface of the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name, as `ip link` shows it.
    pub name: String,
    /// Whether it is set up and has a carrier.
    pub works: bool,
    /// Whether it is the loopback interface.
    pub loopback: bool,
    /// Its Ethernet address; `None`: it is of another kind.
    pub ethernet: Option<[u8; 6]>,
    /// The longest IP packet that it takes, bytes.
    pub mtu: u32,
    /// Set if it is a VLAN on another interface.
    pub vlan: Option<Vlan>,
}

/// Where a VLAN's frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// Index of the interface that its frames leave by; `None`: not an interface of this namespace, or a tag other than that
    /// of IEEE 802.1Q.
    pub parent: Option<u32>,
    /// The VLAN's number.
    pub tag: u16,
}

/// How frames leave by an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The interface that they leave by: a VLAN's parent.
    pub interface: u32,
    /// The VLAN's number; 0: frames bear no tag.
    pub tag: u16,
    /// The Ethernet address that they come from.
    pub mac: [u8; 6],
    /// The longest IP packet that they may hold, bytes.
    pub mtu: u32,
}

impl Link {
    /// The loopback interface.
    pub fn loopback() -> Self {
        Self {
            index: LOOPBACK,
            name: "lo".into(),
            works: true,
            loopback: true,
            ethernet: None,
            mtu: 65_536,
            vlan: None,
        }
    }

    pub(super) fn read(message: LinkMessage) -> Self {
        let flags = message.header.flags;
        let is_ethernet = message.header.link_layer_type == LinkLayerType::Ether;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            works: flags.contains(LinkFlags::Up | LinkFlags::Running),
            loopback: flags.contains(LinkFlags::Loopback),
            ethernet: None,
            mtu: 0,
            vlan: None,
        };
        let (mut parent, mut is_elsewhere) = (None, false);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Address(address) if is_ethernet => {
                    link.ethernet = address.as_slice().try_into().ok();
                }
                LinkAttribute::Link(index) => parent = Some(index),
                LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
                LinkAttribute::LinkInfo(infos) => link.vlan = vlan(&infos),
                _ => {}
            }
        }
        if let Some(vlan) = &mut link.vlan {
            vlan.parent = vlan.parent.and(parent).filter(|_| !is_elsewhere);
        }
        link
    }
}

/// The VLAN that an interface is, with any parent if its tag is one of IEEE 802.1Q.
fn vlan(infos: &[LinkInfo]) -> Option<Vlan> {
    let data = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(data)) => Some(data),
        _ => None,
    })?;
    let mut vlan = Vlan {
        parent: Some(0),
        tag: 0,
    };
    for attribute in data {
        match attribute {
            InfoVlan::Id(tag) => vlan.tag = *tag,
            InfoVlan::Protocol(protocol) if *protocol != VlanProtocol::Ieee8021Q => {
                vlan.parent = None;
            }
            _ => {}
        }
    }
    Some(vlan)
}
