//! Values made up for a schema by chance, of which those are kept that are valid.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use extractd::schema::Schema;

/// Generates up to `most` valid values.
pub fn some(schema: &Schema, most: usize) -> Vec<Value> {
    let mut maker = Maker {
        root: schema.tree().json(),
        random: Rng::with_seed(7),
        left: 0,
        most_optional: 0.5,
    };
    let mut found = Vec::new();
    for attempt in 0..most * 3 {
        maker.left = 400;
        maker.most_optional = [0.0, 0.2, 0.5, 1.0][attempt % 4];
        let value = maker.value(schema.tree().json(), 0);
        if schema.is_valid(&value) && !found.contains(&value) {
            found.push(value);
        }
        if found.len() == most {
            break;
        }
    }
    found
}

/// Types that keywords imply if the schema names none: other values are valid, but not intended.
const MEANT: [(&str, &str); 16] = [
    ("properties", "object"),
    ("required", "object"),
    ("additionalProperties", "object"),
    ("patternProperties", "object"),
    ("propertyNames", "object"),
    ("minProperties", "object"),
    ("items", "array"),
    ("prefixItems", "array"),
    ("minItems", "array"),
    ("contains", "array"),
    ("uniqueItems", "array"),
    ("minLength", "string"),
    ("pattern", "string"),
    ("format", "string"),
    ("minimum", "number"),
    ("maximum", "number"),
];

struct Maker<'s> {
    root: &'s Value,
    random: Rng,
    left: usize,
    most_optional: f64,
}

impl<'s> Maker<'s> {
    fn value(&mut self, schema: &'s Value, depth: usize) -> Value {
        self.left = self.left.saturating_sub(1);
        let flat = self.flat(schema, 0);
        let get = |keyword: &str| flat.iter().find_map(|part| part.get(keyword));
        if let Some(value) = get("const") {
            return value.clone();
        }
        if let Some(values) = get("enum")
            .and_then(Value::as_array)
            .filter(|values| !values.is_empty())
        {
            return values[self.random.usize(..values.len())].clone();
        }
        let kinds: Vec<&str> = match get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ if MEANT.iter().any(|(keyword, _)| get(keyword).is_some()) => MEANT
                .iter()
                .filter(|(keyword, _)| get(keyword).is_some())
                .map(|(_, kind)| *kind)
                .collect(),
            _ => vec![
                "string", "integer", "boolean", "null", "object", "array", "number",
            ],
        };
        match kinds[self.random.usize(..kinds.len().max(1)) % kinds.len().max(1)] {
            "object" => self.object(&flat, depth),
            "array" => self.array(&flat, depth),
            "integer" => self.number(&flat, true),
            "number" => self.number(&flat, false),
            "boolean" => self.random.bool().into(),
            "null" => Value::Null,
            _ => self.string(&flat),
        }
    }

    /// Returns the schema with the targets of its references, its `allOf`, and one of its alternatives each.
    fn flat(&mut self, schema: &'s Value, depth: usize) -> Vec<&'s Map<String, Value>> {
        let Some(object) = schema.as_object().filter(|_| depth < 12) else {
            return Vec::new();
        };
        let mut flat = vec![object];
        if let Some(reference) = object
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|text| text.strip_prefix('#'))
        {
            flat.extend(
                self.root
                    .pointer(reference)
                    .map(|target| self.flat(target, depth + 1))
                    .unwrap_or_default(),
            );
        }
        for part in object
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            flat.extend(self.flat(part, depth + 1));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(choices) = object
                .get(keyword)
                .and_then(Value::as_array)
                .filter(|choices| !choices.is_empty())
            {
                let choice = &choices[self.random.usize(..choices.len())];
                flat.extend(self.flat(choice, depth + 1));
            }
        }
        if let Some(then) = object.get("then").filter(|_| self.random.bool()) {
            flat.extend(self.flat(then, depth + 1));
        }
        flat
    }

    fn object(&mut self, flat: &[&'s Map<String, Value>], depth: usize) -> Value {
        let mut made = Map::new();
        let lists = flat
            .iter()
            .filter_map(|part| part.get("required")?.as_array());
        let required: Vec<&str> = lists.flatten().filter_map(Value::as_str).collect();
        let named = flat
            .iter()
            .filter_map(|part| part.get("properties")?.as_object());
        let named: Vec<(&String, &'s Value)> = named.flatten().collect();
        for (name, schema) in &named {
            let is_wanted = self.left > 0 && depth < 6 && self.random.f64() < self.most_optional;
            if required.contains(&name.as_str()) || is_wanted {
                let value = self.value(schema, depth + 1);
                made.entry((*name).clone()).or_insert(value);
            }
        }
        let extra = flat
            .iter()
            .find_map(|part| part.get("additionalProperties"))
            .filter(|extra| **extra != false);
        let patterns = flat
            .iter()
            .filter_map(|part| part.get("patternProperties")?.as_object())
            .flatten();
        let patterns: Vec<&'s Value> = patterns.map(|(_, schema)| schema).collect();
        for name in required {
            if !made.contains_key(name) {
                let value = self.value_or_word(extra, depth + 1);
                made.insert(name.to_owned(), value);
            }
        }
        let least = flat
            .iter()
            .find_map(|part| part.get("minProperties")?.as_u64())
            .unwrap_or(0);
        for number in 0..self.random.u64(0..3).max(least.min(5)) {
            let schema = extra
                .filter(|_| depth < 6)
                .or_else(|| patterns.first().copied());
            if let Some(schema) = schema {
                let value = self.value(schema, depth + 1);
                let name =
                    ["x-a", "_b", "com.example", "0"][usize::try_from(number).unwrap_or(0) % 4];
                made.entry(name.to_owned()).or_insert(value);
            }
        }
        made.into()
    }

    fn array(&mut self, flat: &[&'s Map<String, Value>], depth: usize) -> Value {
        let number = |keyword: &str| flat.iter().find_map(|part| part.get(keyword)?.as_u64());
        let least = usize::try_from(number("minItems").unwrap_or(0))
            .unwrap_or(0)
            .min(20);
        let most = usize::try_from(number("maxItems").unwrap_or(3))
            .unwrap_or(3)
            .min(20)
            .max(least);
        let length = if depth > 6 || self.left == 0 {
            least
        } else {
            self.random.usize(least..=most.min(least + 3))
        };
        let get = |keyword: &str| flat.iter().find_map(|part| part.get(keyword));
        let first = get("prefixItems")
            .or_else(|| get("items"))
            .and_then(Value::as_array);
        let items = get("items")
            .filter(|items| items.is_object())
            .or_else(|| get("additionalItems"))
            .or_else(|| get("contains"));
        let length = if items == Some(&Value::Bool(false)) || items.is_none() && first.is_some() {
            length.min(first.map_or(0, Vec::len))
        } else {
            length
        };
        let mut made = Vec::new();
        for at in 0..length.max(first.map_or(0, Vec::len)) {
            let schema = first.and_then(|first| first.get(at)).or(items);
            made.push(self.value_or_word(schema, depth + 1));
        }
        made.into()
    }

    fn number(&mut self, flat: &[&'s Map<String, Value>], whole: bool) -> Value {
        let number = |keyword: &str| flat.iter().find_map(|part| part.get(keyword)?.as_f64());
        let step = number("multipleOf").unwrap_or(1.0);
        let least = number("minimum").or(number("exclusiveMinimum").map(|least| least + step));
        let most = number("maximum").or(number("exclusiveMaximum").map(|most| most - step));
        let base = least.or(most).unwrap_or(0.0);
        let made = (base / step).ceil() * step
            + if most.is_none() {
                step * f64::from(self.random.u8(0..5))
            } else {
                0.0
            };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "as good a number as another"
        )]
        let rounded = made as i64;
        if made.fract() == 0.0 && (whole || self.random.bool()) {
            json!(rounded)
        } else {
            json!(made)
        }
    }

    fn string(&mut self, flat: &[&'s Map<String, Value>]) -> Value {
        let get = |keyword: &str| flat.iter().find_map(|part| part.get(keyword));
        match get("format").and_then(Value::as_str) {
            Some("date") => return json!("2024-02-29"),
            Some("date-time") => return json!("2024-02-29T12:00:00Z"),
            Some("time") => return json!("12:00:00Z"),
            Some("duration") => return json!("P1D"),
            Some("email") => return json!("a@example.com"),
            Some("uri" | "iri" | "uri-reference") => return json!("https://example.com/a"),
            Some("hostname") => return json!("example.com"),
            Some("ipv4") => return json!("192.0.2.1"),
            Some("ipv6") => return json!("::1"),
            Some("uuid") => return json!("00000000-0000-4000-8000-000000000000"),
            _ => {}
        }
        let length = get("minLength").and_then(Value::as_u64).unwrap_or(0);
        if let Some(pattern) = get("pattern").and_then(Value::as_str) {
            let literal: String = pattern
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '/' | '_'))
                .collect();
            let guesses = [
                "a",
                "A",
                "abc",
                "0",
                "1.0.0",
                "a-b",
                "arn:aws:iam::123456789012:role/a",
                "123456789012",
                "/a",
                "#abcdef",
                &literal,
            ];
            return json!(guesses[self.random.usize(..guesses.len())]);
        }
        let mut word =
            ["", "a", "null", "5", "true", "{}", "x y"][self.random.usize(..7)].to_owned();
        while (word.chars().count() as u64) < length.min(5000) {
            word.push('w');
        }
        word.into()
    }

    fn value_or_word(&mut self, schema: Option<&'s Value>, depth: usize) -> Value {
        match schema {
            Some(schema) => self.value(schema, depth),
            None => self.word(),
        }
    }

    fn word(&mut self) -> Value {
        [
            json!("a"),
            json!(5),
            json!(null),
            json!({"b": [1, {}]}),
            json!([]),
            json!(true),
            json!(1.5),
            json!("{\"a\": 1}"),
        ][self.random.usize(..8)]
        .clone()
    }
}
