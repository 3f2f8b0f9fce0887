//! Cache of compiled schemas by their text: callers send the same schema with every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::compiled::Schema;
use super::error_messages::invalid;
use crate::types::Error;

/// Maximum number of schemas in each of the two generations.
const GENERATION: usize = 64;
/// Maximum length of a cached text, in bytes; longer ones are compiled each time.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Maximum length of a text that is compiled inline, in bytes. Longer ones and those with regular expressions go to the
/// blocking pool.
const QUICK_TEXT_BYTES: usize = 8 * 1024;

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<Schema>>,
    old: HashMap<Box<str>, Arc<Schema>>,
}

/// Cache of the up to 128 most recently used schemas, in two generations.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Generations>);

impl Cache {
    /// Returns the schema of this text, compiling it if it is not cached.
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

/// Compiles a schema, on the blocking pool if that may take longer than about a millisecond.
pub(super) async fn compile(text: &str) -> Result<Schema, Error> {
    if text.len() <= QUICK_TEXT_BYTES && !text.contains("pattern") {
        return Schema::compile(text);
    }
    let text = text.to_owned();
    tokio::task::spawn_blocking(move || Schema::compile(&text))
        .await
        .unwrap_or_else(|_| Err(invalid("", "could not be compiled")))
}
