//! Fence around the input text, which keeps the model from reading it as instructions (prompt
//! injection).

/// Returns the text between `<text>` tags. A closing tag within the text is escaped, so that the
/// text cannot leave its fence.
#[must_use]
pub fn fenced(text: &str) -> String {
    if text.contains("</text") {
        return fenced(&text.replace("</text", "<\\/text"));
    }
    ["<text>\n", text, "\n</text>"].concat()
}
