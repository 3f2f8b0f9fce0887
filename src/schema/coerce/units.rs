//! Text after a number: a unit that can be dropped, a word that multiplies, or something that
//! changes the meaning.

use schema_dialect::{Keyword, NodeRef};

use super::text_normalize::words;

/// Factor that a unit multiplies a number by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    None,
    /// Power of ten.
    Power(i32),
}

const CURRENCIES: [&str; 27] = [
    "$", "us$", "a$", "c$", "hk$", "r$", "€", "£", "¥", "₹", "₽", "₩", "₺", "usd", "eur", "gbp",
    "jpy", "cny", "inr", "chf", "cad", "aud", "sek", "nok", "dkk", "pln", "brl",
];

/// Returns true if a text is a currency.
pub fn is_currency(text: &str) -> bool {
    CURRENCIES.contains(&text.to_lowercase().as_str())
}

/// Units of one kind and of different size. A unit may be ignored only if the schema asks for no other of its kind.
const MEASURES: [&[&[&str]]; 5] = [
    &[
        &["ms", "millisecond", "milliseconds", "millis"],
        &["s", "sec", "secs", "second", "seconds"],
        &["min", "mins", "minute", "minutes"],
        &["h", "hr", "hrs", "hour", "hours"],
        &["d", "day", "days"],
        &["week", "weeks", "wk", "wks"],
        &["month", "months", "mo"],
        &["year", "years", "yr", "yrs", "yo", "y"],
    ],
    &[
        &["mm", "millimeter", "millimeters", "millimetres"],
        &["cm", "centimeter", "centimeters", "centimetres"],
        &["m", "meter", "meters", "metre", "metres"],
        &["km", "kilometer", "kilometers", "kilometres", "kms"],
        &["in", "inch", "inches"],
        &["ft", "foot", "feet"],
        &["mi", "mile", "miles"],
        &["yd", "yard", "yards"],
    ],
    &[
        &["mg", "milligram", "milligrams"],
        &["g", "gram", "grams"],
        &["kg", "kilo", "kilos", "kilogram", "kilograms", "kgs"],
        &["t", "ton", "tons", "tonne", "tonnes"],
        &["lb", "lbs", "pound", "pounds"],
        &["oz", "ounce", "ounces"],
    ],
    &[
        &["b", "byte", "bytes"],
        &["kb", "kib"],
        &["mb", "mib"],
        &["gb", "gib"],
        &["tb", "tib"],
    ],
    &[
        &["cents", "cent", "¢", "ct"],
        &["dollar", "dollars", "usd", "$", "euro", "euros", "eur", "€"],
    ],
];

/// Words that change the number, or mark it as inexact.
const CHANGES: [&str; 65] = [
    "hundred",
    "hundreds",
    "dozen",
    "dozens",
    "lakh",
    "lakhs",
    "crore",
    "crores",
    "score",
    "gross",
    "pair",
    "pairs",
    "half",
    "quarter",
    "quarters",
    "third",
    "thirds",
    "or",
    "to",
    "and",
    "of",
    "per",
    "than",
    "less",
    "more",
    "fewer",
    "least",
    "most",
    "at",
    "plus",
    "minus",
    "times",
    "ago",
    "by",
    "up",
    "about",
    "approximately",
    "approx",
    "around",
    "roughly",
    "nearly",
    "almost",
    "over",
    "under",
    "out",
    "x",
    // Credits and debits, whose sign depends on whose account it is.
    "cr",
    "dr",
    "credit",
    "debit",
    "owed",
    "due",
    "overdrawn",
    "loss",
    "deficit",
    "short",
    "negative",
    "below",
    "above",
    "before",
    "after",
    // Years and hours that are counted from another point.
    "bc",
    "bce",
    "am",
    "pm",
];

/// Returns the scale that the text after a number means. `None`: it is ambiguous.
pub fn parse(behind: &str, has_currency: bool, schema: NodeRef<'_>, name: &str) -> Option<Scale> {
    let is_adjacent = !behind.starts_with(char::is_whitespace);
    let behind = behind.trim().trim_end_matches(['.', '!', ',']);
    if behind.is_empty() {
        return Some(Scale::None);
    }
    if behind == "%"
        || matches!(
            behind.to_lowercase().as_str(),
            "percent" | "per cent" | "pct"
        )
    {
        return is_percentage(schema, name).then_some(Scale::None);
    }
    if is_adjacent && matches!(behind, "st" | "nd" | "rd" | "th") {
        return Some(Scale::None);
    }
    if matches!(behind, ".-" | ",-" | "/-") && has_currency {
        return Some(Scale::None);
    }
    let mut parts = behind.split_whitespace();
    let first = parts.next().unwrap_or_default();
    let power = match (first, first.to_lowercase().as_str()) {
        ("k" | "K", _) if is_adjacent => Some(3),
        (_, "thousand") => Some(3),
        ("M", _) | (_, "mn" | "mm") if has_currency => Some(6),
        (_, "million" | "millions" | "mio") => Some(6),
        ("B", _) | (_, "bn") if has_currency => Some(9),
        (_, "billion" | "billions") => Some(9),
        (_, "trillion" | "trillions") => Some(12),
        _ => None,
    };
    if power.is_none()
        && matches!(
            first,
            "M" | "B" | "T" | "G" | "bn" | "mn" | "tn" | "K" | "k"
        )
    {
        return None;
    }
    let rest = if power.is_some() {
        parts.collect::<Vec<_>>().join(" ")
    } else {
        behind.to_owned()
    };
    is_harmless(&rest, schema, name).then_some(power.map_or(Scale::None, Scale::Power))
}

/// Returns true if a text after a number does not change it: at most three words, none of which concerns the number, and no unit
/// other than the requested one.
fn is_harmless(text: &str, schema: NodeRef<'_>, name: &str) -> bool {
    if is_currency(text) || matches!(text, "°" | "°C" | "°F" | "°K" | "") {
        return true;
    }
    let is_word = |c: char| c.is_alphabetic() || matches!(c, ' ' | '²' | '³' | 'µ' | '-');
    let text = text.to_lowercase();
    let mut all = text.split_whitespace();
    let is_short = all.clone().count() <= 3
        && text.starts_with(char::is_alphabetic)
        && text.chars().all(is_word);
    is_short
        && !all.clone().any(|word| CHANGES.contains(&word))
        && all
            .next()
            .is_none_or(|unit| !is_another(unit, schema, name))
}

/// Returns true if the schema or the property's name asks for another unit of the same kind.
fn is_another(unit: &str, schema: NodeRef<'_>, name: &str) -> bool {
    let spelled: String = name
        .chars()
        .flat_map(|c| [c.is_uppercase().then_some(' '), Some(c)])
        .flatten()
        .collect();
    let description = schema.description().unwrap_or_default();
    let asked = format!("{spelled} {description}")
        .replace(['_', '-', '/'], " ")
        .to_lowercase();
    MEASURES.iter().any(|kind| {
        let Some(meant) = kind.iter().find(|names| names.contains(&unit)) else {
            return false;
        };
        let is_named = |names: &&&[&str]| {
            words(&asked).any(|(_, word)| {
                word.len() > 1 && names.contains(&word) || names.first() == Some(&word)
            })
        };
        let is_said = is_named(&meant);
        let has_other = kind
            .iter()
            .filter(|names| names != &meant)
            .any(|names| is_named(&names));
        let is_young = words(&asked).any(|(_, word)| word == "age")
            && !meant.contains(&"year")
            && kind.iter().any(|names| names.contains(&"year"));
        !is_said && (has_other || is_young)
    })
}

/// Returns true if the schema asks for a percentage: 12% is 12 then, and otherwise the fraction 0.12.
fn is_percentage(schema: NodeRef<'_>, name: &str) -> bool {
    const SHARES: [&str; 8] = [
        "ratio",
        "fraction",
        "probability",
        "proportion",
        "confidence",
        "share",
        "factor",
        "likelihood",
    ];
    let description = schema.description().unwrap_or_default();
    let asked = format!("{name} {description}").to_lowercase();
    let is_small = [Keyword::Maximum, Keyword::ExclusiveMaximum]
        .into_iter()
        .filter_map(|keyword| schema.number(keyword)?.as_f64())
        .any(|most| most <= 1.0);
    let is_named = asked.contains("percent") || asked.contains("pct") || asked.contains('%');
    !is_small && (is_named || !SHARES.iter().any(|share| asked.contains(share)))
}
