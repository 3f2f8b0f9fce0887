//! A walk through all parts of a lowered schema, which counts what there are limits for.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// State of a walk over all subschemas.
pub struct Walk<'s> {
    root: &'s Value,
    keywords: &'static [&'static str],
    pub broken: Vec<String>,
    pub properties: usize,
    pub enum_values: usize,
    pub characters: usize,
    pub optional: usize,
    pub unions: usize,
    pub levels: usize,
}

/// Function that checks one subschema.
pub type Each<'s> = fn(&mut Walk<'s>, &'s Map<String, Value>, &str);

impl<'s> Walk<'s> {
    fn new(root: &'s Value, keywords: &'static [&'static str]) -> Self {
        Self {
            root,
            keywords,
            broken: Vec::new(),
            properties: 0,
            enum_values: 0,
            characters: 0,
            optional: 0,
            unions: 0,
            levels: 0,
        }
    }

    pub fn over(root: &'s Value, keywords: &'static [&'static str], each: Each<'s>) -> Self {
        let mut walk = Self::new(root, keywords);
        walk.schema(root, "#", 0, each);
        walk
    }

    pub fn fail(&mut self, at: &str, what: &str) {
        self.broken.push(format!("{at}: {what}"));
    }

    fn schema(&mut self, schema: &'s Value, at: &str, level: usize, each: Each<'s>) {
        let Some(object) = schema.as_object() else {
            return self.fail(at, "is no object");
        };
        for keyword in object.keys() {
            if !self.keywords.contains(&keyword.as_str()) {
                self.fail(at, &format!("has `{keyword}`"));
            }
        }
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            if object
                .keys()
                .any(|keyword| keyword != "$ref" && keyword != "$defs")
            {
                self.fail(at, "has something beside `$ref`");
            }
            if self
                .root
                .pointer(reference.trim_start_matches('#'))
                .is_none()
            {
                self.fail(at, "leads nowhere");
            }
        }
        each(self, object, at);
        let is_object = has_type(object, "object");
        let level = level + usize::from(is_object);
        self.levels = self.levels.max(level);
        if object.contains_key("anyOf") || object.get("type").is_some_and(Value::is_array) {
            self.unions += 1;
        }
        if let Some(values) = object.get("enum").and_then(Value::as_array) {
            self.enum_values += values.len();
            let strings: usize = values
                .iter()
                .filter_map(Value::as_str)
                .map(|text| text.chars().count())
                .sum();
            self.characters += strings;
            if values.is_empty() {
                self.fail(at, "has an empty `enum`");
            }
        }
        let required: HashSet<&str> = object
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, part) in object
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            self.properties += 1;
            self.characters += name.chars().count();
            self.optional += usize::from(!required.contains(name.as_str()));
            self.schema(part, &format!("{at}/properties/{name}"), level, each);
        }
        for name in required {
            if object
                .get("properties")
                .and_then(|properties| properties.get(name))
                .is_none()
            {
                self.fail(at, &format!("requires `{name}`, which is no property"));
            }
        }
        for (name, part) in object
            .get("$defs")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            self.characters += name.chars().count();
            self.schema(part, &format!("{at}/$defs/{name}"), 0, each);
        }
        for keyword in ["items", "additionalProperties"] {
            if let Some(part) = object.get(keyword).filter(|part| !part.is_boolean()) {
                self.schema(part, &format!("{at}/{keyword}"), level, each);
            }
        }
        for keyword in ["anyOf", "prefixItems"] {
            for (index, part) in object
                .get(keyword)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .enumerate()
            {
                self.schema(part, &format!("{at}/{keyword}/{index}"), level, each);
            }
        }
    }

    pub fn most(&mut self, what: &str, number: usize, most: usize) {
        if number > most {
            self.fail("#", &format!("has {number} {what}"));
        }
    }
}

/// Returns true if values of this type are accepted.
pub fn has_type(object: &Map<String, Value>, name: &str) -> bool {
    object.get("type").is_some_and(|kind| {
        kind == name
            || kind
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
    })
}

/// Returns the name of a definition that leads to itself.
pub fn is_recursive(schema: &Value) -> Option<String> {
    fn references<'s>(value: &'s Value, found: &mut Vec<&'s str>) {
        match value {
            Value::Object(members) => {
                members
                    .iter()
                    .for_each(|(name, member)| match member.as_str() {
                        Some(text) if name == "$ref" => found.push(text),
                        _ => references(member, found),
                    })
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let definitions = schema.get("$defs")?.as_object()?;
    for name in definitions.keys() {
        let (mut todo, mut seen) = (vec![name.as_str()], HashSet::new());
        while let Some(next) = todo.pop() {
            let mut found = Vec::new();
            references(definitions.get(next)?, &mut found);
            for reference in found
                .iter()
                .filter_map(|text| text.strip_prefix("#/$defs/"))
            {
                if reference == name {
                    return Some(format!("{name} leads to itself"));
                }
                if seen.insert(reference) {
                    todo.push(reference);
                }
            }
        }
    }
    None
}
