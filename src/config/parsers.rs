//! How a setting becomes a value: each parser returns the value and how to print it, or what is allowed instead.

use std::{num::NonZeroU32, ops::RangeInclusive, path::PathBuf, time::Duration};

use super::setting::Setting;

/// The value and the TOML to print for it, or the end of the sentence "`key` …".
pub(super) type Parsed<T> = Result<(T, toml::Value), String>;

/// A whole number in `range`, in whatever number type holds it.
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

/// A whole number from 1 to `most`.
pub(super) fn count(most: u32) -> impl FnOnce(&Setting) -> Parsed<NonZeroU32> {
    move |setting| {
        let (number, shown) = integer(1..=most.into())(setting)?;
        let number: u32 = number;
        Ok((NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN), shown))
    }
}

/// Calls in flight, wherever they are limited.
pub(super) fn concurrency(setting: &Setting) -> Parsed<NonZeroU32> {
    count(100_000)(setting)
}

/// Items that wait, wherever they are limited.
pub(super) fn queue(setting: &Setting) -> Parsed<NonZeroU32> {
    count(10_000_000)(setting)
}

/// A rate of calls.
pub(super) fn requests_per_minute(setting: &Setting) -> Parsed<NonZeroU32> {
    count(100_000_000)(setting)
}

/// A rate of tokens.
pub(super) fn tokens_per_minute(setting: &Setting) -> Parsed<NonZeroU32> {
    count(1_000_000_000)(setting)
}

/// Bytes in memory: 1 KiB to 1 TiB.
pub(super) const fn memory() -> RangeInclusive<u64> {
    1 << 10..=1 << 40
}

/// A number, whole or not, that `parse` takes; `allowed` says which, after "must be".
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

/// A time in whole milliseconds.
pub(super) fn millis(range: RangeInclusive<u64>) -> impl FnOnce(&Setting) -> Parsed<Duration> {
    |setting| integer(range)(setting).map(|(number, shown)| (Duration::from_millis(number), shown))
}

/// `true` or `false`.
pub(super) fn boolean(setting: &Setting) -> Parsed<bool> {
    let truth = setting
        .boolean()
        .ok_or_else(|| format!("must be true or false, not {}", setting.shown()))?;
    Ok((truth, truth.into()))
}

/// A string that `parse` takes; `allowed` says which, after "must be".
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

/// One of a few words.
pub(super) fn choice<T: Copy>(choices: &[(&str, T)]) -> impl FnOnce(&Setting) -> Parsed<T> {
    move |setting| {
        let chosen = choices
            .iter()
            .find(|(word, _)| setting.text() == Some(*word));
        chosen
            .map(|(word, value)| (*value, (*word).into()))
            .ok_or_else(|| {
                let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
                format!(
                    "must be one of: {}; not {}",
                    words.join(", "),
                    setting.shown()
                )
            })
    }
}

/// Strings that `parse` takes, each.
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

/// A path, as it stands: a relative one is relative to the process's working directory.
pub(super) fn path(setting: &Setting) -> Parsed<PathBuf> {
    text("a path", |text| {
        (!text.is_empty()).then(|| PathBuf::from(text))
    })(setting)
}
