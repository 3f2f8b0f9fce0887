//! Lenient reader of providers' JSON: fields are taken one by one, each by an accessor that says what it accepts.
//!
//! No field has a fixed type, because an answer must not be lost for one that is not needed. The reader keeps the JSON text of
//! every value, so numbers keep their digits. Of a field that occurs twice, the last one counts.

use std::borrow::Cow;
use std::fmt;

use llm_json::surrogates::replace_half_surrogates;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json_repair::repaired;

/// JSON text of a response, an event of a stream, or an error body.
#[derive(Debug)]
pub struct JsonText<'a> {
    text: Cow<'a, str>,
    /// Members of the root, from the check of the text: of an object whose text is borrowed.
    members: Option<Members<'a>>,
}

impl<'a> JsonText<'a> {
    /// Checks that a body is one JSON value, after a byte order mark. Invalid UTF-8 and half surrogate pairs become U+FFFD;
    /// `NaN` and `Infinity`, which Python writes, become `null`.
    ///
    /// # Errors
    /// If the body is not JSON.
    pub fn parse(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let text = match replace_half_surrogates(body) {
            // Much faster than the lossy conversion, which goes through the text in pieces.
            Cow::Borrowed(body) => match std::str::from_utf8(body) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(body),
            },
            Cow::Owned(body) => String::from_utf8_lossy(&body).into_owned().into(),
        };
        if let Cow::Borrowed(text) = text
            && let Ok(members) = serde_json::from_str(text)
        {
            return Ok(Self {
                text: text.into(),
                members: Some(members),
            });
        }
        let Err(error) = check(&text) else {
            return Ok(Self {
                text,
                members: None,
            });
        };
        let text = repaired(&text);
        check(&text).map_err(|_| error)?;
        Ok(Self {
            text: text.into(),
            members: None,
        })
    }

    /// Returns the value.
    pub fn root(&self) -> Node<'_> {
        Node(self.text.trim())
    }

    /// Returns the members of the value if it is an object; none for any other value.
    pub fn members(&self) -> Cow<'_, Members<'_>> {
        match &self.members {
            Some(members) => Cow::Borrowed(members),
            None => Cow::Owned(self.root().members()),
        }
    }
}

/// Checks that a text is one JSON value.
fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(|_| ())
}

/// Returns the reason why a body could not be read as `what`, with its beginning.
pub fn not_read(what: &str, reason: impl fmt::Display, body: &[u8]) -> String {
    let start = body.get(..MAX_SHOWN_BYTES).unwrap_or(body);
    let start = String::from_utf8_lossy(start);
    let words: Vec<_> = start.split_whitespace().collect();
    format!(
        "the response is not {what}: {reason}; it starts with `{}`",
        words.join(" ")
    )
}

/// Maximum length of the beginning of a body in a message, in bytes.
const MAX_SHOWN_BYTES: usize = 200;

/// Maximum number of elements of a list, and of members of an object, that are looked at. Providers' lists have tens of parts; a body
/// of nothing but elements would take twenty times its size.
const MAX_PARTS: usize = 4096;

/// Maximum depth of lists and objects of nothing: each level is read, and takes a piece of the stack, which deep nesting would overflow.
const MAX_EMPTY_DEPTH: u8 = 8;

/// One JSON value, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'a>(&'a str);

/// Members of a JSON object: the first [`MAX_PARTS`].
#[derive(Debug, Clone, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Node<'a> {
    const NULL: Self = Self("null");

    fn first_byte(self) -> u8 {
        self.0.bytes().next().unwrap_or_default()
    }

    /// Returns the value's JSON text.
    pub const fn json(self) -> &'a str {
        self.0
    }

    /// Returns true for `null` and for fields that do not exist.
    pub fn is_null(self) -> bool {
        self.first_byte() == b'n'
    }

    pub fn is_object(self) -> bool {
        self.first_byte() == b'{'
    }

    pub fn is_array(self) -> bool {
        self.first_byte() == b'['
    }

    pub fn is_number(self) -> bool {
        matches!(self.first_byte(), b'-' | b'0'..=b'9')
    }

    pub fn is_true(self) -> bool {
        self.first_byte() == b't'
    }

    /// Returns true if the value says something: not `null`, `false`, zero or empty, nor a list or an object of nothing but such
    /// values. Gateways add an empty `error` to good answers.
    pub fn is_meaningful(self) -> bool {
        self.says_something(MAX_EMPTY_DEPTH)
    }

    /// Returns true if the value says something; lists and objects deeper than this count as saying something.
    fn says_something(self, depth: u8) -> bool {
        let within = depth.checked_sub(1);
        match (self.first_byte(), within) {
            (b'"', _) => !self.string().unwrap_or_default().trim().is_empty(),
            (b'{' | b'[', None) | (b't', _) => true,
            (b'{', Some(depth)) => {
                let members = self.members();
                members.0.iter().any(|(_, node)| node.says_something(depth))
            }
            (b'[', Some(depth)) => {
                let mut items = self.items().into_iter();
                items.any(|item| item.says_something(depth))
            }
            _ => self.number().is_some_and(|number| number != 0.0),
        }
    }

    /// Returns the members of an object; none for any other value.
    pub fn members(self) -> Members<'a> {
        if self.is_object() {
            serde_json::from_str(self.0).unwrap_or_default()
        } else {
            Members::default()
        }
    }

    /// Returns a member of an object. Use [`Node::members`] to take several.
    pub fn get(self, name: &str) -> Self {
        self.members().get(name)
    }

    /// Calls a function with the name and the value of each member of an object, in order. Keeps none of them, however many there are.
    pub fn each_member(self, visit: impl FnMut(&str, Self)) {
        if self.is_object() {
            let mut text = serde_json::Deserializer::from_str(self.0);
            // A part of a JSON text is valid.
            drop(text.deserialize_map(EachMember(visit)));
        }
    }

    /// Returns the elements of an array. Another value than `null` counts as an array of itself. An array of more than [`MAX_PARTS`]
    /// elements has none: a part of it must not pass for the whole.
    pub fn items(self) -> Vec<Self> {
        match self.first_byte() {
            b'[' => {
                let items = self.first_items(MAX_PARTS + 1);
                Some(items)
                    .filter(|items| items.len() <= MAX_PARTS)
                    .unwrap_or_default()
            }
            b'n' => Vec::new(),
            _ => vec![self],
        }
    }

    /// Returns the first elements of an array, at most `most`; none for any other value.
    pub fn first_items(self, most: usize) -> Vec<Self> {
        if !self.is_array() {
            return Vec::new();
        }
        let mut items = Vec::new();
        let mut text = serde_json::Deserializer::from_str(self.0);
        // A part of a JSON text is valid.
        drop(text.deserialize_seq(FirstItems(&mut items, most)));
        items
    }

    /// Returns the value at the beginning of a text.
    pub fn beginning(text: &'a str) -> Option<Self> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<&'a RawValue>();
        values.next()?.ok().map(|value| Self(value.get()))
    }

    /// Returns the text of a string.
    pub fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str::<String>(self.0).ok().map(Cow::Owned)
    }

    fn number(self) -> Option<f64> {
        let text = self.string().unwrap_or(Cow::Borrowed(self.0));
        text.trim()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
    }

    /// Returns a count: an integer, the whole part of another number, or either in a string.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and is not negative"
    )]
    pub fn count(self) -> Option<u64> {
        self.0.parse().ok().or_else(|| {
            let number = self.number().filter(|number| *number >= 0.0)?;
            Some(number as u64)
        })
    }
}

impl<'a> Members<'a> {
    /// Returns a member; `null` if it does not exist.
    pub fn get(&self, name: &str) -> Node<'a> {
        self.0
            .iter()
            .rfind(|(key, _)| key == name)
            .map_or(Node::NULL, |(_, node)| *node)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if a member exists, even as `null`.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while members.len() < MAX_PARTS
            && let Some((Key(key), value)) = map.next_entry::<Key<'de>, &RawValue>()?
        {
            members.push((key, Node(value.get())));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Members(members))
    }
}

/// Reader of all members of an object, which calls a function with each.
struct EachMember<F>(F);

impl<'de, F: FnMut(&str, Node<'de>)> Visitor<'de> for EachMember<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((Key(name), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            (self.0)(&name, Node(value.get()));
        }
        Ok(())
    }
}

/// Reader of the first elements of a list, at most as many as the number.
struct FirstItems<'f, 'a>(&'f mut Vec<Node<'a>>, usize);

impl<'de> Visitor<'de> for FirstItems<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while self.0.len() < self.1
            && let Some(item) = list.next_element::<&'de RawValue>()?
        {
            self.0.push(Node(item.get()));
        }
        Ok(())
    }
}

/// Name of a member, borrowed if it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Key(Cow::Owned(name.to_owned())))
    }
}

#[cfg(test)]
mod tests;
