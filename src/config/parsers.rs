//! Parsers of settings: each returns the value and its printed form, or a message that says what is
//! allowed.

use std::{num::NonZeroU32, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::setting::Setting;

/// Value and the TOML to print for it, or the end of the sentence "`key` …".
pub(super) type Parsed<T> = Result<(T, toml::Value), String>;

/// Parses a whole number in `range`.
pub(super) fn integer<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl FnOnce(&Setting) -> Parsed<T> {
    move |setting| {
        let number = setting.integer().filter(|number| range.contains(number));
        number
            .and_then(|number| {
                Some((
                    T::try_from(number).ok()?,
                    i64::try_from(number).ok()?.into(),
                ))
            })
            .ok_or_else(|| {
                let (low, high) = (range.start(), range.end());
                format!(
                    "must be a whole number from {low} to {high}, not {}",
                    setting.shown()
                )
            })
    }
}

/// Parses a whole number from 1 to `max`.
pub(super) fn count(max: u32) -> impl FnOnce(&Setting) -> Parsed<NonZeroU32> {
    move |setting| {
        let (number, shown) = integer(1..=max.into())(setting)?;
        let number: u32 = number;
        Ok((NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN), shown))
    }
}

/// Parses a maximum number of calls in flight, 1 to 100,000.
pub(super) fn concurrency(setting: &Setting) -> Parsed<NonZeroU32> {
    count(100_000)(setting)
}

/// Parses a maximum number of waiting items, 1 to 10,000,000.
pub(super) fn queue(setting: &Setting) -> Parsed<NonZeroU32> {
    count(10_000_000)(setting)
}

/// Parses a rate in calls per minute, 1 to 100,000,000.
pub(super) fn requests_per_minute(setting: &Setting) -> Parsed<NonZeroU32> {
    count(100_000_000)(setting)
}

/// Parses a rate in tokens per minute, 1 to 1,000,000,000.
pub(super) fn tokens_per_minute(setting: &Setting) -> Parsed<NonZeroU32> {
    count(1_000_000_000)(setting)
}

/// Returns the allowed range of memory limits in bytes: 1 KiB to 1 TiB.
pub(super) const fn memory_range() -> RangeInclusive<u64> {
    1 << 10..=1 << 40
}

/// Parses a number with `parse`; `allowed` completes the message "must be …".
pub(super) fn number<T>(
    allowed: &str,
    parse: impl FnOnce(f64) -> Option<T>,
) -> impl FnOnce(&Setting) -> Parsed<T> {
    move |setting| {
        let parsed = setting
            .number()
            .and_then(|number| Some((parse(number)?, number.into())));
        parsed.ok_or_else(|| format!("must be {allowed}, not {}", setting.shown()))
    }
}

/// Parses a duration in whole milliseconds.
pub(super) fn millis(range: RangeInclusive<u64>) -> impl FnOnce(&Setting) -> Parsed<Duration> {
    |setting| integer(range)(setting).map(|(number, shown)| (Duration::from_millis(number), shown))
}

/// Parses `true` or `false`.
pub(super) fn boolean(setting: &Setting) -> Parsed<bool> {
    let value = setting
        .boolean()
        .ok_or_else(|| format!("must be true or false, not {}", setting.shown()))?;
    Ok((value, value.into()))
}

/// Parses a string with `parse`; `allowed` completes the message "must be …".
pub(super) fn text<T>(
    allowed: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> impl FnOnce(&Setting) -> Parsed<T> {
    move |setting| {
        let parsed = setting
            .text()
            .and_then(|text| Some((parse(text)?, text.into())));
        parsed.ok_or_else(|| format!("must be {allowed}, not {}", setting.shown()))
    }
}

/// Parses one of several names.
pub(super) fn choice<T: Copy>(choices: &[(&str, T)]) -> impl FnOnce(&Setting) -> Parsed<T> {
    move |setting| {
        let chosen = choices
            .iter()
            .find(|(name, _)| setting.text() == Some(*name));
        chosen
            .map(|(name, value)| (*value, (*name).into()))
            .ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                format!(
                    "must be one of: {}; not {}",
                    names.join(", "),
                    setting.shown()
                )
            })
    }
}

/// Parses an array of strings, each with `parse`.
pub(super) fn list<T>(
    allowed: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> impl FnOnce(&Setting) -> Parsed<Vec<T>> {
    move |setting| {
        let items = setting
            .list()
            .ok_or_else(|| format!("must be an array of strings, not {}", setting.shown()))?;
        let parsed: Result<_, _> = items.iter().map(|item| parse(item).ok_or(item)).collect();
        match parsed {
            Ok(values) => Ok((values, items.into())),
            Err(item) => Err(format!("must be {allowed}, not `{item}`")),
        }
    }
}

/// Parses a path. A relative path is relative to the working directory of the process.
pub(super) fn path(setting: &Setting) -> Parsed<PathBuf> {
    text("a path", |text| {
        (!text.is_empty()).then(|| PathBuf::from(text))
    })(setting)
}
