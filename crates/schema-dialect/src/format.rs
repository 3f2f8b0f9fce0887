//! Formats in words: what a value of each looks like, without a value that could be mistaken for data.

/// Describes the values of a format. `None`: the format is unknown, or its name needs no description.
#[must_use]
pub fn describe(format: &str) -> Option<&'static str> {
    Some(match format {
        "date-time" => {
            "a date-time with a UTC offset (YYYY-MM-DDThh:mm:ssZ or YYYY-MM-DDThh:mm:ss+hh:mm)"
        }
        "date" => "a date (YYYY-MM-DD)",
        "time" => "a time with a UTC offset (hh:mm:ssZ or hh:mm:ss+hh:mm)",
        "duration" => "an ISO 8601 duration (PnYnMnDTnHnMnS)",
        "email" | "idn-email" => "an email address",
        "hostname" | "idn-hostname" => "a host name",
        "ipv4" => "an IPv4 address",
        "ipv6" => "an IPv6 address",
        "uri" | "iri" => "an absolute URI with its scheme (scheme://…)",
        "uri-reference" | "iri-reference" => "a URI reference",
        "uri-template" => "a URI template (RFC 6570)",
        "uuid" => "a UUID (8-4-4-4-12 hexadecimal digits)",
        "json-pointer" => "a JSON Pointer (empty, or beginning with /)",
        "relative-json-pointer" => "a relative JSON Pointer",
        "regex" => "a regular expression",
        _ => return None,
    })
}

/// Returns true for a format that models often get wrong unless the prompt describes it.
#[must_use]
pub fn needs_words(format: &str) -> bool {
    matches!(format, "date-time" | "time" | "duration")
}
