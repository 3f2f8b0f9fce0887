//! `[local]`: the built-in model.

use std::{num::NonZeroU32, path::PathBuf};

use super::{
    error::Error,
    parsers::{count, path},
    section::Section,
};

/// The built-in model, which runs in this process.
#[derive(Debug, Clone)]
pub struct Local {
    /// `model_path`: the model's GGUF file. `None`: where the provider looks for it by itself.
    pub model_path: Option<PathBuf>,
    /// `threads`: threads that compute. 1 to 1024. `None`: as many as there are cores.
    pub threads: Option<NonZeroU32>,
    /// `parallel`: sequences that are decoded together. 1 to 256, default 4.
    pub parallel: NonZeroU32,
    /// `context_tokens`: room of each sequence, prompt and answer together. 1 to 1,048,576 tokens, default 2048.
    pub context_tokens: NonZeroU32,
}

impl Local {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, Error> {
        let local = Self {
            model_path: section.find("model_path", path)?,
            threads: section.find("threads", count(1024))?,
            parallel: section.get("parallel", 4, count(256))?,
            context_tokens: section.get("context_tokens", 2048, count(1 << 20))?,
        };
        section.finish()?;
        Ok(local)
    }
}
