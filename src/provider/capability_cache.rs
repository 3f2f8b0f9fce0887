//! What was learned about a server: which modes and fields it does not take.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use super::{Request, RequestShape, Unsupported, UnsupportedSet};
use crate::types::Mode;

/// Models and schemas about which something is remembered; a caller may name any.
const MAX_LEARNED: usize = 1000;

/// Everything learned about one server.
#[derive(Debug, Default)]
pub struct CapabilityCache(Mutex<CachedCapabilities>);

/// What was learned, by model; and which modes a model refuses for one schema, by a hash of its text.
#[derive(Debug, Default)]
struct CachedCapabilities {
    models: HashMap<String, Model>,
    schemas: HashMap<(String, u64), u8>,
}

/// What was learned about one model.
#[derive(Debug, Clone, Copy, Default)]
struct Model {
    refused_modes: u8,
    lessons: UnsupportedSet,
}

impl CapabilityCache {
    /// The form that the server takes, as far as that is known: of `modes`, the best first, one that is open.
    pub fn form(&self, request: &Request<'_>, modes: &[Mode]) -> RequestShape {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Model {
            mut refused_modes,
            lessons,
        } = memory
            .models
            .get(request.model)
            .copied()
            .unwrap_or_default();
        if !memory.schemas.is_empty() {
            refused_modes |= memory
                .schemas
                .get(&schema_key(request))
                .copied()
                .unwrap_or_default();
        }
        let mode = match request.mode {
            Mode::Auto => {
                let open = |mode: &&Mode| {
                    refused_modes & bit(**mode) == 0 && request.schema.forms.of(**mode).is_some()
                };
                modes.iter().find(open).copied().unwrap_or(Mode::Text)
            }
            mode => mode,
        };
        RequestShape {
            mode,
            stream: request.on_text.is_some() && !lessons.has(Unsupported::Stream),
            lessons,
        }
    }

    /// Remembers a lesson. False when it was known already and so does not help.
    pub fn learn(&self, request: &Request<'_>, form: RequestShape, lesson: Unsupported) -> bool {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.models.len() + memory.schemas.len() >= MAX_LEARNED {
            *memory = CachedCapabilities::default();
        }
        // Who names a mode wants that one or none.
        let has_choice = form.mode != Mode::Text && request.mode == Mode::Auto;
        if lesson == Unsupported::Schema && has_choice {
            *memory.schemas.entry(schema_key(request)).or_default() |= bit(form.mode);
        }
        let model = memory.models.entry(request.model.to_owned()).or_default();
        match lesson {
            Unsupported::Schema => has_choice,
            Unsupported::Mode => {
                model.refused_modes |= if has_choice { bit(form.mode) } else { 0 };
                has_choice
            }
            lesson => {
                // Another call may have learned it while this one was out.
                model.lessons.add(lesson);
                !form.lessons.has(lesson)
            }
        }
    }
}

fn schema_key(request: &Request<'_>) -> (String, u64) {
    let mut hasher = DefaultHasher::new();
    request.schema.raw.get().hash(&mut hasher);
    (request.model.to_owned(), hasher.finish())
}

const fn bit(mode: Mode) -> u8 {
    1 << mode as u8
}
