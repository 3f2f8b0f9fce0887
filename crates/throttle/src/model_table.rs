//! Table of the models by provider and name. Callers may make up any number of names, so those that the configuration does not name
//! are forgotten if they are many. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::model_limits::Model;
use crate::types::PoolId;

/// Number of models that are not configured from which on those that are not in use are forgotten.
const MAX_MADE_UP: usize = 1000;
/// Number of places that are made free together, so that a new name rarely looks at all models.
const ROOM: usize = MAX_MADE_UP / 8;

/// Models that are known. Configured ones and those in use always are.
#[derive(Debug, Default)]
pub struct ModelTable {
    known: BTreeMap<(PoolId, String), KnownModel>,
    /// Number of models that are not configured.
    made_up: usize,
    /// The same when some were last forgotten.
    made_up_before: usize,
    /// Number of times that a model was looked up or added.
    uses: u64,
}

#[derive(Debug)]
struct KnownModel {
    model: Arc<Model>,
    /// Number of the last use, which no other model has.
    last_use: u64,
}

impl ModelTable {
    /// Returns a known model, which counts as used.
    pub fn find(&mut self, pool: PoolId, name: &str) -> Option<Arc<Model>> {
        let known = self.known.get_mut(&(pool, name.to_owned()))?;
        self.uses += 1;
        known.last_use = self.uses;
        Some(Arc::clone(&known.model))
    }

    /// Adds a model that is not known, and forgets others if they are many.
    pub fn add(&mut self, model: &Arc<Model>, now: Instant) {
        if !model.is_configured {
            if self.made_up >= MAX_MADE_UP.max(self.made_up_before + ROOM) {
                self.make_room(now);
            }
            self.made_up += 1;
        }
        self.uses += 1;
        let known = KnownModel {
            model: Arc::clone(model),
            last_use: self.uses,
        };
        self.known.insert((model.pool, model.name.clone()), known);
    }

    /// Forgets models that are neither configured nor in use: first those that nothing holds back, and of them the least recently
    /// used.
    fn make_room(&mut self, now: Instant) {
        let unused = self
            .known
            .values()
            .filter(|known| !known.model.is_configured && Arc::strong_count(&known.model) == 1);
        let unused = unused.map(|known| (known.model.state().is_held_back(now), known.last_use));
        let in_order: BTreeSet<_> = unused.collect();
        let excess = self.made_up.saturating_sub(MAX_MADE_UP - ROOM);
        let forgotten = in_order.into_iter().take(excess);
        let forgotten: BTreeSet<_> = forgotten.map(|(_, last_use)| last_use).collect();
        self.known
            .retain(|_, known| !forgotten.contains(&known.last_use));
        self.made_up -= forgotten.len();
        self.made_up_before = self.made_up;
    }

    /// Returns all models, in order of provider and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.known.values().map(|known| &known.model)
    }
}
