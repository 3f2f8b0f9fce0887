//! Completions and responses of extractions: when they are written, and their memory meanwhile.

use std::time::Duration;

use futures_util::FutureExt;
use throttle::MemoryLedger;
use tokio::time::timeout;

use super::super::super::chat::test_request::{answer_of, prepare};
use super::*;
use crate::jobs::test_context::TestContext;
use crate::long_work::{LONG_TEXT_BYTES, take_all_permits};

/// Caller on whose behalf answers are written.
const CALLER: CallerId = CallerId(31);
/// Longer than an answer takes to be written.
const LIMIT: Duration = Duration::from_secs(30);

fn run(prepared: &Arc<PreparedRequest>, echo: Option<Echo>) -> ChatRun {
    ChatRun {
        prepared: Arc::clone(prepared),
        identity: Identity::new("chatcmpl_1".to_owned(), "test/m"),
        request_id: "req_1".into(),
        text: String::new(),
        is_streamed: false,
        include_usage: false,
        form: AnswerForm::Content,
        is_live: false,
        messages: None,
        echo,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_waits_for_its_turn_to_be_written_and_a_short_one_does_not() {
    let test = TestContext::new("chat-answers");
    let prepared = prepare(&test.context.extractor).await;
    let ledger = MemoryLedger::new(1 << 30, 1 << 30);
    let held = || ledger.snapshot().held;
    let write = |echo: Option<Echo>, bytes: usize| {
        let memory = ledger.empty(CALLER, MemoryUse::Responses);
        let outcome = Arc::new(answer_of(bytes));
        Box::pin(run(&prepared, echo).extracted_body(outcome, memory, false))
    };
    let release = take_all_permits(CALLER);
    let mut waiting = Vec::new();
    for echo in [None, Some(Echo::default())] {
        let short = write(echo.clone(), 10).now_or_never();
        let short = short.expect("it needs no turn").unwrap();
        assert!(String::from_utf8(short).unwrap().contains("xxxxxxxxxx"));
        let before = held();
        let mut long = write(echo, LONG_TEXT_BYTES);
        assert!(long.as_mut().now_or_never().is_none(), "it has no turn");
        // The answer's text, the completion and the response.
        assert!(held() - before > 3 * LONG_TEXT_BYTES);
        waiting.push(long);
    }
    drop(release);
    for long in waiting {
        let written = timeout(LIMIT, long).await.expect("it has its turn");
        assert!(written.unwrap().len() > LONG_TEXT_BYTES);
    }
    assert_eq!(held(), 0);
}
