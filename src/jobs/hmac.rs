//! Message authentication: who has the key made this.

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;

/// HMAC-SHA256 (RFC 2104) of a message that comes in parts; it compares itself in constant time.
#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
pub(super) fn mac(key: &[u8], message: &[&[u8]]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    message.iter().fold(mac, Mac::chain_update)
}
