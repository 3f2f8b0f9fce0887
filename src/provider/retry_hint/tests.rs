use super::*;

#[test]
fn waits_are_read_from_words() {
    for (message, millis) in [
        ("Rate limit reached. Please try again in 1.5s.", Some(1_500)),
        (
            "Please try again in 1m26.4s. Need more tokens?",
            Some(86_400),
        ),
        ("Please retry after 20 seconds.", Some(20_000)),
        ("Please retry in 34.074824224s.", Some(34_074)),
        ("try again in 120ms", Some(120)),
        ("Please wait 2 minutes", Some(120_000)),
        ("Try again in 1 hour", Some(3_600_000)),
        ("Please try again later.", None),
        ("Please retry after some time", None),
        ("slow down", None),
    ] {
        let wait = wait_in_words(message).map(|wait| wait.as_millis());
        assert_eq!(wait, millis, "{message}");
    }
}

#[test]
fn the_longest_wait_of_headers_body_and_words_counts() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let wait = |pairs: &[(&'static str, &str)], body, message: &str| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        retry_after(&headers, body, message, true, now).map(|wait| wait.as_millis())
    };
    let second = Some(Duration::from_secs(1));
    assert_eq!(wait(&[], None, "slow down"), None);
    assert_eq!(wait(&[("retry-after", "2")], second, ""), Some(2_000));
    assert_eq!(
        wait(&[("retry-after", "2")], None, "try again in 3s"),
        Some(3_000)
    );
    for (name, value, left, expected) in [
        ("x-ratelimit-reset-tokens", "6m0s", "0", Some(360_000)),
        ("x-ratelimit-reset-tokens", "6m0s", "500", None),
        (
            "anthropic-ratelimit-tokens-reset",
            "2027-01-15T08:00:03Z",
            "0",
            Some(3_000),
        ),
    ] {
        let remaining = RESET_HEADERS
            .iter()
            .find(|(reset, _)| *reset == name)
            .unwrap()
            .1;
        assert_eq!(
            wait(&[(name, value), (remaining, left)], None, ""),
            expected,
            "{name} {left}"
        );
    }
    for (value, expected) in [
        ("1800000004", Some(4_000)),
        ("1800000004000", Some(4_000)),
        ("7", Some(7_000)),
        ("soon", None),
    ] {
        assert_eq!(
            wait(&[("x-ratelimit-reset", value)], None, ""),
            expected,
            "{value}"
        );
    }
}
