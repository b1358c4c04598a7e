//! `undertone serve`.

use crate::error::{Error, Result};
use crate::server;
use crate::telemetry::{self, Exporter};
use sd_notify::NotifyState;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Serves until SIGINT or SIGTERM, reads policy, data and certificates again on SIGHUP, and at the end lets running calls finish. The address is printed once the server answers.
pub async fn serve(config: &Path, listen: Option<SocketAddr>) -> Result<()> {
    let mut config = server::load(config)?;
    let exporter = config.telemetry.otlp_endpoint.as_deref().map(telemetry::exporter).transpose()?;
    log_to_stderr(exporter.as_ref())?;
    if let Some(address) = listen {
        config.listen_at(address)?;
    }
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        running = server::start(&config) => running?,
        () = signals.stop() => return Ok(()),
    };
    if let Some(address) = running.operations {
        tracing::info!(%address, "metrics and readiness");
    }
    super::show(format!("undertone is listening on {}\n", running.address))?;
    tell_supervisor(NotifyState::Ready);
    loop {
        match signals.next().await {
            Signal::Stop => break,
            Signal::Reload => tokio::select! {
                reloaded = running.reload() => match reloaded {
                    Ok(()) => tracing::info!("policy, data and certificates were read again"),
                    Err(e) => tracing::error!(error = %e, "nothing was put in place"),
                },
                () = signals.stop() => break,
            },
        }
    }
    tracing::info!("stopping");
    tell_supervisor(NotifyState::Stopping);
    let stopped = running.stop().await;
    if let Some(exporter) = exporter {
        exporter.close().await;
    }
    stopped
}

/// systemd's protocol (`Type=notify`); without a supervisor nobody is told.
fn tell_supervisor(state: NotifyState) {
    if let Err(e) = sd_notify::notify(&[state]) {
        tracing::warn!(error = %e, "the supervisor could not be told");
    }
}

/// Logs hold names, codes and times; no SQL text, no literal, no value. So only this crate may write any: what libraries
/// log may quote plans. `UNDERTONE_LOG` is off, error, warn, info or debug. Spans go to the collector alone.
fn log_to_stderr(exporter: Option<&Exporter>) -> Result<()> {
    let level = match std::env::var("UNDERTONE_LOG") {
        Ok(text) => text.parse().map_err(|_| {
            Error::configuration(format!("UNDERTONE_LOG '{text}' is not off, error, warn, info or debug"))
        })?,
        Err(_) => LevelFilter::INFO,
    };
    let ours = Targets::new()
        .with_target(env!("CARGO_PKG_NAME"), level)
        .with_target(concat!(env!("CARGO_PKG_NAME"), "::telemetry"), LevelFilter::OFF);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(ours)).with(exporter.map(Exporter::layer)).init();
    log_panics();
    Ok(())
}

/// A panic's message may quote data; its place does not.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(place = panic.location().map(|l| l.to_string()), "panic");
    }));
}

/// What a running server is told.
pub enum Signal {
    Stop,
    Reload,
}

/// The signals of this process: SIGINT and SIGTERM end, SIGHUP reads again.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    /// A file may not grow any more: by itself it would end the process. Writing fails, which the ledger tells.
    _full: tokio::signal::unix::Signal,
}

/// Where there is no name for it: of Linux and the BSDs.
const SIGXFSZ: i32 = 25;

impl Signals {
    /// From here on these signals do nothing by themselves.
    pub fn listen() -> Result<Signals> {
        let listen = |kind| signal(kind).map_err(|e| Error::internal(format!("cannot wait for signals: {e}")));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            _full: listen(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for the signal to stop. Others that come meanwhile mean nothing.
    async fn stop(&mut self) {
        while !matches!(self.next().await, Signal::Stop) {}
    }

    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}
