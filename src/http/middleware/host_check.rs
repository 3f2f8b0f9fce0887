//! Host header check, against DNS rebinding.
//!
//! Without API keys, a web page in a browser on this machine could reach the server under a host name of its own. So only
//! the loopback and the configured host names are answered.

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;

use crate::types::{Code, Error};

/// Checks that the request is for the loopback or one of the `allowed` host names, by its `Host` header and by its target.
///
/// # Errors
/// `forbidden` for any other host name, several, or none.
pub fn check_host(request: &Request, allowed: &[String]) -> Result<(), Error> {
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers.next().map(|host| host.to_str().unwrap_or_default());
    if headers.next().is_some() {
        let detail = "the request has several `Host` headers; send one";
        return Err(Error::new(Code::Forbidden, detail));
    }
    let target = request.uri().authority().map(Authority::as_str);
    let mut hosts = header.into_iter().chain(target).peekable();
    if hosts.peek().is_none() {
        return Err(unknown_host("(none)"));
    }
    for host in hosts {
        let host = host.to_ascii_lowercase();
        let is_known = host_name(&host)
            .is_some_and(|name| is_loopback(name) || allowed.iter().any(|known| known == name));
        if !is_known {
            return Err(unknown_host(&format!("\"{host}\"")));
        }
    }
    Ok(())
}

fn unknown_host(name: &str) -> Error {
    Error::new(
        Code::Forbidden,
        format!(
            "the host name {name} is not allowed while no API keys are configured; \
             add it to `server.hosts` (EXTRACTD_HOSTS), or configure API keys"
        ),
    )
}

/// Returns the name or address of `name`, `name:port` or `[address]:port`, without a dot at its end. `None`: another form.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    if host.starts_with('[') {
        let address = name.parse::<std::net::Ipv6Addr>();
        return (is_port && address.is_ok()).then_some(name);
    }
    is_port.then(|| name.strip_suffix('.').unwrap_or(name))
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(target: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let allowed = ["api.example".to_owned()];
        check_host(&request.body(Body::empty()).unwrap(), &allowed).is_ok()
    }

    #[test]
    fn only_the_loopback_and_configured_names_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "localhost.:80",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "api.example",
            "api.example:443",
        ] {
            assert!(check("/", &[host]), "{host}");
        }
        for host in [
            "",
            "evil.com",
            "localhost:80@evil.com",
            "localhost:evil.com",
            "[localhost]evil.com",
            "[localhost]",
            "[127.0.0.1].evil.com",
            "[::1].evil.com",
            "[::1",
            "localhost evil.com",
            "localhost.evil.com",
            "localhost..",
            "api.example.evil.com",
            "[::ffff:8.8.8.8]",
        ] {
            assert!(!check("/", &[host]), "{host}");
        }
        assert!(!check("/", &[]));
    }

    #[test]
    fn the_target_and_every_header_count() {
        assert!(check("http://localhost:80/", &["localhost:80"]));
        assert!(check("http://localhost:80/", &[]));
        assert!(!check("http://evil.com/", &["localhost"]));
        assert!(!check("http://localhost/", &["evil.com"]));
        assert!(!check("/", &["localhost", "evil.com"]));
        assert!(!check("/", &["evil.com", "localhost"]));
    }
}
