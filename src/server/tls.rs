//! TLS: who the server is, and with `client_ca` also which machines may speak to it. Who a caller is, its token says.
//!
//! Connections shake hands on their own tasks, so a slow one holds up nobody. Certificates can be read again while the server
//! runs; open connections keep theirs.

use super::config::TlsSection;
use crate::error::{Error, Result};
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

/// Time that a client has for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Certificates that were read and fit together.
pub struct Certificates(Arc<ServerConfig>);

impl Certificates {
    /// Errors: `CONFIGURATION` where a file cannot be read or does not hold what it should, or has expired.
    pub fn read(files: &TlsSection) -> Result<Certificates> {
        Ok(Certificates(Arc::new(read(files)?)))
    }
}

/// The server's certificates, as last read.
pub struct Tls {
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub fn new(first: Certificates) -> Arc<Tls> {
        Arc::new(Tls { current: RwLock::new(first.0) })
    }

    /// Takes these for connections from now on.
    pub fn replace(&self, fresh: Certificates) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh.0;
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(files: &TlsSection) -> Result<ServerConfig> {
    let invalid = |what: &str, path: &Path, why: String| {
        Error::configuration(format!("server.tls.{what} {}: {why}", path.display()))
    };
    let certificates = |what: &str, path: &Path| {
        let found =
            CertificateDer::pem_file_iter(path).and_then(|found| found.collect::<std::result::Result<Vec<_>, _>>());
        match found {
            Ok(found) if found.is_empty() => Err(invalid(what, path, "holds no certificate in PEM".into())),
            Ok(found) => Ok(found),
            Err(e) => Err(invalid(what, path, e.to_string())),
        }
    };
    let chain = certificates("certificate", &files.certificate)?;
    chain.iter().try_for_each(in_force).map_err(|why| invalid("certificate", &files.certificate, why))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| invalid("key", &files.key, e.to_string()))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(e.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let unusable = |e: String| invalid("client_ca", path, e);
            let mut roots = RootCertStore::empty();
            for certificate in certificates("client_ca", path)? {
                roots.add(certificate).map_err(|e| unusable(e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| unusable(e.to_string()))?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|e| invalid("certificate", &files.certificate, format!("does not go with its key: {e}")))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Clients would turn away from a server whose certificate is not in force, so it is not used.
fn in_force(certificate: &CertificateDer) -> Result<(), String> {
    let (_, found) = parse_x509_certificate(certificate).map_err(|_| "holds a certificate that cannot be read")?;
    let (validity, now) = (found.validity(), ASN1Time::now());
    if now > validity.not_after {
        return Err(format!("has expired: it was valid until {}", validity.not_after));
    }
    if now < validity.not_before {
        return Err(format!("is not in force yet: it is valid from {}", validity.not_before));
    }
    if validity.time_to_expiration().is_some_and(|left| left < WARN_BEFORE) {
        tracing::warn!(until = %validity.not_after, "the server's certificate expires soon");
    }
    Ok(())
}

/// Time before the end of a certificate from which on each start and reload says so.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Connections whose handshake is done.
pub fn incoming(listener: TcpListener, tls: Arc<Tls>) -> ReceiverStream<io::Result<TlsStream<TcpStream>>> {
    let (send, receive) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                // The server has ended.
                () = send.closed() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (send, acceptor) = (send.clone(), tls.acceptor());
                    tokio::spawn(async move {
                        // Who fails or dawdles is no client.
                        if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                            // The server may have ended meanwhile.
                            let _ = send.send(Ok(stream)).await;
                        }
                    });
                }
                // For want of file descriptors, say: others may close some.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    ReceiverStream::new(receive)
}
