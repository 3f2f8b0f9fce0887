//! Index: a text whose words are located once, to search it for values.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::assign::assign;
use crate::examples::Examples;
use crate::find::date::Words;
use crate::find::near::NearWords;
use crate::find::{fuzzy, squash, words};
use crate::fold::{Marks, fold_into};
use crate::leaves::Leaves;
use crate::mention::{Mention, Status, tidy};
use crate::options::{LeafKind, Options};
use crate::positions::{HashedMap, Positions};
use crate::query::{Queries, Query};
use crate::scan::Scan;
use crate::span::{OffsetUnit, Span, convert_all};
use crate::tokens::Tokens;

/// Bytes of the text for each mention that is kept in mind.
const BYTES_PER_MENTION: usize = 6;

/// Mentions that are kept in mind for a short text.
const FEWEST_MENTIONS: usize = 4096;

/// Text with the places of its words.
#[derive(Debug)]
pub struct Index<'t> {
    text: Cow<'t, str>,
    tokens: Cow<'t, Tokens>,
}

/// Place of a leaf of a value in the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafEvidence {
    /// JSON pointer of the leaf.
    pub pointer: String,
    pub status: Status,
    /// Places in the text that say the value, in order: none, one, or a date and its time.
    pub spans: Vec<Span>,
    /// Text of the spans, joined by " … "; empty without a span.
    pub text: String,
    /// True if the value is absent from the text and stands in a few-shot example.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_example: bool,
}

impl<'t> Index<'t> {
    /// Splits a text into words, in one pass.
    #[must_use]
    pub fn new(text: impl Into<Cow<'t, str>>) -> Self {
        let text = text.into();
        Self {
            tokens: Cow::Owned(Tokens::new(&text)),
            text,
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the evidence for each leaf of a value, in document order. Null, `{}` and `[]` claim nothing and have none.
    #[must_use]
    pub fn align(&self, value: &Value, options: &Options) -> Vec<LeafEvidence> {
        let leaves = Leaves::new(value, options);
        if leaves.leaves.is_empty() {
            return Vec::new();
        }
        let (queries, of_leaf) = Queries::new(&leaves.leaves);
        let queries = self.search(queries);
        let chosen = assign(&self.text, &leaves, &queries);
        let mut evidence: Vec<LeafEvidence> = leaves
            .leaves
            .into_iter()
            .zip(&of_leaf)
            .zip(chosen)
            .map(|((leaf, query), mention)| {
                self.evidence(leaf.pointer, queries.get(*query as usize), mention)
            })
            .collect();
        if let Some(examples) = options.examples {
            mark_examples(&mut evidence, &of_leaf, &queries, examples);
        }
        let spans = evidence.iter_mut().flat_map(|leaf| &mut leaf.spans);
        if options.unit != OffsetUnit::Byte {
            convert_all(&self.text, options.unit, spans);
        }
        evidence
    }

    /// Finds the mentions of each distinct value.
    fn search<'v>(&self, queries: Queries<'v>) -> Vec<Query<'v>> {
        let source = Words {
            text: &self.text,
            tokens: &self.tokens,
        };
        let Queries {
            mut list,
            tokens: values,
        } = queries;
        let positions = Positions::new(&self.tokens, values.hashes());
        let budget = FEWEST_MENTIONS.max(self.text.len() / BYTES_PER_MENTION);
        let each = budget / list.len().max(1);
        let mut passed = words::MOST_PASSED;
        for query in list.iter_mut().filter(|query| query.has_words()) {
            let limit = each.max(2 * query.leaves.len() + 8);
            words::find(source, query, &values, &positions, limit, &mut passed);
        }
        let most_leaves = list
            .iter()
            .map(|query| query.leaves.len())
            .max()
            .unwrap_or_default();
        let limit = each.max(2 * most_leaves.min(64) + 8);
        let mut scan = Scan {
            source,
            queries: &mut list,
            limit,
        };
        scan.numbers();
        scan.dates();
        scan.times();
        scan.phones();
        if list
            .iter()
            .any(|query| query.mentions.is_empty() && query.has_words())
        {
            search_again(source, &mut list, &values, &positions);
        }
        for query in &mut list {
            if query.kind == LeafKind::Choice {
                query
                    .mentions
                    .retain(|mention| mention.status < Status::Fuzzy);
            }
            tidy(&mut query.mentions);
        }
        list
    }

    fn evidence(
        &self,
        pointer: String,
        query: Option<&Query>,
        mention: Option<Mention>,
    ) -> LeafEvidence {
        let mut evidence = LeafEvidence {
            pointer,
            status: Status::Absent,
            spans: Vec::new(),
            text: String::new(),
            from_example: false,
        };
        let Some(query) = query else {
            return evidence;
        };
        let Some(mention) = mention else {
            let claims_nothing = query.kind == LeafKind::Choice || query.text.trim().is_empty();
            if claims_nothing {
                evidence.status = Status::Derived;
            }
            return evidence;
        };
        evidence.status = mention.status;
        let byte_span = |mention: Mention| Span {
            start: mention.start as usize,
            end: mention.end as usize,
        };
        evidence.spans.push(byte_span(mention));
        if query.forms.date.is_some()
            && let Some(time) = query.forms.time
            && mention.status != Status::Exact
        {
            let nearest = query
                .times
                .iter()
                .min_by_key(|time| time.start.abs_diff(mention.end));
            match nearest {
                Some(time) => evidence.spans = joined(byte_span(mention), byte_span(*time)),
                None if (time.hour, time.minute) != (0, 0) => evidence.status = Status::Fuzzy,
                None => {}
            }
        }
        for span in &evidence.spans {
            if !evidence.text.is_empty() {
                evidence.text.push_str(" … ");
            }
            evidence
                .text
                .push_str(self.text.get(span.range()).unwrap_or_default());
        }
        evidence
    }
}

/// Marks the absent leaves whose values stand in few-shot examples, exactly or in another form.
fn mark_examples(
    evidence: &mut [LeafEvidence],
    of_leaf: &[u32],
    queries: &[Query],
    examples: &Examples,
) {
    if examples.is_empty() {
        return;
    }
    let absent = evidence.iter_mut().zip(of_leaf);
    let mut absent: Vec<_> = absent
        .filter(|(leaf, _)| leaf.status == Status::Absent)
        .collect();
    if absent.is_empty() {
        return;
    }
    let value = |query: &Query| {
        if query.is_number {
            serde_json::from_str(&query.text).unwrap_or_default()
        } else {
            Value::String(query.text.to_string())
        }
    };
    let values = absent
        .iter()
        .map(|(_, query)| queries.get(**query as usize).map_or(Value::Null, value))
        .collect();
    // A null has no evidence, so the leaves are found by their pointers.
    let index = Index {
        text: Cow::Borrowed(examples.text()),
        tokens: Cow::Borrowed(examples.tokens()),
    };
    let found = index.align(&Value::Array(values), &Options::default());
    for leaf in found {
        let place = leaf.pointer.trim_start_matches('/').parse::<usize>();
        if matches!(leaf.status, Status::Exact | Status::Normalized)
            && let Some((absent, _)) = place.ok().and_then(|place| absent.get_mut(place))
        {
            absent.from_example = true;
        }
    }
}

/// Joins the spans of a date and its time if nothing but a "T" or a space is between them.
fn joined(date: Span, time: Span) -> Vec<Span> {
    let (first, second) = if date.start <= time.start {
        (date, time)
    } else {
        (time, date)
    };
    if second.start <= first.end + 2 {
        vec![Span {
            start: first.start,
            end: first.end.max(second.end),
        }]
    } else {
        vec![first, second]
    }
}

/// Looks for values that were not found, in ways that cost more.
fn search_again(source: Words, queries: &mut [Query], values: &Tokens, positions: &Positions) {
    squash::find(source, queries, values);
    let is_open = |query: &Query| query.mentions.is_empty() && query.may_be_fuzzy();
    let mut wanted: HashedMap<String> = HashedMap::default();
    for query in queries.iter().filter(|query| is_open(query)) {
        for token in query.tokens.clone().take(64) {
            let Some(hash) = values.hash(token) else {
                continue;
            };
            wanted.entry(hash).or_insert_with(|| {
                let mut word = String::new();
                fold_into(values.text(query.searched(), token), Marks::Drop, &mut word);
                word
            });
        }
    }
    let near = NearWords::new(source, &wanted);
    let mut cells = fuzzy::CELLS;
    let mut left = queries.iter().filter(|query| is_open(query)).count();
    for query in queries.iter_mut().filter(|query| is_open(query)) {
        let share = 4 * cells / left.max(1);
        let mut own = share.min(cells);
        cells -= own;
        fuzzy::find(source, query, values, positions, &near, &mut own);
        cells += own;
        left -= 1;
    }
}
