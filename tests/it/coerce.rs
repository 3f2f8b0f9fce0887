//! `coerce`: whether an answer may be mended toward the schema, and what is said of it.

use serde_json::json;

use crate::support::fixture::{self, single, with};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

#[tokio::test]
async fn an_answer_is_coerced_to_the_schema_and_the_repairs_are_reported() {
    let answer = json!({"Name": "Ada", "age": "36 years", "occupation": "engineer"});
    let upstream = Upstream::start(move |_| Reply::Json(answer.clone()));
    let server = Server::with(&upstream).await;
    let reply = server.extract(&single(fixture::person(1))).await.ok();
    assert_eq!(
        reply["data"],
        json!({"name": "Ada", "age": 36, "occupation": "engineer"})
    );
    assert_eq!(
        reply["repairs"],
        json!([
            "/name: renamed from \"Name\"",
            "/age: read \"36 years\" as 36"
        ])
    );
    assert_eq!(reply["attempts"], 1);
}

#[tokio::test]
async fn with_coerce_false_a_mismatch_leads_to_a_validation_retry() {
    let answer = json!({"name": "Ada", "age": "36", "occupation": "engineer"});
    let upstream = Upstream::start(move |_| Reply::Json(answer.clone()));
    let server = Server::with(&upstream).await;
    let spec = with(
        single(fixture::person(1)),
        json!({"coerce": false, "max_attempts": 2}),
    );
    let problem = server
        .extract(&spec)
        .await
        .problem(502, "extraction_failed");
    assert_eq!(
        (&problem["attempts"], &problem["errors"][0]["pointer"]),
        (&json!(2), &json!("/age"))
    );
}
