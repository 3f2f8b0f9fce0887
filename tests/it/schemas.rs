//! `/v1/schemas`: schemas by name (contract, section 4).

use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, check_pointer};
use crate::support::fixture::{self, schema};
use crate::support::server::Server;
use crate::upstream::Upstream;

async fn put(client: &Client, name: &str, schema: &Value) -> Answer {
    client
        .request(Method::PUT, &format!("/v1/schemas/{name}"))
        .json(schema)
        .answer()
        .await
}

async fn delete(client: &Client, name: &str) -> Answer {
    client
        .request(Method::DELETE, &format!("/v1/schemas/{name}"))
        .answer()
        .await
}

async fn extract_with(client: &Client, name: &str) -> Answer {
    client
        .extract(&json!({"input": fixture::person(1), "schema": name}))
        .await
}

#[tokio::test]
async fn a_registered_schema_is_used_by_its_name() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    assert_eq!(put(&server, "person", &schema()).await.status, 201, "new");
    assert_eq!(
        put(&server, "person", &schema()).await.status,
        200,
        "replaced"
    );
    assert_eq!(
        server.get("/v1/schemas/person").await.ok(),
        schema(),
        "the bare schema"
    );
    assert_eq!(
        extract_with(&server, "person").await.ok()["data"],
        fixture::found(1)
    );
    let body = json!({"inputs": [fixture::person(2)], "schema": "person"});
    assert_eq!(
        server.batch(&body).await.ok()["results"][0]["data"],
        fixture::found(2)
    );
}

#[tokio::test]
async fn the_bare_schema_comes_back_as_it_was_sent() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let text = r#"{"zeta": 1, "type": "object", "$comment": "order and unknown words stay", "alpha": [1.0, 10000000000000001]}"#;
    let request = server
        .request(Method::PUT, "/v1/schemas/odd")
        .header("content-type", "application/json")
        .bytes(text);
    assert_eq!(request.answer().await.status, 201);
    let back = server.get("/v1/schemas/odd").await;
    assert_eq!(back.ok(), serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(
        back.json().as_object().unwrap().keys().collect::<Vec<_>>(),
        ["zeta", "type", "$comment", "alpha"]
    );
}

#[tokio::test]
async fn the_list_shows_name_hash_time_and_source() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    assert_eq!(server.get("/v1/schemas").await.ok()["data"], json!([]));
    put(&server, "b", &schema()).await;
    put(&server, "a", &json!({"type": "string"})).await;
    put(&server, "c", &schema()).await;
    let list = server.get("/v1/schemas").await.ok();
    assert_eq!(
        (&list["has_more"], &list["next"]),
        (&json!(false), &Value::Null),
        "{list}"
    );
    let rows = list["data"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let fields: Vec<_> = row
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(fields, ["name", "hash", "updated_at", "source"]);
        let time = row["updated_at"].as_str().unwrap();
        assert!(
            time.starts_with("20") && time.contains('T') && time.ends_with('Z'),
            "RFC 3339 in UTC: {time}"
        );
    }
    let hash = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["hash"].clone();
    assert_eq!(hash("b"), hash("c"), "the same schema has the same hash");
    assert_ne!(hash("a"), hash("b"));
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for number in 0..5 {
        put(&server, &format!("s{number}"), &json!({"minimum": number})).await;
    }
    let (mut names, mut path, mut pages) = (Vec::new(), "/v1/schemas?limit=2".to_owned(), 0);
    loop {
        let page = server.get(&path).await.ok();
        names.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row["name"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        assert!(pages <= 3, "{page}");
        match page["next"].as_str() {
            Some(cursor) => {
                path = format!("/v1/schemas?limit=2&after={}", fixture::encoded(cursor))
            }
            None => break,
        }
    }
    names.sort();
    assert_eq!(names, ["s0", "s1", "s2", "s3", "s4"]);
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn a_deleted_schema_is_gone() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    put(&server, "person", &schema()).await;
    let deleted = delete(&server, "person").await;
    assert_eq!((deleted.status.as_u16(), deleted.text()), (204, ""));
    server
        .get("/v1/schemas/person")
        .await
        .problem(404, "not_found");
    delete(&server, "person").await.problem(404, "not_found");
    check_pointer(
        &extract_with(&server, "person")
            .await
            .problem(422, "invalid_request"),
        "/schema",
    );
}

#[tokio::test]
async fn a_replaced_schema_applies_from_the_next_request() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    put(&server, "thing", &json!({"type": "integer", "minimum": 5})).await;
    assert_eq!(extract_with(&server, "thing").await.ok()["data"], 5);
    put(&server, "thing", &json!({"type": "integer", "minimum": 6})).await;
    assert_eq!(extract_with(&server, "thing").await.ok()["data"], 6);
}

#[tokio::test]
async fn a_registered_schema_survives_a_restart() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    put(&server, "person", &schema()).await;
    put(&server, "gone", &schema()).await;
    delete(&server, "gone").await;
    let server = server.restart().await;
    assert_eq!(server.get("/v1/schemas/person").await.ok(), schema());
    server
        .get("/v1/schemas/gone")
        .await
        .problem(404, "not_found");
    assert_eq!(
        extract_with(&server, "person").await.ok()["data"],
        fixture::found(1)
    );
}

#[tokio::test]
async fn schemas_of_the_folder_are_there_from_the_start_and_stay_as_they_are() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream);
    let folder = server.folder().join("schemas");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("person.json"), schema().to_string()).unwrap();
    std::fs::write(folder.join("notes.txt"), "no schema").unwrap();
    let server = server
        .env("EXTRACTD_SCHEMAS_DIR", folder.display())
        .start()
        .await;
    assert_eq!(server.get("/v1/schemas/person").await.ok(), schema());
    assert_eq!(
        extract_with(&server, "person").await.ok()["data"],
        fixture::found(1)
    );
    put(&server, "person", &schema())
        .await
        .problem(409, "conflict");
    delete(&server, "person").await.problem(409, "conflict");
    put(&server, "own", &schema()).await;
    let list = server.get("/v1/schemas").await.ok();
    let rows = list["data"].as_array().unwrap();
    let source =
        |name: &str| rows.iter().find(|row| row["name"] == name).unwrap()["source"].clone();
    assert_eq!(rows.len(), 2);
    assert_ne!(
        source("person"),
        source("own"),
        "the list says where each comes from"
    );
}

#[tokio::test]
async fn a_broken_schema_in_the_folder_stops_the_start_and_is_named() {
    let builder = Server::bare();
    std::fs::write(
        builder.folder().join("broken.json"),
        "{\"type\": \"objekt\"}",
    )
    .unwrap();
    let mut command = crate::support::server::binary();
    command
        .arg("serve")
        .env("EXTRACTD_LISTEN", "127.0.0.1:0")
        .env("EXTRACTD_DATA_DIR", builder.folder().join("data"));
    command
        .env("EXTRACTD_SCHEMAS_DIR", builder.folder())
        .env("OPENAI_API_KEY", "sk-test")
        .env("EXTRACTD_MODEL", "openai/test-model");
    let ended = crate::support::client::within(
        crate::support::client::LIMIT,
        "the start is refused",
        command.output(),
    )
    .await
    .unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("broken.json"), "{said}");
}

/// Files in the data folder that the service did not write must not keep it from starting.
#[tokio::test]
async fn a_file_of_the_data_folder_that_is_no_schema_is_skipped_and_logged() {
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream);
    let folder = builder.folder().join("data/schemas");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in [
        ("person.json", schema().to_string().into_bytes()),
        ("Old Person.json", b"{}".to_vec()),
        ("latin1.json", b"{\"title\": \"\xe9\"}".to_vec()),
    ] {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let server = builder.start().await;
    let list = server.get("/v1/schemas").await.ok();
    let rows = list["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{list}");
    assert_eq!(
        extract_with(&server, "person").await.ok()["data"],
        fixture::found(1)
    );
    let output = server.output();
    for skipped in ["Old Person.json", "latin1.json"] {
        assert!(output.contains(skipped), "{output}");
    }
}

/// A device without a battery, or a copy, gives files such times.
#[tokio::test]
async fn a_file_from_before_1970_is_listed() {
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream);
    let folder = builder.folder().join("data/schemas");
    let versions = folder.join("versions/old");
    std::fs::create_dir_all(&versions).unwrap();
    let hash = "0".repeat(64);
    for path in [
        folder.join("old.json"),
        versions.join(format!("{hash}.json")),
    ] {
        std::fs::write(&path, "{}").unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        let time = std::time::UNIX_EPOCH - std::time::Duration::from_secs(86_400);
        file.set_modified(time).unwrap();
    }
    let server = builder.start().await;
    let epoch = "1970-01-01T00:00:00.000Z";
    let list = server.get("/v1/schemas").await.ok();
    assert_eq!(list["data"][0]["updated_at"], epoch, "{list}");
    let list = server.get("/v1/schemas/old/versions").await.ok();
    assert_eq!(list["data"][1]["stored_at"], epoch, "{list}");
}

#[tokio::test]
async fn the_data_folder_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream);
    let data = builder.folder().join("data");
    let server = builder.start().await;
    put(&server, "person", &schema()).await;
    let mode = std::fs::metadata(&data)
        .expect("it has been made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[tokio::test]
async fn a_replaced_schema_is_kept_as_a_version() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let version = |n: u32| json!({"type": "integer", "minimum": n});
    for n in [1, 2, 2, 3] {
        put(&server, "thing", &version(n)).await;
    }
    let server = server.restart().await;
    let list = server.get("/v1/schemas/thing/versions").await.ok();
    let rows = list["data"].as_array().unwrap().clone();
    assert_eq!(
        rows.len(),
        3,
        "storing the same again is no version: {list}"
    );
    let current: Vec<_> = rows.iter().map(|row| row["is_current"].clone()).collect();
    assert_eq!(current, [true, false, false]);
    for (row, n) in rows.iter().zip([3, 2, 1]) {
        let path = format!(
            "/v1/schemas/thing?version={}",
            row["hash"].as_str().unwrap()
        );
        assert_eq!(server.get(&path).await.ok(), version(n));
        assert!(row["stored_at"].as_str().unwrap().ends_with('Z'));
    }
    // An earlier version that is stored again is the current one, and no longer an earlier one.
    put(&server, "thing", &version(1)).await;
    let list = server.get("/v1/schemas/thing/versions").await.ok();
    let hashes = |list: &Value| -> Vec<Value> {
        let rows = list["data"].as_array().unwrap();
        rows.iter().map(|row| row["hash"].clone()).collect()
    };
    let [third, second, first] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(
        hashes(&list),
        [first, third, second].map(|row| row["hash"].clone())
    );
    let long = "a".repeat(2_000);
    for hash in ["0000", "..%2F..%2Fextractd", "", "%2Fetc%2Fpasswd", &long] {
        let path = format!("/v1/schemas/thing?version={hash}");
        server.get(&path).await.problem(404, "not_found");
    }
    server
        .get("/v1/schemas/other/versions")
        .await
        .problem(404, "not_found");
    delete(&server, "thing").await;
    put(&server, "thing", &version(9)).await;
    let list = server.get("/v1/schemas/thing/versions").await.ok();
    assert_eq!(
        list["data"].as_array().unwrap().len(),
        1,
        "deleted with the schema"
    );
}

#[tokio::test]
async fn the_oldest_versions_are_removed() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    for n in 0..24 {
        put(&server, "many", &json!({"minimum": n})).await;
    }
    let list = server.get("/v1/schemas/many/versions").await.ok();
    assert_eq!(
        list["data"].as_array().unwrap().len(),
        21,
        "20 and the current one"
    );
    let comment = |n: u32| json!({"$comment": "x".repeat(100_000), "minimum": n});
    for n in 0..4 {
        put(&server, "large", &comment(n)).await;
    }
    let list = server.get("/v1/schemas/large/versions").await.ok();
    let rows = list["data"].as_array().unwrap();
    assert_eq!(rows.len(), 3, "256 KiB of earlier versions");
    let path = format!(
        "/v1/schemas/large?version={}",
        rows[2]["hash"].as_str().unwrap()
    );
    assert_eq!(server.get(&path).await.ok(), comment(1));
    put(&server, "large", &json!({"$comment": "x".repeat(300_000)})).await;
    put(&server, "large", &comment(4)).await;
    let list = server.get("/v1/schemas/large/versions").await.ok();
    let rows = list["data"].as_array().unwrap();
    assert_eq!(
        rows.len(),
        3,
        "a version that is too large removes no other"
    );
}
