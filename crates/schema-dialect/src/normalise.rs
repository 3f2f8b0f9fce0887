//! Rewriting of one schema in the keywords of 2020-12.

use jsonschema::Draft;
use referencing::Resolver;
use serde_json::{Map, Value, json};

use crate::builder::{Builder, Part};
use crate::draft;
use crate::keyword::{self, Holds, IGNORED_SIBLINGS};
use crate::mistaken;
use crate::pointer::Location;
use crate::{SchemaError, Warning};

impl<'r> Builder<'r> {
    /// Rewrites a schema with all that is in it. Recursion is as deep as the document, which the caller limits.
    pub fn normalise(&mut self, part: &Part<'r>, at: &Location<'_>) -> Result<Value, SchemaError> {
        self.count(1)?;
        let members = match part.schema {
            Value::Object(members) => members,
            Value::Bool(taken) => return Ok(Value::Bool(*taken)),
            _ => return Ok(Value::Bool(true)),
        };
        let draft = match part.draft.detect(part.schema) {
            Draft::Unknown => part.draft,
            draft => draft,
        };
        let resolver = part
            .resolver
            .in_subresource(draft.create_resource_ref(part.schema))
            .map_err(|error| {
                SchemaError::new(
                    at.name(draft.id_keyword()).render(),
                    format!("is not a URI: {error}"),
                )
            })?;
        Node {
            builder: self,
            draft,
            resolver,
        }
        .members(members, at)
        .map(Value::Object)
    }
}

/// Schema object that is being rewritten.
struct Node<'b, 'r> {
    builder: &'b mut Builder<'r>,
    draft: Draft,
    resolver: Resolver<'r>,
}

impl<'r> Node<'_, 'r> {
    fn members(
        &mut self,
        members: &'r Map<String, Value>,
        at: &Location<'_>,
    ) -> Result<Map<String, Value>, SchemaError> {
        let reference = members.get("$ref").and_then(Value::as_str);
        if let Some(text) = reference.filter(|_| self.draft <= Draft::Draft7) {
            return self.old_reference(text, members, at);
        }
        let mut node = Map::new();
        for (name, value) in members {
            self.member(&mut node, members, name, value, at)?;
        }
        Ok(node)
    }

    /// Rewrites a schema with a `$ref` of draft 7 or older, beside which nothing counts but words.
    fn old_reference(
        &mut self,
        text: &str,
        members: &'r Map<String, Value>,
        at: &Location<'_>,
    ) -> Result<Map<String, Value>, SchemaError> {
        let mut node = Map::new();
        let mut ignored = Map::new();
        let target = self.resolver.lookup(text);
        let target = self.builder.refer(text, &at.name("$ref"), target)?;
        node.insert("$ref".to_owned(), target.into());
        for (name, value) in members {
            if matches!(name.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef") {
                continue;
            }
            let into = if keyword::is_annotation(name) {
                &mut node
            } else {
                &mut ignored
            };
            self.member(into, members, name, value, at)?;
        }
        if !ignored.is_empty() {
            node.insert(IGNORED_SIBLINGS.to_owned(), ignored.into());
        }
        Ok(node)
    }

    fn member(
        &mut self,
        node: &mut Map<String, Value>,
        members: &'r Map<String, Value>,
        name: &str,
        value: &'r Value,
        at: &Location<'_>,
    ) -> Result<(), SchemaError> {
        let here = at.name(name);
        let Some(holds) = keyword::holds(name) else {
            if name.starts_with("x-extractd-") {
                if let Some(warning) = mistaken::own_keyword(&here.render(), name, value) {
                    self.builder.warn(warning);
                }
                node.insert(name.to_owned(), value.clone());
            } else if let Some(warning) = mistaken::unknown_member(&at.render(), name, value) {
                self.builder.warn(warning);
            }
            return Ok(());
        };
        // jsonschema takes `dependencies` in every draft.
        if !keyword::is_known(self.draft, name) && name != "dependencies" {
            self.foreign_keyword(name, at);
            return Ok(());
        }
        match holds {
            Holds::Annotation => match name {
                "title" | "description" | "default" | "examples" | "example" | "deprecated"
                | "readOnly" | "writeOnly" => self.copy(node, name, value)?,
                _ => {}
            },
            Holds::Value => self.assertion(node, members, name, value, &here)?,
            Holds::One => {
                let name = if name == "additionalItems" {
                    if !members.get("items").is_some_and(Value::is_array) {
                        return Ok(());
                    }
                    "items"
                } else {
                    name
                };
                let part = self.part(value, &here)?;
                node.insert(name.to_owned(), part);
            }
            Holds::Many => {
                let parts = self.parts(value, &here)?;
                extend(node, name, parts);
            }
            Holds::OneOrMany => {
                if value.is_array() && self.draft < Draft::Draft202012 {
                    let parts = self.parts(value, &here)?;
                    node.insert("prefixItems".to_owned(), parts.into());
                } else {
                    let part = self.part(value, &here)?;
                    node.insert(name.to_owned(), part);
                }
            }
            // Definitions are there if something refers to them.
            Holds::Named if matches!(name, "$defs" | "definitions") => {}
            Holds::Named => {
                let named = self.named(value, &here)?;
                node.insert(name.to_owned(), named.into());
            }
            Holds::Dependencies => self.dependencies(node, value, &here)?,
        }
        Ok(())
    }

    fn assertion(
        &mut self,
        node: &mut Map<String, Value>,
        members: &'r Map<String, Value>,
        name: &str,
        value: &'r Value,
        at: &Location<'_>,
    ) -> Result<(), SchemaError> {
        match (name, value) {
            ("$ref" | "$dynamicRef", Value::String(text)) => {
                let target = self.resolver.lookup(text);
                let target = self.builder.refer(text, at, target)?;
                refer(node, target);
            }
            ("$recursiveRef", Value::String(text)) => {
                let target = self.resolver.lookup_recursive_ref();
                let target = self.builder.refer(text, at, target)?;
                refer(node, target);
            }
            ("exclusiveMinimum" | "exclusiveMaximum", Value::Bool(_)) => {}
            ("minimum" | "maximum", bound) => {
                let exclusive = if name == "minimum" {
                    "exclusiveMinimum"
                } else {
                    "exclusiveMaximum"
                };
                let is_exclusive = members.get(exclusive) == Some(&Value::Bool(true));
                let name = if is_exclusive { exclusive } else { name };
                self.copy(node, name, bound)?;
            }
            ("format", Value::String(format)) => {
                if let Some(meant) = keyword::meant_format(format) {
                    let message = format!(
                        "\"{format}\" is no format that is checked; did you mean \"{meant}\"?"
                    );
                    self.builder.warn(Warning {
                        pointer: at.render(),
                        message,
                    });
                }
                self.copy(node, name, value)?;
            }
            _ => self.copy(node, name, value)?,
        }
        Ok(())
    }

    fn copy(
        &mut self,
        node: &mut Map<String, Value>,
        name: &str,
        value: &Value,
    ) -> Result<(), SchemaError> {
        self.builder.count(size(value))?;
        node.insert(name.to_owned(), value.clone());
        Ok(())
    }

    fn part(&mut self, schema: &'r Value, at: &Location<'_>) -> Result<Value, SchemaError> {
        let part = Part {
            schema,
            resolver: self.resolver.clone(),
            draft: self.draft,
        };
        self.builder.normalise(&part, at)
    }

    fn parts(&mut self, schemas: &'r Value, at: &Location<'_>) -> Result<Vec<Value>, SchemaError> {
        let schemas = schemas.as_array().into_iter().flatten().enumerate();
        schemas
            .map(|(index, schema)| self.part(schema, &at.index(index)))
            .collect()
    }

    fn named(
        &mut self,
        schemas: &'r Value,
        at: &Location<'_>,
    ) -> Result<Map<String, Value>, SchemaError> {
        let schemas = schemas.as_object().into_iter().flatten();
        schemas
            .map(|(name, schema)| Ok((name.clone(), self.part(schema, &at.name(name))?)))
            .collect()
    }

    /// Splits `dependencies` into the two keywords that replaced it.
    fn dependencies(
        &mut self,
        node: &mut Map<String, Value>,
        value: &'r Value,
        at: &Location<'_>,
    ) -> Result<(), SchemaError> {
        let (mut required, mut schemas) = (Map::new(), Map::new());
        for (name, dependency) in value.as_object().into_iter().flatten() {
            match dependency {
                Value::Array(_) => {
                    required.insert(name.clone(), dependency.clone());
                }
                // Draft 4's form for one name.
                Value::String(_) => {
                    required.insert(name.clone(), json!([dependency]));
                }
                schema => {
                    schemas.insert(name.clone(), self.part(schema, &at.name(name))?);
                }
            }
        }
        for (keyword, named) in [
            ("dependentRequired", required),
            ("dependentSchemas", schemas),
        ] {
            if !named.is_empty() {
                node.insert(keyword.to_owned(), named.into());
            }
        }
        Ok(())
    }

    /// Warns of a keyword that another draft knows.
    fn foreign_keyword(&mut self, name: &str, at: &Location<'_>) {
        let draft = draft::name(self.draft);
        // Identifiers of another draft are common and harmless.
        if matches!(name, "id" | "$id" | "additionalItems") {
            return;
        }
        let known = keyword::first_draft(name).map_or("", draft::name);
        self.builder.warn(Warning {
            pointer: at.name(name).render(),
            message: format!(
                "{draft} does not know `{name}`, which is ignored; it came with {known}, which `$schema` would have to name"
            ),
        });
    }
}

/// Adds a reference to a schema. A second one goes into `allOf`.
fn refer(node: &mut Map<String, Value>, target: String) {
    if node.contains_key("$ref") {
        extend(node, "allOf", vec![json!({"$ref": target})]);
    } else {
        node.insert("$ref".to_owned(), target.into());
    }
}

/// Appends schemas to a keyword's array.
fn extend(node: &mut Map<String, Value>, keyword: &str, parts: Vec<Value>) {
    match node.get_mut(keyword) {
        Some(Value::Array(known)) => known.extend(parts),
        _ => {
            node.insert(keyword.to_owned(), parts.into());
        }
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        _ => 1,
    }
}
