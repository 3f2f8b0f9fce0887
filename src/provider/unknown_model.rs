//! Detects from an error message that a provider does not know the model.

/// Maximum length of the part of a message that is looked at, in bytes: the rest may echo the input.
const MAX_BYTES: usize = 200;

/// Statuses, and phrases in lower case that a message has for an unknown model. All words of an entry have to occur.
///
/// Sources (2026-11): `OpenAI`, xAI, Groq and vLLM: "The model `x` does not exist"; Ollama: "model 'x' not found, try pulling
/// it first"; Gemini: "models/x is not found for API version v1beta"; Anthropic: "model: x" with `not_found_error`; Azure: "The
/// API deployment for this resource does not exist"; Together: "Unable to access model x"; `OpenRouter`: "x is not a valid
/// model ID"; Mistral: "Invalid model: x"; `DeepSeek`: "Model Not Exist"; `LiteLLM`: "Invalid model name passed in model=x";
/// Groq: "The model `x` has been decommissioned".
const PHRASES: [(u16, &[&str]); 12] = [
    (404, &["model", "does not exist"]),
    (404, &["model", "not found"]),
    (404, &["model", "no such"]),
    (404, &["model", "unknown"]),
    (404, &["unable to access model"]),
    (404, &["model: "]),
    (404, &["deployment", "does not exist"]),
    (400, &["is not a valid model id"]),
    (400, &["invalid model: "]),
    (400, &["model not exist"]),
    (400, &["invalid model name"]),
    (400, &["the model", "has been decommissioned"]),
];

/// Returns true if an error response says that the provider does not know the model.
pub fn names_unknown_model(status: u16, message: &str) -> bool {
    let start = message
        .get(..message.floor_char_boundary(MAX_BYTES))
        .unwrap_or_default()
        .to_lowercase();
    PHRASES.iter().any(|(of_status, words)| {
        *of_status == status && words.iter().all(|word| start.contains(word))
    })
}

#[cfg(test)]
mod tests {
    use super::names_unknown_model;

    #[test]
    fn an_unknown_model_is_told_by_status_and_words() {
        for (status, message) in [
            (
                404,
                "The model `gpt-9` does not exist or you do not have access to it.",
            ),
            (404, "model 'llama9' not found, try pulling it first"),
            (404, "models/gemini-9 is not found for API version v1beta"),
            (404, "model: claude-9"),
            (404, "The API deployment for this resource does not exist."),
            (400, "x/y is not a valid model ID"),
            (400, "Model Not Exist"),
            (400, "Invalid model name passed in model=gpt-9"),
        ] {
            assert!(names_unknown_model(status, message), "{message}");
        }
        for (status, message) in [
            (404, "404 page not found"),
            (404, "No endpoints found that support tool use."),
            (
                400,
                "the model does not support this; it was not found in the schema",
            ),
            (500, "The model `gpt-9` does not exist"),
        ] {
            assert!(!names_unknown_model(status, message), "{message}");
        }
        let echoed = format!("the input {} is not a valid model id", "x".repeat(300));
        assert!(!names_unknown_model(400, &echoed));
    }
}
