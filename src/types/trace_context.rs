//! Trace context of a request: the `traceparent` and `tracestate` headers of W3C Trace Context.
//! <https://www.w3.org/TR/trace-context-2/>

use serde::{Deserialize, Serialize};

/// Maximum length of a `tracestate` that is kept, in bytes: the length that the standard asks for.
const MAX_STATE_BYTES: usize = 512;

/// Trace context of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// `traceparent`, in the form of version 00.
    #[serde(rename = "traceparent")]
    pub parent: String,
    /// `tracestate`, as it was received.
    #[serde(
        rename = "tracestate",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub state: Option<String>,
}

impl TraceContext {
    /// Parses the headers. `None`: `parent` is not valid. A `state` that is too long, or has characters that no header may have,
    /// is left out.
    #[must_use]
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let state = state
            .map(str::trim)
            .filter(|state| (1..=MAX_STATE_BYTES).contains(&state.len()))
            .filter(|state| state.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        Some(Self {
            parent: valid_parent(parent)?,
            state: state.map(str::to_owned),
        })
    }

    /// Returns the trace's ID, the parent's ID and the flags.
    #[must_use]
    pub fn ids(&self) -> Option<(u128, u64, u8)> {
        let mut parts = self.parent.split('-').skip(1);
        let trace = u128::from_str_radix(parts.next()?, 16).ok()?;
        let parent = u64::from_str_radix(parts.next()?, 16).ok()?;
        let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
        Some((trace, parent, flags))
    }
}

/// Returns a `traceparent` in the form of version 00. A later version may have more parts, which are left out.
fn valid_parent(text: &str) -> Option<String> {
    let mut parts = text.trim().split('-');
    let version = parts.next()?;
    let ids = [parts.next()?, parts.next()?, parts.next()?];
    let is_valid = [version, ids[0], ids[1], ids[2]]
        .iter()
        .zip([2, 32, 16, 2])
        .all(|(part, length)| part.len() == length && part.bytes().all(is_lower_hex));
    let is_known = version != "ff" && (version != "00" || parts.next().is_none());
    let is_zero = |id: &str| id.bytes().all(|byte| byte == b'0');
    (is_valid && is_known && !is_zero(ids[0]) && !is_zero(ids[1]))
        .then(|| format!("00-{}", ids.join("-")))
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn parent(text: &str) -> Option<String> {
        TraceContext::parse(text, None).map(|context| context.parent)
    }

    #[test]
    fn a_parent_is_kept_if_it_is_valid() {
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(parent(&valid).as_deref(), Some(&*valid));
        let later = format!("cc-{TRACE}-00f067aa0ba902b7-01-more");
        assert_eq!(parent(&later).as_deref(), Some(&*valid));
        for wrong in [
            String::new(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902bé-1"),
        ] {
            assert_eq!(parent(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_ids_are_numbers() {
        let context = TraceContext::parse(&format!("00-{TRACE}-00f067aa0ba902b7-01"), None);
        let ids = context.and_then(|context| context.ids());
        let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
        assert_eq!(ids, Some((trace, 0x00f0_67aa_0ba9_02b7, 1)));
    }

    #[test]
    fn a_state_is_kept_unless_no_header_may_have_it() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let state = |state: &str| TraceContext::parse(&parent, Some(state))?.state;
        assert_eq!(state(" a=1,b=2 ").as_deref(), Some("a=1,b=2"));
        assert_eq!(state(""), None);
        assert_eq!(state("a=1\r\nx: y"), None);
        assert_eq!(state(&"a".repeat(513)), None);
    }
}
