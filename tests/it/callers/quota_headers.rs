//! The waiting room of a caller, and the rate limit headers.

use super::*;

/// Returns the items of a list of strings with integer parameters (RFC 9651), which is all that these fields are made of.
#[track_caller]
fn parse_list(text: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    let mut items = Vec::new();
    for member in text.split(',') {
        let member = member.trim_matches([' ', '\t']);
        let mut parts = member.split(';');
        let name = parts.next().unwrap();
        let inner = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'));
        let inner = inner.unwrap_or_else(|| panic!("{name} is a string in {text}"));
        assert!(
            inner
                .bytes()
                .all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'),
            "{text}"
        );
        let parameters = parts.map(|parameter| {
            let (key, value) = parameter
                .trim_start_matches(' ')
                .split_once('=')
                .unwrap_or_else(|| panic!("{parameter}: {text}"));
            assert!(
                key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*'),
                "{key} in {text}"
            );
            assert!(
                value.len() <= 15 && value.bytes().all(|byte| byte.is_ascii_digit()),
                "{value} is an integer: {text}"
            );
            (key.to_owned(), value.parse().unwrap())
        });
        items.push((inner.to_owned(), parameters.collect()));
    }
    items
}

/// Parses the quota status of the caller, by policy: quota, window, remaining amount, and time until there is more.
#[track_caller]
fn standing(answer: &Answer) -> BTreeMap<String, (u64, u64, u64, Option<u64>)> {
    for name in ["ratelimit", "ratelimit-policy"] {
        assert_eq!(
            answer.headers.get_all(name).iter().count(),
            1,
            "{name}: {:?}",
            answer.headers
        );
    }
    let (policies, limits) = (
        parse_list(answer.header("ratelimit-policy")),
        parse_list(answer.header("ratelimit")),
    );
    let names = |list: &[(String, _)]| {
        list.iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&policies),
        names(&limits),
        "each limit has its policy: {:?}",
        answer.headers
    );
    let pairs = policies.into_iter().zip(limits);
    pairs
        .map(|((name, policy), (_, limit))| {
            (
                name,
                (
                    policy["q"],
                    policy["w"],
                    limit["r"],
                    limit.get("t").copied(),
                ),
            )
        })
        .collect()
}

/// Sends requests one after the other until the waiting room of `slow`, of 2, is full.
async fn fill(server: &Server, upstream: &Upstream, slow: &Client) -> JoinSet<Answer> {
    slow.extract(&single(fixture::person(0))).await.ok();
    assert_eq!(upstream.calls(), 1);
    let mut waiting = JoinSet::new();
    for number in 1..=2 {
        let slow = slow.clone();
        waiting.spawn(async move { slow.extract(&single(fixture::person(number))).await });
    }
    let other = server.with_key("key-other");
    eventually(LIMIT, "its waiting room is full", async || {
        let row = other
            .limit_of("queue", "caller:slow")
            .await
            .expect("a row for its waiting room");
        assert_eq!(row["limit"], 2, "{row}");
        (row["available"] == 0).then_some(())
    })
    .await;
    waiting
}

#[track_caller]
fn check_quota_problem(answer: &Answer, retry_after: std::ops::RangeInclusive<u64>) {
    answer.problem(429, "quota_exceeded");
    let after: u64 = answer
        .header("retry-after")
        .parse()
        .expect("Retry-After in seconds");
    assert!(retry_after.contains(&after), "{after} in {retry_after:?}");
}

#[tokio::test]
async fn a_request_beyond_its_callers_own_waiting_room_is_refused_and_says_when() {
    // After the first call, the next may go out in a minute; or, in tokens, in a quarter of one.
    for (quota, policy, next) in [
        ("requests_per_minute = 1", "requests", 1..=60),
        ("tokens_per_minute = 60", "tokens", 1..=16),
    ] {
        let upstream = Upstream::playing();
        let (server, slow, other) =
            with_slow(&upstream, 4, &format!("{quota}\nmax_queue = 2")).await;
        let mut waiting = fill(&server, &upstream, &slow).await;
        let refused = slow.extract(&single(fixture::person(3))).await;
        check_quota_problem(&refused, next.clone());
        let standing = standing(&refused);
        let per_minute = if policy == "requests" { 1 } else { 60 };
        let (quota, window, left, reset) = standing[policy];
        assert_eq!(
            (standing.len(), quota, window, left),
            (1, per_minute, 60, 0),
            "{:?}",
            refused.headers
        );
        assert!(
            reset.is_some_and(|reset| next.contains(&reset)),
            "{:?}",
            refused.headers
        );
        for accept in [
            "application/json",
            "text/event-stream",
            "application/x-ndjson",
        ] {
            let refused = slow
                .open("/v1/extract/batch", accept, &batch(3))
                .await
                .whole()
                .await;
            check_quota_problem(&refused, next.clone());
        }
        let path = format!("/v1/extract/batch?{}", fixture::schema_query());
        check_quota_problem(
            &slow
                .request(http::Method::POST, &path)
                .lines(["\"Ada\""])
                .answer()
                .await,
            next,
        );
        // Nobody else is affected.
        other.extract(&single(fixture::person(OTHER))).await.ok();
        assert_eq!(
            other.batch(&batch_from(OTHER + 1, 20)).await.ok()["summary"]["succeeded"],
            20
        );
        assert_eq!(upstream.calls(), 22, "only what is allowed went out");
        // Who leaves makes room.
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        eventually(LIMIT, "there is room again", async || {
            (other.limit_of("queue", "caller:slow").await.unwrap()["available"] == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_invalid_request_is_rejected_before_its_quota_is_checked() {
    let upstream = Upstream::playing();
    let (server, slow, _) = with_slow(&upstream, 4, "requests_per_minute = 1\nmax_queue = 2").await;
    let _waiting = fill(&server, &upstream, &slow).await;
    slow.extract(&json!({"input": "no schema"}))
        .await
        .problem(422, "invalid_request");
    slow.get("/v1/nothing").await.problem(404, "not_found");
    // And what takes no quota is answered.
    assert_eq!(slow.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn the_rate_limit_headers_show_the_remaining_quota() {
    let upstream = Upstream::playing();
    let (_server, slow, other) = with_slow(
        &upstream,
        4,
        "requests_per_minute = 60\ntokens_per_minute = 60000",
    )
    .await;
    let answer = slow.extract(&single(fixture::person(0))).await;
    answer.ok();
    let standing = standing(&answer);
    assert_eq!(standing.keys().collect::<Vec<_>>(), ["requests", "tokens"]);
    let (quota, window, left, reset) = standing["requests"];
    assert_eq!((quota, window), (60, 60));
    assert!(
        left == 0 && reset == Some(1),
        "this request took what there was: {:?}",
        answer.headers
    );
    let (quota, window, left, _) = standing["tokens"];
    assert!(
        (quota, window) == (60_000, 60) && (1..=60_000).contains(&left),
        "{:?}",
        answer.headers
    );
    let answer = other.extract(&single(fixture::person(1))).await;
    answer.ok();
    for name in ["ratelimit", "ratelimit-policy"] {
        assert_eq!(answer.header(name), "", "no quota, nothing to tell");
    }
}
