//! `[log]`: what is logged, and how.

use super::{error::Error, parsers, section::Section};

/// The log.
#[derive(Debug, Clone)]
pub struct Log {
    /// `filter`: a level (`error` `warn` `info` `debug` `trace` `off`) or directives such as `info,extractd=debug`, not
    /// empty; its parts are checked where the log is set up. Default `info`.
    pub filter: String,
    /// `format`. Default `text`.
    pub format: Format,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text`: for people.
    Text,
    /// `json`: an object a line.
    Json,
}

impl Log {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, Error> {
        let filter = |text: &str| (!text.trim().is_empty()).then(|| text.to_owned());
        let formats = [("text", Format::Text), ("json", Format::Json)];
        let log = Self {
            filter: section.get(
                "filter",
                "info",
                parsers::text("a level or a filter, such as info,extractd=debug", filter),
            )?,
            format: section.get("format", "text", parsers::choice(&formats))?,
        };
        section.finish()?;
        Ok(log)
    }
}
