//! An extraction is the same whatever the provider speaks: each scenario over each wire format.

mod streamed;
mod wire_fixtures;

use serde_json::{Value, json};

use crate::support::fixture::{right, single, with, wrong};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};
use wire_fixtures::{KINDS, Kind, Place, Stop};

/// Returns the base URL of an upstream for this wire format.
fn base_url(upstream: &Upstream, kind: Kind) -> String {
    upstream.url().replace("/v1", kind.base_path())
}

/// Starts a server whose one model is `m` at this upstream.
async fn asking(upstream: &Upstream, kind: Kind) -> Server {
    let provider = format!(
        "[providers.p]\nkind = \"{}\"\nbase_url = \"{}\"\napi_key = \"sk-test\"\n",
        kind.name(),
        base_url(upstream, kind)
    );
    Server::configured(&format!("model = \"p/m\"\n{provider}"))
        .start()
        .await
}

fn says(body: &Value) -> Reply {
    Reply::Status(200, vec![], body.to_string())
}

fn refuses(kind: Kind, status: u16, words: &str) -> Reply {
    let (status, body) = kind.error(status, words);
    Reply::Status(status, vec![], body.to_string())
}

fn answers(kind: Kind, data: &Value) -> Reply {
    says(&kind.whole(&data.to_string(), Place::Content, Stop::End))
}

fn usage(kind: Kind, calls: u64) -> Value {
    let (input, cached, output) = wire_fixtures::TOKENS;
    let (input, cached, output) = (input * calls, cached * calls, output * calls);
    let usage =
        json!({"input_tokens": input, "output_tokens": output, "total_tokens": input + output});
    if kind.is_plain() {
        usage
    } else {
        with(usage, json!({"cached_input_tokens": cached}))
    }
}

#[tokio::test]
async fn an_answer_and_its_usage_come_by_the_providers_own_path_and_key() {
    for kind in KINDS {
        let upstream = Upstream::saying([answers(kind, &right())]);
        let server = asking(&upstream, kind).await;
        let reply = server.extract(&single("Ada")).await.ok();
        assert_eq!(
            (&reply["data"], &reply["model"]),
            (&right(), &json!("p/m")),
            "{kind:?}"
        );
        assert_eq!(reply["usage"], usage(kind, 1), "{kind:?}");
        let call = &upstream.log().calls[0];
        let (header, key) = kind.key();
        assert_eq!(
            (call.target.as_str(), call.header(header)),
            (kind.target(false), Some(key)),
            "{kind:?}"
        );
        assert_eq!(
            call.header("anthropic-version").is_some(),
            kind == Kind::Anthropic
        );
        assert!(call.body().to_string().contains("Ada"), "{kind:?}");
    }
}

#[tokio::test]
async fn a_tools_arguments_are_an_answer() {
    for kind in KINDS {
        let upstream = Upstream::saying([says(&kind.whole(
            &right().to_string(),
            Place::Tool,
            Stop::End,
        ))]);
        let server = asking(&upstream, kind).await;
        let reply = server
            .extract(&with(single("Ada"), json!({"mode": "tools"})))
            .await
            .ok();
        assert_eq!(reply["data"], right(), "{kind:?}");
        assert!(
            upstream.log().calls[0].body().get("tools").is_some(),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn an_invalid_answer_leads_to_a_validation_retry_with_its_errors() {
    for kind in KINDS {
        let upstream = Upstream::saying([answers(kind, &wrong()), answers(kind, &right())]);
        let server = asking(&upstream, kind).await;
        let reply = server.extract(&single("Ada")).await.ok();
        assert_eq!(
            (&reply["data"], &reply["attempts"]),
            (&right(), &json!(2)),
            "{kind:?}"
        );
        assert_eq!(reply["usage"], usage(kind, 2), "{kind:?}");
        assert!(
            upstream.log().calls[1].body().to_string().contains("/age"),
            "{kind:?}: the complaint"
        );
    }
}

#[tokio::test]
async fn a_refusal_and_a_truncation_are_distinguished() {
    for kind in KINDS {
        let cut = says(&kind.whole("{\"name\": \"Ada", Place::Content, Stop::Length));
        let upstream = Upstream::saying([cut]);
        let server = asking(&upstream, kind).await;
        let body = with(single("Ada"), json!({"max_output_tokens": 5}));
        server.extract(&body).await.problem(502, "output_truncated");
        if kind.is_plain() {
            continue;
        }
        let upstream = Upstream::saying([says(&kind.whole("", Place::Content, Stop::Refused))]);
        let server = asking(&upstream, kind).await;
        server
            .extract(&single("Ada"))
            .await
            .problem(502, "model_refused");
        assert_eq!(upstream.calls(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn an_error_body_is_mapped_to_its_code() {
    for kind in KINDS {
        let upstream = Upstream::start(move |_| refuses(kind, 401, "bad key sk-test"));
        let problem = asking(&upstream, kind)
            .await
            .extract(&single("Ada"))
            .await
            .problem(502, "upstream_unauthorized");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("bad key ****"), "{kind:?}: {detail}");
        let upstream = Upstream::start(move |_| refuses(kind, 404, "no such model"));
        let problem = asking(&upstream, kind)
            .await
            .extract(&single("Ada"))
            .await
            .problem(502, "upstream_error");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("no such model"),
            "{kind:?}: {problem}"
        );
        assert_eq!(
            (upstream.calls(), &problem["upstream_status"]),
            (1, &json!(404)),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_transient_error_is_retried() {
    for kind in KINDS {
        let cut = kind
            .whole(&right().to_string(), Place::Content, Stop::End)
            .to_string();
        let cut = format!(
            "HTTP/1.1 200 -\r\ncontent-type: application/json\r\n\r\n{}",
            &cut[..cut.len() / 2]
        );
        let upstream = Upstream::saying([
            refuses(kind, 503, "overloaded"),
            Reply::RawCut(cut.into_bytes()),
            answers(kind, &right()),
        ]);
        let reply = asking(&upstream, kind)
            .await
            .extract(&single("Ada"))
            .await
            .ok();
        assert_eq!(
            (&reply["data"], upstream.calls()),
            (&right(), 3),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_rejected_mode_is_replaced_by_the_next() {
    for kind in KINDS {
        let words = match kind {
            Kind::Anthropic => "output_config.format: Extra inputs are not permitted",
            Kind::Gemini => "JSON mode is not enabled for models/m",
            Kind::OpenAi | Kind::Responses | Kind::Ollama | Kind::Azure => {
                "response_format json_schema is not supported"
            }
        };
        let upstream = Upstream::start(move |call| match call.body().get("tools") {
            None => refuses(kind, 400, words),
            Some(_) => says(&kind.whole(&right().to_string(), Place::Tool, Stop::End)),
        });
        let server = asking(&upstream, kind).await;
        for _ in 0..2 {
            assert_eq!(
                server.extract(&single("Ada")).await.ok()["data"],
                right(),
                "{kind:?}"
            );
        }
        assert_eq!(upstream.calls(), 3, "{kind:?}: it is remembered");
    }
}

#[tokio::test]
async fn a_model_name_cannot_change_the_path() {
    for kind in KINDS {
        let upstream = Upstream::start(move |_| answers(kind, &right()));
        let server = asking(&upstream, kind).await;
        for model in [
            "../../admin",
            "..",
            "%2e%2e",
            "a/../../b?key=x#y",
            "m:delete",
        ] {
            let answer = server
                .extract(&with(
                    single(format!("Ada {model}")),
                    json!({"model": format!("p/{model}")}),
                ))
                .await;
            assert!(
                matches!(answer.status.as_u16(), 200 | 502),
                "{kind:?}: {}",
                answer.text()
            );
        }
        let path = |target: &str| {
            target
                .split('?')
                .next()
                .unwrap()
                .split('/')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let expected = path(kind.target(false));
        for call in upstream.log().calls {
            let found = path(&call.target);
            assert_eq!(found.len(), expected.len(), "{kind:?}: {}", call.target);
            for (found, expected) in found.iter().zip(&expected) {
                // The model's own segment is `m`, or `m:` and a method.
                let own = expected
                    .strip_prefix('m')
                    .filter(|rest| rest.is_empty() || rest.starts_with(':'));
                let fits = own.map_or(found == expected, |rest| {
                    found.ends_with(rest) && found != ".."
                });
                assert!(fits, "{kind:?}: {}", call.target);
            }
        }
    }
}
