//! The promises of the configuration as a whole.

mod callers;
mod messages;
mod models;
mod precedence;
mod printing;
mod reference;

use std::{collections::BTreeMap, io, path::Path};

use super::{Args, Config, Error, Loaded};

/// The sources of one start. `extractd.toml` is in force if it is among the files.
#[derive(Clone, Default)]
struct Start {
    args: Args,
    environment: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

impl Start {
    fn file(text: &str) -> Self {
        Self::default()
            .with_file("extractd.toml", text)
            .with_file("nokeys", "# none\n")
    }

    fn env(pairs: &[(&str, &str)]) -> Self {
        Self::default().with_env(pairs)
    }

    fn with_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    fn with_env(mut self, pairs: &[(&str, &str)]) -> Self {
        self.environment.extend(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        self
    }

    fn with_args(mut self, set: impl FnOnce(&mut Args)) -> Self {
        set(&mut self.args);
        self
    }

    fn load(&self) -> Result<Loaded, Error> {
        let mut args = self.args.clone();
        if self.files.contains_key("extractd.toml") {
            args.config = Some("extractd.toml".to_owned());
        }
        let read = |path: &Path| {
            let text = self.files.get(path.to_str().expect("UTF-8"));
            text.cloned()
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        Config::load(&args, self.environment.clone(), read)
    }

    fn config(&self) -> Config {
        self.load().expect("a valid configuration").config
    }

    fn error(&self) -> String {
        self.load()
            .expect_err("a refused configuration")
            .to_string()
    }
}
