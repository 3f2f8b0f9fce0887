//! Errors of a call and of setting up a client.

use std::path::PathBuf;

use crate::types::without_os_codes;

/// Failure to get a complete response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// DNS, TCP or TLS failed; the server has not received the request.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request was sent; a provider may have processed and charged it.
    #[error("the connection broke before the answer was whole: {0}")]
    Broken(String),
    /// The response is larger than the limit, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

/// Failure to set up a client.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The proxy, the name resolution or TLS.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The provider's further root certificates.
    #[error("`ca_file` cannot be used: {0}")]
    Ca(String),
    /// The client's own certificate.
    #[error("`client_cert` and `client_key` cannot be used: {0}")]
    Identity(String),
    /// The file of root certificates that the environment names.
    #[error("the file {} that SSL_CERT_FILE names cannot be used: {reason}; correct the variable or unset it", path.display())]
    EnvironmentCa { path: PathBuf, reason: String },
}

/// Returns the message of the root cause; reqwest's own layers only say "error sending request".
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    without_os_codes(&cause.to_string())
}
