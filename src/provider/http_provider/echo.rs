//! Search of an error for what it repeats of the call's request. That of long texts takes turns with other long work.

use std::time::Duration;

use crate::long_work::{Piece, run_long, run_off_worker};
use crate::provider::chat::ChatRequest;
use crate::provider::error_body::UpstreamErrorBody;
use crate::provider::own_words::OwnWords;
use crate::provider::request::Request;

/// Maximum time for which a search waits for its turn: the call's time runs, and its slot is held.
const MAX_TURN_WAIT: Duration = Duration::from_secs(1);

/// Returns the server's own words of an error: without what it repeats of the request's texts.
pub async fn own_words(request: &Request<'_>, error: &UpstreamErrorBody) -> OwnWords {
    let bytes = request.text_bytes() + message_work(error);
    let piece = request.memory.and_then(|memory| memory.long_piece(bytes));
    let search = || {
        OwnWords::of(error, |search| {
            let texts = [
                Some(request.input),
                Some(request.model),
                request.instructions,
            ];
            texts
                .into_iter()
                .flatten()
                .for_each(|text| search.text(text));
            for example in request.examples {
                search.text(&example.input.0);
                search.value(&example.output);
            }
            if let Some(feedback) = request.feedback {
                search.text(&feedback.answer);
            }
            if let Some(fields) = request.extra_body {
                search.fields(fields);
            }
            search.schema(request.schema.raw);
        })
    };
    search_in_turn(piece, search).await
}

/// Returns the server's own words of an error: without what it repeats of the caller's body.
pub async fn own_words_of_chat(chat: &ChatRequest<'_>, error: &UpstreamErrorBody) -> OwnWords {
    let bytes = chat.written_bytes() + message_work(error);
    let piece = chat.memory.and_then(|memory| memory.long_piece(bytes));
    let search = || {
        OwnWords::of(error, |search| {
            search.text(chat.model);
            search.raw_fields(chat.body.iter());
            if let Some(fields) = chat.extra_body {
                search.fields(fields);
            }
        })
    };
    search_in_turn(piece, search).await
}

async fn search_in_turn(piece: Option<Piece>, search: impl Fn() -> OwnWords) -> OwnWords {
    let in_turn = tokio::time::timeout(MAX_TURN_WAIT, run_long(piece, &search)).await;
    in_turn.unwrap_or_else(|_| run_off_worker(true, search))
}

/// Returns the size of a text whose search takes as long as it does to index an error's message, in bytes.
const fn message_work(error: &UpstreamErrorBody) -> usize {
    8 * error.message.len()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::{Map, Value, json};
    use throttle::{CallerId, MemoryLedger, MemoryUse};

    use super::*;
    use crate::long_work::{LONG_TEXT_BYTES, take_all_permits};
    use crate::provider::call_memory::CallMemory;
    use crate::provider::chat::ChatBody;
    use crate::provider::test_fixture::{IgnoreMessages, with_request};

    fn error(message: &str) -> UpstreamErrorBody {
        UpstreamErrorBody {
            message: message.to_owned(),
            ..UpstreamErrorBody::default()
        }
    }

    fn memory() -> CallMemory {
        let ledger = MemoryLedger::new(1 << 30, 1 << 30);
        CallMemory::new(ledger.empty(CallerId(8), MemoryUse::Responses))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_search_of_long_texts_takes_turns_wherever_they_stand() {
        let _release = take_all_permits(CallerId(8));
        let (memory, no) = (memory(), error("no"));
        let long = "word ".repeat(LONG_TEXT_BYTES / 4);
        let fields: Map<String, Value> = [("x".to_owned(), json!(long))].into_iter().collect();
        with_request(&json!({"type": "object"}), |request| {
            let request = Request {
                memory: Some(&memory),
                ..*request
            };
            let waits = |request: Request<'_>, error: &UpstreamErrorBody| {
                let template = &crate::provider::RequestTemplate::default();
                let request = Request {
                    template,
                    ..request
                };
                own_words(&request, error).now_or_never().is_none()
            };
            assert!(!waits(request, &no));
            for long in [
                Request {
                    input: &long,
                    ..request
                },
                Request {
                    instructions: Some(&long),
                    ..request
                },
                Request {
                    extra_body: Some(&fields),
                    ..request
                },
            ] {
                assert!(waits(long, &no));
            }
            assert!(waits(request, &error(&"a ".repeat(LONG_TEXT_BYTES / 8))));
        });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn the_search_of_a_large_field_that_is_no_text_takes_turns() {
        let _release = take_all_permits(CallerId(8));
        let (memory, no) = (memory(), error("no"));
        for (values, waits) in [(10, false), (LONG_TEXT_BYTES / 2, true)] {
            let json = format!(r#"{{"messages":[],"x":[{}0]}}"#, "0,".repeat(values));
            let body = ChatBody::new(serde_json::from_str(&json).unwrap());
            let chat = ChatRequest {
                model: "m",
                body: &body,
                extra_body: None,
                is_streamed: false,
                trace_context: None,
                key: 0,
                messages: &IgnoreMessages,
                memory: Some(&memory),
            };
            let found = own_words_of_chat(&chat, &no);
            assert_eq!(found.now_or_never().is_none(), waits);
        }
    }
}
