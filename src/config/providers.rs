//! `[providers.NAME]`: whom to call, with which keys, how often.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use secrecy::SecretString;

use super::{
    error::Error,
    headers, keys,
    parsers::{self, Parsed},
    section::Section,
    setting::{Origin, Setting},
    url::Url,
    wire_kind::{KINDS, NATIVES, WireKind},
};

/// The provider that is always there: the built-in model.
pub const LOCAL: &str = "local";

/// A provider, reached over HTTP.
#[derive(Debug, Clone)]
pub struct Provider {
    /// `kind`: its wire format. Required, but for the providers named `openai`, `anthropic` and `gemini`.
    pub kind: WireKind,
    /// `base_url`: what its SDK takes, `http` or `https`, without a slash at its end. The kinds `anthropic`, `gemini` and `ollama`,
    /// and the provider named `openai`, have a default.
    pub base_url: Url,
    /// `api_version`: of the kind `azure` alone, which sends it where the base URL does not end in `/openai/v1`. Default
    /// `2024-10-21`. `None`: the kind has none.
    pub api_version: Option<String>,
    /// One key: `api_key`, or `api_key_env` (a variable's name), or `api_key_file` (a file that holds nothing else). Or several,
    /// over which the calls are spread: `api_keys` (array of strings), or `api_keys_env` (a variable that holds them,
    /// comma-separated), or `api_keys_file` (one key a line; blank lines and lines that begin with `#` are skipped). At most
    /// 64, none twice, in the order that they were given. Empty, the default: calls go out without one.
    pub api_keys: Vec<SecretString>,
    /// `headers`: sent with every call; names in lower case. Default none.
    pub headers: BTreeMap<String, SecretString>,
    /// `proxy`: `http`, `https`, `socks5` or `socks5h`. `None`: calls go out directly.
    pub proxy: Option<Url>,
    /// `requests_per_minute` and `request_burst`, of each key. `None`: unlimited.
    pub rate: Option<Rate>,
    /// `tokens_per_minute`: tokens read and written, of each key. 1 to 1,000,000,000. `None`: unlimited.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// `max_concurrency`: calls in flight to it, all keys together. 1 to 100,000. `None`: only `limits.max_concurrency` counts.
    pub max_concurrency: Option<NonZeroU32>,
    /// `adaptive_concurrency`: let fewer calls be in flight when it answers 429 or 503, or not in time, and slowly more again
    /// when it does answer. Default true.
    pub adaptive_concurrency: bool,
    /// `connect_timeout_ms`: how long connecting may take, TLS included. 1 to 600,000 ms, default 10,000.
    pub connect_timeout: Duration,
    /// `timeout_ms`: how long one call may take, from its start to the end of its answer. 1 to 3,600,000 ms. `None`: it is
    /// decided from the time that the item has.
    pub call_timeout: Option<Duration>,
    /// Where the provider was first configured.
    pub origin: Origin,
}

/// In any time t at most burst + rate × t calls go out with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// `requests_per_minute`. 1 to 100,000,000.
    pub requests_per_minute: NonZeroU32,
    /// `request_burst`: calls that may go out at once. 1 to 100,000,000, default the larger of 1 and 10 ms of the rate.
    pub burst: NonZeroU32,
}

/// 10 ms are a 6000th of a minute.
const BURSTS_A_MINUTE: u32 = 6000;

/// Reads every `[providers.NAME]`.
pub(super) fn read(
    sections: Vec<(String, Section<'_>)>,
) -> Result<BTreeMap<String, Provider>, Error> {
    let mut providers = BTreeMap::new();
    for (name, section) in sections {
        let provider = Provider::read(&name, section)?;
        providers.insert(name, provider);
    }
    Ok(providers)
}

impl Provider {
    fn read(name: &str, mut section: Section<'_>) -> Result<Self, Error> {
        check_name(name, &section)?;
        let implied = NATIVES
            .iter()
            .any(|native| native.name == name)
            .then_some(name);
        let kind = or_implied(&mut section, "kind", implied, parsers::choice(&KINDS))?;
        let implied = kind.and_then(|kind| kind.default_base_url(name));
        let base_url = or_implied(&mut section, "base_url", implied, base_url)?;
        let api_version = api_version(&mut section, kind)?;
        let api_keys = api_keys(&mut section)?;
        let proxy = section.find("proxy", proxy)?;
        let rate = rate(&mut section)?;
        let tokens_per_minute = section.find("tokens_per_minute", parsers::tokens_per_minute)?;
        let max_concurrency = section.find("max_concurrency", parsers::concurrency)?;
        let adaptive_concurrency = section.get("adaptive_concurrency", true, parsers::boolean)?;
        let connect_timeout =
            section.get("connect_timeout_ms", 10_000, parsers::millis(1..=600_000))?;
        let call_timeout = section.find("timeout_ms", parsers::millis(1..=3_600_000))?;
        let headers = headers::read(section.child("headers")?)?;
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
            headers,
            proxy,
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

fn check_name(name: &str, section: &Section<'_>) -> Result<(), Error> {
    let why = if name == LOCAL {
        "this is the built-in model's name; its settings are in [local]"
    } else if !is_name(name) {
        "a provider's name is small letters, digits, _ and -, beginning with a letter or a digit"
    } else {
        return Ok(());
    };
    Err(Error::new(
        &section.origin,
        format!("[{}]: {why}", section.header),
    ))
}

fn is_name(name: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().next().is_some_and(begins)
        && name
            .bytes()
            .all(|byte| begins(byte) || matches!(byte, b'_' | b'-'))
}

/// The key's value, else what the provider's name implies, else `None`.
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

/// The latest that is not a preview: <https://learn.microsoft.com/azure/ai-services/openai/reference> (November 2026)
const AZURE_API_VERSION: &str = "2024-10-21";

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
            "has no effect unless `kind` is \"azure\"; take it away",
        )),
        None => Ok(None),
    }
}

/// The message does not repeat the URL: a key may have been written into it.
fn base_url(setting: &Setting) -> Parsed<Url> {
    let url = setting.text().and_then(Url::base);
    let url =
        url.ok_or("must be an http:// or https:// URL without user, query and fragment, such as http://localhost:8000/v1")?;
    let shown = url.as_str().into();
    Ok((url, shown))
}

fn proxy(setting: &Setting) -> Parsed<Url> {
    let url = setting.text().and_then(Url::proxy);
    let url = url.ok_or("must be an http://, https://, socks5:// or socks5h:// URL without a path, such as http://proxy:3128")?;
    let shown = url.to_string().into();
    Ok((url, shown))
}

/// More would hardly be one account's.
const MAX_KEYS: usize = 64;

fn api_keys(section: &mut Section<'_>) -> Result<Vec<SecretString>, Error> {
    let ways = [
        "api_key",
        "api_key_env",
        "api_key_file",
        "api_keys",
        "api_keys_env",
        "api_keys_file",
    ];
    let Some((key, setting)) = section.one_of(&ways)? else {
        section.unset("api_key");
        return Ok(Vec::new());
    };
    if !key.starts_with("api_keys") {
        return keys::one(section, key, &setting).map(|key| vec![key]);
    }
    let keys = keys::several(section, key, &setting)?;
    if keys.len() > MAX_KEYS {
        let why = format!("holds {} keys; at most {MAX_KEYS} are allowed", keys.len());
        return Err(section.refuse(key, &setting.origin, &why));
    }
    Ok(keys)
}

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
    let default = (requests_per_minute.get() / BURSTS_A_MINUTE).max(1);
    let burst = section.get("request_burst", default, parsers::requests_per_minute)?;
    Ok(Some(Rate {
        requests_per_minute,
        burst,
    }))
}
