//! `[providers.NAME]`: whom to call, with which key, how often.

use std::{collections::BTreeMap, num::NonZeroU32, path::Path, time::Duration};

use secrecy::SecretString;

use super::{
    error::Error,
    headers, secret,
    section::Section,
    setting::{Origin, Setting},
    url::Url,
    value::{self, Parsed, count},
};

/// The provider that is always there: the built-in model.
pub const LOCAL: &str = "local";

/// The provider whose kind, base URL and variables are known by its name.
pub(super) const OPENAI: &str = "openai";

/// What `OpenAI`'s own SDK calls. <https://github.com/openai/openai-python/blob/main/src/openai/_client.py> (November 2026)
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// Said to whoever sets a limit of tokens.
pub(super) const TOKENS_NOT_ENFORCED: &str =
    "this version does not enforce a limit of tokens per minute yet; take it away, and limit requests_per_minute";

/// A provider, reached over HTTP.
#[derive(Debug, Clone)]
pub struct Provider {
    /// `kind`: its wire format. Required, but for the provider named `openai`.
    pub kind: Kind,
    /// `base_url`: what its SDK takes, `http` or `https`, without a slash at its end. Required, but for the provider named
    /// `openai`, whose default is `https://api.openai.com/v1`.
    pub base_url: Url,
    /// `api_key`, or `api_key_env` (a variable's name), or `api_key_file` (a file that holds nothing else). `None`: calls go
    /// out without one.
    pub api_key: Option<SecretString>,
    /// `headers`: sent with every call; names in lower case. Default none.
    pub headers: BTreeMap<String, SecretString>,
    /// `proxy`: `http`, `https`, `socks5` or `socks5h`. `None`: calls go out directly.
    pub proxy: Option<Url>,
    /// `requests_per_minute` and `request_burst`. `None`: unlimited.
    pub rate: Option<Rate>,
    /// `connect_timeout_ms`: how long connecting may take, TLS included. 1 to 600,000 ms, default 10,000.
    pub connect_timeout: Duration,
    /// Where the provider was first configured.
    pub origin: Origin,
}

/// The wire format that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `openai`: `OpenAI`'s chat completions, which most servers of models speak.
    OpenAi,
}

const KINDS: [(&str, Kind); 1] = [("openai", Kind::OpenAi)];

/// In any time t at most burst + rate × t calls go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// `requests_per_minute`. 1 to 100,000,000.
    pub requests_per_minute: NonZeroU32,
    /// `request_burst`: calls that may go out at once. 1 to 100,000,000, default the larger of 1 and 10 ms of the rate.
    pub burst: NonZeroU32,
}

const MAX_REQUESTS: u32 = 100_000_000;

/// 10 ms are a 6000th of a minute.
const BURSTS_A_MINUTE: u32 = 6000;

/// Reads every `[providers.NAME]`.
pub(super) fn read(sections: Vec<(String, Section<'_>)>) -> Result<BTreeMap<String, Provider>, Error> {
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
        if let Some(setting) = section.take_hidden("tokens_per_minute") {
            let message = format!("`{}`: {TOKENS_NOT_ENFORCED}", section.name("tokens_per_minute"));
            return Err(Error::new(&setting.origin, message));
        }
        let is_openai = name == OPENAI;
        let kind = or_implied(&mut section, "kind", is_openai.then_some(OPENAI), value::choice(&KINDS))?;
        let base_url = or_implied(&mut section, "base_url", is_openai.then_some(OPENAI_BASE_URL), base_url)?;
        let api_key = api_key(&mut section)?;
        let proxy = section.find("proxy", proxy)?;
        let rate = rate(&mut section)?;
        let connect_timeout = section.get("connect_timeout_ms", 10_000, value::millis(1..=600_000))?;
        let headers = headers::read(section.child("headers")?)?;
        let (header, origin) = (section.header.clone(), section.origin.clone());
        section.finish()?;
        let missing = |what: &str| Error::new(&origin, format!("[{header}] has no {what}"));
        let kind = kind.ok_or_else(|| missing("`kind`; the kinds of this version: openai"))?;
        let base_url = base_url.ok_or_else(|| missing("`base_url`, such as http://localhost:8000/v1"))?;
        Ok(Self { kind, base_url, api_key, headers, proxy, rate, connect_timeout, origin })
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
    Err(Error::new(&section.origin, format!("[{}]: {why}", section.header)))
}

fn is_name(name: &str) -> bool {
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.bytes().next().is_some_and(begins) && name.bytes().all(|byte| begins(byte) || matches!(byte, b'_' | b'-'))
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

fn api_key(section: &mut Section<'_>) -> Result<Option<SecretString>, Error> {
    let Some((key, setting)) = section.one_of(&["api_key", "api_key_env", "api_key_file"])? else {
        section.unset("api_key");
        return Ok(None);
    };
    let origin = &setting.origin;
    let text = match key {
        "api_key_env" => {
            let name = section.parse(key, &setting, variable)?;
            let unset = || {
                let message = format!("`{}` names a variable that is not set", section.name(key));
                Error::new(origin, message)
            };
            let text = section.reader.environment.get(&name);
            text.cloned().ok_or_else(unset)?
        }
        "api_key_file" => {
            let path = section.parse(key, &setting, value::path)?;
            section.reader.read_file(Path::new(&path), origin)?.trim().to_owned()
        }
        _ => {
            return section.parse(key, &setting, |setting| secret::shown_key(setting.text())).map(Some);
        }
    };
    secret::key(&text).map(Some).map_err(|why| Error::new(origin, format!("what `{}` names {why}", section.name(key))))
}

/// No message repeats the name: it may be the key itself, put under the wrong name.
fn variable(setting: &Setting) -> Parsed<String> {
    let fits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = setting.text().filter(fits).ok_or("must be the name of an environment variable")?;
    Ok((name.to_owned(), name.into()))
}

fn rate(section: &mut Section<'_>) -> Result<Option<Rate>, Error> {
    let burst_set = section.origin_of("request_burst");
    let Some(requests_per_minute) = section.find("requests_per_minute", count(MAX_REQUESTS))? else {
        if section.find("request_burst", count(MAX_REQUESTS))?.is_none() {
            return Ok(None);
        }
        let [burst, rate] = ["request_burst", "requests_per_minute"].map(|key| section.name(key));
        return Err(Error::new(&burst_set, format!("`{burst}` has no effect without `{rate}`; set that too")));
    };
    let default = (requests_per_minute.get() / BURSTS_A_MINUTE).max(1);
    let burst = section.get("request_burst", default, count(MAX_REQUESTS))?;
    Ok(Some(Rate { requests_per_minute, burst }))
}
