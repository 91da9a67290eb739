//! What a target, and the `match` of an override, can look like.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// A target as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<'a> {
    /// The host or the block.
    pub what: What<'a>,
    /// Given with the target itself.
    pub port: Option<u16>,
}

/// One host or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// An address, and its own text without port and brackets.
    Ip(IpAddr, &'a str),
    /// A DNS name as it is written, without port.
    Name(&'a str),
    /// All hosts of a block.
    Block(IpNet),
}

/// Reads an address, a name or a block, with or without a port.
///
/// # Errors
///
/// What is wrong and what to write instead.
pub fn parse(text: &str) -> Result<Written<'_>, String> {
    let (host, port) = split_port(text)?;
    let what = match host.split_once('/') {
        Some(_) => What::Block(block(host)?),
        None => match host.parse::<IpAddr>() {
            Ok(ip) => What::Ip(usable(ip)?, host),
            Err(_) => What::Name(name(host)?),
        },
    };
    Ok(Written { what, port })
}

/// Parts a port from what stands before it.
fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    if text.is_empty() {
        return Err("is empty; write an address, a name or a block".into());
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else {
            return Err(format!("{text:?} has no closing bracket; write [{rest}]"));
        };
        if host.parse::<Ipv6Addr>().is_err() && !host.contains('/') {
            return Err(format!(
                "{host:?} is no IPv6 address; brackets are for IPv6 addresses alone"
            ));
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => {
                return Err(format!(
                    "{rest:?} after the bracket; a port is written [{host}]:4862"
                ));
            }
        }
    } else {
        match text.split_once(':') {
            // More than one colon: IPv6, which takes a port in brackets only; a block's own port stands behind its length.
            Some((_, rest)) if rest.contains(':') => match text.split_once('/') {
                Some((address, rest)) => match rest.split_once(':') {
                    Some((length, port)) => (&text[..=address.len() + length.len()], Some(port)),
                    None => (text, None),
                },
                None => (text, None),
            },
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    match port.map(|port| (port, port.parse::<u16>())) {
        None => Ok((host, None)),
        Some((digits, Ok(port))) if port > 0 && !digits.starts_with('+') => Ok((host, Some(port))),
        Some((port, _)) => Err(format!("{port:?} is no port; ports are 1 to 65535")),
    }
}

/// Reads a CIDR block.
fn block(text: &str) -> Result<IpNet, String> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("{address:?} is no address; a block is written 198.51.100.0/24"))?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let net = length
        .parse()
        .ok()
        .and_then(|length| IpNet::new(address, length).ok())
        .ok_or_else(|| {
            format!("{length:?} is no length of a block; lengths are 0 to {longest}, as in {address}/{longest}")
        })?;
    if net.addr() != net.network() {
        return Err(format!(
            "{text} has host bits set; write {} for the block or {address} for the host",
            net.trunc()
        ));
    }
    Ok(net)
}

/// Refuses the addresses that no single host has.
fn usable(ip: IpAddr) -> Result<IpAddr, String> {
    let trouble = match ip {
        IpAddr::V4(v4) if v4 == Ipv4Addr::BROADCAST => "is the broadcast address".into(),
        IpAddr::V6(v6) if let Some(v4) = v6.to_ipv4_mapped() => {
            format!("is an IPv4 address in IPv6 form; write {v4}")
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            "is a link-local address, which is another host on each link; write its global address"
                .into()
        }
        _ if ip.is_unspecified() => "is no host's address".into(),
        _ if ip.is_multicast() => "is a multicast address; list the hosts one by one".into(),
        _ => return Ok(ip),
    };
    Err(format!("{ip} {trouble}"))
}

/// Refuses what cannot be a DNS name (RFC 1035 §2.3.4; underscores as in practice).
fn name(text: &str) -> Result<&str, String> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    if text.contains('%') {
        return Err(format!(
            "{text:?} names an interface; write a global address"
        ));
    }
    if text.contains(':') {
        return Err(format!(
            "{text:?} is no IPv6 address; a port goes behind brackets: [2001:db8::7]:4862"
        ));
    }
    if let Some(c) = bare
        .chars()
        .find(|&c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
    {
        return Err(format!("{text:?} is no host: {c:?} cannot be in a name"));
    }
    if bare.len() > 253 || bare.split('.').any(|l| l.is_empty() || l.len() > 63) {
        return Err(format!(
            "{text:?} is no host; the parts of a name have 1 to 63 characters, 253 in all"
        ));
    }
    let last = bare.rsplit('.').next().unwrap_or(bare);
    if last.bytes().all(|c| c.is_ascii_digit()) {
        return Err(format!(
            "{text:?} is no IPv4 address; write four numbers of 0 to 255"
        ));
    }
    Ok(text)
}

/// How many hosts a block has: of IPv4 blocks up to /30, all but network and broadcast address.
pub fn host_count(net: IpNet) -> u128 {
    let bits = u32::from(net.max_prefix_len() - net.prefix_len());
    let all = 1_u128.checked_shl(bits).unwrap_or(u128::MAX);
    if has_ends(net) { all - 2 } else { all }
}

/// The hosts of a block.
pub fn hosts(net: IpNet) -> impl Iterator<Item = IpAddr> {
    let skip = u128::from(has_ends(net));
    (skip..skip.saturating_add(host_count(net))).map(move |i| match net.network() {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() + i as u32).into(),
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() + i).into(),
    })
}

/// Whether the first and the last address of a block are no hosts.
fn has_ends(net: IpNet) -> bool {
    net.addr().is_ipv4() && net.prefix_len() <= 30
}

#[cfg(test)]
mod tests;
