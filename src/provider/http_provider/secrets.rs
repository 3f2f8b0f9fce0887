//! Secrets of a provider's calls: its API keys and the values of configured headers. They are removed from what it answers.

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::provider::answer::{Answer, Finish};

/// Minimum length of a secret that is looked for in answers: a shorter one may be a word.
const MIN_SECRET_BYTES: usize = 12;
/// Parts of the names of headers whose values are credentials.
const CREDENTIAL_NAMES: [&str; 6] = ["auth", "cookie", "key", "secret", "signature", "token"];
/// Text in place of a secret.
const MASK: &str = "****";

/// Secrets in use.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Header value of each key; empty: calls carry no key.
    key_headers: Vec<HeaderValue>,
    keys: Vec<SecretString>,
    /// The keys before these, which an answer may still repeat.
    previous_keys: Vec<SecretString>,
    /// Names and values of configured headers.
    headers: Vec<(String, SecretString)>,
}

impl Secrets {
    /// Creates the secrets of calls without a key.
    pub fn of_headers(headers: Vec<(String, SecretString)>) -> Self {
        Self {
            headers,
            ..Self::default()
        }
    }

    /// Returns the secrets with other keys. `key_headers` are their header values.
    pub fn with_keys(&self, keys: Vec<SecretString>, key_headers: Vec<HeaderValue>) -> Self {
        Self {
            key_headers,
            keys,
            previous_keys: self.keys.clone(),
            headers: self.headers.clone(),
        }
    }

    /// Returns the header value of a key.
    pub fn key_header(&self, index: usize) -> Option<&HeaderValue> {
        self.key_headers.get(index)
    }

    /// Returns a key.
    pub fn key(&self, index: usize) -> Option<&str> {
        self.keys.get(index).map(ExposeSecret::expose_secret)
    }

    /// Returns the secrets that are looked for in answers.
    pub fn hidden(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter();
        let credentials =
            headers.filter_map(|(name, value)| credential(name, value.expose_secret()));
        self.all_keys()
            .chain(credentials)
            .filter(|secret| secret.len() >= MIN_SECRET_BYTES)
    }

    fn all_keys(&self) -> impl Iterator<Item = &str> {
        let keys = [&self.keys, &self.previous_keys].into_iter().flatten();
        keys.map(ExposeSecret::expose_secret)
    }

    fn header_values(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(_, value)| value.expose_secret())
    }

    /// Replaces all secrets in a message, however short.
    pub fn mask(&self, text: &str) -> String {
        let secrets = self.header_values().chain(self.all_keys());
        let secrets = secrets.chain(self.hidden());
        secrets
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }

    /// Replaces all secrets in every string of a value.
    pub fn mask_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask_value(item)),
            Value::Object(members) => {
                members
                    .values_mut()
                    .for_each(|member| self.mask_value(member));
            }
            _ => {}
        }
    }

    /// Replaces secrets in an answer: a gateway that shows what it received must not show them to callers.
    pub fn mask_answer(&self, mut answer: Answer) -> Answer {
        let reason = match &mut answer.finish {
            Finish::Refusal(reason) | Finish::Invalid(reason) => Some(reason),
            _ => None,
        };
        for text in [Some(&mut answer.text), reason].into_iter().flatten() {
            for secret in self.hidden() {
                if text.contains(secret) {
                    *text = text.replace(secret, MASK);
                }
            }
        }
        answer
    }

    /// Replaces secrets in a message of the provider that is passed through.
    pub fn mask_message(&self, message: Vec<u8>) -> Vec<u8> {
        let found: Vec<_> = (self.hidden())
            .filter(|secret| memchr::memmem::find(&message, secret.as_bytes()).is_some())
            .collect();
        if found.is_empty() {
            return message;
        }
        let text = String::from_utf8_lossy(&message).into_owned();
        let mask = |text: String, secret: &&str| text.replace(secret, MASK);
        found.iter().fold(text, mask).into_bytes()
    }
}

/// Returns the credential of a header: the value after its scheme, or that of a header with such a name. `None` for other values, such
/// as titles and versions, which an answer may state without any harm.
fn credential<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    let is_scheme = |word: &str| ["basic", "bearer"].contains(&&*word.to_ascii_lowercase());
    if let Some((word, rest)) = value.split_once(' ')
        && is_scheme(word)
    {
        return Some(rest.trim());
    }
    let name = name.to_ascii_lowercase();
    let is_named = CREDENTIAL_NAMES.iter().any(|part| name.contains(part));
    (is_named && !value.contains(' ')).then_some(value)
}

#[cfg(test)]
mod tests {
    use throttle::RemainingQuota;

    use super::*;
    use crate::provider::partial_answer::PartialAnswer;
    use crate::types::Mode;

    fn secrets() -> Secrets {
        let headers = [
            ("x-gateway", "Bearer gateway-token-0123"),
            ("x-session-token", "session-token-0123"),
            ("http-referer", "https://example.com"),
            ("x-title", "InvoiceExtractor"),
            ("x-auth-team", "Team of the north"),
            ("x-key", "short"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), SecretString::from(value)));
        let headers = headers.to_vec();
        let first = Secrets::of_headers(headers).with_keys(vec!["sk-old-key-0123".into()], vec![]);
        first.with_keys(vec!["sk-new-key-0123".into()], vec![])
    }

    #[test]
    fn credentials_are_masked_in_answers_and_all_secrets_in_messages() {
        let secrets = secrets();
        let told = "gateway-token-0123 session-token-0123 sk-old-key-0123 sk-new-key-0123 https://example.com InvoiceExtractor short";
        let masked = "**** **** **** **** https://example.com InvoiceExtractor short";
        let partial = PartialAnswer {
            content: told.to_owned(),
            ..PartialAnswer::default()
        };
        let answer = partial.into_answer(Mode::Text, RemainingQuota::default());
        assert_eq!(secrets.mask_answer(answer).text, masked);
        let refusal = PartialAnswer {
            refusal: told.to_owned(),
            ..PartialAnswer::default()
        };
        let answer = refusal.into_answer(Mode::Text, RemainingQuota::default());
        let finish = secrets.mask_answer(answer).finish;
        assert_eq!(finish, Finish::Refusal(masked.to_owned()));
        let message = secrets.mask_message(told.as_bytes().to_vec());
        assert_eq!(message, masked.as_bytes());
        assert_eq!(secrets.mask(told), "**** **** **** **** **** **** ****");
        assert_eq!(secrets.mask("Bearer gateway-token-0123"), "****");
    }
}
