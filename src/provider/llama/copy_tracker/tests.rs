use toktrie::{TokRxInfo, TokTrie};

use super::*;

fn tracker(text: &str, answer: &str) -> CopyTracker {
    let mut tracker = CopyTracker::new(text);
    tracker.observe(answer.as_bytes());
    tracker
}

/// Returns the single letters and digits that continue an answer, and those of used parts in brackets.
fn continuations(text: &str, answer: &str) -> Vec<String> {
    let tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let trie = TokTrie::from(&TokRxInfo::new(256, 0), &tokens);
    let mut found = Vec::new();
    tracker(text, answer).continuations(&trie, |token, is_used| {
        let letter = char::from(u8::try_from(token).unwrap());
        found.push(if is_used {
            format!("[{letter}]")
        } else {
            letter.to_string()
        });
    });
    found
}

#[test]
fn a_value_begins_at_a_word_and_goes_on_as_the_text_does() {
    let text = "Ada, 36, lives in Arles";
    assert_eq!(
        continuations(text, r#"{"name":""#),
        ["A", "3", "l", "i", "A"]
    );
    assert_eq!(continuations(text, r#"{"name":"A"#), ["d", "r"]);
    assert_eq!(continuations(text, r#"{"age":3"#), ["6"]);
    assert_eq!(continuations(text, r#"{"age":36"#), [""; 0]);
    assert!(!tracker(text, r#"{"name":"Eva"#).is_copying());
    assert_eq!(tracker(text, r#"{"name"#).place(), Place::Outside);
    assert_eq!(tracker(text, r#"{"age":"#).place(), Place::Number);
    assert_eq!(tracker(text, r#"{"name":""#).place(), Place::String);
}

#[test]
fn a_value_that_the_text_names_is_preferred() {
    let text = "Subtotal 3, Total: 83; the age is 36";
    assert_eq!(
        continuations(text, r#"{"total":"#),
        ["[3]", "8", "[3]"],
        "the word after the label"
    );
    assert_eq!(continuations(text, r#"{"age":"#), ["[3]", "[8]", "3"]);
    assert_eq!(continuations(text, r#"{"sum":"#), ["3", "8", "3"]);
    assert_eq!(
        continuations("name of the city is Bath", r#"{"name":""#),
        ["n", "o", "t", "c", "i", "B"],
        "a word that only continues the sentence"
    );
}

#[test]
fn a_part_of_the_text_is_used_once() {
    let text = "Ada and Ada from Bath";
    let answer = r#"{"a":"Ada","b":""#;
    assert_eq!(continuations(text, answer), ["[A]", "a", "A", "f", "B"]);
    let answer = r#"{"a":"Ada","b":"Ada","c":""#;
    assert_eq!(continuations(text, answer), ["[A]", "a", "[A]", "f", "B"]);
}

#[test]
fn a_value_may_end_with_a_word_only() {
    let text = "a \"nurse\" of 29";
    assert!(tracker(text, r#"{"job":"nur"#).is_mid_word());
    assert!(!tracker(text, r#"{"job":"nurse"#).is_mid_word());
    assert!(!tracker(text, r#"{"job":"a \"nurse\" of"#).is_mid_word());
    assert!(tracker(text, r#"{"age":2"#).is_mid_word());
    assert!(!tracker(text, r#"{"job":"nurx"#).is_mid_word());
}

#[test]
fn an_item_that_only_repeats_earlier_copies_is_recognised() {
    let text = "2 pens at 3.50, 4 mugs at 7.20";
    let pens = r#"[{"item":"pens","price":3.50}"#;
    assert_eq!(tracker(text, pens).repeated_item(), None);
    let more = |item: &str| tracker(text, &format!("{pens},{item}")).repeated_item();
    assert_eq!(more(r#"{"item":"mugs","price":3.50"#), None);
    assert_eq!(
        more(r#"{"item":"pens","price":3.50"#),
        Some(Container::Object)
    );
    assert_eq!(more(r#"{"item":"bags","price":9.99"#), None);
    assert_eq!(
        tracker("red, blue", r#"["red","blue","red"#).repeated_item(),
        Some(Container::List)
    );
    assert_eq!(tracker("red, blue", r#"["red","blu"#).repeated_item(), None);
}
