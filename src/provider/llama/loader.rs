//! Loads a GGUF file as a llama.cpp model and creates its contexts; each known failure is a
//! [`LoadError`] that says what to do.
//!
//! llama.cpp's backend is initialised once for the process, and its log goes to `tracing`.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::{LogOptions, send_logs_to_tracing};

use super::scheduler::STEP_TOKENS;

/// Error of loading the built-in model. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file does not exist, or its permissions deny reading.
    #[error("reading the model file {}: check the path and its permissions", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is not a model, is truncated, or has a format that llama.cpp does not know.
    #[error("loading the model file {}: it is not a complete GGUF model that this version of llama.cpp supports; download it again, or use another model", path.display())]
    NotAModel { path: PathBuf },
    /// The model does not generate text: it is an embedding or translation model.
    #[error("loading the model file {}: a {architecture} model cannot chat; use an instruct model", path.display())]
    NotGenerative {
        path: PathBuf,
        /// GGUF's `general.architecture`.
        architecture: String,
    },
    /// The CPU lacks an instruction set that the program was compiled for.
    #[error(
        "this processor has no {feature}, which the built-in model was compiled for: use another machine, or a remote provider"
    )]
    Processor { feature: &'static str },
    /// There is not enough memory for the context, or a thread could not be started.
    #[error("creating the model's context: {0}; lower `parallel` or the context size")]
    Context(String),
}

/// Returns llama.cpp's backend, which lives as long as the process. `None`: other code in the
/// process has initialised it.
pub fn backend() -> Option<&'static LlamaBackend> {
    static BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();
    let init = || {
        send_logs_to_tracing(LogOptions::default());
        LlamaBackend::init().ok()
    };
    BACKEND.get_or_init(init).as_ref()
}

/// Loads a model file. Blocks for as long as the disk takes.
///
/// # Errors
/// If the file cannot be read or is not a usable model, or the CPU lacks an instruction set.
pub fn load_model(path: &Path) -> Result<LlamaModel, LoadError> {
    check_cpu()?;
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
    if !is_generative(&architecture) {
        return Err(LoadError::NotGenerative {
            path: path.to_owned(),
            architecture,
        });
    }
    Ok(model)
}

/// Creates a context with one sequence for each slot. The KV cache is unified, so that a common
/// prefix is stored once.
///
/// # Errors
/// If there is not enough memory.
pub fn create_context(
    model: &LlamaModel,
    slots: usize,
    tokens: usize,
) -> Result<LlamaContext<'_>, LoadError> {
    // Creating two contexts of one model at a time is unsound (llama-cpp-2 0.1.160,
    // `LlamaModel::new_context`).
    static CREATION: Mutex<()> = Mutex::new(());
    let _guard = CREATION.lock().unwrap_or_else(PoisonError::into_inner);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let params = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(number(slots.saturating_mul(tokens))))
        .with_n_seq_max(number(slots))
        .with_n_batch(number(STEP_TOKENS))
        .with_n_ubatch(number(STEP_TOKENS))
        .with_kv_unified(true)
        .with_n_threads(1)
        .with_n_threads_batch(1);
    let backend =
        backend().ok_or_else(|| LoadError::Context("llama.cpp is already in use".to_owned()))?;
    model
        .new_context(backend, params)
        .map_err(|error| LoadError::Context(error.to_string()))
}

/// Checks for the instruction sets that llama.cpp is compiled for (see `.cargo/config.toml`). A
/// missing one would kill the process.
fn check_cpu() -> Result<(), LoadError> {
    #[cfg(target_arch = "x86_64")]
    {
        let needed = [
            ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
            ("FMA", std::arch::is_x86_feature_detected!("fma")),
            ("F16C", std::arch::is_x86_feature_detected!("f16c")),
            ("BMI2", std::arch::is_x86_feature_detected!("bmi2")),
        ];
        if let Some((feature, _)) = needed.into_iter().find(|(_, is_present)| !is_present) {
            return Err(LoadError::Processor { feature });
        }
    }
    Ok(())
}

/// Returns true if models of this architecture continue a text, unlike encoders and encoder-decoder
/// pairs.
fn is_generative(architecture: &str) -> bool {
    !architecture.contains("bert")
        && !["t5", "t5encoder", "clip", "wavtokenizer-dec"].contains(&architecture)
}
