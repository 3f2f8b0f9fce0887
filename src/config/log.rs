//! Section `[log]`: filter and format of the log.

use super::{error::Error, parsers, section::Section};

/// Settings of the log.
#[derive(Debug, Clone)]
pub struct Log {
    /// `filter`: level (`error` `warn` `info` `debug` `trace` `off`) or directives such as
    /// `info,extractd=debug`; not empty. The directives are checked where the log is started.
    /// Default `info`.
    pub filter: String,
    /// `format`: format of the lines. Default `text`.
    pub format: Format,
}

/// Format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `text`: one line of text per event.
    Text,
    /// `json`: one JSON object per event.
    Json,
}

impl Log {
    /// Reads the section.
    pub(super) fn from_section(mut section: Section<'_>) -> Result<Self, Error> {
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
