//! From configuration to a listening server, and its end.

use super::operations::{self, Readiness};
use super::state::{State, engines, open_datasets};
use super::tls::{self, Certificates, Tls};
use super::{Config, policy};
use crate::api::{self, Principals};
use crate::engine::Workers;
use crate::error::{Error, Result};
use crate::proto;
use crate::session::Session;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

/// Of one connection, so that nobody keeps the server's memory: bytes of a call's headers, and calls at the same time.
const MOST_HEADER_BYTES: u32 = 16 * 1024;
const MOST_STREAMS: u32 = 128;
/// A client that does not answer for twice as long is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A server that accepts calls until it is told to stop.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    /// The operators' port.
    pub operations: Option<SocketAddr>,
    state: Arc<State>,
    readiness: Arc<Readiness>,
    /// Look at schedules and the ledger.
    followers: JoinSet<()>,
    /// Serves the operators' port, to the end.
    operators: JoinSet<()>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    /// Reads policy, data and certificates again; see [`State::reload`].
    pub async fn reload(&self) -> Result<()> {
        self.state.reload().await
    }

    /// Opens the versions of the data that are due at a moment, in time since 1970. The server does so by itself, by its own clock.
    pub async fn open_due_versions(&self, now: Duration) {
        self.state.open_due(now).await;
    }

    /// Stops accepting, turns away what waits, lets running calls finish, and returns.
    pub async fn stop(mut self) -> Result<()> {
        self.followers.shutdown().await;
        self.readiness.set(false).await;
        self.state.session.close();
        // A server that has ended by itself has nobody listening for this.
        let _ = self.stop.send(());
        let ended = self.task.await.map_err(|e| Error::internal(e.to_string()))?;
        self.operators.shutdown().await;
        ended.map_err(|e| Error::internal(e.to_string()))
    }
}

/// Opens datasets and ledger, checks all of it, and listens.
pub async fn start(config: &Config) -> Result<Running> {
    let datasets = open_datasets(config, |_| None).await?;
    let policy = config.policy()?;
    let tls = config.server.tls.as_ref().map(Certificates::read).transpose()?.map(Tls::new);
    let ledger = config.open_ledger().await?;
    let entries = ledger.verify().await?.chain.entries();
    ledger.serve(config.limits().deadline).await?;
    policy::begin(&ledger, &policy, &datasets, config).await?;
    tracing::info!(audit_entries = entries, datasets = datasets.len(), "ledger open");

    let engines = engines(datasets, config.reader_options())?;
    let session = Arc::new(Session::new(engines, ledger, config.limits())?);
    let principals = Principals::new(config.credentials());
    let mut routes = Routes::builder();
    api::serve_routes(&mut routes, &session, &principals, config.server.max_request_bytes)?;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|e| Error::internal(e.to_string()))?;
    routes.add_service(InterceptedService::new(reflection, principals.clone()));
    let (health, health_service) = tonic_health::server::health_reporter();
    routes.add_service(health_service);

    let place = |e: std::io::Error| Error::configuration(format!("cannot listen on {}: {e}", config.address()));
    let listener = TcpListener::bind(config.address()).await.map_err(place)?;
    let address = listener.local_addr().map_err(place)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let end = async {
        // Either told to stop, or the handle is gone: both mean the end.
        let _ = stopped.await;
    };
    let router = Server::builder()
        .http2_max_header_list_size(Some(MOST_HEADER_BYTES))
        .max_concurrent_streams(Some(MOST_STREAMS))
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .layer(tower::util::MapResponseLayer::new(api::with_code))
        .add_routes(routes.routes());
    let task = match &tls {
        Some(tls) => tokio::spawn(router.serve_with_incoming_shutdown(tls::incoming(listener, tls.clone()), end)),
        None => tokio::spawn(router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), end)),
    };
    let state = Arc::new(State {
        session,
        principals,
        tls,
        opening: Workers::start(1)?,
        failed: Default::default(),
        config: tokio::sync::Mutex::new(config.clone()),
    });
    let readiness = Readiness::new(health).await;
    let (mut followers, mut operators) = (JoinSet::new(), JoinSet::new());
    followers.spawn(state.clone().follow_schedules());
    followers.spawn(state.clone().tidy_ledger());
    followers.spawn(readiness.clone().follow(state.session.clone()));
    let mut operations = None;
    if let Some(wanted) = config.telemetry.listen {
        let (bound, serving) = operations::open(wanted, state.session.clone(), &readiness).await?;
        operations = Some(bound);
        operators.spawn(serving);
    }
    Ok(Running { address, operations, stop, state, readiness, followers, operators, task })
}
