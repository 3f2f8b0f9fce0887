//! URLs, origins and host names of the configuration, validated for their keys.

use std::fmt;

/// Absolute ASCII URL without query and fragment. `Debug` and `Display` mask a user and password in
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Returns the URL including user and password; do not log it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses an `http` or `https` URL to append paths to: without a user; trailing slashes are
    /// removed.
    pub(super) fn base(text: &str) -> Option<Self> {
        let parts = Parts::parse(text)?;
        let fits = matches!(parts.scheme, "http" | "https") && parts.user.is_none();
        fits.then(|| Self(text.trim_end_matches('/').to_owned()))
    }

    /// Parses the URL of a proxy: `http`, `https`, `socks5` or `socks5h`, optionally with a user,
    /// without a path.
    pub(super) fn proxy(text: &str) -> Option<Self> {
        let parts = Parts::parse(text)?;
        let fits = matches!(parts.scheme, "http" | "https" | "socks5" | "socks5h")
            && matches!(parts.path, "" | "/");
        fits.then(|| Self(text.to_owned()))
    }

    /// Parses an origin as a browser sends it (RFC 6454, section 6.1), without a trailing slash,
    /// into lower case; or `*`.
    pub(super) fn origin(text: &str) -> Option<String> {
        if text == "*" {
            return Some(text.to_owned());
        }
        let parts = Parts::parse(text)?;
        (parts.user.is_none() && parts.path.is_empty()).then(|| text.to_ascii_lowercase())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, rest))) => write!(f, "{scheme}://****@{rest}"),
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// Parts of a URL that the checks need.
struct Parts<'t> {
    scheme: &'t str,
    user: Option<&'t str>,
    path: &'t str,
}

impl<'t> Parts<'t> {
    /// Parses `scheme://[user@]host[:port][/path]`. `None`: the text has another form.
    fn parse(text: &'t str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['?', '#', '\\']) {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let colon = address
            .rfind(':')
            .filter(|colon| !address.get(*colon..).is_some_and(|end| end.contains(']')));
        let (name, port) = address.split_at(colon.unwrap_or(address.len()));
        let port_fits = port.is_empty() || port.strip_prefix(':')?.parse::<u16>().is_ok();
        (host(name).is_some() && port_fits).then_some(Self { scheme, user, path })
    }
}

/// Parses a host name, an IPv4 address, or an IPv6 address in brackets, into lower case.
pub(super) fn host(text: &str) -> Option<String> {
    let is_name = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let fits = match text.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')?
            .parse::<std::net::Ipv6Addr>()
            .is_ok(),
        None => !text.is_empty() && is_name(text),
    };
    fits.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{Url, host};

    #[test]
    fn a_base_is_http_without_user_query_and_fragment() {
        for (text, expected) in [
            (
                "https://api.openai.com/v1",
                Some("https://api.openai.com/v1"),
            ),
            ("http://[::1]:8000/v1/", Some("http://[::1]:8000/v1")),
            ("http://vllm:8000", Some("http://vllm:8000")),
            ("api.openai.com/v1", None),
            ("ftp://host", None),
            ("https://", None),
            ("https:///v1", None),
            ("https://host:port", None),
            ("https://host:70000", None),
            ("https://[::1", None),
            ("https://user:pw@host", None),
            ("https://host/v1?api-version=1", None),
            ("https://host/v1#x", None),
            ("https://ho st/v1", None),
        ] {
            assert_eq!(
                Url::base(text).as_ref().map(Url::as_str),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_proxy_may_have_a_user_that_does_not_print() {
        let proxy = Url::proxy("socks5h://me:p@ss@proxy:1080").expect("a proxy");
        assert_eq!(proxy.to_string(), "socks5h://****@proxy:1080");
        assert_eq!(format!("{proxy:?}"), "Url(socks5h://****@proxy:1080)");
        assert_eq!(Url::proxy("http://proxy:3128/path"), None);
    }

    #[test]
    fn origins_and_hosts_are_lower_case() {
        assert_eq!(
            Url::origin("https://App.Example:8443").as_deref(),
            Some("https://app.example:8443")
        );
        assert_eq!(Url::origin("https://app.example/"), None);
        assert_eq!(Url::origin("app.example"), None);
        assert_eq!(host("API.example").as_deref(), Some("api.example"));
        assert_eq!(host("api.example:8080"), None);
        assert_eq!(host(""), None);
    }
}
