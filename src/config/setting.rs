//! A setting and where it was set; the tree that the sources are merged into.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// Where a value was set. The order is that of precedence: the later wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file; the position of the key, line and column from 1.
    File {
        /// The file's path, as it was given.
        path: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// The environment variable of this name.
    Environment(String),
    /// The flag of this name, with its dashes.
    Flag(&'static str),
}

impl Origin {
    /// How an error points there: `extractd.toml:12:1`, `EXTRACTD_LISTEN`, `--listen`.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File { path, line, column } => format!("{path}:{line}:{column}"),
            Self::Environment(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }

    /// Whether both are the same source, wherever in it.
    pub(super) fn same_source(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Whether its values are bare text, to be read as the type that the key wants. A file has types of its own.
    fn is_text(&self) -> bool {
        matches!(self, Self::Environment(_) | Self::Flag(_))
    }
}

impl fmt::Display for Origin {
    /// How a printed configuration names it: `file extractd.toml:12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, .. } => write!(f, "file {path}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// The environment: variables by name; one whose value is empty is not in it.
pub(super) type Environment = BTreeMap<String, String>;

/// A value as it was set, not yet parsed. It may be a secret, so it has no `Debug`.
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

pub(super) enum Value {
    Leaf(toml::Value),
    Table(Table),
}

impl Setting {
    pub(super) fn leaf(value: impl Into<toml::Value>, origin: Origin) -> Self {
        Self {
            value: Value::Leaf(value.into()),
            origin,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        self.value.as_leaf()?.as_str()
    }

    pub(super) fn integer(&self) -> Option<u64> {
        match self.value.as_leaf()? {
            toml::Value::Integer(number) => u64::try_from(*number).ok(),
            toml::Value::String(text) if self.origin.is_text() => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A number, whole or not. No key allows a whole one that does not fit into 32 bits.
    pub(super) fn number(&self) -> Option<f64> {
        match self.value.as_leaf()? {
            toml::Value::Float(number) => Some(*number),
            toml::Value::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            toml::Value::String(text) if self.origin.is_text() => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value.as_leaf()? {
            toml::Value::Boolean(truth) => Some(*truth),
            toml::Value::String(text) if self.origin.is_text() => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// An array of strings; from the environment and flags, comma-separated text.
    pub(super) fn list(&self) -> Option<Vec<&str>> {
        match self.value.as_leaf()? {
            toml::Value::Array(items) => items.iter().map(toml::Value::as_str).collect(),
            toml::Value::String(text) if self.origin.is_text() => {
                Some(text.split(',').map(str::trim).collect())
            }
            _ => None,
        }
    }

    /// The value for a message, as it was written, shortened. Not for a secret.
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

/// Settings by key.
#[derive(Default)]
pub(super) struct Table(pub(super) BTreeMap<String, Setting>);

impl Table {
    /// Sets the leaf at a dotted path, over what is there, and makes the tables on the way to it.
    pub(super) fn set(&mut self, path: &str, text: &str, origin: Origin) {
        let Some((table, rest)) = path.split_once('.') else {
            self.0.insert(path.to_owned(), Setting::leaf(text, origin));
            return;
        };
        let empty = || Setting {
            value: Value::Table(Self::default()),
            origin: origin.clone(),
        };
        // A leaf where a table belongs stays, and is refused when its section is read.
        if let Value::Table(table) = &mut self.0.entry(table.to_owned()).or_insert_with(empty).value
        {
            table.set(rest, text, origin);
        }
    }

    /// The setting at a dotted path.
    pub(super) fn at(&self, path: &str) -> Option<&Setting> {
        match path.split_once('.') {
            None => self.0.get(path),
            Some((table, rest)) => self.table(table)?.at(rest),
        }
    }

    pub(super) fn table(&self, key: &str) -> Option<&Self> {
        match &self.0.get(key)?.value {
            Value::Table(table) => Some(table),
            Value::Leaf(_) => None,
        }
    }

    pub(super) fn table_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.0.get_mut(key)?.value {
            Value::Table(table) => Some(table),
            Value::Leaf(_) => None,
        }
    }
}
