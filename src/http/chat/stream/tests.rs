//! Ends of streams: when those of long answers are written.

use futures_util::FutureExt;
use serde_json::json;
use throttle::{CallerId, MemoryLedger, MemoryUse};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::super::request_body::parse_query_fields;
use super::super::responses::response::Echo;
use super::super::test_request::{answer_of, prepare};
use super::*;
use crate::extraction::Submission;
use crate::jobs::test_context::TestContext;
use crate::long_work::take_all_permits;
use crate::types::{Content, Item, OnError};

/// Caller whose streams are written.
const CALLER: CallerId = CallerId(32);
/// Longer than the end of a stream takes to be written.
const LIMIT: Duration = Duration::from_secs(30);

/// Returns a streamed response before its first event.
async fn response_stream(test: &TestContext, ledger: &MemoryLedger) -> ChatStream {
    let extractor = &test.context.extractor;
    let prepared = prepare(extractor).await;
    let draining = CancellationToken::new();
    let submission = Submission {
        caller: CallerId::default(),
        items: Some(1),
        concurrency: None,
        draining: &draining,
    };
    let admitted = extractor.submit(Arc::clone(&prepared), &submission);
    let input = Input::new(0, Item::from(Content("a text".to_owned())));
    let inputs = futures_util::stream::iter([input]);
    let outcomes = admitted.unwrap().run(OnError::Continue, inputs);
    let parsed = parse_query_fields(ledger, CALLER, "{}".to_owned(), |_| Ok(()), |()| 0);
    let ((), memory) = parsed.await.unwrap();
    let empty = || ledger.empty(CALLER, MemoryUse::Responses);
    let request = StreamRequest {
        prepared,
        identity: Identity::new("chatcmpl_1".to_owned(), "test/m"),
        request_id: "req_1".into(),
        include_usage: true,
        feed: Feed::Silent,
        form: AnswerForm::Content,
        responses: Some(ResponseEvents::new(Echo::default(), empty())),
        resources: Resources {
            memory,
            answer_memory: empty(),
            work: TaskTracker::new().token(),
            server_ends: CancellationToken::new().cancelled_owned(),
        },
    };
    ChatStream::new(request, outcomes)
}

/// Appends a chunk with this many characters of text.
fn append_text(stream: &mut ChatStream, bytes: usize, out: &mut BytesMut) {
    let choices = json!([{"delta": {"content": "x".repeat(bytes)}}]);
    let chunk = json!({"id": "chatcmpl_1", "created": 1, "model": "m", "choices": choices});
    stream.append(&chunk.to_string(), out);
}

fn has_completed(out: &BytesMut) -> bool {
    let text = std::str::from_utf8(out).unwrap();
    text.contains("event: response.completed\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_long_response_waits_for_its_turn_and_that_of_a_short_one_does_not() {
    let test = TestContext::new("stream-ends");
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let mut short = response_stream(&test, &ledger).await;
    let mut long = response_stream(&test, &ledger).await;
    let (mut of_short, mut of_long) = (BytesMut::new(), BytesMut::new());
    append_text(&mut short, 10, &mut of_short);
    append_text(&mut long, LONG_TEXT_BYTES, &mut of_long);
    let piece = long.responses.as_ref().and_then(ResponseEvents::end_piece);
    assert_eq!(piece.map(|piece| piece.caller), Some(CALLER));
    let release = take_all_permits(CALLER);
    let ended = short.finish(&mut of_short).now_or_never();
    ended.expect("it needs no turn");
    assert!(has_completed(&of_short));
    let mut end = Box::pin(long.finish(&mut of_long));
    assert!(end.as_mut().now_or_never().is_none(), "it has no turn");
    drop(release);
    timeout(LIMIT, end).await.expect("it has its turn");
    assert!(has_completed(&of_long));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_long_answer_waits_for_its_turn_and_that_of_a_short_one_does_not() {
    let test = TestContext::new("stream-rests");
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let mut stream = response_stream(&test, &ledger).await;
    let release = take_all_permits(CALLER);
    let short = Box::new(answer_of(10));
    let rest = stream.rest_of(short).now_or_never();
    let rest = rest.expect("it needs no turn").unwrap();
    assert_eq!(rest.answer.text.len(), 12);
    let long = Box::new(answer_of(LONG_TEXT_BYTES));
    let mut rest = Box::pin(stream.rest_of(long));
    assert!(rest.as_mut().now_or_never().is_none(), "it has no turn");
    drop(release);
    let rest = timeout(LIMIT, rest).await.expect("it has its turn");
    assert_eq!(rest.unwrap().answer.text.len(), LONG_TEXT_BYTES + 2);
    assert!(ledger.snapshot().held >= LONG_TEXT_BYTES);
    drop(stream);
    assert_eq!(ledger.snapshot().held, 0);
}
