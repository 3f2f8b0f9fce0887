//! `require`: an answer with an absent value is invalid.

use super::*;

#[tokio::test]
async fn a_validation_retry_names_each_absent_value() {
    let right = json!({"name": "Anna", "age": 32, "mood": "sad"});
    let upstream = Upstream::saying([Reply::Json(invented()), Reply::Json(right.clone())]);
    let server = Server::with(&upstream).await;
    let reply = server.extract(&single("require")).await.ok();
    assert_eq!((&reply["data"], &reply["attempts"]), (&right, &json!(2)));
    assert_eq!(
        statuses(&reply),
        pairs(&[
            ("/name", "normalized"),
            ("/age", "normalized"),
            ("/mood", "derived"),
        ])
    );
    let prompt = upstream.log().calls[1].prompt();
    for line in [
        "- /age: 30 does not stand in the text; give null",
        "- /phone: \"555-0100\" does not stand in the text; leave this field out",
    ] {
        assert!(prompt.contains(line), "{line}: {prompt}");
    }
    for pointer in ["- /name", "- /mood"] {
        assert!(!prompt.contains(pointer), "{pointer}: {prompt}");
    }
}

#[tokio::test]
async fn what_is_still_absent_fails_the_item() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&single("require"))
        .await
        .problem(502, "extraction_failed");
    let errors = problem["errors"].as_array().unwrap();
    let pointers: Vec<_> = errors
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/age", "/phone"]);
    assert_eq!(upstream.calls(), 3);

    let body =
        json!({"inputs": [TEXT, TEXT], "schema": schema(), "grounding": "require", "cache": "off"});
    let reply = server.batch(&body).await.ok();
    assert_eq!(reply["summary"]["failed"], 2);
    assert_eq!(reply["results"][0]["error"]["errors"][0]["pointer"], "/age");
}

#[tokio::test]
async fn what_is_still_absent_is_an_error_of_an_invalid_result() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let body = with(
        single("require"),
        json!({"on_failure": "best", "max_attempts": 2}),
    );
    let reply = server.extract(&body).await.ok();
    assert_eq!(
        (&reply["status"], &reply["candidate"], reply.get("data")),
        (&json!("invalid"), &invented(), None)
    );
    let errors = reply["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 2, "{reply}");
    assert_eq!(errors[1]["pointer"], "/phone");
    assert_eq!(statuses(&reply), reported(), "of the candidate");
}

#[tokio::test]
async fn the_best_of_several_invalid_answers_has_the_fewest_absent_values() {
    let better = json!({"name": "Anna", "age": 30});
    let upstream = Upstream::saying([Reply::Json(better.clone()), Reply::Json(invented())]);
    let server = Server::with(&upstream).await;
    let body = with(
        single("require"),
        json!({"on_failure": "best", "max_attempts": 2}),
    );
    let reply = server.extract(&body).await.ok();
    assert_eq!(reply["candidate"], better);
}

#[tokio::test]
async fn a_long_text_is_searched_too() {
    let filler = "Nothing of importance happens here. ".repeat(1000);
    let upstream = Upstream::saying([
        Reply::Json(json!({"name": "Anna", "age": 77})),
        Reply::Json(json!({"name": "Anna", "age": null})),
    ]);
    let server = Server::with(&upstream).await;
    let body = with(
        single("require"),
        json!({"input": format!("{filler}Anna.")}),
    );
    let reply = server.extract(&body).await.ok();
    assert_eq!(
        (&reply["data"], &reply["attempts"]),
        (&json!({"name": "Anna", "age": null}), &json!(2))
    );
}
