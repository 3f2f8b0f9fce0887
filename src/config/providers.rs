//! Sections `[providers.NAME]`: wire format, base URL, API keys and rate limits of each provider.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use secrecy::SecretString;

use super::{
    error::Error,
    headers, keys,
    keys::KeyFile,
    parsers::{self, Parsed},
    section::Section,
    setting::{Origin, Setting},
    url::Url,
    wire_kind::{KINDS, NATIVES, WireKind},
};

/// Name of the provider that needs no configuration: the built-in model.
pub const LOCAL: &str = "local";

/// Settings of a provider that is called over HTTP.
#[derive(Debug, Clone)]
pub struct Provider {
    /// `kind`: wire format. Required, except for the providers named `openai`, `anthropic` and
    /// `gemini`.
    pub kind: WireKind,
    /// `base_url`: `http` or `https` URL that API paths are appended to, as in the provider's SDK;
    /// no trailing slash. The kinds `anthropic`, `gemini` and `ollama`, and the provider named
    /// `openai`, have a default.
    pub base_url: Url,
    /// `api_version`: only for the kind `azure`, which sends it unless the base URL ends in
    /// `/openai/v1`. Default `2024-10-21`. `None`: the kind is not `azure`.
    pub api_version: Option<String>,
    /// API keys, at most 64, all different, in the configured order. Empty, the default: calls are
    /// sent without a key.
    ///
    /// One key: `api_key`, `api_key_env` (name of a variable) or `api_key_file` (a file with
    /// nothing else). Several keys, over which calls are spread: `api_keys` (array of strings),
    /// `api_keys_env` (name of a variable with comma-separated keys) or `api_keys_file` (one key
    /// per line; blank lines and lines that begin with `#` are skipped).
    pub api_keys: Vec<SecretString>,
    /// File of `api_key_file` or `api_keys_file`, whose keys are read again when it changes. `None`: the keys are not in a file.
    pub key_file: Option<KeyFile>,
    /// `headers`: additional headers of every call, names in lower case. Default none.
    pub headers: BTreeMap<String, SecretString>,
    /// `proxy`: URL with the scheme `http`, `https`, `socks5` or `socks5h`. `None`: the proxy of
    /// the environment (`HTTPS_PROXY` and the like), if any.
    pub proxy: Option<Url>,
    /// `ca_file`: content of a PEM file with root certificates that are trusted in addition to the built-in ones. `None`: only
    /// those, and the file that `SSL_CERT_FILE` names.
    pub ca: Option<String>,
    /// `client_cert` and `client_key`: content of PEM files with the certificate that is presented to the server, its chain and
    /// its private key, which may be in one file. `None`: there is none.
    pub identity: Option<SecretString>,
    /// `requests_per_minute` and `request_burst`, for each API key. `None`: unlimited.
    pub rate: Option<Rate>,
    /// `tokens_per_minute`: maximum number of tokens, input and output, per minute with each API
    /// key. 1 to 1,000,000,000. `None`: unlimited.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// `max_concurrency`: maximum number of calls in flight to the provider, over all API keys. 1
    /// to 100,000. `None`: only `limits.max_concurrency` applies.
    pub max_concurrency: Option<NonZeroU32>,
    /// `adaptive_concurrency`: true lowers the number of calls in flight after a 429, a 503 or a
    /// timeout, and raises it slowly after successes. Default true.
    pub adaptive_concurrency: bool,
    /// `connect_timeout_ms`: timeout for connecting, TLS included. 1 to 600,000 ms, default 10,000.
    pub connect_timeout: Duration,
    /// `timeout_ms`: timeout of one call, from its start to the end of its answer. 1 to 3,600,000
    /// ms. `None`: derived from the item's `timeout_ms`.
    pub call_timeout: Option<Duration>,
    /// Source in which the provider was first configured.
    pub origin: Origin,
}

/// Rate limit of one API key: in any time t at most burst + rate × t calls are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// `requests_per_minute`: sustained rate in calls per minute. 1 to 100,000,000.
    pub requests_per_minute: NonZeroU32,
    /// `request_burst`: number of calls that may be sent at once. 1 to 100,000,000, default the
    /// larger of 1 and 10 ms of the rate.
    pub burst: NonZeroU32,
}

/// Number of default bursts in a minute: the default burst is 10 ms of the rate.
const BURSTS_PER_MINUTE: u32 = 6000;

/// Reads all `[providers.NAME]` tables.
pub(super) fn from_sections(
    sections: Vec<(String, Section<'_>)>,
) -> Result<BTreeMap<String, Provider>, Error> {
    let mut providers = BTreeMap::new();
    for (name, section) in sections {
        let provider = Provider::from_section(&name, section)?;
        providers.insert(name, provider);
    }
    Ok(providers)
}

impl Provider {
    fn from_section(name: &str, mut section: Section<'_>) -> Result<Self, Error> {
        check_name(name, &section)?;
        let implied = NATIVES
            .iter()
            .any(|native| native.name == name)
            .then_some(name);
        let kind = or_implied(&mut section, "kind", implied, parsers::choice(&KINDS))?;
        let implied = kind.and_then(|kind| kind.default_base_url(name));
        let base_url = or_implied(&mut section, "base_url", implied, base_url)?;
        let api_version = api_version(&mut section, kind)?;
        let (api_keys, key_file) = api_keys(&mut section)?;
        let proxy = section.find("proxy", proxy)?;
        let ca = pem_file(&mut section, "ca_file")?;
        let identity = identity(&mut section)?;
        let rate = rate(&mut section)?;
        let tokens_per_minute = section.find("tokens_per_minute", parsers::tokens_per_minute)?;
        let max_concurrency = section.find("max_concurrency", parsers::concurrency)?;
        let adaptive_concurrency = section.get("adaptive_concurrency", true, parsers::boolean)?;
        let connect_timeout =
            section.get("connect_timeout_ms", 10_000, parsers::millis(1..=600_000))?;
        let call_timeout = section.find("timeout_ms", parsers::millis(1..=3_600_000))?;
        let headers = headers::from_section(section.child("headers")?)?;
        let (header, origin) = (section.header.clone(), section.origin.clone());
        section.finish()?;
        let missing = |what: &str| Error::new(&origin, format!("[{header}] has no {what}"));
        let kinds = || KINDS.map(|(name, _)| name).join(", ");
        let kind =
            kind.ok_or_else(|| missing(&format!("`kind`; it must be one of: {}", kinds())))?;
        let example = kind.example_base_url();
        let base_url =
            base_url.ok_or_else(|| missing(&format!("`base_url`, such as {example}")))?;
        Ok(Self {
            kind,
            base_url,
            api_version,
            api_keys,
            key_file,
            headers,
            proxy,
            ca,
            identity,
            rate,
            tokens_per_minute,
            max_concurrency,
            adaptive_concurrency,
            connect_timeout,
            call_timeout,
            origin,
        })
    }
}

/// Rejects a name that is reserved or has characters that are not allowed.
fn check_name(name: &str, section: &Section<'_>) -> Result<(), Error> {
    let why = if name == LOCAL {
        "this name belongs to the built-in model; its settings are in [local]"
    } else if !is_name(name) {
        "a provider's name has lower-case letters, digits, _ and -, and begins with a letter or a digit"
    } else {
        return Ok(());
    };
    Err(Error::new(
        &section.origin,
        format!("[{}]: {why}", section.header),
    ))
}

/// Returns true if `name` is a valid name of a provider.
fn is_name(name: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().next().is_some_and(begins)
        && name
            .bytes()
            .all(|byte| begins(byte) || matches!(byte, b'_' | b'-'))
}

/// Reads a key. Not set: the value that the provider's name implies, or `None`.
fn or_implied<T>(
    section: &mut Section<'_>,
    key: &'static str,
    implied: Option<&str>,
    parse: impl FnOnce(&Setting) -> Parsed<T>,
) -> Result<Option<T>, Error> {
    match implied {
        Some(implied) => section.get(key, implied, parse).map(Some),
        None => section.find(key, parse),
    }
}

/// Latest API version that is not a preview:
/// <https://learn.microsoft.com/azure/ai-services/openai/reference> (November 2026)
const AZURE_API_VERSION: &str = "2024-10-21";

/// Reads `api_version`, which only the kind `azure` allows.
fn api_version(section: &mut Section<'_>, kind: Option<WireKind>) -> Result<Option<String>, Error> {
    let is_version = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let version = parsers::text("a date such as 2024-10-21 or 2025-04-01-preview", |text| {
        is_version(text).then(|| text.to_owned())
    });
    if kind == Some(WireKind::Azure) {
        return section
            .get("api_version", AZURE_API_VERSION, version)
            .map(Some);
    }
    match section.take("api_version") {
        Some(setting) => Err(section.refuse(
            "api_version",
            &setting.origin,
            "has no effect unless `kind` is \"azure\"; remove it",
        )),
        None => Ok(None),
    }
}

/// Parses a base URL. The message does not repeat the URL: it may contain a key.
fn base_url(setting: &Setting) -> Parsed<Url> {
    let url = setting.text().and_then(Url::base);
    let url =
        url.ok_or("must be an http:// or https:// URL without user, query or fragment, such as http://localhost:8000/v1")?;
    let shown = url.as_str().into();
    Ok((url, shown))
}

/// Parses the URL of a proxy.
fn proxy(setting: &Setting) -> Parsed<Url> {
    let url = setting.text().and_then(Url::proxy);
    let url = url.ok_or("must be an http://, https://, socks5:// or socks5h:// URL without a path, such as http://proxy:3128")?;
    let shown = url.to_string().into();
    Ok((url, shown))
}

/// Reads the file that a key names. `None`: the key is not set.
fn pem_file(section: &mut Section<'_>, key: &'static str) -> Result<Option<String>, Error> {
    let origin = section.origin_of(key);
    let path = section.find(key, parsers::path)?;
    path.map(|path| section.reader.read_file(&path, &origin))
        .transpose()
}

/// Reads the client's certificate and its private key. `None`: there are none.
fn identity(section: &mut Section<'_>) -> Result<Option<SecretString>, Error> {
    let key_set = section.origin_of("client_key");
    let certificate = pem_file(section, "client_cert")?;
    let key = pem_file(section, "client_key")?;
    match (certificate, key) {
        (Some(certificate), key) => {
            let pem = [&certificate, "\n", key.as_deref().unwrap_or_default()].concat();
            Ok(Some(pem.into()))
        }
        (None, Some(_)) => Err(section.no_effect("client_key", &key_set, "client_cert")),
        (None, None) => Ok(None),
    }
}

/// Maximum number of API keys of one provider; more are hardly those of one account.
const MAX_KEYS: usize = 64;

/// Reads the API keys from the one of the six keys that is set, and returns the file that they come from, if any.
fn api_keys(section: &mut Section<'_>) -> Result<(Vec<SecretString>, Option<KeyFile>), Error> {
    let names = [
        "api_key",
        "api_key_env",
        "api_key_file",
        "api_keys",
        "api_keys_env",
        "api_keys_file",
    ];
    let Some((key, setting)) = section.one_of(&names)? else {
        section.unset("api_key");
        return Ok((Vec::new(), None));
    };
    let file = keys::key_file(key, &setting);
    if !key.starts_with("api_keys") {
        return keys::read_key(section, key, &setting).map(|key| (vec![key], file));
    }
    let keys = keys::read_keys(section, key, &setting)?;
    if keys.len() > MAX_KEYS {
        let why = format!("holds {} keys; at most {MAX_KEYS} are allowed", keys.len());
        return Err(section.refuse(key, &setting.origin, &why));
    }
    Ok((keys, file))
}

/// Reads the rate limit. `None`: unlimited.
fn rate(section: &mut Section<'_>) -> Result<Option<Rate>, Error> {
    let burst_set = section.origin_of("request_burst");
    let Some(requests_per_minute) =
        section.find("requests_per_minute", parsers::requests_per_minute)?
    else {
        return match section.find("request_burst", parsers::requests_per_minute)? {
            Some(_) => Err(section.no_effect("request_burst", &burst_set, "requests_per_minute")),
            None => Ok(None),
        };
    };
    let default = (requests_per_minute.get() / BURSTS_PER_MINUTE).max(1);
    let burst = section.get("request_burst", default, parsers::requests_per_minute)?;
    Ok(Some(Rate {
        requests_per_minute,
        burst,
    }))
}
