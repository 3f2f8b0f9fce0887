//! Host header check, against DNS rebinding.
//!
//! Without API keys, a web page in a browser on this machine could reach the server under a host name of its own. So only
//! the loopback and the configured host names are answered.

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;

use crate::types::{Code, Error};

/// Checks that the request is for the loopback or one of the `allowed` host names.
///
/// # Errors
/// `forbidden` for any other host name, or none.
pub fn check_host(request: &Request, allowed: &[String]) -> Result<(), Error> {
    let header = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let host = header
        .or_else(|| request.uri().authority().map(Authority::as_str))
        .map(str::to_ascii_lowercase);
    let name = host.as_deref().map(without_port);
    if name.is_some_and(|name| is_loopback(name) || allowed.iter().any(|known| known == name)) {
        return Ok(());
    }
    let name = host.map_or_else(|| "(none)".to_owned(), |host| format!("\"{host}\""));
    Err(Error::new(
        Code::Forbidden,
        format!(
            "the host name {name} is not allowed while no API keys are configured; \
             add it to `server.hosts` (EXTRACTD_HOSTS), or configure API keys"
        ),
    ))
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
