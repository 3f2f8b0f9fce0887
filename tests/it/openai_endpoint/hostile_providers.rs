//! Providers whose completions are passed through, and report an absurd usage or repeat what they were sent.

use http::Method;

use super::*;

fn streamed(body: Value) -> Value {
    with(body, json!({"stream": true}))
}

/// Returns a completion, or a stream of chunks, with these texts and this usage.
fn completes(is_streamed: bool, texts: &[&str], usage: &Value) -> Reply {
    if !is_streamed {
        let message = json!({"role": "assistant", "content": texts.concat()});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        let body = json!({"object": "chat.completion", "choices": [choice], "usage": usage});
        return Reply::Status(200, vec![], body.to_string());
    }
    let chunk = |delta: Value, finish: Value| json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let mut chunks: Vec<_> = texts
        .iter()
        .map(|text| chunk(json!({"content": text}), Value::Null))
        .collect();
    chunks.push(chunk(json!({}), json!("stop")));
    chunks.push(json!({"object": "chat.completion.chunk", "choices": [], "usage": usage}));
    let mut events = String::new();
    for chunk in chunks {
        events.push_str(&format!("data: {chunk}\n\n"));
    }
    let headers = vec![("content-type".to_owned(), "text/event-stream".to_owned())];
    Reply::Status(200, headers, events + "data: [DONE]\n\n")
}

/// A token costs a millionth of a dollar: estimates are far below the budget.
#[tokio::test]
async fn a_usage_that_no_call_can_have_does_not_take_a_budget() {
    let usage = json!({"prompt_tokens": u64::MAX, "completion_tokens": 1, "total_tokens": 1});
    let upstream =
        Upstream::start(move |call| completes(call.body()["stream"] == true, &["Hello"], &usage));
    let price = "input_usd_per_million_tokens = 1.0\noutput_usd_per_million_tokens = 1.0";
    let config = "model = \"main\"\n".to_owned()
        + &provider("first", &upstream.url(), "")
        + &model("main", "first", price)
        + "[callers.poor]\nkey = \"key-poor\"\nbudget_usd_per_day = 10.0\n";
    let server = Server::configured(&config).start().await;
    let poor = server.with_key("key-poor");
    let body = with(chat("Hi"), json!({"model": "main"}));
    for _ in 0..3 {
        let answer = poor.post(PATH, &body).await.ok();
        assert_eq!(answer["choices"][0]["message"]["content"], "Hello");
        let body = streamed(body.clone());
        let response = poor.open(PATH, "text/event-stream", &body).await;
        let stream = response.expect(200).whole().await;
        assert!(stream.text().ends_with("data: [DONE]\n\n"));
    }
    assert_eq!(upstream.calls(), 6);
}

#[tokio::test]
async fn secrets_that_a_completion_repeats_are_masked() {
    const KEY: &str = "sk-key-a-0123456789-very-secret";
    const TOKEN: &str = "gateway-token-9876543210";
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    let upstream = Upstream::start(move |call| {
        let is_streamed = call.body()["stream"] == true;
        let prompt = call.body()["messages"][0]["content"].clone();
        match prompt.as_str() {
            Some("whole") => completes(is_streamed, &["it is ", KEY, TOKEN], &usage),
            Some("key") => completes(is_streamed, &["it is ", &KEY[..20], &KEY[20..]], &usage),
            _ => completes(is_streamed, &["it is ", "gate", &TOKEN[4..]], &usage),
        }
    });
    let more = format!(
        "api_keys = [{KEY:?}]\nheaders = {{ x-gateway = \"Bearer {TOKEN}\", x-site = \"it is fine so\" }}"
    );
    let server = Server::configured(&one_provider(&upstream.url(), &more));
    let server = server.start().await;
    for prompt in ["whole", "key", "token"] {
        let body = with(chat(prompt), json!({"model": "main"}));
        let whole = server.post(PATH, &body).await.ok();
        let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(text.starts_with("it is ****"), "{text}");
        let sent = server
            .request(Method::POST, PATH)
            .header("accept", "text/event-stream")
            .json(&streamed(body));
        let stream = sent.send().await.whole().await;
        assert!(stream.text().contains("it is "), "{}", stream.text());
        // Nothing that has begun is taken back: a stream that spreads a secret over chunks ends with an error.
        let is_masked = stream.text().contains("****");
        assert_eq!(is_masked, prompt == "whole", "{}", stream.text());
        assert_eq!(is_masked, stream.text().contains("[DONE]"));
        for part in [&KEY[..12], &KEY[20..], &TOKEN[..12], &TOKEN[12..]] {
            assert!(!text.contains(part), "{text}");
            assert!(!stream.text().contains(part), "{}", stream.text());
        }
    }
}
