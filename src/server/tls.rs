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

/// Time that a client has for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The server's certificates, as last read.
pub struct Tls {
    files: TlsSection,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Errors: `CONFIGURATION` where a file cannot be read or does not hold what it should.
    pub fn open(files: &TlsSection) -> Result<Arc<Tls>> {
        Ok(Arc::new(Tls { files: files.clone(), current: RwLock::new(Arc::new(read(files)?)) }))
    }

    /// Reads the files again, for connections from now on. Where that fails the old ones stay in use.
    pub fn reload(&self) -> Result<()> {
        let fresh = Arc::new(read(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
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
