//! Which addresses no rule can allow. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is never called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forbidden {
    Loopback,
    LinkLocal,
    Unspecified,
    Multicast,
    Broadcast,
    Metadata,
}

impl Forbidden {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback",
            Self::LinkLocal => "a link-local",
            Self::Unspecified => "an unspecified",
            Self::Multicast => "a multicast",
            Self::Broadcast => "the broadcast",
            Self::Metadata => "a cloud metadata",
        }
    }
}

/// Cloud metadata and credential endpoints; those that are not link-local anyway are why the list is needed.
const METADATA_V4: [Ipv4Addr; 6] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The first reason found, of the address itself or of an IPv4 address that it carries.
pub(super) fn forbidden(address: IpAddr) -> Option<Forbidden> {
    faces(address).into_iter().find_map(|face| match face {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    })
}

/// The address and every IPv4 address that a router or the kernel may take out of it.
pub(super) fn faces(address: IpAddr) -> Vec<IpAddr> {
    let mut faces = vec![address];
    if let IpAddr::V6(v6) = address {
        faces.extend(embedded(v6).into_iter().map(IpAddr::V4));
    }
    faces
}

fn forbidden_v4(address: Ipv4Addr) -> Option<Forbidden> {
    if METADATA_V4.contains(&address) {
        Some(Forbidden::Metadata)
    } else if address.is_loopback() {
        Some(Forbidden::Loopback)
    } else if address.is_link_local() {
        Some(Forbidden::LinkLocal)
    } else if address.octets()[0] == 0 {
        Some(Forbidden::Unspecified)
    } else if address.is_multicast() {
        Some(Forbidden::Multicast)
    } else if address.is_broadcast() {
        Some(Forbidden::Broadcast)
    } else {
        None
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<Forbidden> {
    let head = address.segments()[0];
    if METADATA_V6.contains(&address) {
        Some(Forbidden::Metadata)
    } else if address.is_loopback() {
        Some(Forbidden::Loopback)
    } else if address.is_unspecified() {
        Some(Forbidden::Unspecified)
    } else if address.is_multicast() {
        Some(Forbidden::Multicast)
    // fe80::/10, and site-local fec0::/10, which is as local.
    } else if head & 0xffc0 == 0xfe80 || head & 0xffc0 == 0xfec0 {
        Some(Forbidden::LinkLocal)
    } else {
        None
    }
}

fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        // `::` and `::1` are themselves, not the compatible form of 0.0.0.0 and 0.0.0.1.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => vec![],
        // Compatible, mapped, and translated (`::ffff:0:a.b.c.d`).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => vec![v4(high, low)],
        // NAT64 with the well-known prefix.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => vec![v4(high, low)],
        // NAT64 with the local-use prefix: the place depends on the prefix length, so every place counts.
        [0x64, 0xff9b, 1, c, d, e, f, g] => vec![
            v4(c, (d << 8) | (e >> 8)),
            v4(c, ((d & 0xff) << 8) | (e >> 8)),
            v4((d << 8) | (e >> 8), (e << 8) | (f >> 8)),
            v4(((d & 0xff) << 8) | (e >> 8), ((e & 0xff) << 8) | (f >> 8)),
            v4(((e & 0xff) << 8) | (f >> 8), ((f & 0xff) << 8) | (g >> 8)),
            v4(f, g),
        ],
        // 6to4.
        [0x2002, high, low, ..] => vec![v4(high, low)],
        // Teredo: the server, and the client with its bits turned.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            vec![v4(high, low), v4(!client_high, !client_low)]
        }
        // ISATAP.
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => vec![v4(high, low)],
        _ => vec![],
    }
}
