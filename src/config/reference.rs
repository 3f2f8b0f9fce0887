//! Reference of every configuration key: name, environment variable, flag, default and description,
//! as Markdown.
//!
//! A test compares this list with the keys that the sections accept and with their defaults, so it
//! cannot go stale.

mod names;
mod section;
mod service;

use std::fmt::Write as _;

use self::section::SectionReference;
use super::{args::Args, environment::VARIABLES};

/// Returns all tables of the configuration file.
pub(super) fn sections() -> impl Iterator<Item = &'static SectionReference> {
    service::SECTIONS.iter().chain(&names::SECTIONS)
}

/// Returns the reference of all configuration keys as Markdown tables.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for section in sections() {
        let title = if section.header.is_empty() {
            "Top level".to_owned()
        } else {
            format!("`[{}]`", section.header)
        };
        let _infallible = write!(
            text,
            "{}## {title}\n\n{}\n\n| key | environment variable, flag | default | description |\n|---|---|---|---|\n",
            if text.is_empty() { "" } else { "\n" },
            section.description
        );
        for key in section.keys {
            let default = match key.default {
                "" => "none".to_owned(),
                default => format!("`{default}`"),
            };
            let sources = sources(section.header, key.name);
            let _infallible = writeln!(
                text,
                "| `{}` | {sources} | {default} | {} |",
                key.name, key.description
            );
        }
    }
    text
}

/// Returns the environment variables and flags that set a key, separated by commas.
fn sources(header: &str, key: &str) -> String {
    let flags = Args::default();
    let variables = VARIABLES.iter().copied();
    let flags = flags.settings().map(|(flag, path, _)| (flag, path));
    let matching = variables
        .chain(flags)
        .filter(|(_, path)| is_path_of(path, header, key));
    matching
        .map(|(source, _)| format!("`{source}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns true if `path`, such as `providers.*.request_burst`, is the path of a key in a section.
fn is_path_of(path: &str, header: &str, key: &str) -> bool {
    let Some((section, name)) = path.rsplit_once('.') else {
        return header.is_empty() && path == key;
    };
    let is_section = match (section.split_once('.'), header.split_once('.')) {
        (Some((table, _)), Some((expected, _))) => table == expected,
        _ => section == header,
    };
    is_section && name == key
}
