//! Responses of providers, in every wire format: whole, streamed, and errors.

use std::sync::Mutex;

use super::lines::{pieces, uneven};
use extractd::provider::{
    Anthropic, DecodeError, DeltaEmitter, Gemini, Ollama, OpenAi, OpenAiResponses, PartialAnswer,
    RemainingQuota, StreamDecoder, UpstreamErrorBody, WireFormat,
};
use extractd::types::Mode;

/// Reads the bytes as a response of the wire format that the first byte selects, at once, byte by byte and in pieces: each gives the
/// same answer, or the same error. Then reads them as an error body.
pub fn reply(data: &[u8]) {
    let [selector, cut, body @ ..] = data else {
        return;
    };
    let wire = wire(selector & 7);
    let mode = if selector & 8 == 0 {
        Mode::JsonSchema
    } else {
        Mode::Tools
    };
    let is_streamed = selector & 16 != 0;
    let decode = |pieces: &[Vec<u8>]| decoded(&*wire, mode, is_streamed, pieces);
    let whole = decode(&pieces(body, body.len()));
    assert_eq!(decode(&pieces(body, 1)), whole, "byte by byte");
    assert_eq!(decode(&uneven(body, *cut)), whole, "in pieces");
    if let Err(DecodeError::ErrorBody(error)) = &whole {
        check_error(error);
    }
    check_error(&wire.decode_error(body));
}

fn wire(number: u8) -> Box<dyn WireFormat> {
    match number {
        0 => Box::new(OpenAi::for_host("127.0.0.1")),
        1 => Box::new(OpenAiResponses::for_host("127.0.0.1")),
        2 => Box::new(Anthropic::for_base_path("/")),
        3 => Box::new(Gemini::for_base_path("/")),
        _ => Box::new(Ollama::for_base_path("/")),
    }
}

fn check_error(error: &UpstreamErrorBody) {
    assert!(!error.message.is_empty(), "an error has words");
}

/// Decodes a response in pieces. What is emitted of an answer is its text.
fn decoded(
    wire: &dyn WireFormat,
    mode: Mode,
    is_streamed: bool,
    pieces: &[Vec<u8>],
) -> Result<PartialAnswer, DecodeError> {
    let emitted = Mutex::new(String::new());
    let on_text = |_: Mode, text: &str| emitted.lock().unwrap().push_str(text);
    let mut deltas = DeltaEmitter::new(Some(&on_text), mode);
    let mut decoder = StreamDecoder::new(wire, mode, is_streamed);
    let pieces = pieces.iter().map(|piece| Some(&**piece)).chain([None]);
    for piece in pieces {
        if decoder.push(piece, &mut deltas)? {
            break;
        }
    }
    let partial = decoder.finish()?;
    let answer = partial.clone().into_answer(mode, RemainingQuota::default());
    let emitted = emitted.into_inner().unwrap();
    assert!(
        answer.text.starts_with(&emitted),
        "{emitted:?} is not the start of {:?}",
        answer.text
    );
    Ok(partial)
}
