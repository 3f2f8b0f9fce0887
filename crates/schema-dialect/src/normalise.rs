//! Reading of one schema into a node with the keywords of 2020-12.

use jsonschema::Draft;
use referencing::Resolver;
use serde_json::{Map, Value};

use crate::builder::{Builder, Part, size};
use crate::draft;
use crate::keyword::{self, Holds};
use crate::mistaken;
use crate::pointer::Location;
use crate::tree::{Keyword, KeywordValue, NamedNodes, NodeId, Origin};
use crate::{SchemaError, Warning};

impl<'r> Builder<'r> {
    /// Reads a schema with all that is in it into a node. Recursion is as deep as the document, which the caller limits.
    pub fn normalise(
        &mut self,
        id: NodeId,
        part: &Part<'r>,
        at: &Location<'_>,
    ) -> Result<(), SchemaError> {
        self.count(1)?;
        let members = match part.schema {
            Value::Object(members) => members,
            other => {
                self.node(id).boolean = Some(other.as_bool().unwrap_or(true));
                return Ok(());
            }
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
        Reader {
            builder: self,
            draft,
            resolver,
        }
        .members(id, members, at)
    }
}

/// Schema object that is being read.
struct Reader<'b, 'r> {
    builder: &'b mut Builder<'r>,
    draft: Draft,
    resolver: Resolver<'r>,
}

/// Keyword of the document whose value is being read into a node.
struct Member<'l, 'r> {
    /// Node for which the value is read.
    id: NodeId,
    /// Name as the document writes it.
    written: &'static str,
    value: &'r Value,
    at: Location<'l>,
}

impl<'r> Reader<'_, 'r> {
    fn members(
        &mut self,
        id: NodeId,
        members: &'r Map<String, Value>,
        at: &Location<'_>,
    ) -> Result<(), SchemaError> {
        let reference = members.get("$ref").and_then(Value::as_str);
        if let Some(text) = reference.filter(|_| self.draft <= Draft::Draft7) {
            return self.old_reference(id, text, members, at);
        }
        for (name, value) in members {
            self.member(id, members, name, value, at)?;
        }
        Ok(())
    }

    /// Reads a schema with a `$ref` of draft 7 or older, beside which nothing counts but words.
    fn old_reference(
        &mut self,
        id: NodeId,
        text: &str,
        members: &'r Map<String, Value>,
        at: &Location<'_>,
    ) -> Result<(), SchemaError> {
        let target = self.resolver.lookup(text);
        let target = self.builder.refer(text, &at.name("$ref"), target)?;
        self.set(id, Keyword::Reference, KeywordValue::Reference(target));
        let mut ignored = None;
        for (name, value) in members {
            if matches!(name.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef") {
                continue;
            }
            let into = if keyword::is_annotation(name) {
                id
            } else {
                *ignored.get_or_insert_with(|| self.builder.add(Origin::Same(id)))
            };
            self.member(into, members, name, value, at)?;
        }
        if let Some(ignored) =
            ignored.filter(|ignored| !self.builder.node(*ignored).keywords.is_empty())
        {
            self.set(id, Keyword::IgnoredSiblings, KeywordValue::Node(ignored));
        }
        Ok(())
    }

    fn member(
        &mut self,
        id: NodeId,
        members: &'r Map<String, Value>,
        name: &str,
        value: &'r Value,
        at: &Location<'_>,
    ) -> Result<(), SchemaError> {
        let here = at.name(name);
        let Some((written, holds)) = keyword::entry(name) else {
            self.unknown_member(id, name, value, at);
            return Ok(());
        };
        // jsonschema takes `dependencies` in every draft.
        if !keyword::is_known(self.draft, name) && name != "dependencies" {
            self.foreign_keyword(name, at);
            return Ok(());
        }
        let member = Member {
            id,
            written,
            value,
            at: here,
        };
        let keyword = Keyword::from_name(written);
        match (holds, keyword) {
            (Holds::Annotation, Some(keyword)) => self.copy(id, keyword, value)?,
            (Holds::Value, _) => self.assertion(&member, members)?,
            (Holds::One, Some(keyword)) => self.one(&member, keyword)?,
            (Holds::One, None) => {
                // `additionalItems` counts beside a tuple.
                if members.get("items").is_some_and(Value::is_array) {
                    self.one(&member, Keyword::Items)?;
                }
            }
            (Holds::OneOrMany, _) if value.is_array() && self.draft < Draft::Draft202012 => {
                let parts = self.many(&member)?;
                self.set(id, Keyword::PrefixItems, KeywordValue::Nodes(parts));
            }
            (Holds::OneOrMany, _) => self.one(&member, Keyword::Items)?,
            (Holds::Many, Some(keyword)) => {
                let parts = self.many(&member)?;
                self.extend(id, keyword, parts);
            }
            (Holds::Named, Some(keyword)) => {
                let schemas = value.as_object().into_iter().flatten();
                let named = self.named(&member, keyword, schemas)?;
                self.set(id, keyword, KeywordValue::Named(named.into()));
            }
            (Holds::Dependencies, _) => self.dependencies(&member)?,
            // Definitions are there if something refers to them; other annotations say nothing about values.
            (Holds::Annotation | Holds::Named | Holds::Many, None) => {}
        }
        Ok(())
    }

    fn set(&mut self, id: NodeId, keyword: Keyword, held: KeywordValue) {
        self.builder.node(id).set(keyword, held);
    }

    fn copy(&mut self, id: NodeId, keyword: Keyword, value: &Value) -> Result<(), SchemaError> {
        self.builder.count(size(value))?;
        self.set(id, keyword, KeywordValue::from_json(keyword, value));
        Ok(())
    }

    /// Reads an assertion whose value is no schema.
    fn assertion(
        &mut self,
        member: &Member<'_, 'r>,
        members: &'r Map<String, Value>,
    ) -> Result<(), SchemaError> {
        let Member {
            id,
            written,
            value,
            at,
        } = member;
        match (*written, value) {
            ("$ref" | "$dynamicRef", Value::String(text)) => {
                let target = self.resolver.lookup(text);
                let target = self.builder.refer(text, at, target)?;
                self.refer(member, target);
                return Ok(());
            }
            ("$recursiveRef", Value::String(text)) => {
                let target = self.resolver.lookup_recursive_ref();
                let target = self.builder.refer(text, at, target)?;
                self.refer(member, target);
                return Ok(());
            }
            ("exclusiveMinimum" | "exclusiveMaximum", Value::Bool(_)) => return Ok(()),
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
            }
            _ => {}
        }
        let is_exclusive = |keyword: &str| members.get(keyword) == Some(&Value::Bool(true));
        let keyword = match *written {
            "minimum" if is_exclusive("exclusiveMinimum") => Some(Keyword::ExclusiveMinimum),
            "maximum" if is_exclusive("exclusiveMaximum") => Some(Keyword::ExclusiveMaximum),
            written => Keyword::from_name(written),
        };
        match keyword {
            // A reference that is no text was refused by the meta-schema.
            None | Some(Keyword::Reference) => Ok(()),
            Some(keyword) => self.copy(*id, keyword, value),
        }
    }

    /// Adds a reference to a node. A second one goes into `allOf`.
    fn refer(&mut self, member: &Member<'_, 'r>, target: NodeId) {
        let mut id = member.id;
        if self.builder.node(id).get(Keyword::Reference).is_some() {
            let origin = Origin::Keyword(id, member.written);
            id = self.builder.add(origin);
            self.extend(member.id, Keyword::AllOf, vec![id]);
        }
        self.set(id, Keyword::Reference, KeywordValue::Reference(target));
    }

    /// Appends nodes to a keyword's list.
    fn extend(&mut self, id: NodeId, keyword: Keyword, parts: Vec<NodeId>) {
        let node = self.builder.node(id);
        match node.get_mut(keyword) {
            Some(KeywordValue::Nodes(known)) => known.extend(parts),
            _ => node.set(keyword, KeywordValue::Nodes(parts)),
        }
    }

    fn part(
        &mut self,
        origin: Origin,
        schema: &'r Value,
        at: &Location<'_>,
    ) -> Result<NodeId, SchemaError> {
        let part = Part {
            schema,
            resolver: self.resolver.clone(),
            draft: self.draft,
        };
        let id = self.builder.add(origin);
        self.builder.normalise(id, &part, at)?;
        Ok(id)
    }

    fn one(&mut self, member: &Member<'_, 'r>, keyword: Keyword) -> Result<(), SchemaError> {
        let origin = Origin::Keyword(member.id, member.written);
        let part = self.part(origin, member.value, &member.at)?;
        self.set(member.id, keyword, KeywordValue::Node(part));
        Ok(())
    }

    fn many(&mut self, member: &Member<'_, 'r>) -> Result<Vec<NodeId>, SchemaError> {
        let schemas = member.value.as_array().into_iter().flatten();
        let mut parts = Vec::new();
        for (schema, index) in schemas.zip(0_u32..) {
            let origin = Origin::Element(member.id, member.written, index);
            let at = member.at.index(index as usize);
            parts.push(self.part(origin, schema, &at)?);
        }
        Ok(parts)
    }

    /// Reads schemas by name, for `keyword` of the node.
    fn named(
        &mut self,
        member: &Member<'_, 'r>,
        keyword: Keyword,
        schemas: impl Iterator<Item = (&'r String, &'r Value)>,
    ) -> Result<NamedNodes, SchemaError> {
        let mut named = NamedNodes::default();
        for ((name, schema), index) in schemas.zip(0_u32..) {
            let origin = Origin::Member(member.id, member.written, keyword, index);
            let part = self.part(origin, schema, &member.at.name(name))?;
            named.insert(name.as_str().into(), part);
        }
        Ok(named)
    }

    /// Splits `dependencies` into the two keywords that replaced it.
    fn dependencies(&mut self, member: &Member<'_, 'r>) -> Result<(), SchemaError> {
        let mut required = Vec::new();
        let mut schemas = Vec::new();
        for (name, dependency) in member.value.as_object().into_iter().flatten() {
            let names = match dependency {
                Value::Array(names) => names.as_slice(),
                // Draft 4's form for one name.
                Value::String(_) => std::slice::from_ref(dependency),
                _ => {
                    schemas.push((name, dependency));
                    continue;
                }
            };
            let names = names.iter().filter_map(Value::as_str).map(Into::into);
            required.push((name.as_str().into(), names.collect()));
        }
        let schemas = self.named(member, Keyword::DependentSchemas, schemas.into_iter())?;
        if !required.is_empty() {
            let required = KeywordValue::Dependent(required);
            self.set(member.id, Keyword::DependentRequired, required);
        }
        if !schemas.is_empty() {
            let schemas = KeywordValue::Named(schemas.into());
            self.set(member.id, Keyword::DependentSchemas, schemas);
        }
        Ok(())
    }

    /// Reads a keyword of this service, and warns of a mistyped keyword.
    fn unknown_member(&mut self, id: NodeId, name: &str, value: &Value, at: &Location<'_>) {
        let warning = if name.starts_with("x-extractd-") {
            if let Some(keyword) = Keyword::from_name(name) {
                self.set(id, keyword, KeywordValue::from_json(keyword, value));
            }
            mistaken::own_keyword(&at.name(name).render(), name, value)
        } else {
            mistaken::unknown_member(&at.render(), name, value)
        };
        if let Some(warning) = warning {
            self.builder.warn(warning);
        }
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
