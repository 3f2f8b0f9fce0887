//! Merging of the configuration's sources into one tree: file, then environment, then flags; the
//! later overrides.

use std::{io, path::Path};

use super::{
    args::Args,
    environment::{self, VARIABLES},
    error::Error,
    file, model_name,
    providers::LOCAL,
    setting::{Environment, Origin, Table},
};

/// Merged settings of all sources, before parsing.
#[derive(Default)]
struct Sources {
    root: Table,
    /// Keys (`providers.*`) for the default model's provider, which is known only after merging.
    default_provider: Table,
}

/// Reads and merges all sources.
pub(super) fn gather(
    args: &Args,
    environment: &Environment,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Table, Error> {
    let mut sources = Sources::default();
    if let Some((path, named)) = config_file(args, environment) {
        sources.root = file::read_and_parse(path, &named, read_file)?;
    }
    environment::check(environment)?;
    for (name, path) in VARIABLES {
        if let Some(text) = environment.get(name) {
            sources.set(path, text, Origin::Environment(name.to_owned()));
        }
    }
    for (flag, path, text) in args.settings() {
        if let Some(text) = text {
            sources.set(path, text, Origin::Flag(flag));
        }
    }
    sources.resolve_default_provider()
}

/// Returns the path of the configuration file and its source. `None`: there is no file.
fn config_file<'a>(args: &'a Args, environment: &'a Environment) -> Option<(&'a str, Origin)> {
    let flag = args
        .config
        .as_deref()
        .map(|path| (path, Origin::Flag("--config")));
    let variable = environment.get(environment::CONFIG);
    flag.or_else(|| {
        variable.map(|path| {
            (
                path.as_str(),
                Origin::Environment(environment::CONFIG.to_owned()),
            )
        })
    })
}

impl Sources {
    /// Sets the key at a dotted path.
    fn set(&mut self, path: &str, text: &str, origin: Origin) {
        match path.strip_prefix("providers.*.") {
            Some(key) => self.default_provider.set(key, text, origin),
            None => self.root.set(path, text, origin),
        }
    }

    /// Moves the keys for the default model's provider into that provider's table.
    fn resolve_default_provider(mut self) -> Result<Table, Error> {
        let provider = model_name::provider_in(&self.root).to_owned();
        for (key, setting) in self.default_provider.0 {
            if provider == LOCAL {
                return Err(Error::new(&setting.origin, NO_RATE));
            }
            // A provider that is not configured is not created here; the model that names it is
            // rejected later.
            if let Some(table) = self
                .root
                .table_mut("providers")
                .and_then(|providers| providers.table_mut(&provider))
            {
                table.0.insert(key, setting);
            }
        }
        Ok(self.root)
    }
}

const NO_RATE: &str = "limits the default model's provider, but no provider's model is the default: \
     set `model` to a provider's model, or remove this limit (the built-in model has none)";
