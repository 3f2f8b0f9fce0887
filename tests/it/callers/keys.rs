//! API keys: where they are accepted, and the answer to a wrong one.

use super::*;

#[tokio::test]
async fn a_key_is_accepted_in_each_header() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream).env("KEY_OF_B", "key-b");
    std::fs::write(server.folder().join("key-of-c"), "key-c\n").unwrap();
    let config = format!(
        "[callers.a]\nkey = \"key-a\"\n[callers.b]\nkey_env = \"KEY_OF_B\"\n[callers.c]\nkey_file = \"key-of-c\"\n[callers.d]\nkey_sha256 = \"{}\"\n",
        sha256_hex("key-d")
    );
    let server = server.config(&config).start().await;
    for key in ["key-a", "key-b", "key-c", "key-d"] {
        assert_eq!(
            server
                .with_key(key)
                .extract(&single(fixture::person(1)))
                .await
                .ok()["data"],
            fixture::found(1),
            "{key}"
        );
    }
}

fn sha256_hex(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test]
async fn a_wrong_key_or_none_is_unauthorized() {
    let upstream = Upstream::playing();
    let (server, ..) = with_slow(&upstream, 4, "requests_per_minute = 60").await;
    for client in [
        (*server).clone(),
        server.with_key("key-slo"),
        server.with_key("slow"),
        server.with_key(""),
    ] {
        client
            .extract(&single("Ada"))
            .await
            .problem(401, "unauthorized");
        client.batch(&batch(2)).await.problem(401, "unauthorized");
    }
    assert_eq!(upstream.calls(), 0);
}
