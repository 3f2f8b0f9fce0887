//! Servers inside companies: their own roots, client certificates, and the operator's message when TLS fails.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::fixture::{person, single};
use crate::support::server::{Builder, Server, binary};
use crate::upstream::Upstream;

/// A certificate authority of a company.
struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that an authority has signed, and its key.
struct Signed {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed { certificate, key }
    }
}

/// An upstream behind TLS.
struct Secured {
    upstream: Upstream,
    port: u16,
    task: AbortHandle,
}

impl Secured {
    /// Starts one with a certificate of `authority`; with `clients`, only for clients with a certificate of that authority.
    async fn new(authority: &Authority, clients: Option<&Authority>) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let upstream = Upstream::playing();
        let own = authority.sign("127.0.0.1");
        let builder = ServerConfig::builder();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.der.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(own.key.serialize_der()).unwrap();
        let config = builder
            .with_single_cert(vec![own.certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plain = upstream.url();
        let target = plain["http://".len()..].trim_end_matches("/v1").to_owned();
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), target.clone());
                tokio::spawn(async move {
                    if let Ok(mut secured) = acceptor.accept(connection).await
                        && let Ok(mut plain) = TcpStream::connect(target).await
                    {
                        drop(tokio::io::copy_bidirectional(&mut secured, &mut plain).await);
                    }
                });
            }
        });
        Self {
            upstream,
            port,
            task: task.abort_handle(),
        }
    }

    fn configured(&self, more: &str) -> Builder {
        Server::configured(&self.config(more))
    }

    fn config(&self, more: &str) -> String {
        format!(
            "model = \"inside/m\"\n[providers.inside]\nkind = \"openai\"\nbase_url = \"https://127.0.0.1:{}/v1\"\n{more}\n",
            self.port
        )
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn ask() -> Value {
    single(person(1))
}

#[tokio::test]
async fn a_companys_own_root_is_trusted_in_addition() {
    let (authority, other) = (Authority::new(), Authority::new());
    let secured = Secured::new(&authority, None).await;
    // Several certificates, with words between them, as bundles have.
    let bundle = format!("# other\n{}\n# ours\n{}", other.pem, authority.pem);
    let server = secured.configured("ca_file = \"ca.pem\"");
    write(server.folder(), "ca.pem", &bundle);
    server.start().await.extract(&ask()).await.ok();

    let server = secured.configured("");
    write(server.folder(), "ca.pem", &bundle);
    let server = server.env("SSL_CERT_FILE", "ca.pem").start().await;
    server.extract(&ask()).await.ok();
    assert_eq!(secured.upstream.calls(), 2);

    let server = secured.configured("").start().await;
    let problem = server.extract(&ask()).await.problem(502, "upstream_error");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("UnknownIssuer") || detail.contains("certificate"),
        "{detail}"
    );
    assert_eq!(secured.upstream.calls(), 2);
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let secured = Secured::new(&authority, Some(&clients)).await;
    let own = clients.sign("extractd");
    let separate = "ca_file = \"ca.pem\"\nclient_cert = \"own.pem\"\nclient_key = \"own.key\"";
    let together = "ca_file = \"ca.pem\"\nclient_cert = \"both.pem\"";
    for settings in [separate, together] {
        let server = secured.configured(settings);
        let (certificate, key) = (own.certificate.pem(), own.key.serialize_pem());
        write(server.folder(), "ca.pem", &authority.pem);
        write(server.folder(), "own.pem", &certificate);
        write(server.folder(), "own.key", &key);
        write(server.folder(), "both.pem", &(key + &certificate));
        server.start().await.extract(&ask()).await.ok();
    }
    assert_eq!(secured.upstream.calls(), 2);

    let server = secured.configured("ca_file = \"ca.pem\"");
    write(server.folder(), "ca.pem", &authority.pem);
    let server = server.start().await;
    server.extract(&ask()).await.problem(502, "upstream_error");
    assert_eq!(secured.upstream.calls(), 2);
}

#[tokio::test]
async fn a_file_that_is_no_certificate_stops_the_start_and_is_named() {
    let authority = Authority::new();
    let secured = Secured::new(&authority, None).await;
    for (settings, variable, words) in [
        ("ca_file = \"none.pem\"", "", "none.pem"),
        ("ca_file = \"text.pem\"", "", "`ca_file`"),
        ("client_cert = \"ca.pem\"", "", "`client_cert`"),
        ("client_key = \"text.pem\"", "", "client_cert"),
        ("", "text.pem", "SSL_CERT_FILE"),
        ("", "none.pem", "SSL_CERT_FILE"),
    ] {
        let builder = secured.configured(settings);
        write(builder.folder(), "text.pem", "no certificate");
        write(builder.folder(), "ca.pem", &authority.pem);
        let output = binary()
            .arg("serve")
            .current_dir(builder.folder())
            .env("EXTRACTD_CONFIG", "extractd.toml")
            .env("EXTRACTD_LISTEN", "127.0.0.1:0")
            .env("SSL_CERT_FILE", variable)
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && told.contains(words),
            "{settings}: {told}"
        );
    }
}
