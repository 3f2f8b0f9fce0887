//! Queries: the distinct values that are searched for, each with the forms that it may have in a text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;

use crate::decimal::Decimal;
use crate::find::contact::{Phone, bare_url, is_email};
use crate::find::date::{self, Date};
use crate::find::number;
use crate::find::time::{self, Time};
use crate::leaves::Leaf;
use crate::mention::Mention;
use crate::options::LeafKind;
use crate::tokens::Tokens;

/// Value that one or more leaves have.
#[derive(Debug)]
pub struct Query<'v> {
    pub text: Cow<'v, str>,
    pub kind: LeafKind,
    pub is_number: bool,
    /// Its words, in the tokens of all queries.
    pub tokens: Range<usize>,
    pub leaves: Vec<u32>,
    pub forms: Forms,
    pub mentions: Vec<Mention>,
    /// Places that say the time of a date with a time.
    pub times: Vec<Mention>,
}

/// Meanings of a value beyond its words.
#[derive(Debug, Default)]
pub struct Forms {
    pub number: Option<Decimal>,
    pub date: Option<Date>,
    pub time: Option<Time>,
    pub phone: Option<Phone>,
    pub is_email: bool,
    pub is_url: bool,
}

/// All distinct values, with the words of them all.
#[derive(Debug, Default)]
pub struct Queries<'v> {
    pub list: Vec<Query<'v>>,
    pub tokens: Tokens,
}

impl<'v> Queries<'v> {
    /// Collects the distinct values of leaves. The second result has the number of the query of each leaf.
    pub fn new(leaves: &[Leaf<'v>]) -> (Self, Vec<u32>) {
        let mut queries = Self::default();
        let mut of_leaf = Vec::with_capacity(leaves.len());
        let mut known: HashMap<(Cow<'v, str>, bool, LeafKind), u32> = HashMap::new();
        for (number, leaf) in (0_u32..).zip(leaves) {
            let (text, kind) = match leaf.value {
                Value::String(text) => (Cow::Borrowed(text.as_str()), leaf.kind),
                Value::Bool(_) => (Cow::Owned(leaf.value.to_string()), LeafKind::Choice),
                other => (Cow::Owned(other.to_string()), leaf.kind),
            };
            let is_number = leaf.value.is_number();
            let next = u32::try_from(queries.list.len()).unwrap_or_default();
            let query = *known.entry((text.clone(), is_number, kind)).or_insert(next);
            if query == next {
                queries.add(text, is_number, kind);
            }
            if let Some(query) = queries.list.get_mut(query as usize) {
                query.leaves.push(number);
            }
            of_leaf.push(query);
        }
        (queries, of_leaf)
    }

    fn add(&mut self, text: Cow<'v, str>, is_number: bool, kind: LeafKind) {
        let first = self.tokens.len();
        let forms = Forms::new(&text, is_number, kind);
        let searched = if forms.is_url {
            bare_url(&text).0
        } else {
            &text
        };
        self.tokens.append(searched);
        let tokens = first..self.tokens.len();
        self.list.push(Query {
            text,
            kind,
            is_number,
            tokens,
            leaves: Vec::new(),
            forms,
            mentions: Vec::new(),
            times: Vec::new(),
        });
    }
}

impl Query<'_> {
    /// Returns the text whose words are searched for: of a URL the part without scheme and "www.".
    pub fn searched(&self) -> &str {
        if self.forms.is_url {
            bare_url(&self.text).0
        } else {
            &self.text
        }
    }

    /// Returns true if the words of the value count, and not only its meaning as a number or date.
    pub fn has_words(&self) -> bool {
        !self.is_number && !matches!(self.kind, LeafKind::Date | LeafKind::Number)
    }

    /// Returns true if similar words count as well.
    pub fn may_be_fuzzy(&self) -> bool {
        self.has_words() && self.forms.is_plain() && self.kind != LeafKind::Choice
    }
}

/// Longest text that is read as a number, a date, a time, a URL or a phone number.
const LONGEST_FORM_BYTES: usize = 256;

impl Forms {
    fn new(text: &str, is_number: bool, kind: LeafKind) -> Self {
        let mut forms = Self::default();
        if is_number {
            forms.number = Decimal::from_json(text);
            forms.phone = forms.number.as_ref().and_then(Phone::from_number);
            return forms;
        }
        let text = text.trim();
        if text.len() > LONGEST_FORM_BYTES || kind == LeafKind::Choice {
            return forms;
        }
        forms.is_email = is_email(text);
        forms.is_url = !forms.is_email && bare_url(text).1;
        let has_digit = text
            .chars()
            .any(|c| crate::fold::decimal_digit(c).is_some());
        if !has_digit || forms.is_email || forms.is_url {
            return forms;
        }
        forms.number = number::read_whole(text);
        (forms.date, forms.time) = read_moment(text);
        if forms.date.is_none() && forms.time.is_none() {
            forms.phone = Phone::from_text(text);
        }
        forms
    }

    /// Returns true if the value is nothing but words.
    fn is_plain(&self) -> bool {
        self.number.is_none()
            && self.date.is_none()
            && self.time.is_none()
            && self.phone.is_none()
            && !self.is_email
            && !self.is_url
    }
}

/// Reads a whole text as a date, a time, or a date with a time.
fn read_moment(text: &str) -> (Option<Date>, Option<Time>) {
    let tokens = Tokens::new(text);
    if tokens.len() > 16 {
        return (None, None);
    }
    let mut readings = Vec::new();
    date::Words {
        text,
        tokens: &tokens,
    }
    .dates(0, &mut readings);
    readings.sort_by_key(|reading| (usize::MAX - reading.end, reading.penalty));
    let Some(reading) = readings.first() else {
        return (None, read_time(text));
    };
    let rest = text.get(reading.end..).unwrap_or_default();
    if rest.trim_matches(['.', ' ', ',', 'г']).is_empty() {
        return (Some(reading.date), None);
    }
    let rest = rest.trim_start_matches(['T', 't', ' ', ',']);
    match read_time(rest) {
        Some(time) => (Some(reading.date), Some(time)),
        None => (None, None),
    }
}

fn read_time(text: &str) -> Option<Time> {
    time::read_iso(text).or_else(|| {
        let digit = text.find(|c| crate::fold::decimal_digit(c).is_some())?;
        let reading = time::time_at(text, digit)?;
        (reading.start == 0 && reading.end == text.trim_end().len()).then_some(reading.time)
    })
}
