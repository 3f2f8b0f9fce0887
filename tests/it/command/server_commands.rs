//! `extractd jobs` and `extractd schemas`.

use super::*;
use crate::upstream::Gate;

/// Creates a job with so many of `fixture::person` and metadata, and returns its ID.
async fn created(server: &Server, count: usize, metadata: Value) -> String {
    let inputs: Vec<_> = (0..count).map(fixture::person).collect();
    let body = json!({"inputs": inputs, "schema": fixture::schema(), "metadata": metadata});
    let job = server.post("/v1/jobs", &body).await.json();
    job["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn jobs_are_listed_shown_followed_and_read() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(1) {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    let id = created(&server, 3, json!({"team": "a"})).await;
    let other = created(&server, 1, json!({"team": "b"})).await;
    let followed = desk.run_command(&["jobs", "follow", &id]).await.expect(1);
    followed.says(&[&id, "completed: 2 succeeded, 1 failed"]);
    desk.run_command(&["jobs", "follow", &other, "--quiet"])
        .await
        .expect(0);
    let listed = desk.run_command(&["jobs", "list"]).await.expect(0);
    let rows: Vec<_> = listed.out.lines().collect();
    assert!(
        rows[0].starts_with("ID") && rows[1].starts_with(&other),
        "{}",
        listed.out
    );
    assert!(
        rows[2].starts_with(&id)
            && rows[2].contains("completed")
            && rows[2].contains("3/3")
            && rows[2].contains("team=a"),
        "{}",
        listed.out
    );
    for (filter, expected) in [
        (vec!["--metadata", "team=b"], vec![&other]),
        (
            vec!["--status", "completed", "--metadata", "team=a"],
            vec![&id],
        ),
        (vec!["--status", "running,queued"], vec![]),
        (vec!["--limit", "1"], vec![&other]),
    ] {
        let command = [["jobs", "list", "--json"].as_slice(), filter.as_slice()].concat();
        let ran = desk.run_command(&command).await.expect(0);
        let ids: Vec<_> = lines(&ran.out)
            .into_iter()
            .map(|job| job["id"].clone())
            .collect();
        let expected: Vec<_> = expected.into_iter().map(|id| json!(id)).collect();
        assert_eq!(ids, expected, "{filter:?}");
    }
    let shown = desk.run_command(&["jobs", "show", &id]).await.expect(0);
    let job: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(
        (&job["id"], &job["counts"]["failed"]),
        (&json!(id), &json!(1))
    );
    let results = desk.run_command(&["jobs", "results", &id]).await.expect(0);
    let statuses: Vec<_> = lines(&results.out)
        .into_iter()
        .map(|result| result["status"].clone())
        .collect();
    assert_eq!(statuses, ["succeeded", "failed", "succeeded"]);
    desk.run_command(&["jobs", "results", &other, "-o", "other.csv"])
        .await
        .expect(0);
    assert!(desk.read("other.csv").starts_with("index,id,status,error,"));
    let retried = desk
        .run_command(&["jobs", "retry", &id, "--status", "failed"])
        .await
        .expect(0);
    assert!(retried.out.starts_with(&id), "{}", retried.out);
    desk.run_command(&["jobs", "follow", &id, "-q"])
        .await
        .expect(1);
    desk.run_command(&["jobs", "delete", &id]).await.expect(0);
    desk.run_command(&["jobs", "show", &id])
        .await
        .expect(2)
        .says(&["there is no job"]);
}

#[tokio::test]
async fn a_job_is_cancelled() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    let id = created(&server, 5, json!(null)).await;
    let partial = desk.run_command(&["jobs", "results", &id]).await.expect(0);
    assert!(
        partial.said.contains("`extractd jobs follow"),
        "{}",
        partial.said
    );
    let cancelled = desk.run_command(&["jobs", "cancel", &id]).await.expect(0);
    assert!(cancelled.out.contains("cancel"), "{}", cancelled.out);
    desk.run_command(&["jobs", "follow", &id])
        .await
        .expect(1)
        .says(&["cancelled"]);
    desk.run_command(&["jobs", "retry", &id, "--status", "done"])
        .await
        .expect(2)
        .says(&["`failed`, `invalid` or `cancelled`"]);
    gate.open();
}

#[tokio::test]
async fn schemas_are_put_shown_listed_and_deleted() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let desk = Desk::asking(&server);
    desk.run_command(&["schemas", "put", "person", "person.json"])
        .await
        .expect(0);
    let piped_in = piped(
        desk.command_of(&["schemas", "put", "other", "-"]),
        "{\"type\": \"object\"}",
    );
    piped_in.await.expect(0);
    let shown = desk
        .run_command(&["schemas", "show", "person"])
        .await
        .expect(0);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown, fixture::schema());
    let listed = desk.run_command(&["schemas", "list"]).await.expect(0);
    let names: Vec<_> = listed
        .out
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(names, ["NAME", "other", "person"]);
    desk.run_command(&["schemas", "delete", "other"])
        .await
        .expect(0);
    desk.run_command(&["schemas", "show", "persn"])
        .await
        .expect(2)
        .says(&["did you mean `person`?"]);
    desk.put("wrong.json", r#"{"type": "strin"}"#);
    desk.run_command(&["schemas", "put", "wrong", "wrong.json"])
        .await
        .expect(2)
        .says(&["/type", "did you mean \"string\"?"]);
    let nobody = Nobody::new();
    let nobody = nobody.url();
    desk.run_command(&[
        "schemas",
        "list",
        "--server",
        nobody.trim_end_matches("/v1"),
    ])
    .await
    .expect(2)
    .says(&["cannot connect", "extractd serve"]);
    desk.run_command(&["jobs", "list", "--max-concurrency", "3"])
        .await
        .expect(2)
        .says(&["--max-concurrency configures a server"]);
}
