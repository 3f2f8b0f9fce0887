//! Webhook of a job: the URL to call when the job ends, and the signing secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use url::Url;

/// Maximum length of the URL, in bytes.
const MAX_URL_BYTES: usize = 2048;
/// Prefix of a secret (Standard Webhooks 1.0.0, section "Signature scheme").
const PREFIX: &str = "whsec_";

/// Webhook as in Standard Webhooks. `Debug` shows neither the secret nor the URL's path, which may hold one.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object with `url` and `secret`")]
pub struct Webhook {
    /// URL with the scheme `http` or `https`, without user and password.
    #[schema(value_type = String, format = "uri", pattern = "^[Hh][Tt][Tt][Pp][Ss]?:", max_length = 2048, example = "https://hooks.example/extractd")]
    url: Target,
    /// Signing key: `whsec_` followed by 24 to 64 random bytes in base64.
    #[schema(value_type = String, pattern = "^whsec_(([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/][AQgw]==)?|([A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)$", write_only, example = "whsec_dGhpcyBpcyBubyByZWFsIHNlY3JldCEh")]
    secret: Secret,
}

impl Webhook {
    /// Returns the URL to call.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url.0
    }

    /// Returns the signing key, 24 to 64 bytes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.secret.0.expose_secret()
    }

    /// Serializes the webhook including its secret, for storage. The result deserializes as the same webhook.
    #[must_use]
    pub fn to_json(&self) -> String {
        let secret = format!("{PREFIX}{}", STANDARD.encode(self.key()));
        serde_json::json!({"url": self.url().as_str(), "secret": secret}).to_string()
    }
}

#[derive(Clone)]
struct Target(Url);

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX_URL_BYTES {
            return Err(D::Error::custom(TOO_LONG));
        }
        let url = Url::parse(&text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| {
            D::Error::custom("expected an http or https URL, such as https://example.com/hook")
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(D::Error::custom(
                "the URL has a user or a password; the signature says who is calling",
            ));
        }
        // Percent-encoding may lengthen the URL, and the stored form is parsed again.
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(D::Error::custom(TOO_LONG));
        }
        Ok(Self(url))
    }
}

const TOO_LONG: &str = "the URL is longer than 2048 characters";

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

#[derive(Debug, Clone)]
struct Secret(SecretSlice<u8>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let key = text
            .strip_prefix(PREFIX)
            .and_then(|encoded| STANDARD.decode(encoded).ok());
        let key = key.filter(|key| (24..=64).contains(&key.len())).ok_or_else(|| {
            D::Error::custom("expected `whsec_` and 24 to 64 random bytes in base64: echo whsec_$(openssl rand -base64 32)")
        })?;
        Ok(Self(key.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_dGhpcyBpcyBubyByZWFsIHNlY3JldCEh";

    fn parse_webhook(url: &str, secret: &str) -> Result<Webhook, String> {
        let json = serde_json::json!({"url": url, "secret": secret}).to_string();
        serde_json::from_str(&json).map_err(|error| error.to_string())
    }

    fn encoded(bytes: usize) -> String {
        format!("whsec_{}", STANDARD.encode(vec![7; bytes]))
    }

    #[test]
    fn a_serialized_webhook_deserializes_as_the_same() {
        for (url, as_kept) in [
            ("https://hooks.example/a?b=c", "https://hooks.example/a?b=c"),
            ("HTTP://Hooks.Example:80", "http://hooks.example/"),
            (
                "https://bücher.example/é",
                "https://xn--bcher-kva.example/%C3%A9",
            ),
            ("http://127.1:8080/", "http://127.0.0.1:8080/"),
        ] {
            let webhook = parse_webhook(url, SECRET).unwrap();
            assert_eq!(webhook.url().as_str(), as_kept);
            let again: Webhook = serde_json::from_str(&webhook.to_json()).unwrap();
            assert_eq!(
                (again.url(), again.key()),
                (webhook.url(), b"this is no real secret!!".as_slice())
            );
        }
        for bytes in [24, 32, 64] {
            assert_eq!(
                parse_webhook("https://a.example", &encoded(bytes))
                    .unwrap()
                    .key(),
                vec![7; bytes]
            );
        }
    }

    #[test]
    fn an_unusable_url_is_rejected() {
        let long = format!("https://a.example/{}", "x".repeat(2048 - 18));
        assert!(parse_webhook(&long, SECRET).is_ok());
        for (url, message) in [
            (format!("{long}x").as_str(), "longer than 2048"),
            (
                &format!("https://a.example/{}", "é".repeat(900)),
                "longer than 2048",
            ),
            ("", "expected an http or https URL"),
            ("hooks.example/a", "expected an http or https URL"),
            ("https://", "expected an http or https URL"),
            ("https://a b/", "expected an http or https URL"),
            ("ftp://a.example/", "expected an http or https URL"),
            ("file:///etc/passwd", "expected an http or https URL"),
            ("gopher://a.example/", "expected an http or https URL"),
            ("https://me@a.example/", "a user or a password"),
            ("https://:hush@a.example/", "a user or a password"),
        ] {
            let error = parse_webhook(url, SECRET).unwrap_err();
            assert!(error.contains(message), "{url}: {error}");
        }
    }

    #[test]
    fn an_invalid_secret_is_rejected_without_showing_it() {
        for secret in [
            "",
            "whsec_",
            "hush-hush-hush-hush-hush-hush",
            "dGhpcyBpcyBubyByZWFsIHNlY3JldCEh",
            "whsec_dGhpcyBpcyBubyByZWFsIHNlY3JldCE",
            "whsec_dGhpcyBpcyBubyByZWFs-HNlY3JldCEh",
            &encoded(23),
            &encoded(65),
        ] {
            let error = parse_webhook("https://a.example/", secret).unwrap_err();
            assert!(
                error.contains("24 to 64 random bytes in base64"),
                "{secret}: {error}"
            );
            assert!(
                !error.contains("hush") && !error.contains("dGhpcy"),
                "{error}"
            );
        }
    }

    #[test]
    fn missing_and_unknown_fields_are_rejected() {
        for (json, message) in [
            (
                format!(r#"{{"secret": "{SECRET}"}}"#),
                "missing field `url`",
            ),
            (
                r#"{"url": "https://a.example/"}"#.to_owned(),
                "missing field `secret`",
            ),
            (
                format!(r#"{{"url": "https://a.example/", "secret": "{SECRET}", "events": []}}"#),
                "unknown field `events`",
            ),
        ] {
            let error = serde_json::from_str::<Webhook>(&json)
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
    }

    #[test]
    fn debug_output_has_the_origin_and_no_secret() {
        let shown = format!(
            "{:?}",
            parse_webhook("https://hooks.example:8443/hush?token=hush", SECRET).unwrap()
        );
        assert!(shown.contains("https://hooks.example:8443"), "{shown}");
        for secret in ["hush", "dGhpcy", "real secret", "116, 104"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
