//! Names of a fixed set, whose error lists them whatever was found.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};

use super::json_error::{plain_words, quoted_names};

/// Value that is one of a set of names in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Name(PhantomData)).map(Self)
    }
}

struct Name<T>(PhantomData<T>);

/// Deserializes a name.
fn value_of<'de, T: Deserialize<'de>>(name: &str) -> Result<T, ValueError> {
    let deserializer: StrDeserializer<'_, ValueError> = name.into_deserializer();
    T::deserialize(deserializer)
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Name<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The error about a name that does not exist lists those that do.
        match value_of::<T>("\0") {
            Err(error) => f.write_str(&quoted_names(&error.to_string(), 1)),
            Ok(_) => f.write_str("a string"),
        }
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<T, E> {
        value_of(name).map_err(|error: ValueError| E::custom(plain_words(&error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::Mode;
    use super::*;

    #[test]
    fn each_error_lists_the_names() {
        let parse = |json| serde_json::from_str::<Choice<Mode>>(json);
        assert_eq!(parse("\"tools\"").unwrap().0, Mode::Tools);
        for json in [
            "\"tool\"",
            "3",
            "[]",
            "{}",
            "true",
            "0.5",
            "{\"tools\": null}",
        ] {
            let error = parse(json).unwrap_err().to_string();
            for name in [
                "`auto`",
                "`json_schema`",
                "`tools`",
                "`json_object`",
                "`text`",
            ] {
                assert!(error.contains(name), "{json}: {error}");
            }
            assert!(!error.contains("variant"), "{error}");
        }
    }
}
