//! Rules that are invalid, or made to cost much.

use super::*;

#[track_caller]
fn check_refused(answer: &Answer, pointer: &str, words: &str) {
    let problem = answer.problem(422, "invalid_request");
    check_pointer(&problem, pointer);
    assert!(
        problem["detail"].as_str().unwrap().contains(words),
        "{problem}"
    );
}

#[tokio::test]
async fn an_invalid_rule_is_rejected_with_its_pointer_and_column() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let good = rule("true", "never");
    for (second, pointer, words) in [
        (
            rule("data.end >=", "m"),
            "/rules/1/expression",
            "line 1, column 12",
        ),
        (
            rule("end >= data.start", "m"),
            "/rules/1/expression",
            "the variable `end` is not known",
        ),
        (
            rule("data.end.trunc() == 1", "m"),
            "/rules/1/expression",
            "the function `trunc` is not known",
        ),
        (
            rule("data.size() + 1", "m"),
            "/rules/1/expression",
            "true or false",
        ),
        (rule("true", ""), "/rules/1/message", "is empty"),
        (
            json!({"expression": "true"}),
            "/rules/1/message",
            "required",
        ),
        (
            json!({"expression": 3, "message": "m"}),
            "/rules/1/expression",
            "string",
        ),
        (
            json!({"expression": "true", "message": "m", "name": "n"}),
            "/rules/1/name",
            "unknown field",
        ),
        (json!("true"), "/rules/1", "expected an object with"),
    ] {
        check_refused(
            &server
                .extract(&with(single(), json!({"rules": [good, second]})))
                .await,
            pointer,
            words,
        );
    }
    check_refused(
        &server
            .extract(&with(single(), json!({"rules": vec![good; 101]})))
            .await,
        "/rules",
        "more than 100",
    );
    check_refused(
        &server
            .extract(&with(single(), json!({"on_failure": "worst"})))
            .await,
        "/on_failure",
        "`best`",
    );
    check_refused(
        &server
            .batch(&with(batch(1), json!({"rules": [rule("1 +", "m")]})))
            .await,
        "/rules/0/expression",
        "column 4",
    );
    let query = format!(
        "/v1/extract/batch?schema=%7B%7D&rules={}",
        encoded("[{\"expression\": \"(\", \"message\": \"m\"}]")
    );
    check_refused(
        &server
            .request(Method::POST, &query)
            .lines(["\"a\""])
            .answer()
            .await,
        "/rules/0/expression",
        "column 2",
    );
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_hostile_rule_costs_bounded_time_and_does_not_block_other_requests() {
    let numbers: Vec<_> = (0..5000).collect();
    let list = numbers.clone();
    let upstream = Upstream::start(move |call| {
        Reply::Json(if call.item() == Some(1) {
            json!([1])
        } else {
            json!(list)
        })
    });
    let server = Server::with(&upstream).await;
    let loops = |levels: usize| {
        format!(
            "{}true{}",
            "data.all(x, ".repeat(levels),
            ")".repeat(levels)
        )
    };
    let body = |expression: &str, input: &str| {
        let schema = json!({"type": "array", "items": {"type": "integer"}});
        json!({"input": input, "schema": schema, "rules": [rule(expression, "m")], "max_attempts": 1, "mode": "text"})
    };
    for expression in [
        "(".repeat(4000),
        "!".repeat(4096),
        format!("data{}", ".a".repeat(2000)),
        format!("1{} > 0", "+1".repeat(2000)),
        "data.all(x, ".repeat(300),
        "x".repeat(5000),
        "'\\x".to_owned(),
    ] {
        check_refused(
            &server.extract(&body(&expression, "a")).await,
            "/rules/0/expression",
            "",
        );
    }
    let began = Instant::now();
    let (slow, small) = (
        body(&loops(20), "[item-0] a"),
        body("data.size() == 1", "[item-1] a"),
    );
    let attacks = (0..8).map(|_| server.extract(&slow));
    let (attacked, small) = tokio::join!(
        futures_util::future::join_all(attacks),
        server.extract(&small)
    );
    assert_eq!(small.ok()["data"], json!([1]));
    for answer in attacked {
        let problem = answer.problem(502, "extraction_failed");
        assert!(
            problem["errors"][0]["message"]
                .as_str()
                .unwrap()
                .contains("too much work"),
            "{problem}"
        );
        assert_eq!(problem["candidate"], json!(numbers));
    }
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}
