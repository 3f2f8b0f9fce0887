//! Capability cache: remembers which modes, schemas and fields each model of a server has rejected.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use super::request::Request;
use super::request_shape::{RequestShape, Unsupported, UnsupportedSet};
use crate::types::Mode;

/// Maximum number of cached models and schemas. Callers may name any, so the cache is emptied when
/// it is full.
const MAX_ENTRIES: usize = 1000;

/// Capabilities of one server.
#[derive(Debug, Default)]
pub struct CapabilityCache(Mutex<CachedCapabilities>);

/// Capabilities by model, and the modes that a model rejects for one schema, by the hash of the
/// schema's text.
#[derive(Debug, Default)]
struct CachedCapabilities {
    models: HashMap<String, ModelCapabilities>,
    schemas: HashMap<(String, u64), u8>,
}

/// Capabilities of one model. Modes are bits, see [`mode_bit`].
#[derive(Debug, Clone, Copy, Default)]
struct ModelCapabilities {
    rejected_modes: u8,
    unsupported: UnsupportedSet,
}

impl CapabilityCache {
    /// Returns the shape to send: for `Auto` the first of `modes` (best first) that is not known to
    /// be rejected.
    pub fn request_shape(&self, request: &Request<'_>, modes: &[Mode]) -> RequestShape {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ModelCapabilities {
            mut rejected_modes,
            unsupported,
        } = cache.models.get(request.model).copied().unwrap_or_default();
        if !cache.schemas.is_empty() {
            rejected_modes |= cache
                .schemas
                .get(&schema_key(request))
                .copied()
                .unwrap_or_default();
        }
        let mode = match request.mode {
            Mode::Auto => {
                let is_usable = |mode: &&Mode| {
                    rejected_modes & mode_bit(**mode) == 0
                        && request.schema.forms.of(**mode).is_some()
                };
                modes.iter().find(is_usable).copied().unwrap_or(Mode::Text)
            }
            mode => mode,
        };
        RequestShape {
            mode,
            stream: request.on_text.is_some() && !unsupported.has(Unsupported::Stream),
            unsupported,
        }
    }

    /// Records that a call with this shape was rejected because of `feature`.
    ///
    /// Returns true if the next call will have another shape. False: the feature cannot be omitted,
    /// or was omitted already.
    pub fn record_unsupported(
        &self,
        request: &Request<'_>,
        shape: RequestShape,
        feature: Unsupported,
    ) -> bool {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.models.len() + cache.schemas.len() >= MAX_ENTRIES {
            *cache = CachedCapabilities::default();
        }
        // A caller that names a mode wants no other.
        let has_other_mode = shape.mode != Mode::Text && request.mode == Mode::Auto;
        if feature == Unsupported::Schema && has_other_mode {
            *cache.schemas.entry(schema_key(request)).or_default() |= mode_bit(shape.mode);
        }
        let model = cache.models.entry(request.model.to_owned()).or_default();
        match feature {
            Unsupported::Schema => has_other_mode,
            Unsupported::Mode => {
                if has_other_mode {
                    model.rejected_modes |= mode_bit(shape.mode);
                }
                has_other_mode
            }
            feature => {
                // Another call may have recorded it while this one was in flight.
                model.unsupported.add(feature);
                !shape.unsupported.has(feature)
            }
        }
    }
}

fn schema_key(request: &Request<'_>) -> (String, u64) {
    let mut hasher = DefaultHasher::new();
    request.schema.raw.get().hash(&mut hasher);
    (request.model.to_owned(), hasher.finish())
}

const fn mode_bit(mode: Mode) -> u8 {
    1 << mode as u8
}
