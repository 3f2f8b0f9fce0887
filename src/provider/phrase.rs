//! Phrases in error messages: matched as whole words, in the server's own words only (`own_words`).

/// Maximum distance of the two parts of a phrase with a gap, in bytes.
const MAX_GAP: usize = 200;

/// Returns true if a text contains a phrase as whole words. Both are in lower case; `…` in the phrase stands for other words.
pub fn contains_phrase(text: &str, phrase: &str) -> bool {
    match phrase.split_once(" … ") {
        None => find_words(text, phrase).is_some(),
        Some((first, second)) => {
            let mut rest = text;
            while let Some(end) = find_words(rest, first) {
                rest = rest.get(end..).unwrap_or_default();
                let near = rest
                    .get(..rest.floor_char_boundary(MAX_GAP))
                    .unwrap_or(rest);
                if find_words(near, second).is_some() {
                    return true;
                }
            }
            false
        }
    }
}

/// Returns the end of the first occurrence of a phrase as whole words.
fn find_words(text: &str, phrase: &str) -> Option<usize> {
    text.match_indices(phrase).find_map(|(start, _)| {
        let end = start + phrase.len();
        let before = text.get(..start)?.chars().next_back();
        let after = text.get(end..)?.chars().next();
        let is_whole = is_boundary(before, phrase.chars().next())
            && is_boundary(phrase.chars().next_back(), after);
        is_whole.then_some(end)
    })
}

/// Returns true if two neighbouring characters do not belong to the same word.
fn is_boundary(before: Option<char>, after: Option<char>) -> bool {
    // Chinese has no spaces between words.
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !(before.is_some_and(is_word) && after.is_some_and(is_word))
}

/// Returns true if a text begins with a phrase as whole words. Both are in lower case.
pub fn begins_with_phrase(text: &str, phrase: &str) -> bool {
    find_words(text.trim_start(), phrase) == Some(phrase.len())
}

/// Returns the words of a text with their positions.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c| !is_word(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_whole_words() {
        for (text, phrase, expected) in [
            ("this server cannot stream.", "stream", true),
            ("upstream says no", "stream", false),
            ("information about it", "format", false),
            ("`stream_options` is unknown", "stream", false),
            ("'response_format.type' must be", "response_format", true),
            ("the functional toolbar", "tool", false),
            ("the model 'x' was not found", "model … not found", true),
            ("not found: the model", "model … not found", false),
            ("内容安全：不安全或敏感内容。", "不安全或敏感内容", true),
        ] {
            assert_eq!(contains_phrase(text, phrase), expected, "{text}: {phrase}");
        }
        assert!(begins_with_phrase(" no model: x", "no model"));
        assert!(!begins_with_phrase("'no model'", "no model"));
        assert!(!begins_with_phrase("no models", "no model"));
    }
}
