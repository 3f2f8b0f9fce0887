//! The built-in model: its file, and its start if the configuration uses it.

use std::io::Read;
use std::path::Path;
#[cfg(feature = "local")]
use std::path::PathBuf;
#[cfg(feature = "local")]
use std::sync::Arc;

use anyhow::Context;

use crate::config::Config;
#[cfg(feature = "local")]
use crate::config::{self, ModelName};
use crate::extraction::ProviderEntry;
#[cfg(feature = "local")]
use crate::provider::{LocalOptions, LocalProvider};
#[cfg(feature = "local")]
use throttle::KeyQuota;
use throttle::{Pool, PoolId};

/// Default path of the built-in model, where `make model` puts it.
const LOCAL_MODEL_PATH: &str = "models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// Returns the default path of the built-in model: in the current folder, or where `make install` puts it, beside the folder of the
/// program.
#[cfg(feature = "local")]
fn default_model_path() -> PathBuf {
    let installed = || {
        let program = std::env::current_exe().ok()?;
        let prefix = program.parent()?.parent()?;
        Some(prefix.join("share/extractd").join(LOCAL_MODEL_PATH))
    };
    let here = PathBuf::from(LOCAL_MODEL_PATH);
    if here.is_file() {
        return here;
    }
    installed().filter(|path| path.is_file()).unwrap_or(here)
}

/// Returns the name of the built-in model: its file name without the extension.
pub fn local_model_name(config: &Config) -> String {
    let path = config
        .local
        .model_path
        .as_deref()
        .unwrap_or(Path::new(LOCAL_MODEL_PATH));
    path.file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// First bytes of a GGUF file.
const GGUF_MAGIC: [u8; 4] = *b"GGUF";

/// Rejects a configured path of the built-in model that is not a GGUF file, even if the model is not used: a wrong path must
/// not be found out later.
fn check_model_path(config: &Config) -> anyhow::Result<()> {
    let Some(path) = &config.local.model_path else {
        return Ok(());
    };
    let advice = "correct `local.model_path` (EXTRACTD_MODEL_PATH), or remove it";
    let mut magic = [0; GGUF_MAGIC.len()];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if magic == GGUF_MAGIC => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Err(error).with_context(|| {
                format!(
                    "the file of the built-in model, {}, cannot be read; {advice}",
                    path.display()
                )
            })
        }
        _ => anyhow::bail!(
            "the file of the built-in model, {}, is not a GGUF file; {advice}",
            path.display()
        ),
    }
}

/// Rejects a configuration that needs the built-in model, which is not part of this build.
#[cfg(not(feature = "local"))]
pub fn local_model(config: &Config, _: PoolId) -> anyhow::Result<Option<(ProviderEntry, Pool)>> {
    check_model_path(config)?;
    let is_needed = config.model.is_none();
    anyhow::ensure!(
        !is_needed,
        "this build has no built-in model, and no provider is configured; set OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY or GEMINI_API_KEY, and EXTRACTD_MODEL"
    );
    Ok(None)
}

/// Loads the built-in model. `None`: the configuration does not use it.
#[cfg(feature = "local")]
pub fn local_model(config: &Config, pool: PoolId) -> anyhow::Result<Option<(ProviderEntry, Pool)>> {
    check_model_path(config)?;
    let is_local = |name: &ModelName| matches!(name, ModelName::Direct { provider, .. } if provider == config::LOCAL);
    let is_named = config
        .models
        .values()
        .any(|model| model.provider == config::LOCAL || model.fallback.iter().any(is_local));
    if config.model.as_ref().is_some_and(|name| !is_local(name)) && !is_named {
        return Ok(None);
    }
    let model_path = config
        .local
        .model_path
        .clone()
        .unwrap_or_else(default_model_path);
    anyhow::ensure!(
        model_path.is_file(),
        "the file of the built-in model, {}, does not exist; download it with `make model`, set `local.model_path` (EXTRACTD_MODEL_PATH), \
         or configure a provider (OPENAI_API_KEY, OPENAI_BASE_URL, ANTHROPIC_API_KEY or GEMINI_API_KEY, and EXTRACTD_MODEL)",
        model_path.display()
    );
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let options = LocalOptions {
        model_path,
        workers: config
            .local
            .threads
            .map_or(cores, |threads| threads.get() as usize),
        parallel: config.local.parallel.get() as usize,
        context_tokens: config.local.context_tokens.get() as usize,
    };
    let pool_settings = Pool {
        name: config::LOCAL.to_owned(),
        keys: vec![KeyQuota::default()],
        max_in_flight: Some(options.max_in_flight()),
        is_adaptive: false,
        has_trial: false,
    };
    let provider =
        LocalProvider::start(options).context("cannot start the thread of the built-in model")?;
    Ok(Some((
        ProviderEntry {
            provider: Arc::new(provider),
            pool,
            call_timeout: None,
        },
        pool_settings,
    )))
}
