//! Configuration: a TOML file, then environment variables, then command line flags; later sources
//! override earlier ones.
//!
//! All sources are merged into one tree of settings that know their source (`sources`, `setting`).
//! Each section takes its keys from that tree (`section`), parses them into types that are always
//! valid (`parsers`), and rejects unknown keys. The keys that were taken are what `extractd config`
//! prints (`print`), so every key that is read is shown. `reference` documents all keys.
//!
//! This module knows nothing of the parts that it configures; each part is given its own section by
//! value.

mod args;
mod cache;
mod callers;
mod environment;
mod error;
mod extra_body;
mod file;
mod headers;
mod jobs;
mod keys;
mod limits;
mod local;
mod log;
mod mask;
mod model_name;
mod models;
mod parsers;
mod print;
mod provider_hint;
mod providers;
mod reference;
mod schemas;
mod section;
mod server;
mod setting;
mod sources;
mod url;
mod warnings;
mod wire_kind;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use model_name::KnownModels;
use section::{Reader, Section};

pub use args::Args;
pub use cache::Cache;
pub use callers::{Caller, Quota, join_callers, read_callers};
pub use error::Error;
pub use jobs::Jobs;
pub use keys::{KeyFile, read_key_file};
pub use limits::Limits;
pub use local::Local;
pub use log::{Format, Log};
pub use model_name::ModelName;
pub use models::Model;
pub use print::InForce;
pub use providers::{LOCAL, Provider, Rate};
pub use reference::reference;
pub use schemas::Schemas;
pub use server::{MetricsAccess, Server};
pub use setting::Origin;
pub use url::Url;
pub use wire_kind::WireKind;

/// Whole configuration. Only the composition root (`app`) sees it, and gives each part its own
/// section.
#[derive(Debug, Clone)]
pub struct Config {
    /// `listen`: address to listen on; port 0 takes a free port. Default `127.0.0.1:8080`. An
    /// address other than loopback requires callers or `server.allow_anonymous`.
    pub listen: SocketAddr,
    /// `model`: default model, for requests that name none. `None`, allowed only without providers:
    /// the built-in model.
    pub model: Option<ModelName>,
    /// `data_dir`: folder of the job store and of registered schemas. Default `./data`.
    pub data_dir: PathBuf,
    /// `schemas_dir`: folder of `NAME.json` schemas that are registered at the start. `None`: there
    /// are none.
    pub schemas_dir: Option<PathBuf>,
    /// `callers_file`: TOML file with further `[callers.NAME]` tables and nothing else.
    /// [`read_callers`] reloads it when it changes. `None`: there is no such file.
    pub callers_file: Option<PathBuf>,
    /// `[server]`: the HTTP server.
    pub server: Server,
    /// `[limits]`: concurrency, queue and memory limits.
    pub limits: Limits,
    /// `[cache]`: the result cache. `None`: there is no cache.
    pub cache: Option<Cache>,
    /// `cache.shared`: true if equal items of different callers share a result, by the cache or by
    /// one call for both. Default false.
    pub has_shared_results: bool,
    /// `[schemas]`: registered schemas.
    pub schemas: Schemas,
    /// `[jobs]`: durable jobs.
    pub jobs: Jobs,
    /// `[log]`: filter and format of the log.
    pub log: Log,
    /// `[local]`: the built-in model.
    pub local: Local,
    /// `[providers.NAME]`, by name. Never contains [`LOCAL`], which needs no configuration.
    pub providers: BTreeMap<String, Provider>,
    /// `[models.NAME]`, by name. The provider of each model is in `providers`, or is [`LOCAL`].
    pub models: BTreeMap<String, Model>,
    /// Callers of `server.api_keys` or `server.api_keys_file`, in their order, then those of
    /// `[callers.NAME]`, by name. If this and `file_callers` are empty, the default, callers need
    /// no key.
    pub callers: Vec<Caller>,
    /// Callers of `callers_file` at the start, by name. Their names and keys differ from those of
    /// `callers`.
    pub file_callers: Vec<Caller>,
}

/// Result of [`Config::load`].
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Configuration in force.
    pub config: Config,
    /// Keys with their values and sources, in the order of the printed file; secrets are masked.
    pub origins: Vec<InForce>,
    /// Warnings for the log about settings and variables that have no effect; without secrets.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Returns the configuration in force as a TOML file, each line with the source of its value;
    /// secrets are masked.
    #[must_use]
    pub fn print(&self) -> String {
        print::toml(&self.origins)
    }
}

impl Config {
    /// Loads the configuration: the file that `args` or `EXTRACTD_CONFIG` names, overridden by
    /// `environment`, then by `args`.
    ///
    /// The function is pure, except that `read_file` reads the configuration file and the key files
    /// that it names; a relative path is passed on unchanged. A variable whose value is empty
    /// counts as unset.
    ///
    /// # Errors
    /// [`Error`] for the first invalid key or value, with its source and the allowed values.
    pub fn load(
        args: &Args,
        environment: impl IntoIterator<Item = (String, String)>,
        read_file: impl Fn(&Path) -> io::Result<String>,
    ) -> Result<Loaded, Error> {
        let environment = environment
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let settings = sources::gather(args, &environment, &read_file)?;
        let reader = Reader::new(&environment, &read_file);
        let config = Self::from_root(Section::root(&reader, settings))?;
        let callers = || config.callers.iter().chain(&config.file_callers);
        let warnings = [
            environment::warning(&environment),
            warnings::unpriced_budgets(callers(), config.model.as_ref(), &config.models),
            warnings::open_server(config.callers_file.as_deref(), callers()),
        ];
        let warnings = warnings.into_iter().flatten().collect();
        Ok(Loaded {
            config,
            origins: reader.into_record(),
            warnings,
        })
    }

    /// Reads all sections and checks them against each other.
    fn from_root(mut root: Section<'_>) -> Result<Self, Error> {
        let [listen_set, model_set, callers_set] =
            ["listen", "model", "callers_file"].map(|key| root.origin_of(key));
        let room_set = root
            .origin_of("limits.max_queue_bytes")
            .max(root.origin_of("server.max_body_bytes"));
        let listen = root.get(
            "listen",
            "127.0.0.1:8080",
            parsers::text(LISTEN, listen_address),
        )?;
        let model = root.find(
            "model",
            parsers::text("a string", |text| Some(text.to_owned())),
        )?;
        let data_dir = root.get("data_dir", "./data", parsers::path)?;
        let schemas_dir = root.find("schemas_dir", parsers::path)?;
        let callers_file = root.find("callers_file", parsers::path)?;
        let mut server = root.child("server")?;
        let mut callers = callers::from_api_keys(&mut server)?;
        let server = Server::from_section(server)?;
        let limits = Limits::from_section(root.child("limits")?)?;
        let (cache, has_shared_results) = Cache::from_section(root.child("cache")?)?;
        let schemas = Schemas::from_section(root.child("schemas")?)?;
        let jobs = Jobs::from_section(root.child("jobs")?)?;
        let log = Log::from_section(root.child("log")?)?;
        let local = Local::from_section(root.child("local")?)?;
        let providers = providers::from_sections(root.children("providers")?)?;
        let models = models::from_sections(root.children("models")?, &providers)?;
        callers.extend(callers::from_sections(root.children("callers")?)?);
        let reader = root.reader;
        root.finish()?;

        let read_file = |path: &PathBuf| callers::from_file(reader, path, &callers_set);
        let file_callers = callers_file
            .as_ref()
            .map(read_file)
            .transpose()?
            .unwrap_or_default();
        if join_callers(&callers, &file_callers)?.is_empty() {
            server.check_open(listen, &listen_set)?;
        }
        limits.check_room(server.max_body_bytes, &room_set)?;
        let model = default_model(model, &model_set, &providers, &models)?;
        Ok(Self {
            listen,
            model,
            data_dir,
            schemas_dir,
            callers_file,
            server,
            limits,
            cache,
            has_shared_results,
            schemas,
            jobs,
            log,
            local,
            providers,
            models,
            callers,
            file_callers,
        })
    }
}

/// Resolves the default model. `None`: the built-in model.
fn default_model(
    text: Option<String>,
    set: &Origin,
    providers: &BTreeMap<String, Provider>,
    models: &BTreeMap<String, Model>,
) -> Result<Option<ModelName>, Error> {
    let Some(text) = text else {
        return model_name::check_unset(providers).map(|()| None);
    };
    let names = models.keys().cloned().collect();
    let model = KnownModels {
        providers,
        models: &names,
    }
    .resolve(&text);
    model
        .map(Some)
        .map_err(|why| Error::new(set, format!("`model` {why}")))
}

/// Allowed values of `listen`, for messages.
const LISTEN: &str = "an IP address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:0";

/// Parses an address to listen on. `localhost` is the loopback address (RFC 6761, section 6.3);
/// other names are not resolved.
fn listen_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => text.parse().ok(),
    }
}
