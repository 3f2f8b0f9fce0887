//! The spec as the query of a request.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use super::args;
use super::input_line::short_hash;
use crate::net::Url;
use crate::types::field_is_text;

/// The longest address that a server reads is 65,534 bytes (the crate `http`); the path and its host take some.
const MAX_QUERY_BYTES: usize = 64_000;
/// Fields that say how a run goes, and not what its results are.
const OF_THE_RUN: [&str; 2] = ["concurrency", "on_error"];

/// The spec's fields by their names in the contract, as they stand in a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec(BTreeMap<String, String>);

impl Spec {
    /// The fields that the flags name, over those that stand beside the inputs of a JSON file.
    ///
    /// # Errors
    /// When a file that a flag names cannot be read or is no JSON, and without any schema.
    pub fn new(
        flags: &args::Spec,
        model: Option<&str>,
        beside: &Map<String, Value>,
    ) -> anyhow::Result<Self> {
        let mut fields: BTreeMap<_, _> = beside
            .iter()
            .map(|(name, value)| (name.clone(), in_query(name, value)))
            .collect();
        // It says in which form the reply comes, which is asked for otherwise.
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
            ("on_failure", flags.on_failure.as_deref()),
            ("on_error", flags.on_error.as_deref()),
            ("concurrency", flags.concurrency.as_deref()),
        ];
        fields.extend(
            plain
                .into_iter()
                .filter_map(|(name, text)| Some((name.to_owned(), text?.to_owned()))),
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
                "no schema: give --schema a file, a JSON Schema itself, or the name of a registered one"
            );
        }
        Ok(Self(fields))
    }

    /// Where to send the inputs.
    ///
    /// # Errors
    /// When the spec is too large for an address.
    pub fn url(&self, server: &Url) -> anyhow::Result<Url> {
        let mut url = server.clone();
        url.set_path(&format!(
            "{}/v1/extract/batch",
            server.path().trim_end_matches('/')
        ));
        url.query_pairs_mut().clear().extend_pairs(&self.0);
        let bytes = url.query().map_or(0, str::len);
        if bytes > MAX_QUERY_BYTES {
            bail!(
                "the spec takes {bytes} bytes in the address of the request, where {MAX_QUERY_BYTES} fit; register its schema \
                 (`PUT /v1/schemas/NAME`, or a file NAME.json in the server's --schemas-dir) and give --schema NAME"
            );
        }
        Ok(url)
    }

    /// A hash of each field that the results depend on.
    pub fn fingerprint(&self) -> BTreeMap<String, String> {
        let fields = self
            .0
            .iter()
            .filter(|(name, _)| !OF_THE_RUN.contains(&name.as_str()));
        fields
            .map(|(name, text)| {
                (
                    name.clone(),
                    format!("{:016x}", short_hash(text.as_bytes())),
                )
            })
            .collect()
    }

    /// The names of the schema's properties, in their order; none of a schema that is only named.
    pub fn properties(&self) -> Vec<String> {
        let schema = self
            .0
            .get("schema")
            .and_then(|text| serde_json::from_str::<Value>(text).ok());
        let properties = schema
            .as_ref()
            .and_then(|schema| schema.get("properties")?.as_object());
        properties
            .map(|properties| properties.keys().cloned().collect())
            .unwrap_or_default()
    }
}

fn in_query(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if field_is_text(name) || name == "schema" => text.clone(),
        value => value.to_string(),
    }
}

fn instructions(text: &str) -> anyhow::Result<String> {
    match text.strip_prefix('@') {
        Some(path) => {
            fs::read_to_string(path).with_context(|| format!("--instructions: cannot read {path}"))
        }
        None => Ok(text.to_owned()),
    }
}

/// A file has an ending or a folder; a registered schema's name has neither.
fn schema(text: &str) -> anyhow::Result<String> {
    let trimmed = text.trim_start();
    if trimmed.starts_with('{') {
        compact(trimmed).context("this is not JSON")
    } else if text.starts_with('@') || text.contains(['/', '.']) {
        json_file(Path::new(text.trim_start_matches('@')))
    } else {
        Ok(text.to_owned())
    }
}

fn json_file(path: &Path) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    compact(text.trim_start_matches('\u{feff}'))
        .with_context(|| format!("{} is not JSON", path.display()))
}

/// JSON without the white space between its tokens; numbers stay as they are written.
pub fn compact(json: &str) -> Result<String, serde_json::Error> {
    serde_json::from_str::<&serde_json::value::RawValue>(json)?;
    let (mut inside, mut escaped) = (false, false);
    let keep = |c: &char| {
        let closes = inside && !escaped && *c == '"';
        let keep = inside || !c.is_ascii_whitespace();
        escaped = inside && !escaped && *c == '\\';
        inside = if inside { !closes } else { *c == '"' };
        keep
    };
    Ok(json.chars().filter(keep).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_and_strings_stay() {
        let json = "{ \"a b\" : [1.50 , \"x \\\" y\\\\\" ,\n\t\"\" ] }\n";
        assert_eq!(compact(json).unwrap(), r#"{"a b":[1.50,"x \" y\\",""]}"#);
        assert!(compact("{").is_err());
    }

    #[test]
    fn flags_win_over_the_file_and_what_only_steers_the_run_is_no_other_spec() {
        let beside = serde_json::json!({"schema": {"type": "object"}, "seed": 3, "mode": "text", "stream": true});
        let flags = args::Spec {
            mode: Some("tools".to_owned()),
            concurrency: Some("4".to_owned()),
            ..args::Spec::default()
        };
        let spec = Spec::new(&flags, Some("a/b"), beside.as_object().unwrap()).unwrap();
        let url = spec.url(&Url::parse("http://h:1/base/").unwrap()).unwrap();
        assert_eq!(
            url.as_str(),
            "http://h:1/base/v1/extract/batch?concurrency=4&mode=tools&model=a%2Fb&schema=%7B%22type%22%3A%22object%22%7D&seed=3"
        );
        let other = args::Spec {
            concurrency: Some("5".to_owned()),
            ..flags
        };
        assert_eq!(
            Spec::new(&other, Some("a/b"), beside.as_object().unwrap())
                .unwrap()
                .fingerprint(),
            spec.fingerprint()
        );
    }
}
