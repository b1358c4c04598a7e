//! The operators' port: counters, and whether the server is alive and ready. It answers in clear text and asks for no token, so by
//! default it listens on loopback; what it says is for anyone who may reach it.

use crate::error::{Error, Result};
use crate::session::Session;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Time between looks at the ledger, and the longest that one may take.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What the ports are told of the server.
#[derive(Clone)]
struct Known {
    session: Arc<Session>,
    ready: watch::Receiver<bool>,
}

/// Whether questions can be answered: the ledger can be written, and the server is not about to stop.
pub struct Readiness {
    ready: watch::Sender<bool>,
    health: HealthReporter,
}

impl Readiness {
    pub async fn new(health: HealthReporter) -> Arc<Readiness> {
        let readiness = Readiness { ready: watch::Sender::new(false), health };
        readiness.set(true).await;
        Arc::new(readiness)
    }

    /// Says so on all ports.
    pub async fn set(&self, ready: bool) {
        if self.ready.send_replace(ready) != ready {
            tracing::info!(ready, "readiness");
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            self.health.set_service_status("", status).await;
        }
    }

    /// Looks again and again.
    pub async fn follow(self: Arc<Readiness>, session: Arc<Session>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let look = tokio::time::timeout(LOOK_EVERY, session.ledger().check()).await;
            self.set(matches!(look, Ok(Ok(())))).await;
        }
    }
}

/// Opens the port; what is returned serves `/metrics`, `/livez` and `/readyz` there.
pub async fn open(
    address: SocketAddr,
    session: Arc<Session>,
    readiness: &Readiness,
) -> Result<(SocketAddr, impl Future<Output = ()> + use<>)> {
    let place = |e: std::io::Error| Error::configuration(format!("telemetry: cannot listen on {address}: {e}"));
    let listener = TcpListener::bind(address).await.map_err(place)?;
    let bound = listener.local_addr().map_err(place)?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(Known { session, ready: readiness.ready.subscribe() });
    let serving = async move {
        // It has no end but that of its task.
        let _ = axum::serve(listener, router).await;
    };
    Ok((bound, serving))
}

async fn metrics(State(known): State<Known>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match known.session.ledger().balances().await {
        Ok(balances) => {
            ([(header::CONTENT_TYPE, OPEN_METRICS)], known.session.metrics().text(&balances)).into_response()
        }
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, format!("{e}\n")).into_response(),
    }
}

async fn ready(State(known): State<Known>) -> Response {
    match *known.ready.borrow() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}
