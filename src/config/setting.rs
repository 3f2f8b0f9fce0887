//! Settings with their sources, and the tree that the sources are merged into.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// Source of a value. The order is that of precedence: later variants override earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Default value.
    Default,
    /// Configuration file, with the position of the key.
    File {
        /// Path of the file as given.
        path: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// Environment variable with this name.
    Environment(String),
    /// Command line flag with this name, including its dashes.
    Flag(&'static str),
}

impl Origin {
    /// Returns the source for an error message: `extractd.toml:12:1`, `EXTRACTD_LISTEN`,
    /// `--listen`.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File { path, line, column } => format!("{path}:{line}:{column}"),
            Self::Environment(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }

    /// Returns true if both are the same kind of source, at any position.
    pub(super) fn same_source(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Returns true if the source's values are plain text, to be parsed as the type of the key. A
    /// file has typed values.
    fn is_text(&self) -> bool {
        matches!(self, Self::Environment(_) | Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    /// Formats the source for the printed configuration: `file extractd.toml:12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, .. } => write!(f, "file {path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Environment variables by name, without those whose value is empty.
pub(super) type Environment = BTreeMap<String, String>;

/// Value that is not parsed yet. It may be a secret, so it has no `Debug`.
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Content of a setting.
pub(super) enum Value {
    Leaf(toml::Value),
    Table(Table),
}

impl Setting {
    /// Returns a setting that is not a table.
    pub(super) fn leaf(value: impl Into<toml::Value>, origin: Origin) -> Self {
        Self {
            value: Value::Leaf(value.into()),
            origin,
        }
    }

    /// Returns the value as a string. `None`: it has another type.
    pub(super) fn text(&self) -> Option<&str> {
        self.value.as_leaf()?.as_str()
    }

    /// Returns the value as a whole number. `None`: it has another type, or is negative.
    pub(super) fn integer(&self) -> Option<u64> {
        match self.value.as_leaf()? {
            toml::Value::Integer(number) => u64::try_from(*number).ok(),
            toml::Value::String(text) if self.origin.is_text() => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Returns the value as a number. `None`: it has another type, or is a whole number beyond 32
    /// bits, which no key allows.
    pub(super) fn number(&self) -> Option<f64> {
        match self.value.as_leaf()? {
            toml::Value::Float(number) => Some(*number),
            toml::Value::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            toml::Value::String(text) if self.origin.is_text() => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Returns the value as a boolean. `None`: it has another type.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value.as_leaf()? {
            toml::Value::Boolean(value) => Some(*value),
            toml::Value::String(text) if self.origin.is_text() => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Returns the value as an array of strings; the environment and flags separate them by commas.
    /// `None`: it has another type.
    pub(super) fn list(&self) -> Option<Vec<&str>> {
        match self.value.as_leaf()? {
            toml::Value::Array(items) => items.iter().map(toml::Value::as_str).collect(),
            toml::Value::String(text) if self.origin.is_text() => {
                Some(text.split(',').map(str::trim).collect())
            }
            _ => None,
        }
    }

    /// Returns the value for a message, shortened to 80 characters; not for secrets.
    pub(super) fn shown(&self) -> String {
        let text = match &self.value {
            Value::Leaf(toml::Value::String(text)) if self.origin.is_text() => text.clone(),
            Value::Leaf(value) => value.to_string(),
            Value::Table(_) => return "a table".to_owned(),
        };
        match text.char_indices().nth(80) {
            Some((end, _)) => format!("`{}…`", text.get(..end).unwrap_or_default()),
            None => format!("`{text}`"),
        }
    }
}

impl Value {
    fn as_leaf(&self) -> Option<&toml::Value> {
        match self {
            Self::Leaf(value) => Some(value),
            Self::Table(_) => None,
        }
    }
}

/// Table of settings by key.
#[derive(Default)]
pub(super) struct Table(pub(super) BTreeMap<String, Setting>);

impl Table {
    /// Sets the value at a dotted path, overriding an earlier value, and creates the tables on the
    /// path.
    pub(super) fn set(&mut self, path: &str, text: &str, origin: Origin) {
        let Some((table, rest)) = path.split_once('.') else {
            self.0.insert(path.to_owned(), Setting::leaf(text, origin));
            return;
        };
        let empty = || Setting {
            value: Value::Table(Self::default()),
            origin: origin.clone(),
        };
        // A value in place of a table is kept, and rejected when its section is read.
        if let Value::Table(table) = &mut self.0.entry(table.to_owned()).or_insert_with(empty).value
        {
            table.set(rest, text, origin);
        }
    }

    /// Returns the setting at a dotted path.
    pub(super) fn get(&self, path: &str) -> Option<&Setting> {
        match path.split_once('.') {
            None => self.0.get(path),
            Some((table, rest)) => self.table(table)?.get(rest),
        }
    }

    /// Returns the table under a key. `None`: the key is not set, or is not a table.
    pub(super) fn table(&self, key: &str) -> Option<&Self> {
        match &self.0.get(key)?.value {
            Value::Table(table) => Some(table),
            Value::Leaf(_) => None,
        }
    }

    /// Returns the table under a key, mutably. `None`: the key is not set, or is not a table.
    pub(super) fn table_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.0.get_mut(key)?.value {
            Value::Table(table) => Some(table),
            Value::Leaf(_) => None,
        }
    }
}
