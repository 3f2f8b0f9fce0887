//! Keys: who may call, and what is open to all (contract, sections 6 and 7).

use http::Method;

use crate::support::client::Client;
use crate::support::fixture::{self, single};
use crate::support::server::{Server, binary};
use crate::upstream::Upstream;

async fn guarded(upstream: &Upstream) -> Server {
    Server::asking(upstream)
        .env("EXTRACTD_API_KEYS", "key-a, key-b")
        .start()
        .await
}

fn bearer(client: &Client, key: &str) -> Client {
    client.with_header("authorization", &format!("Bearer {key}"))
}

#[tokio::test]
async fn each_configured_key_is_accepted() {
    let upstream = Upstream::playing();
    let server = guarded(&upstream).await;
    for key in ["key-a", "key-b"] {
        assert_eq!(
            bearer(&server, key)
                .extract(&single(fixture::person(1)))
                .await
                .ok()["data"],
            fixture::found(1),
            "{key}"
        );
    }
    assert_eq!(
        server
            .with_header("authorization", "bearer key-a")
            .get("/v1/models")
            .await
            .status,
        200,
        "the scheme has no case"
    );
}

#[tokio::test]
async fn no_key_or_a_wrong_one_is_unauthorized_everywhere() {
    let upstream = Upstream::playing();
    let server = guarded(&upstream).await;
    let mut clients = vec![server.clone()];
    clients.extend(
        [
            "",
            "key-c",
            "key-",
            "key-aa",
            "KEY-A",
            "key-a key-b",
            "key-a,key-b",
        ]
        .map(|key| bearer(&server, key)),
    );
    clients.push(server.with_header("authorization", "Basic a2V5LWE="));
    clients.push(server.with_header("authorization", "key-a"));
    for client in clients {
        for path in ["/v1/models", "/v1/limits", "/v1/schemas", "/metrics"] {
            let answer = client.get(path).await;
            answer.problem(401, "unauthorized");
            assert!(
                answer.header("www-authenticate").starts_with("Bearer"),
                "{path}: {:?}",
                answer.headers
            );
        }
        client
            .extract(&single("Ada"))
            .await
            .problem(401, "unauthorized");
        client
            .batch(&fixture::batch(1))
            .await
            .problem(401, "unauthorized");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn the_key_is_checked_before_anything_else() {
    let upstream = Upstream::playing();
    let server = guarded(&upstream).await;
    server.get("/v1/nothing").await.problem(401, "unauthorized");
    server.get("/v1/extract").await.problem(401, "unauthorized");
    let broken = server
        .request(Method::POST, "/v1/extract")
        .header("content-type", "text/plain")
        .bytes("{");
    broken.answer().await.problem(401, "unauthorized");
}

#[tokio::test]
async fn health_version_and_the_reference_are_open() {
    let upstream = Upstream::playing();
    let server = guarded(&upstream).await;
    for path in ["/healthz", "/readyz", "/version", "/openapi.json"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    let docs = server.get("/docs").await.status;
    assert!(docs.is_success() || docs.is_redirection(), "{docs}");
}

#[tokio::test]
async fn a_refusal_never_repeats_the_key() {
    let upstream = Upstream::playing();
    let server = guarded(&upstream).await;
    let answer = bearer(&server, "almost-a-key-4711").get("/v1/models").await;
    answer.problem(401, "unauthorized");
    assert!(
        !answer.text().contains("almost-a-key-4711"),
        "{}",
        answer.text()
    );
    assert!(!server.output().contains("almost-a-key-4711"));
}

#[tokio::test]
async fn the_callers_key_is_not_sent_to_the_provider() {
    let upstream = Upstream::playing();
    let server = guarded(&upstream).await;
    bearer(&server, "key-a").extract(&single("Ada")).await.ok();
    assert_eq!(
        upstream.log().calls[0].header("authorization"),
        Some("Bearer sk-test")
    );
}

#[tokio::test]
async fn with_keys_any_host_name_is_accepted() {
    let upstream = Upstream::playing();
    let server = guarded(&upstream).await;
    let client = bearer(&server, "key-a").with_header("host", "extract.example");
    assert_eq!(client.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn without_keys_the_server_refuses_to_listen_beyond_the_loopback() {
    let folder = Server::bare();
    let mut command = binary();
    command
        .arg("serve")
        .current_dir(folder.folder())
        .env("EXTRACTD_LISTEN", "0.0.0.0:0")
        .env("EXTRACTD_DATA_DIR", folder.folder().join("data"));
    command
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
    assert!(
        said.contains("EXTRACTD_API_KEYS") && said.contains("EXTRACTD_ALLOW_ANONYMOUS"),
        "it says what to do: {said}"
    );
}

#[tokio::test]
async fn a_request_with_two_keys_is_rejected() {
    let upstream = Upstream::playing();
    let server = guarded(&upstream).await;
    for keys in [["key-a", "key-a"], ["key-a", "wrong"], ["wrong", "key-a"]] {
        let lines = keys
            .map(|key| format!("authorization: Bearer {key}\r\n"))
            .concat();
        let request = format!(
            "GET /v1/models HTTP/1.1\r\nhost: localhost\r\n{lines}connection: close\r\n\r\n"
        );
        let reply = server
            .raw(request.as_bytes(), std::time::Duration::from_secs(2))
            .await;
        assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
    }
}
