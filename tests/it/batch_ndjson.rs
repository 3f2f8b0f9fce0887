//! NDJSON in and out, in any mix with JSON and SSE (contract, section 2).

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::support::client::{Answer, Client, Sending, check_pointer, check_problem};
use crate::support::fixture::{self, check_each_once, encoded, schema_query};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

const NDJSON: &str = "application/x-ndjson";

/// Returns a request with an NDJSON body, its spec in the query.
fn upload(client: &Client, more: &str) -> Sending {
    client.request(
        Method::POST,
        &format!("/v1/extract/batch?{}{more}", schema_query()),
    )
}

fn quoted(number: usize) -> String {
    Value::from(fixture::person(number)).to_string()
}

#[tokio::test]
async fn an_ndjson_body_gets_an_ndjson_response() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body: Vec<_> = (0..100).map(quoted).collect();
    let response = upload(&server, "")
        .header("accept", NDJSON)
        .lines(&body)
        .send()
        .await
        .expect(200);
    assert!(
        response.header("content-type").starts_with(NDJSON),
        "{:?}",
        response.headers
    );
    let mut lines = response.lines().await;
    let last = lines.pop().unwrap();
    assert_eq!(last["status"], "completed", "the last line is the summary");
    assert_eq!(
        (&last["summary"]["total"], &last["summary"]["succeeded"]),
        (&json!(100), &json!(100))
    );
    check_each_once(&lines, 100);
    for line in &lines {
        let index = usize::try_from(line["index"].as_u64().unwrap()).unwrap();
        assert_eq!(line["data"], fixture::found(index));
    }
}

#[tokio::test]
async fn any_combination_of_body_and_response_format_works() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let lines = [quoted(0), quoted(1)];
    let ordered = upload(&server, "").lines(&lines).answer().await.ok();
    assert_eq!(
        ordered["results"][1]["data"],
        fixture::found(1),
        "NDJSON in, ordered JSON out"
    );
    let any = upload(&server, "")
        .header("accept", "*/*")
        .lines(&lines)
        .answer()
        .await
        .ok();
    assert_eq!(any["results"][0]["data"], fixture::found(0), "*/* is JSON");
    let events = upload(&server, "")
        .header("accept", "text/event-stream")
        .lines(&lines)
        .send()
        .await
        .events()
        .await;
    assert_eq!(events.last().unwrap().name, "done", "NDJSON in, SSE out");
    check_each_once(
        events
            .iter()
            .filter(|event| event.name == "result")
            .map(|event| &event.data),
        2,
    );
    let streamed = server
        .open("/v1/extract/batch", NDJSON, &fixture::batch(3))
        .await
        .expect(200)
        .lines()
        .await;
    check_each_once(&streamed[..3], 3);
    assert_eq!(streamed[3]["summary"]["total"], 3, "JSON in, NDJSON out");
    let explicit = fixture::with(fixture::batch(1), json!({"stream": true}));
    let explicit = server
        .open("/v1/extract/batch", NDJSON, &explicit)
        .await
        .expect(200);
    assert!(
        explicit.header("content-type").starts_with(NDJSON),
        "an explicit Accept wins: {:?}",
        explicit.headers
    );
}

#[tokio::test]
async fn a_bad_line_fails_its_index_and_reading_goes_on() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let object =
        json!({"id": "x", "input": fixture::person(3), "metadata": {"k": "v"}}).to_string();
    let body = [
        &*quoted(0),
        "{\"input\": ",
        "",
        "not json",
        "  ",
        &object,
        "{\"input\": \"cut\"",
    ];
    let mut lines = upload(&server, "")
        .header("accept", NDJSON)
        .lines(body)
        .send()
        .await
        .expect(200)
        .lines()
        .await;
    let summary = lines.pop().unwrap();
    assert_eq!(
        summary["summary"]["total"], 5,
        "blank lines are not counted: {summary}"
    );
    assert_eq!(
        (
            &summary["summary"]["succeeded"],
            &summary["summary"]["failed"]
        ),
        (&json!(2), &json!(3))
    );
    check_each_once(&lines, 5);
    lines.sort_by_key(|line| line["index"].as_u64());
    assert_eq!(lines[0]["data"], fixture::found(0));
    for index in [1, 2, 4] {
        check_problem(&lines[index]["error"], 400, "invalid_json");
    }
    assert_eq!(
        (&lines[3]["id"], &lines[3]["metadata"]),
        (&json!("x"), &json!({"k": "v"}))
    );
    assert_eq!(lines[3]["data"], fixture::found(3));
}

#[tokio::test]
async fn a_line_of_the_wrong_shape_fails_its_index() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = [
        "17",
        "{\"input\": 3}",
        "{\"input\": \"a\", \"extra\": 1}",
        "null",
        &*quoted(4),
    ];
    let mut lines = upload(&server, "")
        .header("accept", NDJSON)
        .lines(body)
        .send()
        .await
        .expect(200)
        .lines()
        .await;
    assert_eq!(lines.pop().unwrap()["summary"]["failed"], 4);
    check_each_once(&lines, 5);
    for line in lines.iter().filter(|line| line["index"] != 4) {
        let code = line["error"]["code"].as_str().unwrap();
        assert!(
            ["invalid_json", "invalid_request"].contains(&code),
            "{line}"
        );
    }
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_line_over_the_limit_fails_its_index_and_reading_goes_on() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let long = format!("\"{}\"", "long ".repeat(300_000));
    let body = [quoted(0), long, quoted(2)];
    let mut lines = upload(&server, "")
        .header("accept", NDJSON)
        .lines(body)
        .send()
        .await
        .expect(200)
        .lines()
        .await;
    assert_eq!(lines.pop().unwrap()["summary"]["succeeded"], 2);
    check_each_once(&lines, 3);
    let failed = lines.iter().find(|line| line["index"] == 1).unwrap();
    check_problem(&failed["error"], 413, "payload_too_large");
}

#[tokio::test]
async fn the_last_line_needs_no_newline_and_crlf_is_a_newline() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = format!("{}\r\n\r\n{}", quoted(0), quoted(1));
    let reply = upload(&server, "")
        .header("content-type", NDJSON)
        .bytes(body)
        .answer()
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], 2, "{reply}");
}

#[tokio::test]
async fn an_empty_body_is_an_empty_batch() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let reply = upload(&server, "").lines([""; 0]).answer().await.ok();
    assert_eq!(
        (&reply["status"], &reply["results"]),
        (&json!("completed"), &json!([]))
    );
}

#[tokio::test]
async fn the_specs_fields_are_query_parameters() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(1) {
            Reply::Json(fixture::wrong())
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let examples = encoded(
        &json!([{"input": "Rex, 4", "output": {"name": "Rex", "age": 4, "occupation": "dog"}}])
            .to_string(),
    );
    let more = format!(
        "&instructions={}&examples={examples}&mode=tools&max_attempts=1&temperature=0.25&seed=11&concurrency=1&on_error=stop&timeout_ms=9000\
         &max_output_tokens=64&model=openai%2Ftest-model&metadata={}",
        encoded("Mind the umlauts."),
        encoded(r#"{"run":"9"}"#)
    );
    let body: Vec<_> = (0..4).map(quoted).collect();
    let reply = upload(&server, &more).lines(&body).answer().await.ok();
    assert_eq!(
        (&reply["status"], &reply["metadata"]),
        (&json!("stopped"), &json!({"run": "9"})),
        "{reply}"
    );
    let log = upstream.log();
    assert_eq!(
        log.items(),
        [0, 1],
        "one after the other, one attempt each, until the first failure"
    );
    let sent = log.calls[0].body();
    assert_eq!(
        (&sent["temperature"], &sent["seed"]),
        (&json!(0.25), &json!(11))
    );
    assert!(sent["tools"].is_array(), "{sent}");
    let prompt = log.calls[0].prompt();
    assert!(
        prompt.contains("Mind the umlauts.") && prompt.contains("Rex, 4"),
        "{prompt}"
    );
}

#[tokio::test]
async fn a_registered_schema_is_named_in_the_query() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let put = server
        .request(Method::PUT, "/v1/schemas/person")
        .json(&fixture::schema())
        .answer()
        .await;
    assert_eq!(put.status, 201, "{}", put.text());
    let request = server.request(Method::POST, "/v1/extract/batch?schema=person");
    let reply = request.lines([quoted(5)]).answer().await.ok();
    assert_eq!(reply["results"][0]["data"], fixture::found(5));
}

async fn refused(client: &Client, query: &str) -> Answer {
    let request = client.request(Method::POST, &format!("/v1/extract/batch?{query}"));
    request.lines([quoted(0)]).answer().await
}

#[tokio::test]
async fn a_wrong_query_parameter_is_refused_with_its_pointer() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let schema = schema_query();
    for (more, pointer) in [
        ("concurrency=0", "/concurrency"),
        ("concurency=1", "/concurency"),
        ("on_error=explode", "/on_error"),
        ("max_attempts=x", "/max_attempts"),
    ] {
        let answer = refused(&server, &format!("{schema}&{more}")).await;
        check_pointer(&answer.problem(422, "invalid_request"), pointer);
    }
    check_pointer(
        &refused(&server, "concurrency=1")
            .await
            .problem(422, "invalid_request"),
        "/schema",
    );
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn results_come_back_while_the_upload_still_runs() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let (lines, received) = mpsc::channel::<Bytes>(1);
    let body = futures_util::stream::unfold(received, async |mut received| {
        received.recv().await.map(|line| (line, received))
    });
    lines.send(format!("{}\n", quoted(0)).into()).await.unwrap();
    let mut response = upload(&server, "")
        .header("content-type", NDJSON)
        .header("accept", NDJSON)
        .stream(body)
        .send()
        .await
        .expect(200);
    for number in 0..5 {
        let line = response.line().await.unwrap();
        assert_eq!(
            (&line["index"], &line["data"]),
            (&json!(number), &fixture::found(number))
        );
        let next = quoted(number + 1);
        let (first, second) = next.split_at(10);
        lines
            .send(Bytes::copy_from_slice(first.as_bytes()))
            .await
            .unwrap();
        lines.send(format!("{second}\n").into()).await.unwrap();
    }
    drop(lines);
    let rest = response.lines().await;
    assert_eq!(rest[0]["data"], fixture::found(5));
    assert_eq!(rest[1]["summary"]["total"], 6);
}
