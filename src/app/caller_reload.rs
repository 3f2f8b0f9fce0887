//! Who may call: the configured callers, and those of a file that is read anew when it changes, without dropping a request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config};
use crate::http::ApiKeys;
use crate::limits::{CallerId, Limits, Quota};

/// How often the file is looked at: by its contents, so that whatever way it is replaced in (a rename, a mounted volume that
/// is switched) is seen, and that of the key files that it names. What is read twice alike is in force: a file that is being
/// written may be a whole one at any line.
const LOOK: Duration = Duration::from_millis(500);

/// All callers, or why the file is not used.
type Read = Result<Vec<config::Caller>, String>;

pub struct Callers {
    limits: Limits,
    keys: Arc<ApiKeys>,
    /// Those of the configuration itself, which do not change.
    own: Arc<[config::Caller]>,
    /// By name, for as long as the process lives, so that a changed caller keeps what it has used.
    ids: BTreeMap<String, CallerId>,
    /// Whether there were any: from then on the server is never open to everyone.
    is_guarded: bool,
}

impl Callers {
    pub fn new(config: &Config, limits: Limits) -> Self {
        Self {
            limits,
            keys: Arc::default(),
            own: config.callers.as_slice().into(),
            ids: BTreeMap::new(),
            is_guarded: false,
        }
    }

    pub fn keys(&self) -> Arc<ApiKeys> {
        Arc::clone(&self.keys)
    }

    /// Lets these call, and nobody else.
    pub fn set(&mut self, callers: &[config::Caller]) {
        self.is_guarded |= !callers.is_empty();
        let ids: Vec<_> = callers.iter().map(|caller| self.id(&caller.name)).collect();
        let quotas = callers
            .iter()
            .zip(&ids)
            .map(|(caller, id)| (*id, quota(caller)));
        self.limits.set_callers(quotas.collect());
        self.keys.set(
            callers
                .iter()
                .zip(&ids)
                .map(|(caller, id)| (caller.key_sha256, *id))
                .collect(),
        );
    }

    /// 0 is whoever calls without a key.
    fn id(&mut self, name: &str) -> CallerId {
        let next = CallerId(self.ids.len() as u64 + 1);
        *self.ids.entry(name.to_owned()).or_insert(next)
    }

    /// Reads the file anew whenever it has changed. One that is wrong changes nothing, and is told.
    pub async fn watch(mut self, path: PathBuf) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What was read at the start is not kept: the first looks read it once more.
        let (mut known, mut seen) = (None, None);
        loop {
            tick.tick().await;
            let (at, own) = (path.clone(), Arc::clone(&self.own));
            let Ok(read) = tokio::task::spawn_blocking(move || read(&at, &own)).await else {
                continue;
            };
            if known.as_ref() == Some(&read) || seen.as_ref() != Some(&read) {
                seen = Some(read);
                continue;
            }
            match self.check(&read) {
                Ok(callers) => {
                    let is_first = known.is_none();
                    self.set(callers);
                    if !is_first {
                        tracing::info!(path = %path.display(), callers = callers.len(), "the callers were read anew");
                    }
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), error, "the callers' file is not used; those from before stay as they are");
                }
            }
            known = Some(read);
        }
    }

    fn check<'a>(&self, read: &'a Read) -> Result<&'a [config::Caller], &'a str> {
        let all = read.as_ref().map_err(String::as_str)?;
        if all.is_empty() && self.is_guarded {
            return Err(
                "it names nobody, which would let everyone call; restart the server for that",
            );
        }
        Ok(all)
    }
}

/// Those of the file, joined with the others.
fn read(path: &Path, own: &[config::Caller]) -> Read {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let of_file = config::read_callers(path, &text, environment, |path| {
        std::fs::read_to_string(path)
    });
    of_file
        .and_then(|of_file| config::join_callers(own, &of_file))
        .map_err(|error| error.to_string())
}

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
