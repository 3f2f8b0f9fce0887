//! Content of an answer in the forms of all wire formats: text, a list of parts, or the answer itself as a JSON value.

use std::borrow::Cow;

use super::lenient_json::{Members, Node};
use super::partial_answer::PartialAnswer;

/// Types of parts, of OpenAI's, Anthropic's, Mistral's and Cohere's APIs. A JSON object of another type is the answer itself.
const TEXT_TYPES: [&str; 3] = ["text", "output_text", "text_delta"];
const THINKING_TYPES: [&str; 8] = [
    "thinking",
    "redacted_thinking",
    "reasoning",
    "reasoning_text",
    "reasoning_content",
    "summary_text",
    "thought",
    "thinking_delta",
];
const OTHER_TYPES: [&str; 6] = [
    "refusal",
    "tool_use",
    "image_url",
    "image",
    "audio",
    "reference",
];

/// Adds the content of a message or of a delta to the answer.
pub fn push_content(content: Node<'_>, partial: &mut PartialAnswer) {
    if let Some(text) = content.string() {
        append(&mut partial.content, text);
    } else if content.is_array() {
        push_list(content, partial);
    } else if content.is_object() {
        let members = content.members();
        if part_type(&members).is_some() {
            push_part(&members, partial);
        } else {
            push_value(content, partial);
        }
    } else if !content.is_null() && content.count().is_some() {
        push_value(content, partial);
    }
}

/// Appends a text, without a copy of one that is owned and the first.
fn append(whole: &mut String, text: Cow<'_, str>) {
    match text {
        Cow::Owned(text) if whole.is_empty() => *whole = text,
        text => whole.push_str(&text),
    }
}

/// Adds a JSON value that is the answer itself.
fn push_value(value: Node<'_>, partial: &mut PartialAnswer) {
    partial.content.push_str(value.json());
    partial.is_content_parsed = true;
}

/// Adds a list: the texts of its parts, or the list itself if it has none.
fn push_list(content: Node<'_>, partial: &mut PartialAnswer) {
    let items = content.items();
    if let [only] = &*items
        && let Some(text) = only.string()
    {
        partial.content.push_str(&text);
        return;
    }
    if items.iter().any(|item| is_part(&item.members())) {
        for item in items {
            match item.string() {
                Some(text) => partial.content.push_str(&text),
                None => push_part(&item.members(), partial),
            }
        }
    } else if !content.first_items(1).is_empty() {
        push_value(content, partial);
    }
}

/// Returns true for a part of a list. A part may have no type.
fn is_part(members: &Members<'_>) -> bool {
    part_type(members).is_some()
        || members.get("type").is_null() && members.get("text").string().is_some()
}

/// Returns the type of a part, or `None` if the object is no part.
fn part_type<'a>(members: &Members<'a>) -> Option<Cow<'a, str>> {
    let kinds = [&TEXT_TYPES[..], &THINKING_TYPES, &OTHER_TYPES].concat();
    let kind = members.get("type").string()?;
    kinds.contains(&&*kind).then_some(kind)
}

/// Adds the text, the refusal or the tool arguments of a part.
pub fn push_part(members: &Members<'_>, partial: &mut PartialAnswer) {
    let kind = members.get("type").string().unwrap_or_default();
    if THINKING_TYPES.contains(&&*kind) || members.get("thought").is_true() {
        return;
    }
    match &*kind {
        "refusal" => push_refusal(members.get("refusal"), partial),
        "tool_use" => push_parsed_arguments(members.get("input"), partial),
        _ => {
            let text = members.get("text");
            // Some servers wrap the text as OpenAI's Assistants API does.
            let text = text.string().or_else(|| text.get("value").string());
            partial.content.push_str(&text.unwrap_or_default());
        }
    }
}

/// Adds the text of a refusal; anything but text is none.
pub fn push_refusal(refusal: Node<'_>, partial: &mut PartialAnswer) {
    if let Some(text) = refusal
        .string()
        .filter(|text| !text.trim().is_empty() || !partial.refusal.is_empty())
    {
        partial.refusal.push_str(&text);
    }
}

/// Adds tool arguments: JSON text, or a JSON value.
pub fn push_arguments(arguments: Node<'_>, partial: &mut PartialAnswer) {
    match arguments.string() {
        Some(text) => append(&mut partial.arguments, text),
        None if arguments.is_null() => {}
        None => partial.arguments.push_str(arguments.json()),
    }
}

/// Sets the arguments of the first tool call that is given as a whole.
pub fn push_parsed_arguments(arguments: Node<'_>, partial: &mut PartialAnswer) {
    if !partial.arguments.is_empty() {
        return;
    }
    push_arguments(arguments, partial);
    if partial.arguments.trim().is_empty() {
        partial.arguments.push_str("{}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::lenient_json::JsonText;
    use super::*;

    fn content(json: &str) -> PartialAnswer {
        let mut partial = PartialAnswer::default();
        push_content(
            JsonText::parse(json.as_bytes()).unwrap().root(),
            &mut partial,
        );
        partial
    }

    #[test]
    fn content_is_text_parts_or_the_answer_itself() {
        for (json, text, is_parsed) in [
            (r#""{\"a\":1}""#, "{\"a\":1}", false),
            (
                r#"[{"type":"text","text":"{"},{"type":"thinking","thinking":[{"type":"text","text":"x"}]},{"type":"text","text":"}"}]"#,
                "{}",
                false,
            ),
            (r#"[{"text":"{}"}]"#, "{}", false),
            (
                r#"[{"type":"output_text","text":{"value":"{}"}}]"#,
                "{}",
                false,
            ),
            (r#"["{}"]"#, "{}", false),
            (r#"{"type":"text","text":"{}"}"#, "{}", false),
            (
                r#"{"type":"invoice","text":"x"}"#,
                r#"{"type":"invoice","text":"x"}"#,
                true,
            ),
            (r#"{"price":1.10}"#, r#"{"price":1.10}"#, true),
            (r#"[{"name":"Ann"}]"#, r#"[{"name":"Ann"}]"#, true),
            ("null", "", false),
            ("false", "", false),
            ("[]", "", false),
            ("7", "7", true),
        ] {
            let partial = content(json);
            assert_eq!(
                (&*partial.content, partial.is_content_parsed),
                (text, is_parsed),
                "{json}"
            );
        }
        let part = r#"{"type":"text","text":"a"},"#;
        let many = format!("[{}]", part.repeat(5000).trim_end_matches(','));
        let partial = content(&many);
        assert!(
            partial.is_content_parsed && partial.content == many,
            "never a part"
        );
        assert_eq!(
            content(r#"[{"type":"tool_use","input":{"a":1.10}}]"#).arguments,
            "{\"a\":1.10}"
        );
        assert_eq!(
            content(r#"[{"type":"refusal","refusal":"No."}]"#).refusal,
            "No."
        );
    }
}
