//! The configuration: a TOML file, then the environment, then flags; the later wins.
//!
//! Every source becomes one tree of settings that know where they were set (`setting`). Each section takes its keys
//! out of that tree (`section`), parses them into types that cannot be wrong, and refuses what is left over. What was
//! taken is what `extractd config` prints (`print`), so no key can be read and not shown.
//!
//! This module knows nothing of the parts that it configures; each is handed its own section by value.

mod args;
mod cache;
mod callers;
mod environment;
mod error;
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

use model_name::Known;
use section::{Reader, Section};

pub use args::Args;
pub use cache::Cache;
pub use callers::{Caller, Quota, join_callers, read_callers};
pub use error::Error;
pub use jobs::Jobs;
pub use limits::Limits;
pub use local::Local;
pub use log::{Format, Log};
pub use model_name::ModelName;
pub use models::Model;
pub use print::InForce;
pub use providers::{LOCAL, Provider, Rate};
pub use server::Server;
pub use setting::Origin;
pub use url::Url;
pub use wire_kind::WireKind;

/// The whole configuration, for the composition root alone: it hands each part its section.
#[derive(Debug, Clone)]
pub struct Config {
    /// `listen`: where the server listens. Port 0 takes a free one. Default `127.0.0.1:8080`; one that is not loopback
    /// needs callers or `server.allow_anonymous`.
    pub listen: SocketAddr,
    /// `model`: who answers a request that names no model. `None`, allowed if no provider is configured: the built-in model,
    /// whatever its name is.
    pub model: Option<ModelName>,
    /// `data_dir`: folder of the embedded store. Default `./data`.
    pub data_dir: PathBuf,
    /// `schemas_dir`: folder of `*.json` schemas that are there from the start. `None`: there are none.
    pub schemas_dir: Option<PathBuf>,
    /// `callers_file`: a TOML file with more `[callers.NAME]` tables, and nothing else; read anew when it changes, by
    /// [`read_callers`]. `None`: there is none.
    pub callers_file: Option<PathBuf>,
    /// `[server]`: the HTTP side.
    pub server: Server,
    /// `[limits]`: what may be in flight, wait and be held in memory.
    pub limits: Limits,
    /// `[cache]`: answers that are kept, to be given again. `None`: none are.
    pub cache: Option<Cache>,
    /// `[jobs]`: durable jobs.
    pub jobs: Jobs,
    /// `[log]`: what is logged, and how.
    pub log: Log,
    /// `[local]`: the built-in model.
    pub local: Local,
    /// `[providers.NAME]`, by name. Never holds [`LOCAL`], which is always there.
    pub providers: BTreeMap<String, Provider>,
    /// `[models.NAME]`, by name. Each one's provider is in `providers`, or [`LOCAL`].
    pub models: BTreeMap<String, Model>,
    /// `server.api_keys` or `server.api_keys_file`, in their order, then `[callers.NAME]`, by name. Empty, the default, and
    /// `file_callers` too: everyone may call.
    pub callers: Vec<Caller>,
    /// What `callers_file` held at the start, by name. None of them has a name or a key that is in `callers`.
    pub file_callers: Vec<Caller>,
}

/// What [`Config::load`] found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration in force.
    pub config: Config,
    /// Where each key of it came from, in the order of the printed file; secrets are masked.
    pub origins: Vec<InForce>,
    /// Sentences for the log: what is set but has no effect. Without secrets.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// The configuration in force as a TOML file, each line with where its value came from; secrets are masked.
    #[must_use]
    pub fn print(&self) -> String {
        print::toml(&self.origins)
    }
}

impl Config {
    /// Reads the file that `args` or `EXTRACTD_CONFIG` names, puts `environment` and then `args` over it, and parses it all.
    ///
    /// Pure, except that `read_file` reads the configuration file and the files of keys that it names; a relative path is
    /// passed to it as it stands. A variable whose value is empty counts as unset.
    ///
    /// # Errors
    /// [`Error`] for the first key or value that is wrong, saying where it was set and what is allowed.
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
        let config = Self::read(Section::root(&reader, settings))?;
        let warnings = warnings::warning(&config).into_iter().collect();
        Ok(Loaded {
            config,
            origins: reader.into_record(),
            warnings,
        })
    }

    fn read(mut root: Section<'_>) -> Result<Self, Error> {
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
        let mut callers = callers::of_keys(&mut server)?;
        let server = Server::read(server)?;
        let limits = Limits::read(root.child("limits")?)?;
        let cache = Cache::read(root.child("cache")?)?;
        let jobs = Jobs::read(root.child("jobs")?)?;
        let log = Log::read(root.child("log")?)?;
        let local = Local::read(root.child("local")?)?;
        let providers = providers::read(root.children("providers")?)?;
        let models = models::read(root.children("models")?, &providers)?;
        callers.extend(callers::read(root.children("callers")?)?);
        let reader = root.reader;
        root.finish()?;

        let of_file = |path: &PathBuf| callers::of_file(reader, path, &callers_set);
        let file_callers = callers_file
            .as_ref()
            .map(of_file)
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
    let model = Known {
        providers,
        models: &names,
    }
    .resolve(&text);
    model
        .map(Some)
        .map_err(|why| Error::new(set, format!("`model` {why}")))
}

const LISTEN: &str = "an IP address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:0";

/// `localhost` is the loopback without asking anyone (RFC 6761, section 6.3); other names are not looked up.
fn listen_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => text.parse().ok(),
    }
}
