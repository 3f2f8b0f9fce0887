//! SSRF guard (server-side request forgery): the addresses that a caller's URL may connect to.
//!
//! This process may run inside a private network. Without a guard, a caller's URL could reach hosts that are accessible only from
//! the inside. The guard checks the address of the connection, not the name: a name may resolve to a public address when it is
//! checked and to a private one when it is called (DNS rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

/// Addresses that a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Every address.
    #[default]
    Anywhere,
    /// Addresses of the public Internet: not this machine, private networks or cloud metadata.
    Public,
}

/// Rejection of a host that is not on the public Internet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not on the public Internet; only public addresses may be called")]
pub struct NotPublic(String);

impl Reach {
    /// Rejects a URL whose host is an IP address out of reach. The addresses of a host name are checked when it is resolved for
    /// a call.
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

    /// Returns the addresses of a name that are within reach.
    ///
    /// # Errors
    /// [`NotPublic`] with the name, if none is.
    pub(super) fn filter(
        self,
        name: &str,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, NotPublic> {
        if self == Self::Anywhere {
            return Ok(addresses);
        }
        addresses.retain(|address| is_public(address.ip()));
        if addresses.is_empty() {
            Err(NotPublic(name.to_owned()))
        } else {
            Ok(addresses)
        }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
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

/// Returns true for global unicast addresses: of all assigned ranges, only 2000::/3 is global.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |(block, bits): &(Ipv6Addr, u32)| {
        address.to_bits() >> (128 - bits) == block.to_bits() >> (128 - bits)
    };
    within(&GLOBAL_V6) && !SPECIAL_V6.iter().any(within)
}

/// Returns the IPv4 address that an IPv6 address stands for: IPv4-mapped (RFC 4291, section 2.5.5.2), or behind a translator
/// (64:ff9b::/96, RFC 6052), which IPv6-only networks need to reach IPv4 hosts.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

/// IPv4 blocks that are not public: IANA's registry of special-purpose addresses
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>, November 2026), multicast and reserved addresses.
const SPECIAL_V4: [(Ipv4Addr, u32); 15] = [
    // "This network", including the unspecified address.
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
    // Reserved, including the broadcast address.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Global unicast addresses.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Blocks within [`GLOBAL_V6`] that are not public (<https://www.iana.org/assignments/iana-ipv6-special-registry>, November 2026).
const SPECIAL_V6: [(Ipv6Addr, u32); 4] = [
    // For protocols, including Teredo and benchmarks.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4: leads to the embedded IPv4 address, and is no longer in use (RFC 7526).
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

#[cfg(test)]
mod tests;
