//! JSON input: an array of inputs, or an object with `inputs`, parsed as a stream.

use std::fmt;
use std::io::Read;

use anyhow::anyhow;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::input::OnInput;
use crate::cli::compact_json::compact;
use crate::cli::utf8::read_error;
use crate::types::{Item, plain_message};

/// Passes each input to `on_input`, and returns the fields beside `inputs`.
pub fn read_json(
    reader: impl Read,
    name: &str,
    on_input: &mut OnInput,
) -> anyhow::Result<Map<String, Value>> {
    let mut inputs = Inputs {
        name,
        on_input,
        count: 0,
        error: None,
        spec_fields: Map::new(),
        found: false,
    };
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let parsed = (&mut inputs)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    let Inputs {
        error,
        spec_fields,
        found,
        ..
    } = inputs;
    match (parsed, error) {
        (_, Some(error)) => Err(error),
        (Err(error), None) if error.is_io() => Err(read_error(name, error.into())),
        (Err(error), None) => Err(anyhow!(
            "{name}, line {}, column {}: {}",
            error.line(),
            error.column(),
            plain_message(&error)
        )),
        (Ok(()), None) if !found => Err(anyhow!(
            "{name}: it has no `inputs`; it must be an array of inputs, or an object with an array `inputs`"
        )),
        (Ok(()), None) => Ok(spec_fields),
    }
}

/// Visitor that passes each input on as it is parsed.
struct Inputs<'a, 'b> {
    name: &'a str,
    on_input: &'a mut OnInput<'b>,
    /// Number of inputs so far.
    count: u64,
    /// Error that stopped the parsing and is not an error of the JSON.
    error: Option<anyhow::Error>,
    spec_fields: Map<String, Value>,
    found: bool,
}

impl Inputs<'_, '_> {
    /// Validates an input and passes it on.
    fn push(&mut self, json: &str) -> anyhow::Result<()> {
        self.count += 1;
        if let Err(error) = serde_json::from_str::<Item>(json) {
            return Err(anyhow!(
                "{}, input {} (the first is 1): {}",
                self.name,
                self.count,
                plain_message(&error)
            ));
        }
        if json.contains(['\n', '\r']) {
            (self.on_input)(&compact(json)?)
        } else {
            (self.on_input)(json)
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Inputs<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Inputs<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of inputs, or an object with `inputs`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.found = true;
        while let Some(json) = list.next_element::<Box<RawValue>>()? {
            if let Err(error) = self.push(json.get()) {
                self.error = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "inputs" {
                if self.found {
                    return Err(A::Error::custom("`inputs` is given twice"));
                }
                map.next_value_seed(List(&mut *self))?;
            } else {
                self.spec_fields.insert(name, map.next_value()?);
            }
        }
        Ok(())
    }
}

/// Value of `inputs`, which must be an array.
struct List<'a, 'b, 'c>(&'a mut Inputs<'b, 'c>);

impl<'de> DeserializeSeed<'de> for List<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::input::collect;
    use crate::cli::utf8::Utf8Reader;

    fn read(text: &str) -> Result<Vec<String>, String> {
        collect(|on_input| {
            super::read_json(Utf8Reader::new(text.as_bytes()), "a.json", on_input).map(drop)
        })
    }

    #[test]
    fn an_array_or_an_object_with_inputs_is_read() {
        let inputs = "[\"a\", {\n  \"id\": \"x y\",\n  \"input\": \"b\\n\"\n}]";
        let expected = ["\"a\"", r#"{"id":"x y","input":"b\n"}"#];
        assert_eq!(read(&format!("\u{feff}{inputs}")).unwrap(), expected);
        let mut seen = Vec::new();
        let mut on_input = |line: &str| {
            seen.push(line.to_owned());
            Ok(())
        };
        let text = format!("{{\"seed\": 1, \"inputs\": {inputs}, \"schema\": {{}}}}");
        let spec_fields = super::read_json(text.as_bytes(), "a.json", &mut on_input).unwrap();
        assert_eq!(
            serde_json::to_string(&spec_fields).unwrap(),
            r#"{"seed":1,"schema":{}}"#
        );
        assert_eq!(seen, expected);
    }

    #[test]
    fn errors_name_their_position() {
        for (text, place, message) in [
            (
                "[\"a\",\n oops]",
                "a.json, line 2, column ",
                "a value is expected here",
            ),
            (
                "[\"a\", {\"inptu\": \"b\"}]",
                "a.json, input 2 (the first is 1): ",
                "unknown field `inptu`",
            ),
            ("{\"items\": []}", "a.json: ", "it has no `inputs`"),
            (
                "{\"inputs\": {\"inputs\": []}}",
                "a.json, line 1, column ",
                "expected an array",
            ),
            (
                "{\"inputs\": [], \"inputs\": []}",
                "a.json, line 1, column ",
                "given twice",
            ),
            (
                "[] []",
                "a.json, line 1, column ",
                "there is more text after the JSON value",
            ),
            (
                "3",
                "a.json, line 1, column ",
                "expected an array of inputs, or an object with `inputs`, found",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with(place) && error.contains(message) && !error.contains(" at line "),
                "{text}: {error}"
            );
        }
    }
}
