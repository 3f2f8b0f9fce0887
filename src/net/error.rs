//! Errors of a call and of setting up a client.

use std::path::PathBuf;

use crate::types::without_os_codes;

/// Failure to get a complete response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// DNS, TCP or TLS failed; the server has not received the request.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// This process has no free sockets, file descriptors, ports or memory; the server has not received the request.
    #[error("cannot connect, because this server has used up a resource of the system: {0}")]
    Resources(String),
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

/// Returns true if the root cause is a lack of resources of this process or its system, which says nothing about the other side.
pub(super) fn is_lack_of_resources(error: &(dyn std::error::Error + 'static)) -> bool {
    // EMFILE, ENFILE, ENOBUFS, EADDRNOTAVAIL (no free port) and ENOMEM of Linux.
    const LINUX: [i32; 5] = [24, 23, 105, 99, 12];
    let mut cause = Some(error);
    while let Some(error) = cause {
        let code = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        if code.is_some_and(|code| LINUX.contains(&code)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns the message of the root cause; reqwest's own layers only say "error sending request".
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    without_os_codes(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_lack_of_resources_is_known_by_its_code() {
        for (code, expected) in [(24, true), (99, true), (111, false), (110, false)] {
            let error = Outer(std::io::Error::from_raw_os_error(code));
            assert_eq!(is_lack_of_resources(&error), expected, "{code}");
        }
        assert!(!is_lack_of_resources(&Outer(std::io::Error::other("no"))));
    }
}
