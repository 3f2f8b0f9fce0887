//! Jobs: evidence is stored with the results, and counted.

use http::Method;

use super::*;
use crate::support::client::eventually;
use crate::support::fixture::encoded;

const EMOJI: &str = "👩‍👧 Anna";

async fn ended(server: &Server, id: &str) -> Value {
    let path = format!("/v1/jobs/{id}");
    eventually(LIMIT, "the job ends", async || {
        let job = server.get(&path).await.ok();
        (!job["finished_at"].is_null()).then_some(job)
    })
    .await
}

#[tokio::test]
async fn a_job_stores_evidence_and_counts_it() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let body = json!({"inputs": [TEXT, {"id": "b", "input": EMOJI}], "schema": schema(), "grounding": "report"});
    let created = server.post("/v1/jobs", &body).await;
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let job = ended(&server, &id).await;
    let sum = json!({"exact": 1, "normalized": 1, "fuzzy": 0, "derived": 2, "absent": 4});
    assert_eq!(job["grounding"], sum, "{job}");

    let server = server.restart().await;
    assert_eq!(ended(&server, &id).await["grounding"], sum);
    let path = format!("/v1/jobs/{id}/results");
    let page = server.get(&path).await.ok();
    assert_eq!(statuses(&page["data"][0]), reported());

    for (unit, start) in [("code_point", 4), ("utf16", 6), ("byte", 12)] {
        let expected = json!([{"start": start, "end": start + 4}]);
        let page = server.get(&format!("{path}?offset_unit={unit}")).await.ok();
        let plain = server.get(&path).await.ok();
        assert_eq!(page["data"][1]["evidence"][0]["spans"], expected, "{unit}");
        assert_eq!(page["data"][0], plain["data"][0], "ASCII is the same");
        let mut again = page["data"][1].clone();
        again["evidence"] = plain["data"][1]["evidence"].clone();
        assert_eq!(again, plain["data"][1], "nothing else changes");

        let lines = server
            .request(
                Method::GET,
                &format!("{path}?offset_unit={unit}&order=completion"),
            )
            .header("accept", "application/x-ndjson")
            .send()
            .await
            .lines()
            .await;
        let line = lines.iter().find(|line| line["index"] == 1).unwrap();
        assert_eq!(line["evidence"][0]["spans"], expected, "{unit}");

        let events = server
            .request(
                Method::GET,
                &format!("/v1/jobs/{id}/events?offset_unit={unit}"),
            )
            .send()
            .await
            .events()
            .await;
        let of_one = events
            .iter()
            .find(|event| event.data["index"] == 1)
            .unwrap();
        assert_eq!(of_one.data["evidence"][0]["spans"], expected, "{unit}");
        let done = events.last().unwrap();
        assert_eq!(
            (done.name.as_str(), &done.data["grounding"]),
            ("done", &sum)
        );
    }
}

#[tokio::test]
async fn the_counts_of_a_retried_job_are_those_of_its_results() {
    let upstream = Upstream::saying([
        Reply::Json(invented()),
        Reply::Json(invented()),
        Reply::Json(invented()),
        Reply::Json(json!({"name": "Anna", "age": 32})),
    ]);
    let server = Server::with(&upstream).await;
    let schema = encoded(&schema().to_string());
    let path = format!("/v1/jobs?schema={schema}&grounding=require&on_failure=best&cache=off");
    let created = server
        .request(Method::POST, &path)
        .header("content-type", "application/x-ndjson")
        .bytes(Value::from(TEXT).to_string())
        .answer()
        .await;
    assert_eq!(created.status, 202, "{}", created.text());
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let job = ended(&server, &id).await;
    assert_eq!(
        (&job["counts"]["invalid"], job.get("grounding")),
        (&json!(1), None),
        "a candidate's values do not count"
    );
    let retry = server.request(Method::POST, &format!("/v1/jobs/{id}/retry"));
    assert_eq!(retry.answer().await.status, 202);
    let job = ended(&server, &id).await;
    assert_eq!(
        job["grounding"],
        json!({"exact": 0, "normalized": 2, "fuzzy": 0, "derived": 0, "absent": 0})
    );
}

#[tokio::test]
async fn a_job_that_asks_for_none_has_no_counts() {
    let upstream = always(invented());
    let server = Server::with(&upstream).await;
    let body = json!({"inputs": [TEXT], "schema": schema()});
    let created = server.post("/v1/jobs", &body).await.json();
    let job = ended(&server, created["id"].as_str().unwrap()).await;
    assert_eq!(job.get("grounding"), None);
}
