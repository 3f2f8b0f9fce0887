//! The configuration: a TOML file, then the environment, then flags; the later wins.
//!
//! Every source becomes one tree of settings that know where they were set (`setting`). Each section takes its keys
//! out of that tree (`section`), parses them into types that cannot be wrong, and refuses what is left over. What was
//! taken is what `extractd config` prints (`print`), so no key can be read and not shown.
//!
//! This module knows nothing of the parts that it configures; each is handed its own section by value.

mod args;
mod default_model;
mod environment;
mod error;
mod file;
mod headers;
mod limits;
mod local;
mod log;
mod missing;
mod models;
mod print;
mod providers;
mod secret;
mod section;
mod server;
mod setting;
mod sources;
mod url;
mod value;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use section::{Reader, Section};

pub use args::Args;
pub use default_model::DefaultModel;
pub use error::Error;
pub use limits::Limits;
pub use local::Local;
pub use log::{Format, Log};
pub use models::Model;
pub use print::InForce;
pub use providers::{Kind, LOCAL, Provider, Rate};
pub use server::Server;
pub use setting::Origin;
pub use url::Url;

/// The whole configuration, for the composition root alone: it hands each part its section.
#[derive(Debug, Clone)]
pub struct Config {
    /// `listen`: where the server listens. Port 0 takes a free one. Default `127.0.0.1:8080`; one that is not loopback
    /// needs `server.api_keys` or `server.allow_anonymous`.
    pub listen: SocketAddr,
    /// `model`: who answers a request that names no model. Default: the built-in model, if no provider is configured.
    pub model: DefaultModel,
    /// `data_dir`: folder of the embedded store. Default `./data`.
    pub data_dir: PathBuf,
    /// `schemas_dir`: folder of `*.json` schemas that are there from the start. `None`: there are none.
    pub schemas_dir: Option<PathBuf>,
    /// `[server]`: the HTTP side.
    pub server: Server,
    /// `[limits]`: what may be in flight, wait and be held in memory.
    pub limits: Limits,
    /// `[log]`: what is logged, and how.
    pub log: Log,
    /// `[local]`: the built-in model.
    pub local: Local,
    /// `[providers.NAME]`, by name. Never holds [`LOCAL`], which is always there.
    pub providers: BTreeMap<String, Provider>,
    /// `[models.NAME]`, by name. Each one's provider is in `providers`, or [`LOCAL`].
    pub models: BTreeMap<String, Model>,
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
        let environment = environment.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let settings = sources::gather(args, &environment, &read_file)?;
        let reader = Reader::new(&environment, &read_file);
        let config = Self::read(Section::root(&reader, settings))?;
        let warnings = environment::warnings(&environment, &config.providers);
        Ok(Loaded { config, origins: reader.into_record(), warnings })
    }

    fn read(mut root: Section<'_>) -> Result<Self, Error> {
        let listen_set = root.origin_of("listen");
        let model_set = root.origin_of("model");
        let room_set = root.origin_of("limits.max_queue_bytes");
        let room_set = room_set.max(root.origin_of("server.max_body_bytes"));
        let listen = root.get("listen", "127.0.0.1:8080", value::text(LISTEN, listen_address))?;
        let model = root.find("model", value::text("a string", |text| Some(text.to_owned())))?;
        let data_dir = root.get("data_dir", "./data", value::path)?;
        let schemas_dir = root.find("schemas_dir", value::path)?;
        let server = Server::read(root.child("server")?)?;
        let limits = Limits::read(root.child("limits")?)?;
        let log = Log::read(root.child("log")?)?;
        let local = Local::read(root.child("local")?)?;
        let providers = providers::read(root.children("providers")?)?;
        let models = models::read(root.children("models")?, &providers)?;
        root.finish()?;

        server.check_access(listen, &listen_set)?;
        limits.check_room(server.max_body_bytes, &room_set)?;
        let model = match model {
            Some(text) => DefaultModel::resolve(&text, &model_set, &providers, &models)?,
            None => DefaultModel::built_in(&providers)?,
        };
        Ok(Self { listen, model, data_dir, schemas_dir, server, limits, log, local, providers, models })
    }
}

const LISTEN: &str = "an IP address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:0";

/// `localhost` is the loopback without asking anyone (RFC 6761, section 6.3); other names are not looked up.
fn listen_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?))),
        None => text.parse().ok(),
    }
}
