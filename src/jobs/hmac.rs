//! HMAC-SHA256 message authentication codes (RFC 2104), for signed links and webhook signatures.

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;

/// Returns the HMAC-SHA256 of a message given in parts. `Mac::verify_slice` compares it in constant time.
#[expect(clippy::expect_used, reason = "HMAC accepts keys of any length")]
pub(super) fn hmac_sha256(key: &[u8], message: &[&[u8]]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts keys of any length");
    message.iter().fold(mac, Mac::chain_update)
}
