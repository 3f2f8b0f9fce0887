//! Fields of a provider's request that the service does not know: of the model's configuration and of the spec.

use serde_json::{Value, json};

use crate::support::client::check_pointer;
use crate::support::fixture::{batch, model, person, provider, single, with};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

fn configured(url: &str) -> String {
    let extra = "[models.main.extra_body]\nreasoning_effort = \"low\"\ntop_p = 0.9\nchat_template_kwargs = { enable_thinking = false }";
    "model = \"main\"\n".to_owned() + &provider("first", url, "") + &model("main", "first", extra)
}

fn ask(extra: Value) -> Value {
    with(single(person(1)), json!({"extra_body": extra}))
}

#[tokio::test]
async fn fields_of_the_model_and_of_the_spec_are_merged_into_each_call() {
    let upstream = Upstream::playing();
    let server = Server::configured(&configured(&upstream.url()))
        .start()
        .await;
    let extra =
        json!({"top_p": 0.5, "chat_template_kwargs": {"budget": 7}, "provider": {"order": ["a"]}});
    server.extract(&ask(extra.clone())).await.ok();
    let reply = server
        .batch(&with(batch(20), json!({"extra_body": extra})))
        .await;
    assert_eq!(reply.ok()["summary"]["succeeded"], 20);
    server.extract(&single(person(1))).await.ok();
    let log = upstream.log();
    let (last, others) = log.calls.split_last().unwrap();
    for call in others {
        let body = call.body();
        assert_eq!(body["reasoning_effort"], "low", "{body}");
        assert_eq!(body["top_p"], 0.5, "{body}");
        let template = json!({"enable_thinking": false, "budget": 7});
        assert_eq!(body["chat_template_kwargs"], template, "{body}");
        assert_eq!(body["provider"]["order"][0], "a", "{body}");
        assert_eq!(body["model"], "main-1", "{body}");
    }
    assert_eq!(last.body()["top_p"], 0.9);
    assert!(last.body().get("provider").is_none());
}

#[tokio::test]
async fn the_fields_are_part_of_the_cache_key() {
    let upstream = Upstream::playing();
    let config = configured(&upstream.url()) + "[cache]\nmax_bytes = 1000000\n";
    let server = Server::configured(&config).start().await;
    for (extra, calls) in [
        (json!({"top_p": 0.5}), 1),
        (json!({"top_p": 0.5}), 1),
        (json!({"top_p": 0.6}), 2),
        (json!({}), 3),
    ] {
        server.extract(&ask(extra.clone())).await.ok();
        assert_eq!(upstream.calls(), calls, "{extra}");
    }
}

#[tokio::test]
async fn a_field_that_the_service_sets_is_refused_with_its_pointer() {
    let upstream = Upstream::playing();
    let server = Server::configured(&configured(&upstream.url()))
        .start()
        .await;
    for field in [
        "model",
        "messages",
        "temperature",
        "max_tokens",
        "response_format",
        "stream",
    ] {
        let problem = server
            .extract(&ask(json!({"top_p": 1, field: 1})))
            .await
            .problem(422, "invalid_request");
        check_pointer(&problem, &format!("/extra_body/{field}"));
    }
    for wrong in [json!([1]), json!("x")] {
        let problem = server
            .extract(&ask(wrong))
            .await
            .problem(422, "invalid_request");
        check_pointer(&problem, "/extra_body");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_fallback_gets_its_own_fields_only() {
    let (first, second) = (
        Upstream::start(|_| Reply::error(400, "not this")),
        Upstream::playing(),
    );
    let config = "model = \"main\"\n".to_owned()
        + &provider("first", &first.url(), "")
        + &provider("second", &second.url(), "")
        + &model("main", "first", "fallback = [\"spare\"]")
        + &model("spare", "second", "[models.spare.extra_body]\ntop_k = 3");
    let server = Server::configured(&config).start().await;
    server.extract(&ask(json!({"top_p": 0.5}))).await.ok();
    let body = second.log().calls[0].body();
    assert_eq!((&body["top_k"], &body["top_p"]), (&json!(3), &Value::Null));
}

#[tokio::test]
async fn the_examples_of_reasoning_controls_in_the_documents_are_accepted() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/providers.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("### Reasoning controls").unwrap();
    let (_, block) = section.split_once("```toml\n").unwrap();
    let (example, _) = block.split_once("```").unwrap();
    let server = Server::configured(example).start().await;
    let models = server.get("/v1/models").await.text().to_owned();
    for name in ["gpt", "claude", "gemini", "qwen", "qwen-vllm", "router"] {
        assert!(models.contains(&format!("\"{name}\"")), "{name}: {models}");
    }
}
