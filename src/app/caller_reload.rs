//! Reload of the callers file: applies changed callers (API keys and quotas) without a restart and
//! without dropping a request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reload::watch;
use crate::config::{self, Config};
use crate::extraction::Extractor;
use crate::http::ApiKeys;
use crate::jobs::Sqlite;
use crate::long_work;
use throttle::{CallerId, Quota};

/// All callers, or the reason why the file is invalid.
type ReadResult = Result<Vec<config::Caller>, String>;

/// Callers in force, and the parts that enforce their keys and quotas.
pub struct Callers {
    extractor: Arc<Extractor>,
    store: Arc<Sqlite>,
    keys: Arc<ApiKeys>,
    /// Callers of the configuration itself, which do not change.
    own: Arc<[config::Caller]>,
    /// Ids by name, kept until the process ends, so that a changed caller keeps its usage.
    ids: BTreeMap<String, CallerId>,
    /// True once there have been callers: from then on the server never accepts requests without a
    /// key.
    is_guarded: bool,
}

impl Callers {
    /// Returns an empty set of callers; [`Callers::set`] puts callers in force.
    pub fn new(config: &Config, extractor: Arc<Extractor>, store: Arc<Sqlite>) -> Self {
        Self {
            extractor,
            store,
            keys: Arc::default(),
            own: config.callers.as_slice().into(),
            ids: BTreeMap::new(),
            is_guarded: false,
        }
    }

    /// Returns the keys, which change with the callers.
    pub fn keys(&self) -> Arc<ApiKeys> {
        Arc::clone(&self.keys)
    }

    /// Puts callers in force, in place of the previous ones.
    pub fn set(&mut self, callers: &[config::Caller]) {
        self.is_guarded |= !callers.is_empty();
        let ids: Vec<_> = callers.iter().map(|caller| self.id(&caller.name)).collect();
        let quotas = callers
            .iter()
            .zip(&ids)
            .map(|(caller, id)| (*id, quota(caller)));
        self.extractor.limits().set_callers(quotas.collect());
        self.store.set_has_several_callers(callers.len() > 1);
        long_work::set_has_several_callers(callers.len() > 1);
        let access = callers.iter().zip(&ids);
        let access = access.map(|(caller, id)| (*id, Arc::new(caller.access.clone())));
        self.extractor.permissions().set(access.collect());
        warn_of_short_keys(callers);
        self.warn_of_unknown_models(callers);
        self.keys.set(
            callers
                .iter()
                .zip(&ids)
                .map(|(caller, id)| (caller.key_sha256, *id))
                .collect(),
        );
    }

    /// Logs the names in the callers' lists of models that no model has: requests for them are always rejected.
    fn warn_of_unknown_models(&self, callers: &[config::Caller]) {
        let models = self.extractor.models();
        for caller in callers {
            for name in caller.access.models.iter().flatten() {
                let provider = name.split_once('/').map(|(provider, _)| provider);
                let is_known = models.named.contains_key(name)
                    || provider.is_some_and(|provider| models.providers.contains_key(provider));
                if !is_known {
                    tracing::warn!(
                        caller = caller.name,
                        model = name,
                        "a caller's `models` names a model that is not configured; correct the name"
                    );
                }
            }
        }
    }

    /// Returns the id of a caller. Id 0 stands for requests without a key.
    fn id(&mut self, name: &str) -> CallerId {
        let next = CallerId(self.ids.len() as u64 + 1);
        *self.ids.entry(name.to_owned()).or_insert(next)
    }

    /// Reloads the callers file, and the key files that it names, when one of them changes. An invalid file is logged and ignored.
    pub async fn watch(mut self, path: PathBuf) {
        let (file, own) = (path.clone(), Arc::clone(&self.own));
        watch(move || read_callers(&file, &own), |read, is_first| match self.check(read) {
            Ok(callers) => {
                self.set(callers);
                if !is_first {
                    tracing::info!(path = %path.display(), callers = callers.len(), "the callers file was reloaded");
                }
            }
            Err(error) => {
                tracing::error!(path = %path.display(), error, "the callers file is invalid; the previous callers stay in force until it is corrected");
            }
        })
        .await;
    }

    /// Rejects an invalid file, and one without callers if there have been callers.
    fn check<'a>(&self, read: &'a ReadResult) -> Result<&'a [config::Caller], &'a str> {
        let all = read.as_ref().map_err(String::as_str)?;
        if all.is_empty() && self.is_guarded {
            return Err(
                "the file has no callers, which would accept requests without a key; to allow that, remove `callers_file` or set `server.allow_anonymous`, and restart the server",
            );
        }
        Ok(all)
    }
}

/// Logs the callers whose keys can be guessed.
fn warn_of_short_keys(callers: &[config::Caller]) {
    for caller in callers.iter().filter(|caller| caller.has_short_key) {
        tracing::warn!(
            caller = caller.name,
            "the caller's key has fewer than 16 characters and can be guessed; use a random key, such as `openssl rand -hex 24` makes"
        );
    }
}

/// Reads the callers of the file, and joins them with those of the configuration.
fn read_callers(path: &Path, own: &[config::Caller]) -> ReadResult {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let from_file = config::read_callers(path, &text, environment, |path| {
        std::fs::read_to_string(path)
    });
    from_file
        .and_then(|from_file| config::join_callers(own, &from_file))
        .map_err(|error| error.to_string())
}

/// Converts the quota of a caller.
fn quota(caller: &config::Caller) -> Quota {
    let config::Quota {
        requests_per_minute,
        tokens_per_minute,
        max_concurrency,
        max_queue,
        budget_per_day,
    } = caller.quota;
    Quota {
        name: caller.name.clone(),
        owner: caller.owner.clone(),
        requests_per_minute,
        tokens_per_minute,
        max_in_flight: max_concurrency,
        max_queue,
        budget_per_day,
    }
}
