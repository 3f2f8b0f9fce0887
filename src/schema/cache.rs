//! Cache of compiled schemas by their text: callers send the same schema with every request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use throttle::{MemoryReservation, NoMemory, RETRY_SOON};

use super::compiled::Schema;
use super::error_messages::invalid;
use crate::types::{Code, Error};

/// Maximum number of schemas in each of the two generations.
const GENERATION: usize = 64;
/// Maximum memory of the schemas in each of the two generations, in bytes.
const GENERATION_BYTES: usize = 32 << 20;
/// Maximum length of a cached text, in bytes; longer ones are compiled each time.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Maximum length of a text that is compiled inline, in bytes. Longer ones and those with regular expressions go to the
/// blocking pool.
const QUICK_TEXT_BYTES: usize = 8 * 1024;

#[derive(Debug, Default)]
struct Generation {
    schemas: HashMap<Box<str>, Arc<Schema>>,
    /// Memory of the schemas, in bytes.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

/// Cache of the up to 128 most recently used schemas, which take up to 64 MiB together, in two generations.
#[derive(Debug, Default)]
pub struct Cache(Mutex<Generations>);

impl Cache {
    /// Returns the schema of this text, compiling it if it is not cached. A compiled schema enlarges `memory` by its size, and
    /// holds it until it is neither used nor cached.
    ///
    /// # Errors
    /// As [`Schema::compile`]; `overloaded` if there is no memory for it now, `payload_too_large` if there never is.
    pub async fn get(&self, text: &str, memory: MemoryReservation) -> Result<Arc<Schema>, Error> {
        if let Some(schema) = self.find(text) {
            return Ok(schema);
        }
        let mut schema = compile(text).await?;
        schema.hold(memory).map_err(|refused| no_memory(&refused))?;
        let schema = Arc::new(schema);
        if text.len() <= MAX_TEXT_BYTES {
            self.lock().keep(text.into(), Arc::clone(&schema));
        }
        Ok(schema)
    }

    fn find(&self, text: &str) -> Option<Arc<Schema>> {
        let mut generations = self.lock();
        if let Some(schema) = generations.young.schemas.get(text) {
            return Some(Arc::clone(schema));
        }
        let (text, schema) = generations.old.schemas.remove_entry(text)?;
        generations.keep(text, Arc::clone(&schema));
        Some(schema)
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, text: Box<str>, schema: Arc<Schema>) {
        let bytes = schema.memory_bytes();
        if bytes > GENERATION_BYTES {
            return;
        }
        if self.young.schemas.len() >= GENERATION || self.young.bytes + bytes > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += bytes;
        self.young.schemas.insert(text, schema);
    }
}

/// Returns the error of a schema for which there is no memory. It may be retried unless the schema can never fit.
fn no_memory(refused: &NoMemory) -> Error {
    let problem = |code, advice| {
        let detail = format!(
            "there is no memory for the compiled schema: {refused} (`limits.max_memory_bytes`); {advice}"
        );
        Error::new(code, detail)
    };
    match refused {
        NoMemory::TooLarge { .. } => problem(Code::PayloadTooLarge, "use simpler patterns"),
        NoMemory::Full | NoMemory::ShareUsedUp => {
            problem(Code::Overloaded, "retry later, or use simpler patterns")
                .retry_after(RETRY_SOON)
        }
    }
}

/// Compiles a schema, on the blocking pool if that may take longer than about a millisecond.
async fn compile(text: &str) -> Result<Schema, Error> {
    if text.len() <= QUICK_TEXT_BYTES && !text.contains("pattern") {
        return Schema::compile(text);
    }
    let text = text.to_owned();
    tokio::task::spawn_blocking(move || Schema::compile(&text))
        .await
        .unwrap_or_else(|_| Err(invalid("", "could not be compiled")))
}
