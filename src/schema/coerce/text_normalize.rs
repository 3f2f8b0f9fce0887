//! Normalization of words for comparison: without case, separators and marks.

/// Returns a key without case and separators: `First Name`, `first_name` and `firstName` are equal.
pub fn key_form(key: &str) -> String {
    key.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns a text without the white space, quotes and marks of emphasis around it.
pub fn bare(text: &str) -> &str {
    text.trim_matches(|c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\'' | '`' | '*' | '“' | '”' | '‘' | '’' | '«' | '»'
            )
    })
}

/// Words that deny the words beside them, or announce a second choice.
const DOUBT: [&str; 29] = [
    "not",
    "no",
    "never",
    "neither",
    "nor",
    "none",
    "without",
    "except",
    "instead",
    "unlike",
    "rather",
    "cannot",
    "can't",
    "isn't",
    "don't",
    "doesn't",
    "won't",
    "wasn't",
    "aren't",
    "unable",
    "sorry",
    "unclear",
    "unsure",
    "unknown",
    "ambiguous",
    "or",
    "either",
    "maybe",
    "versus",
];

/// Returns true if a word denies or doubts the words beside it.
pub fn is_doubt(word: &str) -> bool {
    let word = word.replace('’', "'").to_lowercase();
    DOUBT.contains(&word.as_str()) || word.ends_with("n't")
}

/// Words that replace a value by another one, or exclude it from the answer.
const SECOND_THOUGHTS: [&str; 32] = [
    "actually",
    "again",
    "alternative",
    "alternatively",
    "better",
    "change",
    "changed",
    "corrected",
    "correction",
    "draft",
    "error",
    "example",
    "expected",
    "final",
    "finally",
    "fix",
    "fixed",
    "form",
    "format",
    "hmm",
    "improved",
    "mistake",
    "oops",
    "previous",
    "revised",
    "schema",
    "template",
    "updated",
    "version",
    "wait",
    "was",
    "wrong",
];

/// Returns true if a text beside values takes one back, or calls it an example.
pub fn has_second_thoughts(text: &str) -> bool {
    words(text)
        .any(|(_, word)| is_doubt(word) || SECOND_THOUGHTS.contains(&word.to_lowercase().as_str()))
}

/// Returns true if the model refuses to answer.
pub fn is_refusal(text: &str) -> bool {
    const SAID: [&str; 16] = [
        "sorry",
        "apologi",
        "i can't",
        "i cannot",
        "i can not",
        "i am unable",
        "i'm unable",
        "i am not able",
        "i'm not able",
        "as an ai",
        "as a language model",
        "i won't",
        "i will not",
        "unable to",
        "could you",
        "please provide",
    ];
    let text = text.replace('’', "'").to_lowercase();
    SAID.iter().any(|said| text.contains(said))
}

/// Returns the words of a text with their offsets. A word may have `_`, `-`, `'` and `.` within it.
pub fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '\'' | '’' | '.');
    let start_of = move |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
    text.split(move |c| !is_inner(c)).filter_map(move |part| {
        let word = part.trim_matches(|c: char| !c.is_alphanumeric());
        (!word.is_empty()).then(|| (start_of(word), word))
    })
}
