//! Phrases in error messages: matched as whole words, in the server's own words only.

/// Number of words in a row that a message and the input must share for the words to count as an echo of the input.
const ECHO_WORDS: usize = 3;
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

/// Returns the server's own words of a message in lower case: without the parts that repeat the input.
///
/// Three words in a row that also stand in the input are a repetition, as is an input of fewer words that is quoted as a whole.
pub fn without_echo(message: &str, input: &str) -> String {
    let message = message.to_lowercase();
    let input = input.to_lowercase();
    let input_words: Vec<&str> = words(&input).map(|(_, word)| word).collect();
    let length = input_words.len().clamp(1, ECHO_WORDS);
    let known: std::collections::HashSet<&[&str]> = input_words.windows(length).collect();
    let found: Vec<_> = words(&message).collect();
    let mut is_echo = vec![false; found.len()];
    let texts: Vec<&str> = found.iter().map(|(_, word)| *word).collect();
    for (start, window) in texts.windows(length).enumerate() {
        if known.contains(window) {
            is_echo
                .iter_mut()
                .skip(start)
                .take(length)
                .for_each(|echo| *echo = true);
        }
    }
    let mut own = String::with_capacity(message.len());
    let mut copied = 0;
    for ((start, word), is_echo) in found.into_iter().zip(is_echo) {
        if is_echo {
            own.push_str(message.get(copied..start).unwrap_or_default());
            own.push('…');
            copied = start + word.len();
        }
    }
    own.push_str(message.get(copied..).unwrap_or_default());
    own
}

/// Returns the words of a text with their positions.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
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
    }

    #[test]
    fn repeated_input_is_cut_out() {
        let input = "The guided tour keeps a temperature of 20 degrees.";
        let message =
            "Invalid value: 'The guided tour keeps a temperature of 20 degrees.' is too long";
        let own = without_echo(message, input);
        assert!(
            !own.contains("guided") && !own.contains("temperature"),
            "{own}"
        );
        assert!(
            own.contains("invalid value") && own.contains("is too long"),
            "{own}"
        );
        assert_eq!(
            without_echo("No Tools", "other text of someone"),
            "no tools"
        );
        assert_eq!(without_echo("got 'tools' here", "tools"), "got '…' here");
        assert_eq!(without_echo("nothing", ""), "nothing");
    }
}
