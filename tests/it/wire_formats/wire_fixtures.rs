//! Responses of an upstream in each wire format, after the providers' documentation.

use serde_json::{Value, json};

/// The wire formats, as a configuration names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    OpenAi,
    Responses,
    Anthropic,
    Gemini,
    Ollama,
    Azure,
}

pub const KINDS: [Kind; 6] = [
    Kind::OpenAi,
    Kind::Responses,
    Kind::Anthropic,
    Kind::Gemini,
    Kind::Ollama,
    Kind::Azure,
];

/// Place of the answer's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Content,
    Tool,
}

/// Reason why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    End,
    Length,
    Refused,
}

/// Read 12 tokens, 4 of them from a cache, and wrote 5: as far as the wire can say so.
pub const TOKENS: (u64, u64, u64) = (12, 4, 5);

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Responses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
            Self::Azure => "azure",
        }
    }

    /// Returns the path between the host and the path of a call.
    pub fn base_path(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Responses => "/v1",
            Self::Anthropic | Self::Gemini | Self::Ollama | Self::Azure => "",
        }
    }

    /// Returns the whole target of a call of the model `m`.
    pub fn target(self, stream: bool) -> &'static str {
        match (self, stream) {
            (Self::OpenAi, _) => "POST /v1/chat/completions",
            (Self::Responses, _) => "POST /v1/responses",
            (Self::Anthropic, _) => "POST /v1/messages",
            (Self::Gemini, false) => "POST /v1beta/models/m:generateContent",
            (Self::Gemini, true) => "POST /v1beta/models/m:streamGenerateContent?alt=sse",
            (Self::Ollama, _) => "POST /api/chat",
            (Self::Azure, _) => {
                "POST /openai/deployments/m/chat/completions?api-version=2024-10-21"
            }
        }
    }

    /// Returns the header that holds the key `sk-test`, as it is sent.
    pub fn key(self) -> (&'static str, &'static str) {
        match self {
            Self::OpenAi | Self::Responses | Self::Ollama => ("authorization", "Bearer sk-test"),
            Self::Anthropic => ("x-api-key", "sk-test"),
            Self::Gemini => ("x-goog-api-key", "sk-test"),
            Self::Azure => ("api-key", "sk-test"),
        }
    }

    /// Returns true if the format can report neither a refusal nor cached tokens.
    pub fn is_plain(self) -> bool {
        self == Self::Ollama
    }

    /// Returns a whole answer.
    pub fn whole(self, text: &str, place: Place, stop: Stop) -> Value {
        match self {
            Self::OpenAi | Self::Azure => chat(text, place, stop, "message"),
            Self::Responses => response(text, place, stop),
            Self::Anthropic => message(text, place, stop),
            Self::Gemini => candidate(text, place, Some(stop)),
            Self::Ollama => ollama(text, place, Some(stop)),
        }
    }

    /// Returns the messages of a stream of the same, its text in these pieces.
    pub fn stream(self, pieces: &[&str], place: Place, stop: Stop) -> Vec<Value> {
        let text = pieces.concat();
        match self {
            Self::OpenAi | Self::Azure => {
                let chunk = |piece: &&str| {
                    let mut chunk = chat(piece, place, Stop::End, "delta");
                    chunk["choices"][0]["finish_reason"] = Value::Null;
                    chunk["usage"] = Value::Null;
                    chunk
                };
                let mut last = chat("", Place::Content, stop, "delta");
                let usage = json!({"choices": [], "usage": last["usage"].take()});
                pieces.iter().map(chunk).chain([last, usage]).collect()
            }
            Self::Responses => {
                let kind = if place == Place::Tool {
                    "function_call_arguments"
                } else {
                    "output_text"
                };
                let delta = |piece: &&str| json!({"type": format!("response.{kind}.delta"), "delta": piece});
                let kind = if stop == Stop::Length {
                    "response.incomplete"
                } else {
                    "response.completed"
                };
                let end = json!({"type": kind, "response": response(&text, place, stop)});
                pieces.iter().map(delta).chain([end]).collect()
            }
            Self::Anthropic => {
                let mut whole = message("", Place::Content, stop);
                let end = json!({"stop_reason": whole["stop_reason"].take()});
                let usage = json!({"output_tokens": whole["usage"]["output_tokens"].take()});
                let delta = |piece: &&str| {
                    let delta = match place {
                        Place::Tool => json!({"type": "input_json_delta", "partial_json": piece}),
                        Place::Content => json!({"type": "text_delta", "text": piece}),
                    };
                    json!({"type": "content_block_delta", "index": 0, "delta": delta})
                };
                let start = json!({"type": "message_start", "message": whole});
                let stop = [
                    json!({"type": "message_delta", "delta": end, "usage": usage}),
                    json!({"type": "message_stop"}),
                ];
                [start]
                    .into_iter()
                    .chain(pieces.iter().map(delta))
                    .chain(stop)
                    .collect()
            }
            // Arguments come whole.
            Self::Gemini if place == Place::Tool => vec![candidate(&text, place, Some(stop))],
            Self::Gemini => {
                let (last, first) = pieces.split_last().unwrap();
                let first = first.iter().map(|piece| candidate(piece, place, None));
                first.chain([candidate(last, place, Some(stop))]).collect()
            }
            Self::Ollama if place == Place::Tool => vec![
                ollama(&text, place, None),
                ollama("", Place::Content, Some(stop)),
            ],
            Self::Ollama => {
                let pieces = pieces.iter().map(|piece| ollama(piece, place, None));
                pieces.chain([ollama("", place, Some(stop))]).collect()
            }
        }
    }

    /// Messages as they go over the wire.
    pub fn framed(self, messages: &[Value]) -> String {
        match self {
            Self::Ollama => messages
                .iter()
                .map(|message| format!("{message}\n"))
                .collect(),
            Self::OpenAi | Self::Azure => Self::Gemini.framed(messages) + "data: [DONE]\n\n",
            Self::Responses | Self::Anthropic | Self::Gemini => messages
                .iter()
                .map(|message| format!("data: {message}\n\n"))
                .collect(),
        }
    }

    pub fn stream_type(self) -> &'static str {
        if self == Self::Ollama {
            "application/x-ndjson"
        } else {
            "text/event-stream"
        }
    }

    /// Returns a refusal of the call: the status that it comes with, and its body.
    pub fn error(self, status: u16, words: &str) -> (u16, Value) {
        let error = match self {
            Self::OpenAi | Self::Azure | Self::Responses => {
                let code = if status == 429 {
                    "rate_limit_exceeded"
                } else {
                    "server_error"
                };
                json!({"error": {"message": words, "type": "simulated", "param": null, "code": code}})
            }
            Self::Anthropic => {
                let kind = match status {
                    401 => "authentication_error",
                    404 => "not_found_error",
                    429 => "rate_limit_error",
                    500 => "api_error",
                    _ => "overloaded_error",
                };
                json!({"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"})
            }
            // A bad key is a bad request there.
            Self::Gemini if status == 401 => {
                let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
                return (
                    400,
                    json!({"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT", "details": details}}),
                );
            }
            Self::Gemini => {
                json!({"error": {"code": status, "message": words, "status": "UNAVAILABLE"}})
            }
            Self::Ollama => json!({"error": words}),
        };
        (status, error)
    }

    /// Returns the same error as an event of a stream.
    pub fn error_event(self, status: u16, words: &str) -> Value {
        match self {
            Self::Responses => {
                json!({"type": "error", "code": if status == 429 { "rate_limit_exceeded" } else { "server_error" }, "message": words})
            }
            _ => self.error(status, words).1,
        }
    }
}

fn arguments(text: &str) -> Value {
    serde_json::from_str(text).expect("a tool is called with JSON")
}

fn chat(text: &str, place: Place, stop: Stop, field: &str) -> Value {
    let mut reply = match place {
        Place::Content => json!({"role": "assistant", "content": text}),
        Place::Tool => {
            let call = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "extract", "arguments": text}});
            json!({"role": "assistant", "content": null, "tool_calls": [call]})
        }
    };
    if stop == Stop::Refused {
        reply = json!({"role": "assistant", "content": null, "refusal": "I'd rather not."});
    }
    let finish = if stop == Stop::Length {
        "length"
    } else {
        "stop"
    };
    let choice = json!({"index": 0, field: reply, "finish_reason": finish});
    let (input, cached, output) = TOKENS;
    let usage = json!({"prompt_tokens": input, "completion_tokens": output, "prompt_tokens_details": {"cached_tokens": cached}});
    json!({"id": "chatcmpl-1", "choices": [choice], "usage": usage})
}

fn response(text: &str, place: Place, stop: Stop) -> Value {
    let item = match (place, stop) {
        (_, Stop::Refused) => {
            json!({"type": "message", "content": [{"type": "refusal", "refusal": "I'd rather not."}]})
        }
        (Place::Tool, _) => {
            json!({"type": "function_call", "call_id": "c", "name": "extract", "arguments": text})
        }
        (Place::Content, _) => {
            json!({"type": "message", "content": [{"type": "output_text", "text": text}]})
        }
    };
    let (input, cached, output) = TOKENS;
    let usage = json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": output});
    let (status, details) = match stop {
        Stop::Length => ("incomplete", json!({"reason": "max_output_tokens"})),
        Stop::End | Stop::Refused => ("completed", Value::Null),
    };
    json!({"id": "resp_1", "status": status, "incomplete_details": details, "error": null, "output": [item], "usage": usage})
}

fn message(text: &str, place: Place, stop: Stop) -> Value {
    let block = match place {
        Place::Content => json!({"type": "text", "text": text}),
        Place::Tool => {
            json!({"type": "tool_use", "id": "t", "name": "extract", "input": arguments(text)})
        }
    };
    let reason = match (stop, place) {
        (Stop::Refused, _) => "refusal",
        (Stop::Length, _) => "max_tokens",
        (Stop::End, Place::Tool) => "tool_use",
        (Stop::End, Place::Content) => "end_turn",
    };
    let (input, cached, output) = TOKENS;
    let usage = json!({"input_tokens": input - cached, "cache_read_input_tokens": cached, "output_tokens": output});
    json!({"id": "msg_1", "type": "message", "role": "assistant", "content": [block], "stop_reason": reason, "usage": usage})
}

fn candidate(text: &str, place: Place, stop: Option<Stop>) -> Value {
    let part = match place {
        Place::Content => json!({"text": text}),
        Place::Tool => json!({"functionCall": {"name": "extract", "args": arguments(text)}}),
    };
    let reason = stop.map(|stop| match stop {
        Stop::End => "STOP",
        Stop::Length => "MAX_TOKENS",
        Stop::Refused => "SAFETY",
    });
    let (input, cached, output) = TOKENS;
    let usage = json!({"promptTokenCount": input, "cachedContentTokenCount": cached, "candidatesTokenCount": output});
    let mut candidate = json!({"content": {"role": "model", "parts": [part]}});
    if let Some(reason) = reason {
        candidate["finishReason"] = json!(reason);
    }
    json!({"candidates": [candidate], "usageMetadata": usage})
}

fn ollama(text: &str, place: Place, stop: Option<Stop>) -> Value {
    let reply = match place {
        Place::Content => json!({"role": "assistant", "content": text}),
        Place::Tool => {
            json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "extract", "arguments": arguments(text)}}]})
        }
    };
    let (input, _, output) = TOKENS;
    match stop {
        None => json!({"model": "m", "message": reply, "done": false}),
        Some(stop) => {
            let reason = if stop == Stop::Length {
                "length"
            } else {
                "stop"
            };
            json!({"model": "m", "message": reply, "done": true, "done_reason": reason,
                   "prompt_eval_count": input, "eval_count": output})
        }
    }
}
