//! `Retry-After`: the wait that a server asks for in its response headers.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

/// Upper bound of the wait, in case a server's header is wrong.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Returns the wait from `retry-after-ms`, or from `retry-after` in seconds or as a date (RFC 9110 section 10.2.3). At most a
/// day; zero for a date in the past; `None` if both headers are missing or invalid.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|n| *n >= 0.0);
    let seconds = number("retry-after-ms")
        .map(|ms| ms / 1000.0)
        .or_else(|| number("retry-after"));
    let wait = match seconds {
        Some(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or(MAX_RETRY_AFTER),
        None => httpdate::parse_http_date(text("retry-after")?)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_parsed_in_each_format() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_767);
        for (name, value, wait_ms) in [
            ("retry-after", "2", Some(2_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after-ms", "120", Some(120)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(10_000)),
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
}
