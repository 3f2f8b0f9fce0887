//! Guards against requests of other origins: the `Host` header and CORS.

use http::Method;

use super::running;
use crate::support::client::{Answer, Client};
use crate::support::fixture::single;
use crate::support::server::Server;
use crate::upstream::Upstream;

const LOOPBACK: [&str; 5] = [
    "localhost",
    "localhost:8080",
    "127.0.0.1",
    "[::1]:8080",
    "127.0.0.1:1",
];

/// Checks that a request with this `Host` is answered.
async fn check_accepted(server: &Server, host: &str) {
    let answer = server.with_header("host", host).get("/v1/models").await;
    assert_eq!(answer.status, 200, "{host}");
}

#[tokio::test]
async fn only_loopback_host_names_are_accepted() {
    let (upstream, server) = running().await;
    for host in LOOPBACK {
        check_accepted(&server, host).await;
    }
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "localhost@evil.example",
    ] {
        let stranger = server.with_header("host", host);
        stranger.get("/v1/models").await.problem(403, "forbidden");
        stranger
            .extract(&single("Ada"))
            .await
            .problem(403, "forbidden");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_configured_host_name_is_accepted() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_HOSTS", "extract.example,other.example")
        .start()
        .await;
    for host in [
        "extract.example",
        "other.example:8080",
        "EXTRACT.example",
        "localhost",
    ] {
        check_accepted(&server, host).await;
    }
    server
        .with_header("host", "evil.example")
        .get("/v1/models")
        .await
        .problem(403, "forbidden");
}

async fn preflight(client: &Client, origin: &str) -> Answer {
    let request = client
        .request(Method::OPTIONS, "/v1/extract")
        .header("origin", origin);
    request
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .answer()
        .await
}

#[tokio::test]
async fn cors_is_off_unless_origins_are_configured() {
    let (_upstream, server) = running().await;
    assert_eq!(
        preflight(&server, "https://app.example")
            .await
            .header("access-control-allow-origin"),
        ""
    );
    let answer = server
        .with_header("origin", "https://app.example")
        .get("/v1/models")
        .await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn configured_origins_are_allowed_and_no_others() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_CORS_ORIGINS", "https://app.example")
        .start()
        .await;
    let allowed = preflight(&server, "https://app.example").await;
    assert!(allowed.status.is_success(), "{}", allowed.status);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://app.example"
    );
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("POST"),
        "{:?}",
        allowed.headers
    );
    assert_ne!(
        preflight(&server, "https://evil.example")
            .await
            .header("access-control-allow-origin"),
        "https://evil.example"
    );
    let answer = server
        .with_header("origin", "https://app.example")
        .get("/v1/models")
        .await;
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example"
    );
}
