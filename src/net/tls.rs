//! TLS settings: trusted root certificates, and the client's own certificate.

use std::path::PathBuf;

use reqwest::{Certificate, ClientBuilder, Identity};

use super::error::{SetUpError, innermost};

/// Environment variable with a file of further root certificates, as OpenSSL names it.
const SSL_CERT_FILE: &str = "SSL_CERT_FILE";

/// TLS settings of the connections to one provider, as PEM texts.
#[derive(Clone, Default)]
pub struct Tls {
    /// Root certificates that are trusted in addition to the built-in ones.
    pub ca: Option<String>,
    /// Certificate of the client with its chain, and its private key.
    pub identity: Option<String>,
}

/// Does not show the private key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("has_ca", &self.ca.is_some())
            .field("has_identity", &self.identity.is_some())
            .finish()
    }
}

impl Tls {
    /// Sets the trusted roots and the client's certificate. The built-in roots are compiled in, so that an image without
    /// certificate files works.
    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, SetUpError> {
        let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS
            .iter()
            .filter_map(|der| Certificate::from_der(der).ok());
        let mut roots: Vec<_> = built_in.collect();
        if let Some(path) = std::env::var_os(SSL_CERT_FILE).filter(|path| !path.is_empty()) {
            roots.extend(environment_roots(path.into())?);
        }
        if let Some(ca) = &self.ca {
            roots.extend(certificates(ca.as_bytes()).map_err(SetUpError::Ca)?);
        }
        let builder = builder.tls_certs_only(roots);
        match &self.identity {
            Some(pem) => Identity::from_pem(pem.as_bytes())
                .map(|identity| builder.identity(identity))
                .map_err(|error| SetUpError::Identity(innermost(&error))),
            None => Ok(builder),
        }
    }
}

fn environment_roots(path: PathBuf) -> Result<Vec<Certificate>, SetUpError> {
    let roots = std::fs::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|pem| certificates(&pem));
    roots.map_err(|reason| SetUpError::EnvironmentCa { path, reason })
}

/// Returns the certificates of a PEM text, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if certificates.is_empty() => {
            Err("it holds no certificate in PEM format".to_owned())
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(innermost(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for (tls, expected) in [
            (
                Tls {
                    ca: Some("no certificate".to_owned()),
                    identity: None,
                },
                "`ca_file` cannot be used: it holds no certificate in PEM format",
            ),
            (
                Tls {
                    ca: None,
                    identity: Some("no key".to_owned()),
                },
                "`client_cert` and `client_key` cannot be used: ",
            ),
        ] {
            let refused = tls.apply(reqwest::Client::builder()).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
            assert!(!format!("{tls:?}").contains("no "), "{tls:?}");
        }
    }
}
