//! Timestamps and durations, as nanoseconds. Calendar components are in UTC only.

use crate::budget::{Budget, EvalError};
use crate::value::CelValue;

const SECOND: i128 = 1_000_000_000;
const DAY_SECONDS: i128 = 86_400;
/// Range of timestamps, the years 1 to 9999: <https://github.com/google/cel-spec/blob/master/doc/langdef.md#abstract-types> (read 2026-11-22).
const MIN_TIMESTAMP: i128 = -62_135_596_800 * SECOND;
const MAX_TIMESTAMP: i128 = 253_402_300_800 * SECOND - 1;
/// Maximum duration, about 10,000 years, as in protobuf's Duration.
const MAX_DURATION: i128 = 315_576_000_000 * SECOND;

/// Calendar or clock component of a timestamp or duration.
#[derive(Debug, Clone, Copy)]
pub enum Component {
    Year,
    /// From 0.
    Month,
    /// From 1.
    Date,
    /// From 0.
    DayOfMonth,
    /// From 0, which is Sunday.
    DayOfWeek,
    /// From 0.
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

/// Creates a timestamp value from nanoseconds since 1970.
///
/// # Errors
/// If it is outside the years 1 to 9999.
pub fn timestamp<'v>(nanos: i128) -> Result<CelValue<'v>, EvalError> {
    let within = (MIN_TIMESTAMP..=MAX_TIMESTAMP).contains(&nanos);
    if within {
        Ok(CelValue::Timestamp(nanos))
    } else {
        Err(EvalError::Error(
            "a timestamp is outside the years 1 to 9999".to_owned(),
        ))
    }
}

/// Creates a duration value from nanoseconds.
///
/// # Errors
/// If it is longer than 10,000 years.
pub fn duration<'v>(nanos: i128) -> Result<CelValue<'v>, EvalError> {
    let within = nanos.abs() <= MAX_DURATION;
    if within {
        Ok(CelValue::Duration(nanos))
    } else {
        Err(EvalError::Error(
            "a duration is longer than 10,000 years".to_owned(),
        ))
    }
}

/// Converts RFC 3339 text or seconds since 1970 to a timestamp.
pub fn to_timestamp<'v>(
    value: &CelValue<'v>,
    budget: &mut Budget,
) -> Result<CelValue<'v>, EvalError> {
    if let CelValue::Int(seconds) = value {
        return timestamp(i128::from(*seconds) * SECOND);
    }
    let Some(text) = value.as_text() else {
        return Ok(value.clone());
    };
    budget.scan(text.len())?;
    match parse_rfc3339(text) {
        Some(nanos) => timestamp(nanos),
        None => Err(EvalError::Error(format!(
            "{} is no timestamp as \"2026-01-31T12:00:00Z\" is one",
            budget.quote(text)?
        ))),
    }
}

fn digits(text: &str, start: usize, count: usize) -> Option<i128> {
    let digits = text.get(start..start + count)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// Parses an RFC 3339 timestamp (section 5.6) to nanoseconds since 1970.
fn parse_rfc3339(text: &str) -> Option<i128> {
    let (year, month, day) = (
        digits(text, 0, 4)?,
        digits(text, 5, 2)?,
        digits(text, 8, 2)?,
    );
    let (hour, minute, second) = (
        digits(text, 11, 2)?,
        digits(text, 14, 2)?,
        digits(text, 17, 2)?,
    );
    let is_sign = |index: usize, sign: &str| {
        text.get(index..=index)
            .is_some_and(|found| sign.contains(found))
    };
    let is_well_formed = is_sign(4, "-")
        && is_sign(7, "-")
        && is_sign(10, "Tt ")
        && is_sign(13, ":")
        && is_sign(16, ":");
    let is_in_range = (1..=12).contains(&month)
        && day >= 1
        && day <= days_in_month(year, month)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_well_formed || !is_in_range {
        return None;
    }
    let rest = text.get(19..)?;
    let (nanos, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(fraction) => {
            let length = fraction.find(|c: char| !c.is_ascii_digit())?;
            let (digits, zone) = fraction
                .split_at_checked(length)
                .filter(|_| (1..=9).contains(&length))?;
            (format!("{digits:0<9}").parse().ok()?, zone)
        }
    };
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = (digits(zone, 1, 2)?, digits(zone, 4, 2)?);
            let is_offset = zone.len() == 6 && zone.get(3..4)? == ":" && hours < 24 && minutes < 60;
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            (is_offset && zone.starts_with(['+', '-']))
                .then_some(sign * (hours * 3600 + minutes * 60))?
        }
    };
    let seconds =
        days_since_1970(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second
            - offset;
    Some(seconds * SECOND + nanos)
}

const fn is_leap(year: i128) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i128, month: i128) -> i128 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Returns the number of days from the year 1 to the start of a year.
const fn days_before(year: i128) -> i128 {
    let past = year - 1;
    // For the year 0, rounding down counts its leap day.
    past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400)
}

fn days_since_1970(year: i128, month: i128, day: i128) -> i128 {
    let months: i128 = (1..month).map(|month| days_in_month(year, month)).sum();
    days_before(year) + months + day - 1 - days_before(1970)
}

/// Converts days since 1970 to year, month (from 1), day of the month (from 1) and day of the year (from 0).
fn calendar_date(day: i128) -> (i128, i128, i128, i128) {
    let from_first = day + days_before(1970);
    // An estimate that is never too early.
    let mut year = from_first / 365 + 1;
    while days_before(year) > from_first {
        year -= 1;
    }
    let day_of_year = from_first - days_before(year);
    let (mut month, mut remaining_days) = (1, day_of_year);
    while remaining_days >= days_in_month(year, month) {
        remaining_days -= days_in_month(year, month);
        month += 1;
    }
    (year, month, remaining_days + 1, day_of_year)
}

/// Returns a component of a timestamp or duration.
pub fn component<'v>(
    value: &CelValue<'v>,
    component: Component,
) -> Result<CelValue<'v>, EvalError> {
    let (nanos, is_span) = match value {
        CelValue::Timestamp(nanos) => (*nanos, false),
        CelValue::Duration(nanos) => (*nanos, true),
        _ => return Err(EvalError::no_overload(value.kind().as_str())),
    };
    let day = nanos.div_euclid(DAY_SECONDS * SECOND);
    let (year, month, date, day_of_year) = calendar_date(day);
    let number = match component {
        Component::Year => year,
        Component::Month => month - 1,
        Component::Date => date,
        Component::DayOfMonth => date - 1,
        // The first of January 1970 was a Thursday.
        Component::DayOfWeek => (day + 4).rem_euclid(7),
        Component::DayOfYear => day_of_year,
        // For a duration, the whole length in that unit.
        Component::Hours if is_span => nanos / (3600 * SECOND),
        Component::Minutes if is_span => nanos / (60 * SECOND),
        Component::Seconds if is_span => nanos / SECOND,
        Component::Hours => nanos.div_euclid(3600 * SECOND).rem_euclid(24),
        Component::Minutes => nanos.div_euclid(60 * SECOND).rem_euclid(60),
        Component::Seconds => nanos.div_euclid(SECOND).rem_euclid(60),
        Component::Milliseconds => nanos.div_euclid(1_000_000).rem_euclid(1000),
    };
    Ok(CelValue::Int(i64::try_from(number).unwrap_or_default()))
}

/// Converts text such as `1h30m` or `-1.5s` to a duration.
pub fn to_duration<'v>(
    value: &CelValue<'v>,
    budget: &mut Budget,
) -> Result<CelValue<'v>, EvalError> {
    let Some(text) = value.as_text() else {
        return Ok(value.clone());
    };
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    budget.parse_number(unsigned)?;
    let nanos = if unsigned == "0" {
        Some(0)
    } else {
        parse_duration(unsigned)
    };
    let Some(nanos) = nanos else {
        return Err(EvalError::Error(format!(
            "{} is no duration as \"1h30m\" is one",
            budget.quote(text)?
        )));
    };
    duration(if text.starts_with('-') { -nanos } else { nanos })
}

fn parse_duration(mut text: &str) -> Option<i128> {
    const UNITS: [(&str, i128); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", SECOND),
        ("m", 60 * SECOND),
        ("h", 3600 * SECOND),
    ];
    let mut nanos = 0_i128;
    if text.is_empty() || text.len() > 100 {
        return None;
    }
    while !text.is_empty() {
        let (number, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || fraction.len() > 12
        {
            return None;
        }
        let (unit, size) = UNITS.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        let part: i128 = format!("{fraction:0<12}").parse().ok()?;
        nanos = nanos
            .checked_add(whole.checked_mul(size)?)?
            .checked_add(part * size / 1_000_000_000_000)?;
        text = rest.strip_prefix(unit)?;
    }
    Some(nanos)
}

fn fraction_text(nanos: i128) -> String {
    let digits = format!(".{nanos:09}");
    if nanos == 0 {
        String::new()
    } else {
        digits.trim_end_matches('0').to_owned()
    }
}

/// Formats a timestamp as RFC 3339 in UTC.
pub fn to_rfc3339(nanos: i128) -> String {
    let seconds = nanos.div_euclid(SECOND);
    let (year, month, date, _) = calendar_date(seconds.div_euclid(DAY_SECONDS));
    let of_day = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = fraction_text(nanos.rem_euclid(SECOND));
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Formats a duration as seconds: `90s`, `-1.5s`.
pub fn to_seconds_text(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.abs();
    format!("{sign}{}{}s", nanos / SECOND, fraction_text(nanos % SECOND))
}
