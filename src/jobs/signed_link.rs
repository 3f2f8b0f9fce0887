//! Signed links: who has one may follow a job's events until it expires, without a key. A browser's `EventSource` cannot send one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

use super::hmac::mac;

/// What is signed begins with this, so that a signature of the same key over something else is none for a link.
const DOMAIN: &[u8] = b"extractd job events link v1\n";

/// Why a signature opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is another job's, or was not made with this secret.
    #[error("the link's signature is wrong; ask for the job again, its `links` have a new one")]
    Forged,
    #[error("the link has expired; ask for the job again, its `links` have a new one")]
    Expired,
}

/// A signature that opens a job's events until a time, in seconds since 1970. Can stand in a query as it is.
#[must_use]
pub fn sign(secret: &[u8; 32], job_id: &str, expires_at_seconds: u64) -> String {
    let expires = expires_at_seconds.to_string();
    let tag = mac(secret, &message(&expires, job_id))
        .finalize()
        .into_bytes();
    format!("{expires}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Whether a signature opens a job's events at a time, in seconds since 1970. How long it takes says nothing of the right one.
///
/// # Errors
/// When it was not made by [`sign`] for this job, or its time is over.
pub fn verify(
    secret: &[u8; 32],
    job_id: &str,
    signature: &str,
    now_seconds: u64,
) -> Result<(), LinkError> {
    let (expires, tag) = signature.split_once('.').ok_or(LinkError::Forged)?;
    let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| LinkError::Forged)?;
    mac(secret, &message(expires, job_id))
        .verify_slice(&tag)
        .map_err(|_| LinkError::Forged)?;
    let expires_at: u64 = expires.parse().map_err(|_| LinkError::Forged)?;
    if now_seconds < expires_at {
        Ok(())
    } else {
        Err(LinkError::Expired)
    }
}

/// The time, which has no line break when it was signed, comes first: no two links have the same message.
fn message<'a>(expires: &'a str, job_id: &'a str) -> [&'a [u8]; 4] {
    [DOMAIN, expires.as_bytes(), b"\n", job_id.as_bytes()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn a_signature_opens_its_job_until_it_expires() {
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
    fn it_can_stand_in_a_query() {
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

    /// Computed with Python's `hmac`.
    #[test]
    fn it_stays_the_same_over_versions() {
        assert_eq!(
            sign(&SECRET, "job_1", 1_800_000_000),
            "1800000000.B3_LKoO13eOe2mAgwTDWBapgdsJMdTsinHPYfu2jejs"
        );
    }

    #[test]
    fn nothing_else_opens_it() {
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
        // Each character counts, the last one's spare bits too.
        for at in 0..signature.len() {
            for other in *b"A9-_.B" {
                let mut bytes = signature.clone().into_bytes();
                if std::mem::replace(&mut bytes[at], other) != other {
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
