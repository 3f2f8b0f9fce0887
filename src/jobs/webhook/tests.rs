use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::net::Reach;

/// The test vector that the specification's own libraries share, as in its `libraries/javascript/src/webhook.test.ts`
/// ("sign function works").
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
fn the_specifications_test_vector_is_met() {
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
fn waits_double_from_half_a_minute_to_half_an_hour() {
    let waits: Vec<_> = (1..=9)
        .map(|tries| next_try(tries, None, 0.5).unwrap().as_secs_f64().round())
        .collect();
    assert_eq!(
        waits,
        [
            30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0, 1800.0
        ]
    );
    for tries in 1..MAX_TRIES {
        let [least, middle, most] =
            [0.0, 0.5, 1.0].map(|random| next_try(tries, None, random).unwrap().as_secs_f64());
        assert!(
            (least - 0.8 * middle).abs() < 1e-6 && (most - 1.2 * middle).abs() < 1e-6,
            "{tries}: {least} {most}"
        );
    }
}

#[test]
fn it_is_given_up_after_three_days() {
    let waits = || (1..).map_while(|tries| next_try(tries, None, 0.5));
    assert_eq!(waits().count(), 149);
    let hours = waits().sum::<Duration>().as_secs_f64() / 3600.0;
    assert!((71.5..72.5).contains(&hours), "{hours}");
    assert_eq!(next_try(u32::MAX, Some(Duration::from_secs(1)), 0.0), None);
}

#[test]
fn what_the_receiver_asks_for_is_waited_for_within_half_an_hour() {
    for (asked_s, wait_s) in [(0, 30), (29, 30), (31, 31), (600, 600), (86_400, 1800)] {
        let wait = next_try(1, Some(Duration::from_secs(asked_s)), 0.5).unwrap();
        assert!(
            (wait.as_secs_f64() - f64::from(wait_s)).abs() < 1e-6,
            "{asked_s}: {wait:?}"
        );
    }
}

/// Delivers to a server that answers so, and tells what it was sent.
async fn delivered(answer: &'static [u8]) -> (DeliveryOutcome, String) {
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
    let (delivered, request) =
        tokio::join!(send_webhook(&client, &webhook, MESSAGE, now()), server);
    let again = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
    assert!(again.is_err(), "one delivery is one call");
    (delivered, request)
}

#[tokio::test]
async fn the_receiver_can_check_what_it_gets() {
    let (done, request) = delivered(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(done, DeliveryOutcome::Done);
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
        assert_eq!(values.next(), None, "{name} is there once");
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
async fn only_2xx_is_done_and_only_410_is_for_ever() {
    let failed = |why: &str, seconds: Option<u64>| DeliveryOutcome::Failed {
        why: format!("the receiver answered {why}"),
        retry_after: seconds.map(Duration::from_secs),
    };
    let cases: [(&[u8], DeliveryOutcome); 9] = [
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            DeliveryOutcome::Done,
        ),
        (
            b"HTTP/1.1 299 Fine\r\ncontent-length: 0\r\n\r\n",
            DeliveryOutcome::Done,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ncut off",
            DeliveryOutcome::Done,
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
            delivered(answer).await.0,
            expected,
            "{}",
            String::from_utf8_lossy(answer)
        );
    }
}

#[tokio::test]
async fn no_answer_is_a_failure_that_tells_no_secret() {
    for answer in [b"".as_slice(), b"no HTTP at all\r\n\r\n"] {
        let (
            DeliveryOutcome::Failed {
                why,
                retry_after: None,
            },
            _,
        ) = delivered(answer).await
        else {
            panic!("{answer:?} is no answer");
        };
        assert!(
            why.contains("the connection broke") && !why.contains("/hook"),
            "{why}"
        );
    }
}

#[tokio::test]
async fn what_is_not_public_is_not_told_anything() {
    let client = Client::outbound(Reach::Public).unwrap();
    let start = Instant::now();
    let delivered = send_webhook(
        &client,
        &webhook("http://169.254.169.254/latest/meta-data"),
        MESSAGE,
        now(),
    )
    .await;
    let DeliveryOutcome::Failed { why, .. } = delivered else {
        panic!("{delivered:?}")
    };
    assert!(
        why.contains("169.254.169.254 is not on the public Internet"),
        "{why}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "nothing was waited for"
    );
}
