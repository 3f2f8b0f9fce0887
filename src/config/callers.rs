//! Callers (API clients) with their keys and quotas: `[callers.NAME]`, the same tables in a
//! reloadable `callers_file`, and the plain keys of `server.api_keys`.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt, io,
    num::NonZeroU32,
    path::Path,
};

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::types::{CallerAccess, Role, Usd};

use super::{
    error::Error,
    file, keys,
    parsers::{
        Parsed, choice, concurrency, list, number, queue, requests_per_minute, tokens_per_minute,
    },
    section::{Reader, Section},
    setting::{Environment, Origin, Setting},
};

/// A client that may call the API. `Debug` omits the digest of its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name: up to 64 letters, digits and `.` `_` `-`, beginning with a letter or a digit. The keys
    /// of `server.api_keys` are the callers `key-1`, `key-2` and so on, in their order.
    pub name: String,
    /// Name under which the store keeps the caller's jobs: `name`; for a key of `server.api_keys`,
    /// a name derived from the key, which does not depend on the order of the list.
    pub owner: String,
    /// SHA-256 of the key that the caller sends as `Authorization: Bearer KEY`. The key is given as
    /// `key`, `key_env` (name of a variable) or `key_file` (a file with nothing else), or its
    /// digest as `key_sha256` in 64 hexadecimal digits. One of them is required; the key itself is
    /// not kept.
    pub key_sha256: [u8; 32],
    /// True if the key is so short that it can be guessed. False for a key that is given as its digest.
    pub has_short_key: bool,
    /// Limits of the caller.
    pub quota: Quota,
    /// `role`: `caller`, the default, or `operator`, which sees the names, quotas and spending of all
    /// callers. `models`: models that the caller may use, as configured names, `provider/model`, or
    /// `provider/*`; all by default. The keys of `server.api_keys` have the defaults.
    pub access: CallerAccess,
    /// Source of the caller's configuration.
    pub origin: Origin,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            owner: _,
            key_sha256: _,
            has_short_key: _,
            quota,
            access,
            origin,
        } = self;
        f.debug_struct("Caller")
            .field("name", name)
            .field("quota", quota)
            .field("access", access)
            .field("origin", origin)
            .finish_non_exhaustive()
    }
}

/// Limits of one caller, in addition to the limits of the process. The default is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// `requests_per_minute`: maximum number of calls to providers per minute. 1 to 100,000,000.
    /// `None`: unlimited.
    pub requests_per_minute: Option<NonZeroU32>,
    /// `tokens_per_minute`: maximum number of tokens, input and output, per minute. 1 to
    /// 1,000,000,000. `None`: unlimited.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// `max_concurrency`: maximum number of calls in flight. 1 to 100,000. `None`: only
    /// `limits.max_concurrency` applies.
    pub max_concurrency: Option<NonZeroU32>,
    /// `max_queue`: maximum number of items that wait in the queue. 1 to 10,000,000. `None`: only
    /// `limits.max_queue` applies.
    pub max_queue: Option<NonZeroU32>,
    /// `budget_usd_per_day`: maximum cost of the caller's calls per UTC day. More than 0, up to
    /// 10,000,000 US dollars. Only models with a price count. `None`: unlimited.
    pub budget_per_day: Option<Usd>,
}

/// Parses the text of `callers_file`: TOML with `[callers.NAME]` tables and nothing else.
///
/// `path` is only for messages. The function is pure, except that `read_file` reads the `key_file`s
/// that the text names; a relative path is passed on unchanged. A variable whose value is empty
/// counts as unset. The callers are returned in the order of their names; there may be none.
/// [`join_callers`] checks them against those of the configuration itself.
///
/// # Errors
/// [`Error`] for the first invalid key or value, with its position and the allowed values.
pub fn read_callers(
    path: &Path,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Vec<Caller>, Error> {
    let environment: Environment = environment
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    parse(&Reader::new(&environment, &read_file), path, text)
}

/// Returns all callers: those of the configuration itself ([`super::Config::callers`]), then those
/// of `callers_file`.
///
/// # Errors
/// [`Error`] if two callers have the same name or the same key, naming both.
pub fn join_callers(own: &[Caller], from_file: &[Caller]) -> Result<Vec<Caller>, Error> {
    let (mut names, mut keys) = (BTreeMap::new(), BTreeMap::new());
    for caller in own.iter().chain(from_file) {
        let refuse = |why: String| Error::new(&caller.origin, why);
        let name = &caller.name;
        match names.entry(name) {
            Entry::Vacant(entry) => entry.insert(&caller.origin),
            Entry::Occupied(entry) => {
                let place = entry.get().place();
                return Err(refuse(format!(
                    "the caller `{name}` is already configured ({place}); each caller needs a name of its own"
                )));
            }
        };
        match keys.entry(caller.key_sha256) {
            Entry::Vacant(entry) => entry.insert(caller),
            Entry::Occupied(entry) => {
                let (other, place) = (&entry.get().name, entry.get().origin.place());
                let why = format!(
                    "the callers `{other}` ({place}) and `{name}` have the same key; each caller needs a key of its own"
                );
                return Err(refuse(why));
            }
        };
    }
    Ok([own, from_file].concat())
}

/// Reads the callers of `callers_file` at the start; `named` is the source of the file's path.
pub(super) fn from_file(
    reader: &Reader<'_>,
    path: &Path,
    named: &Origin,
) -> Result<Vec<Caller>, Error> {
    let text = reader.read_file(path, named)?;
    parse(reader, path, &text)
}

fn parse(reader: &Reader<'_>, path: &Path, text: &str) -> Result<Vec<Caller>, Error> {
    let settings = file::parse(&path.to_string_lossy(), text)?;
    let mut root = Section::callers_file(reader, settings);
    let callers = from_sections(root.children("callers")?)?;
    root.finish()?;
    Ok(callers)
}

/// Reads the callers of `server.api_keys` or `server.api_keys_file`.
pub(super) fn from_api_keys(server: &mut Section<'_>) -> Result<Vec<Caller>, Error> {
    let Some((key, setting)) = server.one_of(&["api_keys", "api_keys_file"])? else {
        server.unset("api_keys");
        return Ok(Vec::new());
    };
    let keys = keys::read_keys(server, key, &setting)?;
    let caller = |(number, key): (usize, &SecretString)| {
        let key_sha256 = sha256(key);
        let owner = key_sha256
            .first_chunk()
            .map_or(0, |first| u64::from_be_bytes(*first));
        Caller {
            name: format!("key-{number}"),
            // No `[callers.NAME]` can have a name with a colon.
            owner: format!("key:{owner:016x}"),
            key_sha256,
            has_short_key: is_short(key),
            quota: Quota::default(),
            access: CallerAccess::default(),
            origin: setting.origin.clone(),
        }
    };
    Ok((1..).zip(&keys).map(caller).collect())
}

/// Reads all `[callers.NAME]` tables.
pub(super) fn from_sections(sections: Vec<(String, Section<'_>)>) -> Result<Vec<Caller>, Error> {
    sections
        .into_iter()
        .map(|(name, section)| Caller::from_section(name, section))
        .collect()
}

impl Caller {
    fn from_section(name: String, mut section: Section<'_>) -> Result<Self, Error> {
        let origin = section.origin.clone();
        let refuse = |header: &str, why: &str| Err(Error::new(&origin, format!("[{header}]{why}")));
        if !is_name(&name) {
            let why = ": a caller's name has up to 64 letters, digits and . _ -, and begins with a letter or a digit";
            return refuse(&section.header, why);
        }
        let Some((key_sha256, has_short_key)) = key_sha256(&mut section)? else {
            return refuse(
                &section.header,
                " has no key; set one of `key`, `key_env`, `key_file` and `key_sha256`",
            );
        };
        let quota = Quota::from_section(&mut section)?;
        let access = access(&mut section)?;
        section.finish()?;
        Ok(Self {
            owner: name.clone(),
            name,
            key_sha256,
            has_short_key,
            quota,
            access,
            origin,
        })
    }
}

impl Quota {
    fn from_section(section: &mut Section<'_>) -> Result<Self, Error> {
        Ok(Self {
            requests_per_minute: section.find("requests_per_minute", requests_per_minute)?,
            tokens_per_minute: section.find("tokens_per_minute", tokens_per_minute)?,
            max_concurrency: section.find("max_concurrency", concurrency)?,
            max_queue: section.find("max_queue", queue)?,
            budget_per_day: section.find("budget_usd_per_day", budget)?,
        })
    }
}

/// Names of the roles.
const ROLES: [(&str, Role); 2] = [("caller", Role::Caller), ("operator", Role::Operator)];

/// Reads the rights of a caller.
fn access(section: &mut Section<'_>) -> Result<CallerAccess, Error> {
    Ok(CallerAccess {
        role: section.get("role", "caller", choice(&ROLES))?,
        models: section.find("models", model_names)?,
    })
}

/// Parses the list of models that a caller may use.
fn model_names(setting: &Setting) -> Parsed<Vec<String>> {
    let name = |name: &str| (!name.trim().is_empty()).then(|| name.to_owned());
    let allowed = "names of models: configured names, `provider/model`, or `provider/*`";
    let (names, shown) = list(allowed, name)(setting)?;
    if names.is_empty() {
        return Err("must name at least one model; remove the key to allow all models".to_owned());
    }
    Ok((names, shown))
}

/// Returns true if `name` is a valid name of a caller.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= 64
        && name.bytes().all(fits)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Minimum length of a key, in characters, that cannot be guessed if it is random.
const MIN_KEY_CHARACTERS: usize = 16;

fn is_short(key: &SecretString) -> bool {
    key.expose_secret().chars().count() < MIN_KEY_CHARACTERS
}

/// Reads the digest of the caller's key from the one of the four keys that is set, and if the key is short. `None`: none is
/// set.
fn key_sha256(section: &mut Section<'_>) -> Result<Option<([u8; 32], bool)>, Error> {
    match section.one_of(&["key", "key_env", "key_file", "key_sha256"])? {
        None => Ok(None),
        Some((key @ "key_sha256", setting)) => {
            let digest = section.parse(key, &setting, digest)?;
            Ok(Some((digest, false)))
        }
        Some((key, setting)) => {
            keys::read_key(section, key, &setting).map(|key| Some((sha256(&key), is_short(&key))))
        }
    }
}

fn sha256(key: &SecretString) -> [u8; 32] {
    Sha256::digest(key.expose_secret()).into()
}

/// Parses a SHA-256 in hexadecimal. The message does not repeat the text: it may be a key in the
/// wrong place. A digest is not a secret.
fn digest(setting: &Setting) -> Parsed<[u8; 32]> {
    let bytes = setting.text().and_then(from_hex);
    let bytes = bytes.ok_or("must be the SHA-256 of the key, in 64 hexadecimal digits")?;
    Ok((bytes, setting.text().unwrap_or_default().into()))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let digits: Vec<_> = text.as_bytes().iter().map(digit).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<_> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    rest.is_empty().then(|| bytes.try_into().ok())?
}

/// Parses a budget in US dollars.
fn budget(setting: &Setting) -> Parsed<Usd> {
    let usd =
        |dollars: f64| Usd::from_dollars(dollars).filter(|usd| *usd > Usd(0) && dollars <= 1e7);
    number("a number of US dollars over 0, up to 10000000", usd)(setting)
}
