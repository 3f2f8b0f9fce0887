//! Document of a schema, made ready for a validator of its own draft.

use jsonschema::Draft;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::draft::{self, Declared};
use crate::js_pattern::Rewriter;
use crate::keyword::{Holds, holds};
use crate::pointer::Location;
use crate::{MAX_WARNINGS, SchemaError, Warning, mistaken};

/// Characters that a URI's fragment must not contain as they are.
const NOT_IN_FRAGMENTS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Schema document that a validator can judge by.
#[derive(Debug, Clone)]
pub struct SchemaDocument {
    /// The caller's document, but for `nullable`, the escapes of local references, and a `$schema` that no validator knows.
    pub value: Value,
    /// Draft of the root.
    pub draft: Draft,
    /// Likely mistakes, at most [`MAX_WARNINGS`].
    pub warnings: Vec<Warning>,
}

impl SchemaDocument {
    /// Reads a document.
    ///
    /// Without `$schema`, the draft is the newest one under which the document is valid, and `nullable: true` means what OpenAPI
    /// 3.0 says. A local reference whose target is named literally, as in `#/definitions/Page<Item>`, is escaped.
    ///
    /// # Errors
    /// If the document is no schema, or not valid under its draft.
    pub fn parse(mut value: Value) -> Result<Self, SchemaError> {
        if let Some(error) = mistaken::not_a_schema(&value) {
            return Err(error);
        }
        let mut warnings = Vec::new();
        let declared = declared_draft(&mut value, &mut warnings)?;
        let draft = match declared {
            Some(draft) => match draft::validate(draft, &value) {
                Ok(()) => draft,
                Err(error) => read_as_another(&mut value, draft, &mut warnings).ok_or(error)?,
            },
            None => draft::newest_valid(&value)?,
        };
        let root = value.clone();
        let mut adjuster = Adjuster {
            root: &root,
            base: &root,
            is_openapi: declared.is_none(),
            draft,
            patterns: Rewriter::new(draft),
            warnings: &mut warnings,
        };
        adjuster.schema(&mut value, &Location::new(""));
        Ok(Self {
            value,
            draft,
            warnings,
        })
    }
}

/// Returns the draft that `$schema` names. `None`: none, or an unknown one, which is removed with a warning.
fn declared_draft(
    value: &mut Value,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Draft>, SchemaError> {
    let Some(members) = value.as_object_mut() else {
        return Ok(None);
    };
    let Some(declared) = members.get("$schema") else {
        return Ok(None);
    };
    let Some(uri) = declared.as_str().map(str::trim) else {
        return Err(SchemaError::new(
            "/$schema",
            "`$schema` is the URI of a JSON Schema draft, as a string; leave it out for the newest draft",
        ));
    };
    match draft::declared(uri) {
        Declared::Exactly(draft) => Ok(Some(draft)),
        Declared::Nearly(draft) => {
            if uri.contains("draft-03") {
                warnings.push(Warning {
                    pointer: "/$schema".to_owned(),
                    message: "draft-03 is read as draft-04".to_owned(),
                });
            }
            members.insert("$schema".to_owned(), uri_of(draft).into());
            Ok(Some(draft))
        }
        Declared::Unknown if is_loopback(uri) => Err(SchemaError::new(
            "/$schema",
            format!(
                "the meta-schema {uri} would have to be fetched, and nothing is; leave `$schema` out, or name a draft"
            ),
        )),
        Declared::Unknown => {
            warnings.push(Warning {
                pointer: "/$schema".to_owned(),
                message: format!(
                    "{uri} is no draft of JSON Schema and is not fetched; the schema is read by the newest draft under which it is valid"
                ),
            });
            members.shift_remove("$schema");
            Ok(None)
        }
    }
}

/// Returns the newest draft under which a document is valid that is not valid under the draft that it names. Many schemas name an
/// old draft and use keywords of a newer one.
fn read_as_another(value: &mut Value, named: Draft, warnings: &mut Vec<Warning>) -> Option<Draft> {
    let draft = draft::newest_valid(value).ok()?;
    warnings.push(Warning {
        pointer: "/$schema".to_owned(),
        message: format!(
            "the schema is not valid under {}, which it names; it is read as {}",
            draft::name(named),
            draft::name(draft)
        ),
    });
    value
        .as_object_mut()?
        .insert("$schema".to_owned(), uri_of(draft).into());
    Some(draft)
}

/// Returns true if a text begins with the two digits of a percent escape.
fn is_escape(text: &str) -> bool {
    text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2
}

/// Returns true for a meta-schema that only one machine has: unlike a published one, it is there for its vocabularies.
fn is_loopback(uri: &str) -> bool {
    let host = uri.split("://").nth(1).unwrap_or_default();
    host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]")
}

const fn uri_of(draft: Draft) -> &'static str {
    match draft {
        Draft::Draft4 => "http://json-schema.org/draft-04/schema#",
        Draft::Draft6 => "http://json-schema.org/draft-06/schema#",
        Draft::Draft7 => "http://json-schema.org/draft-07/schema#",
        Draft::Draft201909 => "https://json-schema.org/draft/2019-09/schema",
        _ => "https://json-schema.org/draft/2020-12/schema",
    }
}

/// Changes a document where its meaning is plain but a validator would not see it.
struct Adjuster<'a> {
    /// The document before any change, in which references are looked up.
    root: &'a Value,
    /// Resource that local references lead into: the innermost part of `root` with an `$id`.
    base: &'a Value,
    is_openapi: bool,
    draft: Draft,
    patterns: Rewriter,
    warnings: &'a mut Vec<Warning>,
}

impl Adjuster<'_> {
    /// Adjusts a schema. Recursion is as deep as the document, which the caller limits.
    fn schema(&mut self, schema: &mut Value, at: &Location<'_>) {
        let is_inner_resource = schema
            .get(self.draft.id_keyword())
            .and_then(Value::as_str)
            .is_some_and(|id| !id.starts_with('#'));
        let outer = self.base;
        if is_inner_resource {
            self.base = self.root.pointer(&at.render()).unwrap_or(outer);
        }
        self.members(schema, at);
        self.base = outer;
    }

    fn members(&mut self, schema: &mut Value, at: &Location<'_>) {
        let Some(members) = schema.as_object_mut() else {
            return;
        };
        for (name, member) in members.iter_mut() {
            let at = at.name(name);
            match (holds(name), &mut *member) {
                _ if matches!(name.as_str(), "$ref" | "$dynamicRef") => self.reference(member),
                (_, Value::String(pattern)) if name == "pattern" => {
                    if let Some(strict) = self.patterns.rewritten(pattern) {
                        *pattern = strict;
                    }
                }
                (Some(Holds::One | Holds::Many | Holds::OneOrMany), Value::Array(parts)) => {
                    for (index, part) in parts.iter_mut().enumerate() {
                        self.schema(part, &at.index(index));
                    }
                }
                (Some(Holds::One | Holds::OneOrMany), part) => self.schema(part, &at),
                (Some(Holds::Named | Holds::Dependencies), Value::Object(named)) => {
                    for (name, part) in named.iter_mut() {
                        self.schema(part, &at.name(name));
                    }
                    // Afterwards, because locations are those of the caller's document.
                    if name == "patternProperties" {
                        self.names_of_patterns(named);
                    }
                }
                // A reference may lead below an unknown keyword.
                (None, part @ (Value::Object(_) | Value::Array(_))) => self.unknown(part, &at),
                _ => {}
            }
        }
        if self.is_openapi && members.get("nullable") == Some(&Value::Bool(true)) {
            self.nullable(schema, at);
        }
    }

    fn names_of_patterns(&mut self, named: &mut Map<String, Value>) {
        let mut rewritten = |name: &String| self.patterns.rewritten(name);
        if named.keys().any(|name| rewritten(name).is_some()) {
            *named = std::mem::take(named)
                .into_iter()
                .map(|(name, part)| (rewritten(&name).unwrap_or(name), part))
                .collect();
        }
    }

    fn unknown(&mut self, value: &mut Value, at: &Location<'_>) {
        match value {
            Value::Object(_) => self.members(value, at),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.unknown(item, &at.index(index));
                }
            }
            _ => {}
        }
    }

    /// Escapes a local reference whose target is found only by its literal name.
    fn reference(&self, reference: &mut Value) {
        let Some(fragment) = reference.as_str().and_then(|text| text.strip_prefix("#/")) else {
            return;
        };
        let is_found = |fragment: &str| {
            let decoded = percent_decode_str(fragment).decode_utf8();
            decoded.is_ok_and(|decoded| self.base.pointer(&format!("/{decoded}")).is_some())
        };
        let is_plain = fragment.split('%').skip(1).all(is_escape)
            && utf8_percent_encode(fragment, NOT_IN_FRAGMENTS).to_string()
                == fragment.replace('%', "%25");
        if is_plain && is_found(fragment) {
            return;
        }
        let candidates = [
            // Escaped already, but for some characters.
            percent_decode_str(fragment)
                .decode_utf8()
                .ok()
                .map(std::borrow::Cow::into_owned),
            Some(fragment.to_owned()),
            Some(fragment.replace('~', "~0")),
        ];
        let found = candidates
            .into_iter()
            .flatten()
            .find(|candidate| self.base.pointer(&format!("/{candidate}")).is_some())
            .or_else(|| self.with_slashes(fragment));
        if let Some(found) = found {
            *reference = format!("#/{}", utf8_percent_encode(&found, NOT_IN_FRAGMENTS)).into();
        }
    }

    /// Finds a definition whose name contains slashes that the reference does not escape, as in `#/$defs/a/b` for `a/b`.
    fn with_slashes(&self, fragment: &str) -> Option<String> {
        let (keyword, name) = fragment.split_once('/')?;
        let is_definition = matches!(keyword, "$defs" | "definitions");
        let named = self.base.get(keyword).filter(|_| is_definition)?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        named.get(&*name)?;
        Some(format!(
            "{keyword}/{}",
            name.replace('~', "~0").replace('/', "~1")
        ))
    }

    /// Lets a schema accept null, as OpenAPI 3.0's `nullable: true` means.
    fn nullable(&mut self, schema: &mut Value, at: &Location<'_>) {
        let Some(members) = schema.as_object_mut() else {
            return;
        };
        members.shift_remove("nullable");
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(Warning {
                pointer: at.name("nullable").render(),
                message: "`nullable: true` is OpenAPI 3.0's; null is accepted here. In JSON Schema, add \"null\" to `type`".to_owned(),
            });
        }
        let is_simple = !members.keys().any(|name| {
            matches!(
                name.as_str(),
                "$ref" | "allOf" | "anyOf" | "oneOf" | "not" | "const" | "if"
            )
        });
        match members.get_mut("type") {
            Some(Value::String(name)) if is_simple => {
                if name != "null" {
                    let name = std::mem::take(name);
                    members.insert("type".to_owned(), json!([name, "null"]));
                }
            }
            Some(Value::Array(names)) if is_simple => {
                if !names.iter().any(|name| name == "null") {
                    names.push("null".into());
                }
            }
            _ => {
                let inner = std::mem::take(members);
                *members = wrapped(inner);
                return;
            }
        }
        if let Some(Value::Array(values)) = members.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    }
}

/// Moves a schema into a choice with null; its words stay outside.
fn wrapped(mut inner: Map<String, Value>) -> Map<String, Value> {
    let mut outer = Map::new();
    for keyword in [
        "$schema",
        "$id",
        "id",
        "title",
        "description",
        "default",
        "$defs",
        "definitions",
    ] {
        if let Some(value) = inner.shift_remove(keyword) {
            outer.insert(keyword.to_owned(), value);
        }
    }
    outer.insert("anyOf".to_owned(), json!([inner, {"type": "null"}]));
    outer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_within_inner_resources_leads_into_the_innermost() {
        let inner = json!({"$id": "b", "$ref": "#/$defs/x y", "$defs": {"x y": {"type": "null"}}});
        let outer = json!({"$id": "a", "patternProperties": {r"^\<a/~": inner}, "not": {"$ref": "#/$defs/x y"}});
        let document = SchemaDocument::parse(json!({"items": outer})).unwrap();
        let outer = &document.value["items"];
        // The escaped name of a pattern is found before it is rewritten.
        let inner = &outer["patternProperties"]["^<a/~"];
        assert_eq!(inner["$ref"], "#/$defs/x%20y");
        // There is no such definition in the outer one: what leads nowhere is left as it is.
        assert_eq!(outer["not"]["$ref"], "#/$defs/x y");
    }
}
