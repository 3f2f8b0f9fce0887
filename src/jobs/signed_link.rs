//! Signed links: URLs that grant access to a job's events until they expire, without an API key, which a browser's
//! `EventSource` cannot send.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

use super::hmac::hmac_sha256;

/// Prefix of the signed message. Separates links from other uses of the same key.
const DOMAIN: &[u8] = b"extractd job events link v1\n";

/// Reason why a signature is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The signature was created for another job, or with another secret.
    #[error("the link's signature is invalid; get the job, its `links` have a new one")]
    Forged,
    /// The link has expired.
    #[error("the link has expired; get the job, its `links` have a new one")]
    Expired,
}

/// Returns a signature that grants access to a job's events until `expires_at_seconds`, in seconds since 1970. It needs no
/// percent-encoding in a query.
#[must_use]
pub fn sign(secret: &[u8; 32], job_id: &str, expires_at_seconds: u64) -> String {
    let expires = expires_at_seconds.to_string();
    let tag = hmac_sha256(secret, &message(&expires, job_id))
        .finalize()
        .into_bytes();
    format!("{expires}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Verifies a signature at the time `now_seconds`, in seconds since 1970. Compares in constant time, so that the duration
/// reveals nothing of the valid signature.
///
/// # Errors
/// - [`LinkError::Forged`] if the signature was not returned by [`sign`] for this job and secret;
/// - [`LinkError::Expired`] if it has expired.
pub fn verify(
    secret: &[u8; 32],
    job_id: &str,
    signature: &str,
    now_seconds: u64,
) -> Result<(), LinkError> {
    let (expires, tag) = signature.split_once('.').ok_or(LinkError::Forged)?;
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| LinkError::Forged)?;
    hmac_sha256(secret, &message(expires, job_id))
        .verify_slice(&tag)
        .map_err(|_| LinkError::Forged)?;
    let expires_at: u64 = expires.parse().map_err(|_| LinkError::Forged)?;
    if now_seconds < expires_at {
        Ok(())
    } else {
        Err(LinkError::Expired)
    }
}

/// Returns the signed message. The time comes first and contains no line break, so that no two links have the same message.
fn message<'a>(expires: &'a str, job_id: &'a str) -> [&'a [u8]; 4] {
    [DOMAIN, expires.as_bytes(), b"\n", job_id.as_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn signature_is_valid_for_its_job_until_it_expires() {
        let signature = sign(&SECRET, "job_1", 1000);
        for (now, expected) in [
            (0, Ok(())),
            (999, Ok(())),
            (1000, Err(LinkError::Expired)),
            (u64::MAX, Err(LinkError::Expired)),
        ] {
            assert_eq!(verify(&SECRET, "job_1", &signature, now), expected, "{now}");
        }
        assert_eq!(
            verify(&SECRET, "job_2", &signature, 0),
            Err(LinkError::Forged)
        );
        assert_eq!(
            verify(&[8; 32], "job_1", &signature, 0),
            Err(LinkError::Forged)
        );
        let longest = sign(&SECRET, "", u64::MAX);
        assert_eq!(verify(&SECRET, "", &longest, u64::MAX - 1), Ok(()));
    }

    #[test]
    fn signature_needs_no_encoding_in_a_query() {
        for time in 0..100 {
            let signature = sign(&SECRET, "job_1", time);
            assert!(
                signature
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
                "{signature}"
            );
        }
    }

    /// Expected value computed with Python's `hmac`.
    #[test]
    fn signature_is_stable_across_versions() {
        assert_eq!(
            sign(&SECRET, "job_1", 1_800_000_000),
            "1800000000.B3_LKoO13eOe2mAgwTDWBapgdsJMdTsinHPYfu2jejs"
        );
    }

    #[test]
    fn altered_signatures_are_rejected() {
        let signature = sign(&SECRET, "job_1", 1000);
        let (_, tag) = signature.split_once('.').unwrap();
        let others = [
            "",
            ".",
            "1000",
            "1000.",
            &format!("1001.{tag}"),
            &format!("+1000.{tag}"),
            &format!("01000.{tag}"),
            tag,
        ]
        .map(str::to_owned);
        let padded = [
            format!("{signature}="),
            format!("{signature}A"),
            signature[..signature.len() - 1].to_owned(),
        ];
        for wrong in others.into_iter().chain(padded) {
            assert_eq!(
                verify(&SECRET, "job_1", &wrong, 0),
                Err(LinkError::Forged),
                "{wrong}"
            );
        }
        // Each character matters, including the spare bits of the last one.
        for position in 0..signature.len() {
            for other in *b"A9-_.B" {
                let mut bytes = signature.clone().into_bytes();
                if std::mem::replace(&mut bytes[position], other) != other {
                    let changed = String::from_utf8(bytes).unwrap();
                    assert_eq!(
                        verify(&SECRET, "job_1", &changed, 0),
                        Err(LinkError::Forged),
                        "{changed}"
                    );
                }
            }
        }
    }
}
