//! From a GGUF file to a model and a context, with every known way to fail made into an error.
//!
//! llama.cpp is one for the whole process: its backend is initialised once, and its log goes to `tracing`.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use super::scheduler::CHUNK;

/// Why there is no built-in model. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there, or may not be read.
    #[error("reading the model file {}: check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The file is no model, is cut off, or is of a kind that llama.cpp does not know.
    #[error("loading the model file {}: it is no complete GGUF model that this llama.cpp knows; download it again or take another", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
    },
    /// The model cannot write text: it embeds or translates.
    #[error("loading the model file {}: a {architecture} model cannot chat; take an instruct model", path.display())]
    NotGenerative {
        /// The file.
        path: PathBuf,
        /// GGUF's `general.architecture`.
        architecture: String,
    },
    /// The processor lacks what the program was built for.
    #[error(
        "this processor has no {feature}, which the built-in model was compiled for: use another machine or a remote provider"
    )]
    Processor {
        /// The instruction set.
        feature: &'static str,
    },
    /// There is not enough memory for the context, or a thread could not be started.
    #[error("making room for the model's context: {0}; lower `parallel` or the context size")]
    Context(String),
}

/// The backend lives as long as the process. `None` when something else in the process had initialised it.
pub fn backend() -> Option<&'static LlamaBackend> {
    static BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();
    let init = || {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().ok()
    };
    BACKEND.get_or_init(init).as_ref()
}

/// Reads the file; blocks for as long as the disk takes.
///
/// # Errors
/// See [`LoadError`].
pub fn model(path: &Path) -> Result<LlamaModel, LoadError> {
    processor()?;
    let unreadable = |source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::ErrorKind::IsADirectory.into()));
    }
    let not_a_model = || LoadError::NotAModel {
        path: path.to_owned(),
    };
    let backend =
        backend().ok_or_else(|| LoadError::Context("llama.cpp is already in use".to_owned()))?;
    let model = LlamaModel::load_from_file(backend, path, &LlamaModelParams::default())
        .map_err(|_| not_a_model())?;
    let architecture = model
        .meta_val_str("general.architecture")
        .map_err(|_| not_a_model())?;
    if !generates(&architecture) {
        return Err(LoadError::NotGenerative {
            path: path.to_owned(),
            architecture,
        });
    }
    Ok(model)
}

/// A context for that many sequences over one unified cache, so that a common beginning is kept once.
///
/// # Errors
/// [`LoadError::Context`].
pub fn context(
    model: &LlamaModel,
    slots: usize,
    tokens: usize,
) -> Result<LlamaContext<'_>, LoadError> {
    // Making two contexts of one model at a time is not sound (llama-cpp-2 0.1.160, `LlamaModel::new_context`).
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(number(slots.saturating_mul(tokens))))
        .with_n_seq_max(number(slots))
        .with_n_batch(number(CHUNK))
        .with_n_ubatch(number(CHUNK))
        .with_kv_unified(true)
        .with_n_threads(1)
        .with_n_threads_batch(1);
    let backend =
        backend().ok_or_else(|| LoadError::Context("llama.cpp is already in use".to_owned()))?;
    model
        .new_context(backend, params)
        .map_err(|error| LoadError::Context(error.to_string()))
}

/// llama.cpp is compiled for a fixed set of instructions (see `.cargo/config.toml`) and would die of an unknown one.
fn processor() -> Result<(), LoadError> {
    #[cfg(target_arch = "x86_64")]
    {
        let needed = [
            ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
            ("FMA", std::arch::is_x86_feature_detected!("fma")),
            ("F16C", std::arch::is_x86_feature_detected!("f16c")),
            ("BMI2", std::arch::is_x86_feature_detected!("bmi2")),
        ];
        if let Some((feature, _)) = needed.into_iter().find(|(_, there)| !there) {
            return Err(LoadError::Processor { feature });
        }
    }
    Ok(())
}

/// Encoders, and pairs of encoder and decoder, do not continue a text.
fn generates(architecture: &str) -> bool {
    !architecture.contains("bert")
        && !["t5", "t5encoder", "clip", "wavtokenizer-dec"].contains(&architecture)
}
