//! Section `[local]`: settings of the built-in model.

use std::{num::NonZeroU32, path::PathBuf};

use super::{
    error::Error,
    parsers::{count, path},
    section::Section,
};

/// Settings of the built-in model, which runs in this process.
#[derive(Debug, Clone)]
pub struct Local {
    /// `model_path`: GGUF file of the model. `None`: the file that `make model` downloads.
    pub model_path: Option<PathBuf>,
    /// `threads`: number of compute threads. 1 to 1024. `None`: the number of cores.
    pub threads: Option<NonZeroU32>,
    /// `parallel`: number of sequences decoded together. 1 to 256, default 4.
    pub parallel: NonZeroU32,
    /// `context_tokens`: context of each sequence, prompt and answer together. 1 to 1,048,576
    /// tokens, default 2048.
    pub context_tokens: NonZeroU32,
}

impl Local {
    /// Reads the section.
    pub(super) fn from_section(mut section: Section<'_>) -> Result<Self, Error> {
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
