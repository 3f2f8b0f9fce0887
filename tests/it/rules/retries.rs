//! A violated rule leads to a validation retry.

use super::*;

fn asked_again(call: &Call) -> String {
    call.body()["messages"].to_string()
}

#[tokio::test]
async fn a_violated_rule_leads_to_a_validation_retry_with_its_message_and_pointer() {
    let upstream = Upstream::saying([Reply::Json(far()), Reply::Json(near()), Reply::Json(good())]);
    let server = Server::with(&upstream).await;
    let reply = server.extract(&single()).await.ok();
    assert_eq!(
        (&reply["status"], &reply["data"], &reply["attempts"]),
        (&json!("succeeded"), &good(), &json!(3))
    );
    let log = upstream.log();
    assert!(!asked_again(&log.calls[0]).contains("somebody has to come"));
    let (second, third) = (asked_again(&log.calls[1]), asked_again(&log.calls[2]));
    assert!(
        second.contains("the end must not be before the start")
            && second.contains("somebody has to come"),
        "{second}"
    );
    assert!(
        third.contains("/guests: somebody has to come") && !third.contains("before the start"),
        "{third}"
    );
}

#[tokio::test]
async fn an_answer_that_satisfies_its_rules_takes_one_call_whatever_its_root() {
    for (schema, rule_of, data) in [
        (
            json!({"type": "array", "items": {"type": "integer"}}),
            "data.all(n, n > 0) && data.sum() == 6",
            json!([1, 2, 3]),
        ),
        (
            json!({"type": "integer"}),
            "data > 1 && input.contains(string(data))",
            json!(42),
        ),
        (
            json!({"type": "string"}),
            "input.startsWith(data)",
            json!("We"),
        ),
        (
            json!({"type": ["object", "null"]}),
            "data == null",
            json!(null),
        ),
    ] {
        for mode in ["json_schema", "text"] {
            let answer = data.clone();
            let upstream = Upstream::start(move |call| {
                let is_wrapped = call.body().get("response_format").is_some();
                Reply::Json(if is_wrapped {
                    json!({"value": answer})
                } else {
                    answer.clone()
                })
            });
            let server = Server::with(&upstream).await;
            let body = json!({"input": "We are 42", "schema": schema, "rules": [rule(rule_of, "wrong")], "mode": mode});
            let reply = server.extract(&body).await.ok();
            assert_eq!(
                (&reply["data"], &reply["attempts"]),
                (&data, &json!(1)),
                "{rule_of}"
            );
        }
    }
}

#[tokio::test]
async fn a_rule_that_cannot_be_evaluated_is_violated_and_gives_the_reason() {
    let upstream = Upstream::start(|_| Reply::Json(json!({"start": "2026-01-01"})));
    let server = Server::with(&upstream).await;
    let rules = json!([
        rule("data.end >= data.start", "ends"),
        rule("data.start + 1 > 2", "adds")
    ]);
    let problem = server
        .extract(&with(single(), json!({"rules": rules})))
        .await
        .problem(502, "extraction_failed");
    let errors = problem["errors"].to_string();
    assert!(
        errors.contains("ends (the rule `data.end >= data.start` cannot be evaluated: the field `end` is not there"),
        "{errors}"
    );
    assert!(errors.contains("there is no `string + int`"), "{errors}");
    check_pointer(&problem, "/start");
}

#[tokio::test]
async fn the_problem_has_the_best_candidate_its_errors_and_the_last_text() {
    // One fault, then two of which one is the schema's: the first is the nearest.
    let upstream = Upstream::saying([
        Reply::Json(near()),
        Reply::Json(far()),
        Reply::Text("None, sorry.".to_owned()),
    ]);
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&single())
        .await
        .problem(502, "extraction_failed");
    assert_eq!(
        (&problem["candidate"], &problem["raw"]),
        (&near(), &json!("None, sorry."))
    );
    assert_eq!(
        problem["errors"],
        json!([{"pointer": "/guests", "message": "somebody has to come"}])
    );
    assert_eq!(problem["attempts"], 3);
}
