//! Compiled schemas, kept by their text: a caller sends the same one with every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Schema;
use crate::types::Error;

/// Schemas in each of the two generations.
const GENERATION: usize = 64;
/// Texts longer than this are compiled each time.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// A longer text, or one with regular expressions, is compiled on a thread for blocking work.
const QUICK_TEXT_BYTES: usize = 8 * 1024;

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<Schema>>,
    old: HashMap<Box<str>, Arc<Schema>>,
}

/// The compiled schemas that were last asked for, up to 128.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Generations>);

impl Cache {
    /// The compiled schema for this text.
    ///
    /// # Errors
    /// As [`Schema::compile`].
    pub async fn get(&self, text: &str) -> Result<Arc<Schema>, Error> {
        if let Some(schema) = self.find(text) {
            return Ok(schema);
        }
        let schema = Arc::new(compile(text).await?);
        if text.len() <= MAX_TEXT_BYTES {
            self.insert(text.into(), Arc::clone(&schema));
        }
        Ok(schema)
    }

    fn find(&self, text: &str) -> Option<Arc<Schema>> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schema) = generations.young.get(text) {
            return Some(Arc::clone(schema));
        }
        let (text, schema) = generations.old.remove_entry(text)?;
        generations.keep(text, Arc::clone(&schema));
        Some(schema)
    }

    fn insert(&self, text: Box<str>, schema: Arc<Schema>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keep(text, schema);
    }
}

impl Generations {
    fn keep(&mut self, text: Box<str>, schema: Arc<Schema>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text, schema);
    }
}

/// Compiles beside the runtime's workers what takes more than about a millisecond.
pub(super) async fn compile(text: &str) -> Result<Schema, Error> {
    if text.len() <= QUICK_TEXT_BYTES && !text.contains("pattern") {
        return Schema::compile(text);
    }
    let text = text.to_owned();
    tokio::task::spawn_blocking(move || Schema::compile(&text))
        .await
        .unwrap_or_else(|_| Err(super::invalid("", "could not be compiled")))
}
