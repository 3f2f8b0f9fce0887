//! Merged schema: all constraints on one value, from a schema, the targets of its references and its `allOf`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::conjunction::Conjunction;
use super::lowered_node::LoweringError;
use crate::schema::implied_type::is_type_implied;
use schema_dialect::{IGNORED_SIBLINGS, Tree, is_annotation};

/// Types of JSON Schema.
const TYPES: [&str; 7] = [
    "string", "integer", "number", "boolean", "object", "array", "null",
];

/// Alternatives of one `anyOf` or `oneOf`.
#[derive(Debug, Clone, Copy)]
pub struct Choices<'s> {
    /// `anyOf` or `oneOf`.
    pub keyword: &'static str,
    /// Value of the keyword, which identifies the choice.
    pub array: &'s Value,
    /// Elements of the array.
    pub of: &'s [Value],
}

impl Choices<'_> {
    /// Returns true if the alternatives describe a value's form, and not only its required members.
    pub fn is_structural(&self) -> bool {
        let says = |keyword: &String| {
            !is_annotation(keyword)
                && !matches!(keyword.as_str(), "required" | "not" | "dependentRequired")
        };
        let looks = |choice: &Value| match choice {
            Value::Object(choice) => choice.keys().any(says),
            other => other == &Value::Bool(false),
        };
        let takes_any = |choice: &Value| {
            choice == &Value::Bool(true)
                || choice
                    .as_object()
                    .is_some_and(|choice| choice.keys().all(|name| is_annotation(name)))
        };
        self.of.iter().any(looks) && !self.of.iter().any(takes_any)
    }
}

/// Schemas that hold for one value, with references and `allOf` resolved.
#[derive(Debug)]
pub struct MergedSchema<'s> {
    /// Merged schemas.
    pub parts: Vec<&'s Map<String, Value>>,
    /// Alternatives that are not chosen yet.
    pub choices: Vec<Choices<'s>>,
    /// Siblings of a `$ref` of draft 7 or older, which a validator ignores. They are a hint and
    /// narrow nothing.
    pub ignored: Vec<&'s Map<String, Value>>,
}

/// Schema that consists of a reference and annotations.
#[derive(Debug)]
pub struct Reference<'s> {
    pub target: &'s Value,
    /// Reference as it is written.
    pub text: &'s str,
    /// Descriptions beside the reference.
    pub notes: Vec<&'s str>,
    /// Siblings that a validator ignores.
    pub ignored: Option<&'s Map<String, Value>>,
}

impl<'s> Reference<'s> {
    /// Recognizes a schema that consists of a reference and annotations.
    pub fn recognize(tree: &'s Tree, schema: &'s Value) -> Option<Self> {
        let object = schema.as_object()?;
        let mut others = object.keys().filter(|name| !is_annotation(name));
        let note = object.get("description").and_then(Value::as_str);
        if let Some(all) = object.get("allOf").and_then(Value::as_array) {
            let only = all
                .first()
                .filter(|_| all.len() == 1 && others.all(|name| name == "allOf"))?;
            let mut inner = Self::recognize(tree, only)?;
            inner.notes.extend(note);
            return Some(inner);
        }
        let target = tree.reference(schema)?;
        others.all(|name| name == "$ref").then(|| Self {
            target,
            text: object
                .get("$ref")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            notes: note.into_iter().collect(),
            ignored: object.get(IGNORED_SIBLINGS).and_then(Value::as_object),
        })
    }

    /// Returns true if the ignored siblings name properties that the target does not name.
    pub fn lacks_properties(&self) -> bool {
        let named = |name: &String| {
            self.target
                .get("properties")
                .is_some_and(|properties| properties.get(name).is_some())
        };
        let beside = self
            .ignored
            .and_then(|beside| beside.get("properties")?.as_object());
        beside.is_some_and(|beside| !beside.keys().all(named))
    }
}

impl<'s> MergedSchema<'s> {
    /// Returns a schema without constraints.
    pub const fn empty() -> Self {
        Self {
            parts: Vec::new(),
            choices: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// Merges the schemas of a conjunction.
    pub fn new(tree: &'s Tree, conjunction: &Conjunction<'s>) -> Result<Self, LoweringError> {
        let mut gathered = Self::empty();
        let (mut todo, mut seen) = (conjunction.all.clone(), HashSet::new());
        todo.reverse();
        while let Some(schema) = todo.pop() {
            if schema == &Value::Bool(false) {
                return Err(LoweringError::Never);
            }
            let Some(object) = schema
                .as_object()
                .filter(|_| seen.insert(std::ptr::from_ref(schema)))
            else {
                continue;
            };
            // The target comes after the reference, so that its description does too.
            todo.extend(tree.reference(schema));
            let ignored = object.get(IGNORED_SIBLINGS).and_then(Value::as_object);
            gathered.ignored.extend(ignored);
            if let Some(all) = object.get("allOf").and_then(Value::as_array) {
                todo.extend(all.iter().rev());
            }
            for keyword in ["anyOf", "oneOf"] {
                if let Some(array) = object.get(keyword)
                    && let Some(of) = array
                        .as_array()
                        .filter(|_| !conjunction.chosen.contains(&std::ptr::from_ref(array)))
                {
                    gathered.choices.push(Choices { keyword, array, of });
                }
            }
            gathered.parts.push(object);
        }
        Ok(gathered)
    }

    /// Returns the schemas that may apply in addition: those under conditions, and alternatives without
    /// a discriminator.
    pub fn conditional(&self) -> Vec<&'s Value> {
        let conditions = self.all("then").chain(self.all("else"));
        let dependent = self.all("dependentSchemas").chain(self.all("dependencies"));
        let dependent = dependent.filter_map(Value::as_object).flat_map(Map::values);
        let choices = self.choices.iter().flat_map(|choices| choices.of);
        conditions
            .chain(dependent)
            .chain(choices)
            .filter(|schema| schema.is_object())
            .collect()
    }

    /// Returns the values of a keyword in all merged schemas.
    pub fn all(&self, keyword: &'s str) -> impl Iterator<Item = &'s Value> + use<'_, 's> {
        self.parts.iter().filter_map(move |part| part.get(keyword))
    }

    /// Returns the title of the first schema.
    pub fn title(&self) -> Option<&'s str> {
        self.parts.first()?.get("title")?.as_str()
    }

    /// Returns the first description.
    pub fn description(&self) -> Option<&'s str> {
        self.all("description").find_map(Value::as_str)
    }

    /// Returns true if the schemas consist of alternatives and annotations.
    pub fn has_only_choices(&self) -> bool {
        let says_nothing = |name: &String| {
            is_annotation(name) || matches!(name.as_str(), "anyOf" | "oneOf" | "allOf" | "$ref")
        };
        self.parts.iter().all(|part| part.keys().all(says_nothing))
    }

    /// Returns the types that all schemas allow. `None`: any type.
    pub fn types(&self) -> Result<Option<Vec<&'static str>>, LoweringError> {
        let said = self.all("type").map(named_types);
        let types = said.reduce(|types, more| {
            types
                .into_iter()
                .filter(|name| more.contains(name))
                .collect()
        });
        if types.as_ref().is_some_and(Vec::is_empty) {
            return Err(LoweringError::Never);
        }
        let types = types.or_else(|| {
            let meant =
                |name: &&str| is_type_implied(name, |keyword| self.all(keyword).next().is_some());
            Some(TYPES.into_iter().filter(meant).collect::<Vec<_>>())
                .filter(|types| !types.is_empty())
        });
        Ok(types.map(|mut types| {
            if types.contains(&"number") {
                types.retain(|name| *name != "integer");
            }
            types
        }))
    }

    /// Returns the values that all schemas allow. `None`: they are not enumerated.
    pub fn values(&self) -> Option<Result<Vec<&'s Value>, LoweringError>> {
        let mut listed = self.parts.iter().flat_map(|part| {
            let values = part
                .get("enum")
                .and_then(Value::as_array)
                .map(|values| values.iter().collect::<Vec<_>>());
            values
                .into_iter()
                .chain(part.get("const").map(|value| vec![value]))
        });
        let first = listed.next()?;
        let rest: Vec<HashSet<String>> = listed
            .map(|list| list.into_iter().map(Value::to_string).collect())
            .collect();
        let types = match self.types() {
            Ok(types) => types.filter(|_| self.all("type").next().is_some()),
            Err(stop) => return Some(Err(stop)),
        };
        let mut values: Vec<&Value> = Vec::new();
        let mut seen = HashSet::new();
        for value in first {
            let is_typed = types.as_ref().is_none_or(|types| {
                types
                    .iter()
                    .any(|kind| crate::types::is_of_type(value, kind))
            });
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

/// Returns the types that the value of `type` allows.
pub fn named_types(said: &Value) -> Vec<&'static str> {
    let names = |name: &str| {
        said == name
            || said
                .as_array()
                .is_some_and(|names| names.iter().any(|said| said == name))
    };
    TYPES
        .into_iter()
        .filter(|name| names(name) || *name == "integer" && names("number"))
        .collect()
}
