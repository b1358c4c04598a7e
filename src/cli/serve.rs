//! `undertone serve`.

use crate::error::{Error, Result};
use crate::server;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Serves until SIGINT or SIGTERM, then lets running calls finish. The address is printed once the server answers.
pub async fn serve(config: &Path, listen: Option<SocketAddr>) -> Result<()> {
    log_to_stderr();
    let mut config = server::load(config)?;
    if let Some(address) = listen {
        config.listen_at(address)?;
    }
    let running = server::start(&config).await?;
    super::show(&format!("undertone is listening on {}\n", running.address))?;
    wait_for_signal().await?;
    tracing::info!("stopping");
    running.stop().await
}

/// Logs hold names, codes and times; no SQL text, no literal, no value.
fn log_to_stderr() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("UNDERTONE_LOG").unwrap_or_else(|_| "undertone=info".into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Set twice only where one process serves twice, and then the first one stays.
    let _ = log.try_init();
}

/// Until SIGINT or SIGTERM.
pub async fn wait_for_signal() -> Result<()> {
    let listen = |kind| signal(kind).map_err(|e| Error::internal(format!("cannot wait for signals: {e}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
