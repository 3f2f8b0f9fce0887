//! Replies of servers that deviate from the API.

use super::*;

/// Returns a completion with one choice.
fn completion(choice: &Value) -> Value {
    json!({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
}

#[test]
fn a_good_answer_is_not_lost_for_a_field_that_is_not_needed() {
    let good = json!({"role": "assistant", "content": "{\"a\":1}"});
    let with = |more: Value| {
        let mut message = good.clone();
        message
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        completion(&json!({"message": message, "finish_reason": "stop"}))
    };
    let beside = |name: &str, value: Value| {
        let mut body = completion(&json!({"message": good, "finish_reason": "stop"}));
        body[name] = value;
        body
    };
    for body in [
        with(json!({"refusal": false, "audio": "", "annotations": {}})),
        with(json!({"tool_calls": [{}]})),
        with(json!({"tool_calls": [null]})),
        with(json!({"tool_calls": {"function": null}})),
        with(json!({"function_call": null, "reasoning": 7})),
        with(
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "{}"}]}, {"type": "text", "text": "{\"a\":1}"}]}),
        ),
        with(json!({"content": {"a": 1}})),
        beside("error", json!({})),
        beside("error", json!("")),
        beside(
            "error",
            json!({"message": "", "type": "", "param": "", "code": null}),
        ),
        beside(
            "choices",
            completion(&json!({"message": good, "finish_reason": 1}))["choices"].clone(),
        ),
        beside("choices", json!({"message": good, "finish_reason": "stop"})),
        beside(
            "usage",
            json!({"prompt_tokens": null, "completion_tokens": null}),
        ),
        beside(
            "usage",
            json!({"prompt_tokens": 5.0, "completion_tokens": 2.7, "prompt_tokens_details": []}),
        ),
        beside("usage", json!("none")),
    ] {
        assert_eq!(
            decoded(&body, Mode::JsonSchema).unwrap().text,
            "{\"a\":1}",
            "{body}"
        );
    }
    let twice = br#"{"choices": [], "choices": [{"message": {"content": "no"}, "message": {"content": "{}"}, "finish_reason": "stop"}]}"#;
    assert_eq!(COMPATIBLE_SERVER.decode(twice).unwrap().content, "{}");
}

#[test]
fn tool_arguments_are_read_in_each_form() {
    for (message, expected) in [
        (
            json!({"tool_calls": [{"function": {"arguments": {"a": 1.5}}}]}),
            "{\"a\":1.5}",
        ),
        (
            json!({"tool_calls": [{"index": null, "function": {"arguments": "{}"}}, {"function": {"arguments": "x"}}]}),
            "{}",
        ),
        (
            json!({"function_call": {"name": "extract", "arguments": "{}"}}),
            "{}",
        ),
        (
            json!({"content": [{"type": "tool_use", "input": {"a": 1}}]}),
            "{\"a\":1}",
        ),
    ] {
        let answer = decoded(
            &completion(&json!({"message": message, "finish_reason": "tool_calls"})),
            Mode::Tools,
        )
        .unwrap();
        assert_eq!(
            (&*answer.text, answer.is_parsed),
            (expected, true),
            "{message}"
        );
    }
}

#[test]
fn deltas_belong_to_the_first_call_whatever_their_index() {
    let delta = |calls: Value| chunk(&json!({"tool_calls": calls}), None);
    let end = chunk(&json!({}), Some("tool_calls"));
    for deltas in [
        [
            delta(
                json!([{"index": 0, "id": "a", "function": {"name": "extract", "arguments": "{\"a\""}}]),
            ),
            delta(json!([{"index": null, "function": {"arguments": ":1}"}}])),
        ],
        [
            delta(json!([{"index": 1, "function": {"arguments": "{\"a\""}}])),
            delta(
                json!([{"index": 1, "function": {"arguments": ":1}"}}, {"index": 2, "function": {"arguments": "{}"}}]),
            ),
        ],
        [
            delta(
                json!([{"index": 0, "id": "a", "function": {"name": "extract", "arguments": {"a": 1}}}]),
            ),
            delta(
                json!([{"index": 0, "id": "b", "function": {"name": "extract", "arguments": {"b": 1}}}]),
            ),
        ],
    ] {
        let stream = [&deltas[0], &deltas[1], &end, USAGE].concat();
        check_stream(
            &COMPATIBLE_SERVER,
            &stream,
            ":\"tool_calls\"",
            &test_fixture::parsed("{\"a\":1}", Finish::Unknown, Usage::new(3, 4), Mode::Tools),
        );
    }
}

#[test]
fn streams_of_careless_servers_are_read() {
    let both = |text: &str, all: &str, finish: Option<&str>| {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": text}, "message": {"content": all}, "finish_reason": finish}]});
        format!("data: {chunk}\n\n")
    };
    let null = |finish: Option<&str>| {
        format!(
            "data: {}\n\n",
            json!({"choices": [{"delta": null, "finish_reason": finish}]})
        )
    };
    let piece = |text: &str| chunk(&json!({"content": text}), None);
    let stop = chunk(&json!({}), Some("stop"));
    for stream in [
        [
            both("{\"a\"", "{\"a\"", None),
            both(":1}", "{\"a\":1}", Some("stop")),
            USAGE.to_owned(),
        ]
        .concat(),
        [
            piece("{\"a\":1}"),
            null(None),
            null(Some("stop")),
            USAGE.to_owned(),
        ]
        .concat(),
        [
            piece("{\"a\":1}"),
            "data: : OPENROUTER PROCESSING\n\ndata: ping\n\n".to_owned(),
            stop.clone(),
            USAGE.to_owned(),
        ]
        .concat(),
        [
            "\u{feff}: hello\n\n".to_owned(),
            piece("{\"a\":1}"),
            stop.clone(),
            USAGE.to_owned(),
        ]
        .concat(),
        [
            chunk(
                &json!({"content": [{"type": "text", "text": "{\"a\":1}"}]}),
                Some("stop"),
            ),
            USAGE.to_owned(),
        ]
        .concat(),
    ] {
        check_stream(
            &COMPATIBLE_SERVER,
            &stream,
            "\"stop\"",
            &answer("{\"a\":1}", Finish::Stop, Mode::JsonSchema),
        );
    }
    let lines = [piece("{\"a\":1}"), stop, USAGE.to_owned()]
        .concat()
        .replace("data: ", "")
        .replace("\n\n", "\n");
    let (read, _) = decode_stream(&COMPATIBLE_SERVER, Mode::JsonSchema, [lines.as_bytes()]);
    assert_eq!(read.unwrap().text, "{\"a\":1}", "lines instead of events");
}

#[test]
fn a_body_is_whole_or_a_stream_by_its_bytes() {
    let whole = completion(&json!({"message": {"content": "{\"a\":1}"}, "finish_reason": "stop"}));
    let pretty = serde_json::to_string_pretty(&whole).unwrap();
    for body in [whole.to_string(), pretty, format!("\u{feff} \n{whole}\n")] {
        let bytes = body.as_bytes();
        for cut in 0..bytes.len() {
            let (before, after) = bytes.split_at(cut);
            let (read, emitted) =
                decode_stream(&COMPATIBLE_SERVER, Mode::JsonSchema, [before, after]);
            assert_eq!(read.unwrap().text, "{\"a\":1}", "cut at {cut}");
            assert_eq!(emitted.concat(), "{\"a\":1}");
        }
    }
}

#[test]
fn an_answer_that_is_not_whole_is_a_failed_call() {
    let message = json!({"content": "{\"people\":[]}"});
    for choice in [
        json!({"message": message, "finish_reason": "error"}),
        json!({"message": message, "finish_reason": "abort"}),
        json!({"message": message, "finish_reason": "something_new"}),
        json!({"message": message, "finish_reason": "stop", "error": {"code": 502, "message": "Provider disconnected"}}),
        json!({"message": message, "error": "gone"}),
    ] {
        let whole = decoded(&completion(&choice), Mode::JsonSchema);
        assert!(matches!(whole, Err(DecodeError::ErrorBody(_))), "{choice}");
        let mut delta = choice.clone();
        delta["delta"] = delta["message"].take();
        let stream = format!("data: {}\n\ndata: [DONE]\n\n", completion(&delta));
        let (streamed, _) =
            decode_stream(&COMPATIBLE_SERVER, Mode::JsonSchema, [stream.as_bytes()]);
        assert!(
            matches!(streamed, Err(DecodeError::ErrorBody(_))),
            "{choice}"
        );
    }
    let lost = json!({"object": "error", "message": "worker is out of memory", "code": 50001});
    let Err(DecodeError::ErrorBody(error)) = decoded(&lost, Mode::Text) else {
        panic!()
    };
    assert_eq!(error.message, "worker is out of memory");
}

#[test]
fn reasoning_that_is_the_whole_answer_is_taken_with_a_remark() {
    let read = |message: Value| {
        let body = completion(&json!({"message": message, "finish_reason": "stop"}));
        decoded(&body, Mode::JsonSchema).unwrap()
    };
    let taken = read(json!({"content": null, "reasoning_content": "\n{\"a\":1}"}));
    assert!(taken.text == "{\"a\":1}" && taken.remark.is_some());
    for message in [
        json!({"content": null, "reasoning_content": "Perhaps {\"a\":1}?"}),
        json!({"content": null, "reasoning_content": "{\"a\":1} or so"}),
        json!({"content": null, "reasoning": "{\"a\":"}),
    ] {
        assert_eq!(read(message.clone()).text, "", "{message}");
    }
    let both = read(json!({"content": "{}", "reasoning_content": "{\"a\":1}"}));
    assert!(both.text == "{}" && both.remark.is_none());
}
