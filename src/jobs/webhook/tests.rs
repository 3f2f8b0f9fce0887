use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::net::Reach;

/// Test vector of the reference libraries: `libraries/javascript/src/webhook.test.ts`, "sign function works".
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const MESSAGE: Message<'_> = Message {
    id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    body: br#"{"test": 2432232314}"#,
};
const SECONDS: u64 = 1_614_265_330;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn webhook(url: &str) -> Webhook {
    serde_json::from_value(serde_json::json!({"url": url, "secret": SECRET})).unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(SECONDS * 1000 + 999)
}

#[test]
fn signature_matches_the_test_vector_of_the_specification() {
    let key = webhook("https://a.example/").key().to_vec();
    assert_eq!(signature(&key, MESSAGE, SECONDS), SIGNATURE);
    for (other, seconds) in [
        (
            Message {
                id: "msg_other",
                ..MESSAGE
            },
            SECONDS,
        ),
        (MESSAGE, SECONDS + 1),
        (
            Message {
                body: br#"{"test":2432232314}"#,
                ..MESSAGE
            },
            SECONDS,
        ),
    ] {
        assert_ne!(signature(&key, other, seconds), SIGNATURE);
    }
    assert_ne!(signature(&[7; 24], MESSAGE, SECONDS), SIGNATURE);
}

#[test]
fn delays_double_from_half_a_minute_to_half_an_hour_with_jitter() {
    let delays: Vec<_> = (1..=9)
        .map(|attempts| {
            retry_delay(attempts, None, 0.5)
                .unwrap()
                .as_secs_f64()
                .round()
        })
        .collect();
    assert_eq!(
        delays,
        [
            30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0, 1800.0
        ]
    );
    for attempts in 1..MAX_ATTEMPTS {
        let [least, middle, most] = [0.0, 0.5, 1.0]
            .map(|random| retry_delay(attempts, None, random).unwrap().as_secs_f64());
        assert!(
            (least - 0.8 * middle).abs() < 1e-6 && (most - 1.2 * middle).abs() < 1e-6,
            "{attempts}: {least} {most}"
        );
    }
}

#[test]
fn delivery_is_given_up_after_three_days() {
    let delays = || (1..).map_while(|attempts| retry_delay(attempts, None, 0.5));
    assert_eq!(delays().count(), 149);
    let hours = delays().sum::<Duration>().as_secs_f64() / 3600.0;
    assert!((71.5..72.5).contains(&hours), "{hours}");
    assert_eq!(
        retry_delay(u32::MAX, Some(Duration::from_secs(1)), 0.0),
        None
    );
}

#[test]
fn retry_after_is_a_minimum_capped_at_half_an_hour() {
    for (retry_after_s, delay_s) in [(0, 30), (29, 30), (31, 31), (600, 600), (86_400, 1800)] {
        let delay = retry_delay(1, Some(Duration::from_secs(retry_after_s)), 0.5).unwrap();
        assert!(
            (delay.as_secs_f64() - f64::from(delay_s)).abs() < 1e-6,
            "{retry_after_s}: {delay:?}"
        );
    }
}

/// Delivers to a server with this response. Returns the outcome, and the request that the server received.
async fn deliver_once(answer: &'static [u8]) -> (DeliveryOutcome, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = webhook(&format!(
        "http://{}/hook?a=b",
        listener.local_addr().unwrap()
    ));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(MESSAGE.body) {
            assert!(
                stream.read_buf(&mut request).await.unwrap() > 0,
                "the request ended early"
            );
        }
        stream.write_all(answer).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let client = Client::outbound(Reach::Anywhere).unwrap();
    let sent = send_webhook(&client, CallerId::default(), &webhook, MESSAGE, now());
    let (outcome, request) = tokio::join!(sent, server);
    let second_request = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
    assert!(second_request.is_err(), "one delivery is one request");
    (outcome, request)
}

#[tokio::test]
async fn request_has_id_timestamp_signature_and_body() {
    let (outcome, request) = deliver_once(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(outcome, DeliveryOutcome::Delivered(204));
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{head}");
    let header = |name: &str| {
        let mut values = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(line_name, _)| *line_name == name);
        let value = values
            .next()
            .unwrap_or_else(|| panic!("no {name}: {head}"))
            .1
            .to_owned();
        assert_eq!(values.next(), None, "{name} is sent once");
        value
    };
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(
        (header("webhook-id"), header("webhook-timestamp")),
        (MESSAGE.id.to_owned(), SECONDS.to_string())
    );
    assert_eq!(header("webhook-signature"), SIGNATURE);
    assert_eq!(body.as_bytes(), MESSAGE.body);
}

#[tokio::test]
async fn only_2xx_is_delivered_and_only_410_is_gone() {
    let failed = |reason: &str, seconds: Option<u64>| DeliveryOutcome::Failed {
        reason: format!("the receiver answered {reason}"),
        status: reason.get(..3).and_then(|code| code.parse().ok()),
        retry_after: seconds.map(Duration::from_secs),
    };
    let cases: [(&[u8], DeliveryOutcome); 9] = [
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            DeliveryOutcome::Delivered(200),
        ),
        (
            b"HTTP/1.1 299 Fine\r\ncontent-length: 0\r\n\r\n",
            DeliveryOutcome::Delivered(299),
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ncut off",
            DeliveryOutcome::Delivered(200),
        ),
        (
            b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n",
            DeliveryOutcome::Gone,
        ),
        (
            b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
            failed("302 Found", None),
        ),
        (
            b"HTTP/1.1 308 Permanent Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
            failed("308 Permanent Redirect", None),
        ),
        (
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            failed("404 Not Found", None),
        ),
        (
            b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n",
            failed("429 Too Many Requests", Some(90)),
        ),
        (
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            failed("500 Internal Server Error", None),
        ),
    ];
    for (answer, expected) in cases {
        assert_eq!(
            deliver_once(answer).await.0,
            expected,
            "{}",
            String::from_utf8_lossy(answer)
        );
    }
}

#[tokio::test]
async fn missing_response_fails_without_revealing_the_url() {
    for answer in [b"".as_slice(), b"no HTTP at all\r\n\r\n"] {
        let (
            DeliveryOutcome::Failed {
                reason,
                status: None,
                retry_after: None,
            },
            _,
        ) = deliver_once(answer).await
        else {
            panic!("{answer:?} is no valid response");
        };
        assert!(
            reason.contains("the connection broke") && !reason.contains("/hook"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn private_addresses_receive_no_request() {
    let client = Client::outbound(Reach::Public).unwrap();
    let start = Instant::now();
    let delivered = send_webhook(
        &client,
        CallerId::default(),
        &webhook("http://169.254.169.254/latest/meta-data"),
        MESSAGE,
        now(),
    )
    .await;
    let DeliveryOutcome::Failed { reason, .. } = delivered else {
        panic!("{delivered:?}")
    };
    assert!(
        reason.contains("169.254.169.254 is not on the public Internet"),
        "{reason}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "the address is rejected before connecting"
    );
}
