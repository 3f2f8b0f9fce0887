//! Spec of a run, from flags and files, as the query of a request.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use schema_dialect::{Named, SchemaDocument, Tree};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::compact_json::compact;
use super::spec_args::SpecArgs;
use super::utf8::text_file;
use crate::net::Url;
use crate::types::field_is_text;

/// Maximum length of the query in bytes. The server reads URLs of up to 65,534 bytes (limit of the
/// crate `http`), path included.
const MAX_QUERY_BYTES: usize = 64_000;

/// Fields that a single extraction does not have.
const BATCH_FIELDS: [&str; 2] = ["concurrency", "on_error"];

/// Fields of the spec by their names in the API, encoded for a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec(BTreeMap<String, String>);

impl Spec {
    /// Merges the flags over the fields that a JSON file holds beside its inputs. `more` are fields with flags of the command's
    /// own.
    ///
    /// # Errors
    /// If a file that a flag names cannot be read or is not JSON, or if there is no schema.
    pub fn new(
        flags: &SpecArgs,
        model: Option<&str>,
        file_fields: &Map<String, Value>,
        more: &[(&'static str, Option<&str>)],
    ) -> anyhow::Result<Self> {
        let mut fields: BTreeMap<_, _> = file_fields
            .iter()
            .map(|(name, value)| (name.clone(), encode(name, value)))
            .collect();
        // The client chooses the response format itself, by `Accept`.
        fields.remove("stream");
        let plain = [
            ("model", model),
            ("mode", flags.mode.as_deref()),
            ("max_attempts", flags.max_attempts.as_deref()),
            ("timeout_ms", flags.timeout_ms.as_deref()),
            ("temperature", flags.temperature.as_deref()),
            ("max_output_tokens", flags.max_output_tokens.as_deref()),
            ("seed", flags.seed.as_deref()),
            ("cache", flags.cache.as_deref()),
            ("coerce", flags.coerce.as_deref()),
            ("grounding", flags.grounding.as_deref()),
            ("on_failure", flags.on_failure.as_deref()),
        ];
        fields.extend(
            plain
                .iter()
                .chain(more)
                .filter_map(|(name, text)| Some(((*name).to_owned(), (*text)?.to_owned()))),
        );
        if let Some(text) = &flags.instructions {
            fields.insert("instructions".to_owned(), instructions(text)?);
        }
        for (name, path) in [("examples", &flags.examples), ("rules", &flags.rules)] {
            if let Some(path) = path {
                fields.insert(
                    name.to_owned(),
                    json_file(path).with_context(|| format!("--{name}"))?,
                );
            }
        }
        if let Some(text) = &flags.schema {
            fields.insert("schema".to_owned(), schema(text).context("--schema")?);
        }
        if !fields.contains_key("schema") {
            bail!(
                "no schema: set --schema to a file, an inline JSON Schema, or the name of a registered schema"
            );
        }
        Ok(Self(fields))
    }

    /// Lets results have evidence, if the spec does not say otherwise.
    ///
    /// # Errors
    /// If the spec says that they have none.
    pub fn with_evidence(mut self) -> anyhow::Result<Self> {
        let grounding = self.0.entry("grounding".to_owned());
        if grounding.or_insert_with(|| "report".to_owned()) == "off" {
            bail!(
                "--html shows the evidence of values, and `grounding` is off; use --grounding report, drop or require"
            );
        }
        Ok(self)
    }

    /// Returns the URL to create a job at.
    ///
    /// # Errors
    /// If the spec is too large for a URL.
    pub fn url(&self, server: &Url) -> anyhow::Result<Url> {
        let mut url = server.clone();
        url.set_path(&format!("{}/v1/jobs", server.path().trim_end_matches('/')));
        url.query_pairs_mut().clear().extend_pairs(&self.0);
        let bytes = url.query().map_or(0, str::len);
        if bytes > MAX_QUERY_BYTES {
            bail!(
                "the spec takes {bytes} bytes in the URL of the request, where {MAX_QUERY_BYTES} fit; register its schema \
                 (`PUT /v1/schemas/NAME`, or a file NAME.json in the server's --schemas-dir) and use --schema NAME"
            );
        }
        Ok(url)
    }

    /// Returns the body of a single extraction from this text.
    pub fn body(&self, text: &str, dry_run: bool) -> String {
        let mut body: Map<String, Value> = Map::new();
        body.insert("input".to_owned(), text.into());
        if dry_run {
            body.insert("dry_run".to_owned(), true.into());
        }
        let fields = self
            .0
            .iter()
            .filter(|(name, _)| !BATCH_FIELDS.contains(&name.as_str()));
        let fields = fields.map(|(name, text)| (name.as_str(), field_value(name, text)));
        let own = body
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_string()));
        let members: Vec<_> = own
            .chain(fields)
            .map(|(name, value)| format!("{}:{value}", Value::from(name)))
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// Returns a hash of each field, which shows whether it has changed since an earlier run.
    pub fn fingerprint(&self) -> BTreeMap<String, String> {
        let hash = |text: &String| {
            let digest: [u8; 32] = Sha256::digest(text).into();
            // Eight bytes are enough to detect accidental changes.
            crate::types::hexadecimal(digest.get(..8).unwrap_or_default())
        };
        self.0
            .iter()
            .map(|(name, text)| (name.clone(), hash(text)))
            .collect()
    }

    /// Returns the names of the schema's properties, in their order; empty for a registered schema.
    pub fn properties(&self) -> Vec<String> {
        let document = self
            .0
            .get("schema")
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
            .and_then(|schema| SchemaDocument::parse(schema).ok());
        let tree = document.and_then(|document| Tree::build(document).ok());
        let properties = tree
            .as_ref()
            .and_then(|tree| tree.root().target().properties());
        let names = properties.into_iter().flat_map(Named::names);
        names.map(str::to_owned).collect()
    }
}

/// Returns a field as JSON. A value that is not valid JSON becomes a string; the server rejects it and names the field.
fn field_value(name: &str, text: &str) -> String {
    let is_text = field_is_text(name) || (name == "schema" && !text.starts_with('{'));
    if is_text || serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
        Value::from(text).to_string()
    } else {
        text.to_owned()
    }
}

/// Encodes a field of a JSON file for the query.
fn encode(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if field_is_text(name) || name == "schema" => text.clone(),
        value => value.to_string(),
    }
}

/// Returns the instructions; `@FILE` reads them from a file.
fn instructions(text: &str) -> anyhow::Result<String> {
    match text.strip_prefix('@') {
        Some(path) => text_file(Path::new(path)).context("--instructions"),
        None => Ok(text.to_owned()),
    }
}

/// Returns the schema as JSON, or the name of a registered schema. A file has an extension or a
/// folder; a name has neither.
fn schema(text: &str) -> anyhow::Result<String> {
    let trimmed = text.trim_start();
    if trimmed.starts_with('{') {
        compact(trimmed).context("the inline schema is not JSON")
    } else if text.starts_with('@') || text.contains(['/', '.']) {
        json_file(Path::new(text.trim_start_matches('@')))
    } else {
        Ok(text.to_owned())
    }
}

/// Reads a JSON file.
fn json_file(path: &Path) -> anyhow::Result<String> {
    let text = text_file(path)?;
    compact(&text).with_context(|| format!("{} is not JSON", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_override_the_fields_of_the_file() {
        let file_fields = serde_json::json!({"schema": {"type": "object"}, "seed": 3, "mode": "text", "stream": true});
        let flags = SpecArgs {
            mode: Some("tools".to_owned()),
            ..SpecArgs::default()
        };
        let more = [("concurrency", Some("4")), ("on_error", None)];
        let fields = file_fields.as_object().unwrap();
        let spec = Spec::new(&flags, Some("a/b"), fields, &more).unwrap();
        let url = spec.url(&Url::parse("http://h:1/base/").unwrap()).unwrap();
        assert_eq!(
            url.as_str(),
            "http://h:1/base/v1/jobs?concurrency=4&mode=tools&model=a%2Fb&schema=%7B%22type%22%3A%22object%22%7D&seed=3"
        );
    }
}
