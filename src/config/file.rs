//! TOML files as trees of settings with line and column.

use std::{io, path::Path, sync::Arc};

use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{
    error::Error,
    setting::{Origin, Setting, Table, Value},
};

/// Reads and parses a file; `named` is the source of its path.
pub(super) fn read_and_parse(
    path: &str,
    named: &Origin,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Table, Error> {
    let text = read_file(Path::new(path)).map_err(|source| Error::Read {
        place: named.place(),
        path: path.into(),
        source,
    })?;
    parse(path, &text)
}

/// Parses the text of a file.
pub(super) fn parse(path: &str, text: &str) -> Result<Table, Error> {
    let source = Source {
        path: path.into(),
        text,
    };
    match DeTable::parse(text) {
        Ok(table) => source.table(table.into_inner()),
        Err(error) => Err(source.error(&error)),
    }
}

/// Text of a file, with its path for messages.
struct Source<'t> {
    path: Arc<str>,
    text: &'t str,
}

impl Source<'_> {
    /// Converts a table.
    fn table(&self, table: DeTable<'_>) -> Result<Table, Error> {
        let mut settings = Table::default();
        for (key, value) in table {
            let offset = key.span().start;
            let setting = Setting {
                value: self.value(value, offset)?,
                origin: self.origin(offset),
            };
            settings.0.insert(key.into_inner().into_owned(), setting);
        }
        Ok(settings)
    }

    /// Converts a value.
    fn value(&self, value: Spanned<DeValue<'_>>, key_offset: usize) -> Result<Value, Error> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => self.table(table).map(Value::Table),
            // The message does not repeat the number: it may be an API key without quotes.
            leaf => toml::Value::deserialize(ValueDeserializer::from(Spanned::new(span, leaf)))
                .map(Value::Leaf)
                .map_err(|_| {
                    Error::new(
                        &self.origin(key_offset),
                        "not valid TOML: a number is too large",
                    )
                }),
        }
    }

    /// Returns the parser's message without the excerpt of the file, which may contain a secret.
    fn error(&self, error: &toml::de::Error) -> Error {
        let offset = error.span().map_or(0, |span| span.start);
        let message = error.message().replace('\n', ", ");
        let is_bare = [
            "string values must be quoted",
            "invalid float",
            "invalid integer",
            "invalid boolean",
        ]
        .iter()
        .any(|begin| message.starts_with(begin));
        let advice = if is_bare {
            "; write a text in double quotes"
        } else {
            ""
        };
        Error::new(
            &self.origin(offset),
            format!("not valid TOML: {message}{advice}"),
        )
    }

    /// Returns the line and column of a byte offset.
    fn origin(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Origin::File {
            path: self.path.clone(),
            line,
            column,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, parse};

    fn place(table: &Table, path: &str) -> String {
        table.get(path).expect(path).origin.place()
    }

    #[test]
    fn each_key_knows_its_line_and_column() {
        let text = "listen = \"é\"\r\n\n[providers.openai]\n  headers = { a = \"1\",\n b = \"2\" }\nlimits.max = 1\n";
        let table = parse("f.toml", text).expect("valid");
        assert_eq!(place(&table, "listen"), "f.toml:1:1");
        assert_eq!(place(&table, "providers.openai"), "f.toml:3:12");
        assert_eq!(place(&table, "providers.openai.headers"), "f.toml:4:3");
        assert_eq!(place(&table, "providers.openai.headers.a"), "f.toml:4:15");
        assert_eq!(place(&table, "providers.openai.headers.b"), "f.toml:5:2");
        assert_eq!(place(&table, "providers.openai.limits.max"), "f.toml:6:8");
    }

    #[test]
    fn a_syntax_error_has_its_place_and_shows_no_value() {
        for (text, expected) in [
            (
                "a = 1\napi_key = \"sk-secret\nb = 2",
                "f.toml:2:21: not valid TOML: invalid basic string, expected `\"`",
            ),
            (
                "api_key = sk-secret",
                "f.toml:1:11: not valid TOML: string values must be quoted, expected literal string; write a text in double quotes",
            ),
            (
                "[a]\nb = 1\nb = 2",
                "f.toml:3:1: not valid TOML: duplicate key",
            ),
            (
                "[a]\nb = 99999999999999999999",
                "f.toml:2:1: not valid TOML: a number is too large",
            ),
        ] {
            let error = parse("f.toml", text).err().expect("refused").to_string();
            assert_eq!(error, expected);
        }
    }
}
