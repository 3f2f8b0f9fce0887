//! Merged schema: all constraints on one value, from a schema, the targets of its references and its `allOf`.

use std::collections::HashSet;

use serde_json::Value;

use super::conjunction::Conjunction;
use super::lowered_node::LoweringError;
use crate::tree::{JsonType, Keyword, Named, NodeRef, Nodes, TypeList, is_type_implied};

/// Alternatives of one `anyOf` or `oneOf`.
#[derive(Debug, Clone, Copy)]
pub struct Choices<'t> {
    /// Schema that has the alternatives.
    pub schema: NodeRef<'t>,
    /// `anyOf` or `oneOf`.
    pub keyword: Keyword,
    pub of: Nodes<'t>,
}

impl Choices<'_> {
    /// Returns true if the alternatives describe a value's form, and not only its required members.
    pub fn is_structural(&self) -> bool {
        let says = |keyword: Keyword| {
            !keyword.is_annotation()
                && !matches!(
                    keyword,
                    Keyword::Required | Keyword::Not | Keyword::DependentRequired
                )
        };
        let looks = |choice: NodeRef<'_>| choice.is_false() || choice.keywords().any(says);
        let takes_any = |choice: NodeRef<'_>| {
            !choice.is_false() && choice.keywords().all(Keyword::is_annotation)
        };
        self.of.iter().any(looks) && !self.of.iter().any(takes_any)
    }
}

/// Schemas that hold for one value, with references and `allOf` resolved.
#[derive(Debug, Default)]
pub struct MergedSchema<'t> {
    /// Merged schemas, all of them objects.
    pub parts: Vec<NodeRef<'t>>,
    /// Alternatives that are not chosen yet.
    pub choices: Vec<Choices<'t>>,
    /// Siblings of a `$ref` of draft 7 or older, which a validator ignores. They are a hint and
    /// narrow nothing.
    pub ignored: Vec<NodeRef<'t>>,
}

/// Schema that consists of a reference and annotations.
#[derive(Debug)]
pub struct Reference<'t> {
    pub target: NodeRef<'t>,
    /// Descriptions beside the reference.
    pub notes: Vec<&'t str>,
    /// Siblings that a validator ignores.
    pub ignored: Option<NodeRef<'t>>,
}

impl<'t> Reference<'t> {
    /// Recognizes a schema that consists of a reference and annotations.
    pub fn recognize(schema: NodeRef<'t>) -> Option<Self> {
        let mut others = schema.keywords().filter(|keyword| !keyword.is_annotation());
        if let Some(all) = schema.all_of() {
            let only = all
                .get(0)
                .filter(|_| all.len() == 1 && others.all(|keyword| keyword == Keyword::AllOf))?;
            let mut inner = Self::recognize(only)?;
            inner.notes.extend(schema.description());
            return Some(inner);
        }
        let target = schema.reference()?;
        others
            .all(|keyword| keyword == Keyword::Reference)
            .then(|| Self {
                target,
                notes: schema.description().into_iter().collect(),
                ignored: schema.ignored_siblings(),
            })
    }

    /// Returns true if the ignored siblings name properties that the target does not name.
    pub fn lacks_properties(&self) -> bool {
        let target = self.target.properties();
        let is_named = |name| target.is_some_and(|named| named.get(name).is_some());
        let beside = self.ignored.and_then(NodeRef::properties);
        beside.is_some_and(|beside| !beside.names().all(is_named))
    }
}

impl<'t> MergedSchema<'t> {
    /// Merges the schemas of a conjunction.
    pub fn new(conjunction: &Conjunction<'t>) -> Result<Self, LoweringError> {
        let mut gathered = Self::default();
        let (mut todo, mut seen) = (conjunction.all.clone(), HashSet::new());
        todo.reverse();
        while let Some(schema) = todo.pop() {
            if schema.is_false() {
                return Err(LoweringError::Never);
            }
            if !schema.is_object() || !seen.insert(schema) {
                continue;
            }
            // The target comes after the reference, so that its description does too.
            todo.extend(schema.reference());
            gathered.ignored.extend(schema.ignored_siblings());
            if let Some(all) = schema.all_of() {
                todo.extend(all.iter().rev());
            }
            for keyword in Keyword::CHOICES {
                if let Some(of) = schema.children(keyword)
                    && !conjunction.chosen.contains(&(schema.id(), keyword))
                {
                    gathered.choices.push(Choices {
                        schema,
                        keyword,
                        of,
                    });
                }
            }
            gathered.parts.push(schema);
        }
        Ok(gathered)
    }

    /// Returns the schemas that may apply in addition: those under conditions, and alternatives without
    /// a discriminator.
    pub fn conditional(&self) -> Vec<NodeRef<'t>> {
        let conditions = self
            .children(Keyword::Then)
            .chain(self.children(Keyword::Else));
        let dependent = self.named(Keyword::DependentSchemas).flat_map(Named::nodes);
        let choices = self.choices.iter().flat_map(|choices| choices.of.iter());
        conditions
            .chain(dependent)
            .chain(choices)
            .filter(|schema| schema.is_object())
            .collect()
    }

    /// Returns true if a merged schema has the keyword.
    pub fn has(&self, keyword: Keyword) -> bool {
        self.parts.iter().any(|part| part.has(keyword))
    }

    /// Returns the schemas under a keyword in all merged schemas.
    pub fn children(&self, keyword: Keyword) -> impl Iterator<Item = NodeRef<'t>> + use<'_, 't> {
        self.parts
            .iter()
            .filter_map(move |part| part.child(keyword))
    }

    /// Returns the schemas by name under a keyword in all merged schemas.
    pub fn named(&self, keyword: Keyword) -> impl Iterator<Item = Named<'t>> + use<'_, 't> {
        self.parts
            .iter()
            .filter_map(move |part| part.named(keyword))
    }

    /// Returns the schemas of the property `name` in all merged schemas.
    pub fn property<'m>(
        &'m self,
        name: &'m str,
    ) -> impl Iterator<Item = NodeRef<'t>> + use<'m, 't> {
        self.named(Keyword::Properties)
            .filter_map(move |named| named.get(name))
    }

    /// Returns the names that the merged schemas require.
    pub fn required(&self) -> impl Iterator<Item = &'t str> + use<'_, 't> {
        let names = self.parts.iter().flat_map(|part| part.required());
        names.map(|name| &**name)
    }

    /// Returns the title of the first schema.
    pub fn title(&self) -> Option<&'t str> {
        self.parts.first()?.title()
    }

    /// Returns the first description.
    pub fn description(&self) -> Option<&'t str> {
        self.parts.iter().find_map(|part| part.description())
    }

    /// Returns true if the schemas consist of alternatives and annotations.
    pub fn has_only_choices(&self) -> bool {
        let says_nothing = |keyword: Keyword| {
            keyword.is_annotation()
                || matches!(
                    keyword,
                    Keyword::AnyOf | Keyword::OneOf | Keyword::AllOf | Keyword::Reference
                )
        };
        self.parts
            .iter()
            .all(|part| part.keywords().all(says_nothing))
    }

    /// Returns the types that all schemas allow. `None`: any type.
    pub fn types(&self) -> Result<Option<Vec<JsonType>>, LoweringError> {
        let named = self.parts.iter().filter_map(|part| part.type_list());
        let types = named.map(allowed_types).reduce(|types, more| {
            types
                .into_iter()
                .filter(|kind| more.contains(kind))
                .collect()
        });
        if types.as_ref().is_some_and(Vec::is_empty) {
            return Err(LoweringError::Never);
        }
        let types = types.or_else(|| {
            let is_meant = |kind: &JsonType| is_type_implied(*kind, |keyword| self.has(keyword));
            Some(
                JsonType::ALL
                    .into_iter()
                    .filter(is_meant)
                    .collect::<Vec<_>>(),
            )
            .filter(|types| !types.is_empty())
        });
        Ok(types.map(|mut types| {
            if types.contains(&JsonType::Number) {
                types.retain(|kind| *kind != JsonType::Integer);
            }
            types
        }))
    }

    /// Returns the values that all schemas allow. `None`: they are not enumerated.
    pub fn values(&self) -> Option<Result<Vec<&'t Value>, LoweringError>> {
        let mut listed = self.parts.iter().flat_map(|part| {
            let constant = part.constant().map(std::slice::from_ref);
            part.values(Keyword::Enum).into_iter().chain(constant)
        });
        let first = listed.next()?;
        let rest: Vec<HashSet<String>> = listed
            .map(|list| list.iter().map(Value::to_string).collect())
            .collect();
        let types = match self.types() {
            Ok(types) => types.filter(|_| self.has(Keyword::Type)),
            Err(stop) => return Some(Err(stop)),
        };
        let mut values: Vec<&Value> = Vec::new();
        let mut seen = HashSet::new();
        for value in first {
            let is_typed = types
                .as_ref()
                .is_none_or(|types| types.iter().any(|kind| kind.accepts(value)));
            let text = value.to_string();
            if is_typed && rest.iter().all(|list| list.contains(&text)) && seen.insert(text) {
                values.push(value);
            }
        }
        Some(if values.is_empty() {
            Err(LoweringError::Never)
        } else {
            Ok(values)
        })
    }
}

/// Returns the types of the values that `type` allows.
pub fn allowed_types(types: &TypeList) -> Vec<JsonType> {
    let mut allowed = JsonType::ALL.to_vec();
    allowed.retain(|kind| types.allows(*kind));
    allowed
}
