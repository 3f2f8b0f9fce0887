//! `Retry-After`: the wait that a server asks for in its response headers.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

/// Upper bound of the wait, in case a server's header is wrong.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Number from which seconds are a time and not a wait: 50 years.
const FIRST_UNIX_TIME: f64 = 50.0 * 365.0 * 86_400.0;
/// Number up to which a time is in seconds, the year 2100. Beyond, it is in milliseconds.
const LAST_UNIX_TIME: f64 = 4.1e9;

/// Units of a wait, in seconds.
const UNITS: [(&str, f64); 17] = [
    ("ms", 0.001),
    ("msec", 0.001),
    ("millisecond", 0.001),
    ("milliseconds", 0.001),
    ("s", 1.0),
    ("sec", 1.0),
    ("secs", 1.0),
    ("second", 1.0),
    ("seconds", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("mins", 60.0),
    ("minute", 60.0),
    ("minutes", 60.0),
    ("h", 3600.0),
    ("hour", 3600.0),
    ("hours", 3600.0),
];

/// Returns the wait from `retry-after-ms`, or from `retry-after` in seconds, with a unit, as a date (RFC 9110 section 10.2.3) or as
/// Unix time. At most a day; zero for a time in the past; `None` if both headers are missing or invalid.
///
/// A time is compared with the server's own `date`, if it sends one: its clock may be wrong.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|n| *n >= 0.0);
    if let Some(ms) = number("retry-after-ms").filter(|ms| *ms < FIRST_UNIX_TIME) {
        return Some(seconds(ms / 1000.0));
    }
    let value = text("retry-after")?;
    if let Ok(time) = httpdate::parse_http_date(value) {
        let server = text("date").and_then(|date| httpdate::parse_http_date(date).ok());
        return Some(until(time, server.unwrap_or(now)));
    }
    parse_wait_or_time(value, now)
}

/// Parses a wait or the time of its end: RFC 3339, or Unix time in seconds or milliseconds. At most a day.
#[must_use]
pub fn parse_wait_or_time(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text.trim_end_matches("+00:00")) {
        return Some(until(time, now));
    }
    let unix = match text.parse::<f64>() {
        Ok(number) if (FIRST_UNIX_TIME..=LAST_UNIX_TIME).contains(&number) => number,
        Ok(number) if (FIRST_UNIX_TIME..=LAST_UNIX_TIME).contains(&(number / 1000.0)) => {
            number / 1000.0
        }
        _ => return parse_wait(text).map(|wait| wait.min(MAX_RETRY_AFTER)),
    };
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(unix);
    Some(until(time, now))
}

fn until(time: SystemTime, now: SystemTime) -> Duration {
    let wait = time.duration_since(now).unwrap_or_default();
    wait.min(MAX_RETRY_AFTER)
}

fn seconds(seconds: f64) -> Duration {
    let wait = Duration::try_from_secs_f64(seconds).unwrap_or(MAX_RETRY_AFTER);
    wait.min(MAX_RETRY_AFTER)
}

/// Parses a wait at the start of a text: `2`, `34.07s`, `1m26.4s`, `20 seconds`. A number without a unit is in seconds.
#[must_use]
pub fn parse_wait(text: &str) -> Option<Duration> {
    let mut rest = text.trim_start();
    let mut total = None;
    loop {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        let end = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        // "1e300" is one number, and a full stop may follow the last one.
        let number: Option<f64> = text
            .trim()
            .parse()
            .ok()
            .filter(|_| total.is_none())
            .or_else(|| number.trim_end_matches('.').parse().ok());
        let Some(number) = number.filter(|number| *number >= 0.0) else {
            break;
        };
        let after = after.trim_start();
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (name, after) = after.split_at_checked(end)?;
        let unit = UNITS
            .iter()
            .find(|(unit, _)| unit.eq_ignore_ascii_case(name))
            .map(|(_, seconds)| *seconds);
        let is_first = total.is_none();
        let known: f64 = total.unwrap_or_default();
        match unit {
            Some(unit) => total = Some(number.mul_add(unit, known)),
            None if is_first => return Some(seconds(number)),
            None => break,
        }
        rest = after;
    }
    total.map(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_parsed_in_each_format() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_784_111_767);
        for (name, value, wait_ms) in [
            ("retry-after", "2", Some(2_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after", "2s", Some(2_000)),
            ("retry-after", "1m30s", Some(90_000)),
            ("retry-after", "20 seconds", Some(20_000)),
            ("retry-after", "120ms", Some(120)),
            ("retry-after-ms", "120", Some(120)),
            ("retry-after", "1784111769", Some(2_000)),
            ("retry-after", "1784111769000", Some(2_000)),
            ("retry-after", "1784111700", Some(0)),
            ("retry-after", "2026-07-15T10:36:10Z", Some(3_000)),
            ("retry-after", "Wed, 15 Jul 2026 10:36:17 GMT", Some(10_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("retry-after", "1e300", Some(86_400_000)),
            ("retry-after", "-3", None),
            ("retry-after", "soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(
                retry_after(&headers, now),
                wait_ms.map(Duration::from_millis),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn a_date_is_compared_with_the_servers_own_clock() {
        let mut headers = HeaderMap::new();
        let date = |text: &str| text.parse().unwrap();
        headers.insert("retry-after", date("Sun, 06 Nov 1994 08:49:37 GMT"));
        headers.insert("date", date("Sun, 06 Nov 1994 08:49:35 GMT"));
        assert_eq!(
            retry_after(&headers, SystemTime::now()),
            Some(Duration::from_secs(2))
        );
    }
}
