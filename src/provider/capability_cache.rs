//! Capability cache: remembers for an hour which modes, schemas and fields each model of a server has rejected.
//!
//! An adaptation is recorded only after a call with it succeeded.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::adaptation::{Adaptation, TrialState};
use super::request::Request;
use super::request_shape::{RequestShape, Unsupported, UnsupportedSet};
use crate::types::Mode;

/// Time for which an adaptation is kept. Servers are updated, and an error may have been misread.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Number of models from which on each new one replaces the least recently used one that is not configured. Callers may name any.
const MAX_MODELS: usize = 1000;
/// Maximum number of adaptations of one model; the oldest one of a single schema is dropped. Callers may send any schema.
const MAX_ADAPTATIONS: usize = 200;

/// Capabilities of one server's models.
#[derive(Debug, Default)]
pub struct CapabilityCache(Mutex<HashMap<String, KnownModel>>);

/// Model with adaptations.
#[derive(Debug)]
struct KnownModel {
    entries: Vec<Entry>,
    is_configured: bool,
    used_at: Instant,
}

/// Adaptation that is known to work.
#[derive(Debug, Clone, Copy)]
struct Entry {
    adaptation: Adaptation,
    /// Key of the requests to which it applies, see [`RequestKeys`]; `None`: all requests to the model.
    key: Option<u64>,
    expires: Instant,
}

/// Adaptation in use, as the list of models shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveAdaptation {
    pub adaptation: Adaptation,
    /// Number of schemas that it holds for; `None`: all.
    pub schemas: Option<usize>,
    /// Time until the last of it expires.
    pub expires_in: Duration,
}

impl CapabilityCache {
    /// Returns the shape to send: without the features that the server is known not to support or that `trial` omits, and for
    /// `Auto` in the first of `modes` (best first) that is left.
    pub fn request_shape(
        &self,
        request: &Request<'_>,
        modes: &[Mode],
        trial: &TrialState,
        now: Instant,
    ) -> RequestShape {
        let mut omitted = Omitted::default();
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache.get_mut(request.model) {
            known.used_at = now;
            let keys = RequestKeys::new(request);
            for entry in known.entries.iter().filter(|entry| entry.expires > now) {
                let is_its = |known| known == keys.of(entry.adaptation.feature);
                if entry.key.is_none_or(is_its) {
                    omitted.add(entry.adaptation);
                }
            }
        }
        drop(cache);
        for adaptation in &trial.hypotheses {
            omitted.add(*adaptation);
        }
        let mode = match request.mode {
            Mode::Auto => omitted.first_mode(request, modes),
            mode => mode,
        };
        RequestShape {
            mode,
            stream: request.on_text.is_some() && !omitted.features.has(Unsupported::Stream),
            unsupported: omitted.features,
            output_limit: trial.output_limit,
        }
    }

    /// Records adaptations that a call succeeded with. Returns those that are new.
    pub fn record(
        &self,
        request: &Request<'_>,
        adaptations: &[Adaptation],
        now: Instant,
    ) -> Vec<Adaptation> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_MODELS && !cache.contains_key(request.model) {
            remove_one(&mut cache);
        }
        let known = cache
            .entry(request.model.to_owned())
            .or_insert_with(|| KnownModel {
                entries: Vec::new(),
                is_configured: request.is_configured_model,
                used_at: now,
            });
        known.used_at = now;
        let entries = &mut known.entries;
        entries.retain(|entry| entry.expires > now);
        let mut recorded = Vec::new();
        let keys = RequestKeys::new(request);
        for adaptation in adaptations {
            let key = (!adaptation.is_for_model).then(|| keys.of(adaptation.feature));
            let is_same = |entry: &Entry| {
                entry.key == key
                    && entry.adaptation.feature == adaptation.feature
                    && entry.adaptation.mode == adaptation.mode
            };
            if entries.iter().any(is_same) {
                continue;
            }
            if entries.len() >= MAX_ADAPTATIONS {
                let of_schema = entries.iter().position(|entry| entry.key.is_some());
                entries.remove(of_schema.unwrap_or(0));
            }
            entries.push(Entry {
                adaptation: *adaptation,
                key,
                expires: now + LIFETIME,
            });
            recorded.push(*adaptation);
        }
        recorded
    }

    /// Returns the adaptations of a model that are in use.
    pub fn active(&self, model: &str, now: Instant) -> Vec<ActiveAdaptation> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut active: Vec<ActiveAdaptation> = Vec::new();
        let entries = cache.get(model).map(|known| known.entries.as_slice());
        for entry in entries.unwrap_or_default() {
            let expires_in = entry.expires.saturating_duration_since(now);
            if expires_in.is_zero() {
                continue;
            }
            let known = active
                .iter_mut()
                .find(|known| known.adaptation == entry.adaptation);
            match known {
                Some(known) => {
                    known.expires_in = known.expires_in.max(expires_in);
                    known.schemas = known.schemas.map(|schemas| schemas + 1);
                }
                None => active.push(ActiveAdaptation {
                    adaptation: entry.adaptation,
                    schemas: entry.key.map(|_| 1),
                    expires_in,
                }),
            }
        }
        active
    }
}

/// Removes the least recently used model that is not configured.
fn remove_one(cache: &mut HashMap<String, KnownModel>) {
    let made_up = cache.iter().filter(|(_, known)| !known.is_configured);
    let oldest = made_up.min_by_key(|(_, known)| known.used_at);
    if let Some(name) = oldest.map(|(name, _)| name.clone()) {
        cache.remove(&name);
    }
}

/// Features and modes that a request omits.
#[derive(Default)]
struct Omitted {
    /// Modes as bits, see [`mode_bit`].
    modes: u8,
    features: UnsupportedSet,
}

impl Omitted {
    fn add(&mut self, adaptation: Adaptation) {
        match adaptation.feature {
            Unsupported::Mode | Unsupported::Schema => self.modes |= mode_bit(adaptation.mode),
            feature => {
                self.features.add(feature);
            }
        }
    }

    /// Returns the first mode that is left; text, if none is.
    fn first_mode(&self, request: &Request<'_>, modes: &[Mode]) -> Mode {
        let is_usable = |mode: &&Mode| {
            self.modes & mode_bit(**mode) == 0 && request.schema.forms.for_mode(**mode).is_some()
        };
        modes.iter().find(is_usable).copied().unwrap_or(Mode::Text)
    }
}

/// Keys of the requests to which an adaptation applies that was not proven for the model. Requests with the same schema and the same fields
/// of the caller's own have the same key; for a feature whose value a caller chooses, the value must be the same too. So a value that the
/// server rejects changes no request that has another value.
struct RequestKeys<'a> {
    request: &'a Request<'a>,
    common: u64,
}

impl<'a> RequestKeys<'a> {
    fn new(request: &'a Request<'a>) -> Self {
        let mut hasher = DefaultHasher::new();
        request.schema.raw.get().hash(&mut hasher);
        if let Some(fields) = request.extra_body.filter(|_| request.has_callers_fields) {
            // Fields of strings and numbers can be written.
            serde_json::to_string(fields)
                .unwrap_or_default()
                .hash(&mut hasher);
        }
        Self {
            request,
            common: hasher.finish(),
        }
    }

    /// Returns the key for a feature.
    fn of(&self, feature: Unsupported) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.common.hash(&mut hasher);
        match feature {
            Unsupported::Temperature => self.request.temperature.to_bits().hash(&mut hasher),
            Unsupported::Seed => self.request.seed.hash(&mut hasher),
            Unsupported::OutputLimit => self.request.max_output_tokens.hash(&mut hasher),
            _ => {}
        }
        hasher.finish()
    }
}

const fn mode_bit(mode: Mode) -> u8 {
    1 << mode as u8
}

#[cfg(test)]
mod tests;
