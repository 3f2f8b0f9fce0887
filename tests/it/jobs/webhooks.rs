//! Telling of a job's end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use hmac::{KeyInit as _, Mac as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{ended, made};
use crate::support::client::eventually;
use crate::support::fixture::{batch, with};
use crate::support::server::Server;
use crate::upstream::Upstream;

const SECRET: &str = "whsec_dGhpcyBpcyBubyByZWFsIHNlY3JldCEh";

/// Listens, answers each request with the next status, and keeps what came.
struct Receiver {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    async fn start(status: &'static str) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut got = Vec::new();
                while !is_whole(&got) && socket.read_buf(&mut got).await.is_ok_and(|read| read > 0)
                {
                }
                kept.lock().unwrap().push(String::from_utf8(got).unwrap());
                let _ = socket
                    .write_all(
                        format!(
                            "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        )
                        .as_bytes(),
                    )
                    .await;
            }
        });
        Self { url, seen }
    }

    async fn first_delivery(&self) -> String {
        eventually(Duration::from_secs(30), "the webhook is told", async || {
            self.seen.lock().unwrap().first().cloned()
        })
        .await
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    header(head, "content-length").is_some_and(|length| body.len() >= length.parse().unwrap())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| {
            line.split_once(": ")
                .filter(|(given, _)| given.eq_ignore_ascii_case(name))
        })
        .map(|(_, value)| value)
}

#[tokio::test]
async fn a_webhook_is_delivered_and_signed() {
    let upstream = Upstream::playing();
    let receiver = Receiver::start("204 No Content").await;
    let server = Server::asking(&upstream)
        .config("[jobs]\nallow_private_webhooks = true\n")
        .start()
        .await;
    let job = made(
        &server,
        &with(
            batch(3),
            json!({"webhook": {"url": receiver.url, "secret": SECRET}, "metadata": {"k": "v"}}),
        ),
    )
    .await;
    let told = receiver.first_delivery().await;
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    let said: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (
            &said["type"],
            &said["data"]["id"],
            &said["data"]["succeeded"]
        ),
        (&json!("job.completed"), &job["id"], &json!(3))
    );
    assert_eq!(said["data"]["metadata"], json!({"k": "v"}));
    let (id, at) = (
        header(head, "webhook-id").unwrap(),
        header(head, "webhook-timestamp").unwrap(),
    );
    let key = base64::engine::general_purpose::STANDARD
        .decode(&SECRET[6..])
        .unwrap();
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    let expected = format!(
        "v1,{}",
        base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
    );
    assert_eq!(header(head, "webhook-signature"), Some(expected.as_str()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.seen.lock().unwrap().len(), 1, "once is enough");
}

#[tokio::test]
async fn a_webhook_to_a_private_address_is_never_called() {
    let upstream = Upstream::playing();
    let receiver = Receiver::start("200 OK").await;
    let server = Server::with(&upstream).await;
    let hook = json!({"webhook": {"url": receiver.url, "secret": SECRET}});
    let refused = server.post("/v1/jobs", &with(batch(1), hook)).await;
    assert_eq!(
        (
            refused.status.as_u16(),
            refused.json()["errors"][0]["pointer"].clone()
        ),
        (422, json!("/webhook/url"))
    );
    // So is a name whose addresses are private.
    let port = receiver.url.rsplit(':').next().unwrap();
    let named = json!({"webhook": {"url": format!("http://localhost:{port}"), "secret": SECRET}});
    let refused = server.post("/v1/jobs", &with(batch(1), named)).await;
    assert_eq!(refused.status.as_u16(), 422);
    let problem = refused.json();
    assert_eq!(problem["errors"][0]["pointer"], "/webhook/url");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("localhost is not on the public Internet"),
        "{detail}"
    );
    let jobs = server.get("/v1/jobs").await.ok();
    assert_eq!(jobs["data"], json!([]), "no job was created");
    assert!(receiver.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_job_shows_its_deliveries() {
    let upstream = Upstream::playing();
    let config = "[jobs]\nallow_private_webhooks = true\n";
    let server = Server::asking(&upstream).config(config).start().await;
    let shown = async |status: &'static str, expected: &str| {
        let receiver = Receiver::start(status).await;
        let hook = json!({"webhook": {"url": receiver.url, "secret": SECRET}});
        let job = made(&server, &with(batch(1), hook)).await;
        let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
        eventually(
            Duration::from_secs(30),
            "the attempt is shown",
            async || {
                let job = server.get(&path).await.ok();
                let webhook = &job["webhook"];
                (webhook["attempts"] == 1 && webhook["status"] == expected).then(|| webhook.clone())
            },
        )
        .await
    };
    let delivered = shown("204 No Content", "delivered").await;
    assert_eq!(delivered["last_status"], 204);
    assert!(delivered["last_error"].is_null() && delivered["next_attempt_at"].is_null());
    let pending = shown("500 Internal Server Error", "pending").await;
    assert_eq!(pending["last_status"], 500);
    assert_eq!(
        pending["last_error"],
        "the receiver answered 500 Internal Server Error"
    );
    assert!(pending["next_attempt_at"].as_str() > pending["last_attempt_at"].as_str());
    let gone = shown("410 Gone", "given_up").await;
    assert_eq!(gone["last_status"], 410);
    assert!(gone["next_attempt_at"].is_null(), "{gone}");
    let without = made(&server, &batch(1)).await;
    let without = ended(&server, &without).await;
    assert!(without.get("webhook").is_none(), "{without}");
}

/// Accepts connections and never answers. The number of those that are open.
async fn tar_pit() -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let held = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&held);
    tokio::spawn(async move {
        let mut sockets = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            sockets.push(socket);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, held)
}

#[tokio::test]
async fn deliveries_of_one_caller_that_hang_do_not_delay_those_of_another() {
    const HANGING: usize = 300;
    let upstream = Upstream::playing();
    let (url, held) = tar_pit().await;
    let receiver = Receiver::start("204 No Content").await;
    let config = "[jobs]\nallow_private_webhooks = true\n[callers.eve]\nkey = \"key-of-eve\"\n[callers.bob]\nkey = \"key-of-bob\"\n";
    let server = Server::asking(&upstream).config(config).start().await;
    let (eve, bob) = (server.with_key("key-of-eve"), server.with_key("key-of-bob"));
    let hook = |url: &str| json!({"webhook": {"url": url, "secret": SECRET}});
    for _ in 0..HANGING {
        made(&eve, &with(batch(0), hook(&url))).await;
    }
    eventually(Duration::from_secs(30), "deliveries hang", async || {
        (held.load(std::sync::atomic::Ordering::SeqCst) >= 30).then_some(())
    })
    .await;
    let job = made(&bob, &with(batch(1), hook(&receiver.url))).await;
    ended(&bob, &job).await;
    let begun = tokio::time::Instant::now();
    receiver.first_delivery().await;
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    // The caller that hangs has a share, and no more.
    let hanging = held.load(std::sync::atomic::Ordering::SeqCst);
    assert!(hanging <= 32, "{hanging}");
}
