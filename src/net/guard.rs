//! Which addresses a URL that a caller named may lead to.
//!
//! Such a URL is called from where this process stands, which may be inside a private network: without a guard, whoever may name one
//! reaches what only the inside may reach (server-side request forgery). What is judged is the address that is connected to, not
//! the name: a name may mean one address when it is looked at and another when it is called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How far the calls of a client may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// To whatever a URL leads to.
    #[default]
    Anywhere,
    /// To addresses of the public Internet: not to this machine, a private network or a cloud's metadata.
    Public,
}

/// A host that is not on the public Internet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not on the public Internet, and nothing else is called")]
pub struct NotPublic(String);

impl Reach {
    /// Refuses a URL whose host is an address that is out of reach. A name is looked up, and its addresses are judged, when it is
    /// called.
    ///
    /// # Errors
    /// [`NotPublic`] with the address.
    pub fn check(self, url: &Url) -> Result<(), NotPublic> {
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
            Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
            Some(url::Host::Domain(_)) | None => return Ok(()),
        };
        match self {
            Self::Public if !is_public(address) => Err(NotPublic(address.to_string())),
            Self::Public | Self::Anywhere => Ok(()),
        }
    }
}

/// Looks names up as the system does, and gives public addresses alone.
#[derive(Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Addrs = Box::new(public(name.as_str(), found)?.into_iter());
            Ok(addresses)
        })
    }
}

/// The public ones of a name's addresses.
fn public(
    name: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, NotPublic> {
    let addresses: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
    if addresses.is_empty() {
        Err(NotPublic(name.to_owned()))
    } else {
        Ok(addresses)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_public_v4(address),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4
        .iter()
        .any(|(block, bits)| address.to_bits() >> (32 - bits) == block.to_bits() >> (32 - bits))
}

/// Of all that is assigned, only 2000::/3 is for the whole Internet.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |(block, bits): &(Ipv6Addr, u32)| {
        address.to_bits() >> (128 - bits) == block.to_bits() >> (128 - bits)
    };
    within(&GLOBAL_V6) && !SPECIAL_V6.iter().any(within)
}

/// The IPv4 address that a connection to this one ends at: IPv4-mapped (RFC 4291, section 2.5.5.2), or by way of a translator
/// (64:ff9b::/96, RFC 6052), without which a network that has IPv6 alone reaches no IPv4 host.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

/// What is not for the whole Internet, after IANA's registry of special addresses
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, November 2026), multicast and what is reserved.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    // "This network", the unspecified address among it.
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by a carrier's customers (RFC 6598).
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, and a cloud's metadata.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays of 6to4, no longer in use (RFC 7526).
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // For benchmarks (RFC 2544).
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, the broadcast address among it.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What of it is not (<https://www.iana.org/assignments/iana-ipv6-special-registry>, November 2026).
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    // For protocols, Teredo and benchmarks among it.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4: ends at whatever IPv4 address stands in it, and is no longer in use (RFC 7526).
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

#[cfg(test)]
mod tests;
