//! From configuration to a listening server, and its end.

use super::Config;
use super::tls::{self, Tls};
use crate::api::{self, Principals};
use crate::catalog::{self, session};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::proto;
use crate::session::Session;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

/// A server that accepts calls until it is told to stop.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    session: Arc<Session>,
    tls: Option<Arc<Tls>>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    /// Reads the certificates again, for connections from now on.
    pub fn reload_certificates(&self) -> Result<()> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    /// Stops accepting, turns away what waits, lets running calls finish, and returns.
    pub async fn stop(self) -> Result<()> {
        self.session.close();
        // A server that has ended by itself has nobody listening for this.
        let _ = self.stop.send(());
        self.task.await.map_err(|e| Error::internal(e.to_string()))?.map_err(|e| Error::internal(e.to_string()))
    }
}

/// Opens datasets and ledger, checks all of it, and listens.
pub async fn start(config: &Config) -> Result<Running> {
    let options = config.reader_options();
    let state = session(options).map_err(|e| Error::internal(e.strip_backtrace()))?;
    let mut engines: Vec<Engine> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for section in &config.datasets {
        let dataset = Arc::new(catalog::load(&section.file, &state).await?);
        if names.contains(&dataset.name) {
            return Err(Error::configuration(format!("two files declare dataset '{}'", dataset.name)));
        }
        names.push(dataset.name.clone());
        engines.push(Engine::new(dataset, options)?);
    }
    let settings = config.settings(&names)?;
    let ledger = Ledger::open(&config.ledger.path).await?;
    let entries = ledger.verify_audit().await?;
    ledger.apply(settings).await?;
    ledger.begin().await?;
    tracing::info!(audit_entries = entries, datasets = names.len(), "ledger open");

    let session = Arc::new(Session::new(engines, ledger, config.limits())?);
    let principals = Principals::new(config.principals.iter().map(|p| (p.token_sha256.clone(), p.name.clone())));
    let mut routes = Routes::builder();
    api::serve_routes(&mut routes, &session, &principals, config.server.max_request_bytes);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Error::internal(e.to_string()))?;
    routes.add_service(InterceptedService::new(reflection, principals));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    routes.add_service(health_service);

    let tls = config.server.tls.as_ref().map(Tls::open).transpose()?;
    let place = |e: std::io::Error| Error::configuration(format!("cannot listen on {}: {e}", config.server.listen));
    let listener = TcpListener::bind(config.server.listen).await.map_err(place)?;
    let address = listener.local_addr().map_err(place)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let end = async {
        // Either told to stop, or the handle is gone: both mean the end.
        let _ = stopped.await;
    };
    let router =
        Server::builder().layer(tower::util::MapResponseLayer::new(api::with_code)).add_routes(routes.routes());
    let task = match &tls {
        Some(tls) => tokio::spawn(router.serve_with_incoming_shutdown(tls::incoming(listener, tls.clone()), end)),
        None => tokio::spawn(router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), end)),
    };
    Ok(Running { address, stop, session, tls, task })
}
