//! The server's own words of an error message: without what it repeats of the request.
//!
//! A caller chooses most texts of a request, and a server that rejects one repeats it: "Invalid value: 'incorrect api key'". Only what
//! the server says by itself may tell what the error means for others.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error_body::UpstreamErrorBody;
use super::phrase::words;
use crate::types::after_string;

/// Number of words in a row that a message and a text must share for the words to count as a repetition.
const ECHO_WORDS: usize = 3;
/// Minimum length of a text of one word that is looked for, in bytes: shorter ones stand in every message.
const MIN_WORD_BYTES: usize = 3;
/// Names of members whose values are words of the API itself, such as `user` and `text`.
const KIND_FIELDS: [&str; 2] = ["role", "type"];

/// Own words of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnWords {
    /// Message in lower case, with `…` for each word that repeats the request.
    pub text: String,
    /// True if the message repeats something of the request, or the request contains a code that the message quotes.
    pub has_echo: bool,
}

impl OwnWords {
    /// Returns the own words of an error. `look` shows the texts of the request to the search.
    pub fn of(error: &UpstreamErrorBody, look: impl FnOnce(&mut EchoSearch)) -> Self {
        let mut search = EchoSearch::new(error);
        look(&mut search);
        search.finish()
    }
}

/// Search of a message for what it repeats. Its size is that of the message, however long the texts are.
pub struct EchoSearch {
    /// Message in lower case.
    message: String,
    words: Vec<Range<usize>>,
    is_echo: Vec<bool>,
    /// Positions of the message's words and of its words in a row, by their text. Those that were found are removed.
    rows: HashMap<String, Vec<usize>>,
    /// Words of the message, and the codes that it quotes.
    known: HashSet<String>,
    codes: HashSet<String>,
    has_code: bool,
}

/// Part of a text that counts as repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    /// Words in a row, or all of a short text.
    Whole,
    /// Words in a row. Short names, such as those of a schema's properties, stand in messages for other reasons.
    Row,
}

impl EchoSearch {
    fn new(error: &UpstreamErrorBody) -> Self {
        let message = error.message.to_lowercase();
        let found: Vec<_> = words(&message).collect();
        let mut rows: HashMap<String, Vec<usize>> = HashMap::new();
        let texts: Vec<&str> = found.iter().map(|(_, word)| *word).collect();
        for length in 1..=ECHO_WORDS {
            for (start, row) in texts.windows(length).enumerate() {
                rows.entry(row.join(" ")).or_default().push(start);
            }
        }
        let codes: HashSet<_> = error
            .quoted_codes
            .iter()
            .map(|code| code.to_lowercase())
            .collect();
        let known = texts.iter().map(|word| (*word).to_owned());
        let known = known.chain(codes.iter().cloned()).collect();
        let words: Vec<_> = found
            .iter()
            .map(|(start, word)| *start..start + word.len())
            .collect();
        Self {
            is_echo: vec![false; words.len()],
            words,
            rows,
            known,
            codes,
            has_code: false,
            message,
        }
    }

    /// Looks for a text. Three words in a row are a repetition, as is a text of fewer words as a whole.
    pub fn text(&mut self, text: &str) {
        self.look(text, Echo::Whole);
    }

    /// Looks for the strings of a JSON value, and for the names of its members.
    pub fn value(&mut self, value: &Value) {
        // A visitor that takes everything.
        drop(Strings(self, Echo::Whole).deserialize(value));
    }

    /// Looks for the names and the strings of fields.
    pub fn fields(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            let echo = self.name(name);
            drop(Strings(self, echo).deserialize(value));
        }
    }

    /// Looks for the names and the strings of fields that are JSON texts, however deeply they are nested.
    pub fn raw_fields<'f>(&mut self, fields: impl Iterator<Item = (&'f str, &'f RawValue)>) {
        for (name, value) in fields {
            let echo = self.name(name);
            self.json(value.get(), echo);
        }
    }

    /// Looks for the names and the strings of a JSON text; `echo` is what counts of the first one.
    fn json(&mut self, json: &str, mut echo: Echo) {
        let mut rest = json;
        while let Some((_, string)) = rest.split_once('"') {
            let after = after_string(string.as_bytes()).len();
            let (content, after) = string.split_at(string.len() - after);
            rest = after;
            let Ok(text) = serde_json::from_str::<String>(&["\"", content].concat()) else {
                continue;
            };
            if rest.trim_start().starts_with(':') {
                echo = self.name(&text);
            } else {
                self.look(&text, std::mem::replace(&mut echo, Echo::Whole));
            }
        }
    }

    /// Looks for three words in a row of a schema's strings and names.
    pub fn schema(&mut self, schema: &RawValue) {
        let mut text = serde_json::Deserializer::from_str(schema.get());
        drop(Strings(self, Echo::Row).deserialize(&mut text));
    }

    /// Looks for a member's name. Returns what counts of its value.
    fn name(&mut self, name: &str) -> Echo {
        self.look(name, Echo::Row);
        if KIND_FIELDS.contains(&name) {
            Echo::Row
        } else {
            Echo::Whole
        }
    }

    fn look(&mut self, text: &str, echo: Echo) {
        let length = match echo {
            Echo::Whole => words(text).take(ECHO_WORDS).count(),
            Echo::Row => ECHO_WORDS,
        };
        if length == 1 && text.len() < MIN_WORD_BYTES {
            return;
        }
        let mut last: [String; ECHO_WORDS] = Default::default();
        let mut in_a_row = 0;
        let mut row = String::new();
        for (_, word) in words(text) {
            last.rotate_left(1);
            let [.., newest] = &mut last;
            lower(word, newest);
            let [.., newest] = &last;
            if !self.known.contains(newest) {
                in_a_row = 0;
                continue;
            }
            self.has_code |= self.codes.contains(newest);
            in_a_row += 1;
            if in_a_row < length {
                continue;
            }
            row.clear();
            for word in last.iter().skip(ECHO_WORDS - length) {
                if !row.is_empty() {
                    row.push(' ');
                }
                row.push_str(word);
            }
            for start in self.rows.remove(&row).unwrap_or_default() {
                let repeated = self.is_echo.iter_mut().skip(start).take(length);
                repeated.for_each(|echo| *echo = true);
            }
        }
    }

    fn finish(self) -> OwnWords {
        let mut text = String::with_capacity(self.message.len());
        let mut copied = 0;
        let echoes = self.words.iter().zip(&self.is_echo);
        for (word, _) in echoes.filter(|(_, is_echo)| **is_echo) {
            text.push_str(self.message.get(copied..word.start).unwrap_or_default());
            text.push('…');
            copied = word.end;
        }
        text.push_str(self.message.get(copied..).unwrap_or_default());
        OwnWords {
            has_echo: copied > 0 || self.has_code,
            text,
        }
    }
}

/// Writes a word in lower case.
fn lower(word: &str, into: &mut String) {
    into.clear();
    if word.is_ascii() {
        into.push_str(word);
        into.make_ascii_lowercase();
    } else {
        into.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// Reader of JSON that shows every string to the search, and keeps none.
struct Strings<'s>(&'s mut EchoSearch, Echo);

impl<'de> DeserializeSeed<'de> for Strings<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strings<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.look(text, self.1);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items
            .next_element_seed(Strings(&mut *self.0, self.1))?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(echo) = members.next_key_seed(Name(&mut *self.0))? {
            let echo = if self.1 == Echo::Row { Echo::Row } else { echo };
            members.next_value_seed(Strings(&mut *self.0, echo))?;
        }
        Ok(())
    }
}

/// Reader of a member's name.
struct Name<'s>(&'s mut EchoSearch);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Echo;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Echo, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Echo;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Echo, E> {
        Ok(self.0.name(name))
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    fn own(message: &str, look: impl FnOnce(&mut EchoSearch)) -> OwnWords {
        let error = UpstreamErrorBody {
            message: message.to_owned(),
            ..UpstreamErrorBody::default()
        };
        OwnWords::of(&error, look)
    }

    #[test]
    fn repeated_input_is_cut_out() {
        let input = "The guided tour keeps a temperature of 20 degrees.";
        let message =
            "Invalid value: 'The guided tour keeps a temperature of 20 degrees.' is too long";
        let found = own(message, |search| search.text(input));
        assert_eq!(found.text.matches('…').count(), 9, "{}", found.text);
        assert!(
            found.text.starts_with("invalid value: '…") && found.text.ends_with("….' is too long"),
            "{}",
            found.text
        );
        for (message, input, expected) in [
            ("No Tools", "other text of someone", "no tools"),
            ("got 'tools' here", "tools", "got '…' here"),
            ("got a 'value'", "a", "got a 'value'"),
            ("nothing", "", "nothing"),
            ("für Ärger", "ÄRGER", "für …"),
        ] {
            let found = own(message, |search| search.text(input));
            assert_eq!(found.text, expected);
            assert_eq!(found.has_echo, expected.contains('…'));
        }
    }

    #[test]
    fn every_string_of_a_request_is_looked_for() {
        let fields = json!({"effort": "recharge", "list": [{"type": "text", "x y z": "rate limit"}], "role": "user"});
        let message = "'recharge' of x y z: rate limit, effort, text, user";
        let found = own(message, |search| search.fields(fields.as_object().unwrap()));
        assert_eq!(found.text, "'…' of … … …: … …, effort, text, user");
        let json = fields.to_string();
        let raw: IndexMap<&str, &RawValue> = serde_json::from_str(&json).unwrap();
        let raw = || raw.iter().map(|(name, value)| (*name, *value));
        assert_eq!(own(message, |search| search.raw_fields(raw())), found);
        let schema = json!({"title": "your account: a limit", "properties": {"temperature": {"enum": ["seed"]}}});
        let schema = to_raw_value(&schema).unwrap();
        let message = "no temperature, no seed; your account: a limit";
        let found = own(message, |search| search.schema(&schema));
        assert_eq!(found.text, "no temperature, no seed; … …: … …");
    }

    #[test]
    fn strings_beside_what_no_parser_reads_are_looked_for() {
        let (open, close) = ("[".repeat(300), "]".repeat(300));
        let value = format!(r#"[1e400, {open}"incorrect\u0020api key", {{"a\"": "\\"}}{close}]"#);
        let value = RawValue::from_string(value).unwrap();
        let fields = [("x", &*value)];
        let found = own("got: incorrect API key", |search| {
            search.raw_fields(fields.into_iter());
        });
        assert_eq!(found.text, "got: … … …");
    }

    #[test]
    fn a_code_that_the_request_contains_is_an_echo() {
        let error = UpstreamErrorBody {
            message: "wrong".to_owned(),
            quoted_codes: vec!["Arrearage".to_owned()],
            ..UpstreamErrorBody::default()
        };
        let has_echo = |text: &str| OwnWords::of(&error, |search| search.text(text)).has_echo;
        assert!(has_echo("{\"code\":\"arrearage\"}") && !has_echo("{\"code\":\"other\"}"));
    }
}
