//! What can be another one while the server runs: policy, callers, certificates and versions of the data.
//!
//! *Reload.* Everything is read and checked first; then all of it is put in place. Where anything is wrong nothing changes.
//!
//! *Versions of the data.* Which files a dataset has is fixed when it is opened. New ones are looked for at a reload, and where policy
//! names a schedule at its moments. At each moment of a schedule the version is a new one whether files changed or not, since that
//! somebody's correction or deletion took effect is about them too; a reload makes a new version only where they did, which shows in
//! whether earlier answers are given again. What stays the same is not read again. A version that cannot be
//! verified is not seen by anybody: the last good one serves on. None of this touches what was spent: budgets belong to the people.

use super::config::Config;
use super::tls::{Certificates, Tls};
use crate::api::Principals;
use crate::catalog::{self, Dataset, Outline, ReaderOptions, session};
use crate::engine::{Engine, Workers};
use crate::error::{Error, Result};
use crate::session::Session;
use datafusion::execution::session_state::SessionState;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The parts of a running server that a reload replaces.
pub struct State {
    pub session: Arc<Session>,
    pub principals: Principals,
    pub tls: Option<Arc<Tls>>,
    /// Reads files, so that those who answer questions do not.
    pub opening: Workers,
    /// Datasets whose last version could not be opened.
    pub failed: Mutex<BTreeSet<String>>,
    /// As it was at the start, but for what reloads replaced. Held while anything is replaced.
    pub config: tokio::sync::Mutex<Config>,
}

/// Opens all datasets of a configuration, in its order. What `open` knows is not read again where nothing changed.
pub async fn open_datasets(config: &Config, open: impl Fn(&str) -> Option<Arc<Dataset>>) -> Result<Vec<Arc<Dataset>>> {
    let options = config.reader_options();
    if let Some(spill) = &options.spill {
        tempfile::tempfile_in(&spill.directory)
            .map_err(|e| Error::configuration(format!("engine.spill_directory {}: {e}", spill.directory.display())))?;
    }
    let state = reading(&options)?;
    let mut datasets: Vec<Arc<Dataset>> = Vec::new();
    for section in &config.datasets {
        let dataset = catalog::load_again(&section.file, &state, &open).await?;
        if datasets.iter().any(|other| other.name == dataset.name) {
            return Err(Error::configuration(format!("two files declare dataset '{}'", dataset.name)));
        }
        datasets.push(dataset);
    }
    Ok(datasets)
}

fn reading(options: &ReaderOptions) -> Result<SessionState> {
    session(options).map_err(|e| Error::internal(e.strip_backtrace()))
}

pub fn engines(datasets: Vec<Arc<Dataset>>, options: ReaderOptions) -> Result<Vec<Engine>> {
    let engine = |dataset: Arc<Dataset>| {
        let period = period(&dataset, since_1970());
        Engine::new(dataset, options.clone(), period)
    };
    datasets.into_iter().map(engine).collect()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The number of the schedule's period that this moment is in; 0 without a schedule.
fn period(dataset: &Dataset, now: Duration) -> u64 {
    dataset.schedule.map_or(0, |every| now.as_secs() / every.as_secs())
}

impl State {
    /// Reads the configuration, all datasets and certificates again.
    ///
    /// Errors: `CONFIGURATION` where anything is wrong; then nothing has changed.
    /// Dropped before the end, it has changed nothing, or is about to change everything.
    pub async fn reload(&self) -> Result<()> {
        let mut current = self.config.lock().await;
        let fresh = super::load(&current.path)?;
        let datasets = {
            let (session, fresh) = (self.session.clone(), fresh.clone());
            let open = async move { open_datasets(&fresh, |name| session.dataset(name)).await };
            self.opening.run(open).await?
        };
        let outlines: Vec<_> = datasets.iter().map(|dataset| Outline::of(dataset)).collect();
        self.session.policy().await?.covers(&outlines)?;
        let engines = engines(datasets, current.reader_options())?;
        let certificates = match (&self.tls, &fresh.server.tls) {
            (Some(_), Some(files)) => Some(Certificates::read(files)?),
            _ => None,
        };
        // From here on nothing can fail.
        self.session.replace(engines);
        self.principals.replace(fresh.credentials());
        if let Some((tls, certificates)) = self.tls.as_ref().zip(certificates) {
            tls.replace(certificates);
        }
        for section in current.take(fresh) {
            tracing::warn!(section, "what changed here takes effect at the next start");
        }
        Ok(())
    }

    /// Opens new versions at the moments of the datasets' schedules, until the server ends.
    pub async fn follow_schedules(self: Arc<State>) {
        loop {
            let now = since_1970();
            self.open_due(now).await;
            let engines = self.session.engines();
            let schedules = engines.values().filter_map(|engine| engine.dataset().schedule);
            let next = schedules.map(|every| every.as_secs() - now.as_secs() % every.as_secs()).min();
            // A reload may bring another schedule, so this looks again after a while.
            tokio::time::sleep(Duration::from_secs(next.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN))).await;
        }
    }

    /// Looks for what other servers of the ledger left behind, and for answers that are kept no longer, until this one ends.
    pub async fn tidy_ledger(self: Arc<State>) {
        let deadline = self.config.lock().await.limits().deadline;
        loop {
            let tidied = async {
                self.session.expire_answers().await?;
                self.session.ledger().lost(deadline).await
            };
            if let Err(e) = tidied.await {
                tracing::error!(error = %e, "the ledger was not looked through");
            }
            tokio::time::sleep(Duration::from_secs(LOOK_AGAIN)).await;
        }
    }

    /// Opens the versions that are due at this moment, in time since 1970.
    pub async fn open_due(&self, now: Duration) {
        let replaced = self.config.lock().await;
        for (name, engine) in self.session.engines().iter() {
            let period = period(engine.dataset(), now);
            let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            if period == engine.period() && !failed().contains(name) {
                continue;
            }
            match self.open_version(engine.dataset(), replaced.reader_options(), period).await {
                Ok(()) => failed().remove(name),
                Err(e) => {
                    tracing::error!(dataset = name, error = %e, "the last version of the data serves on, until the next try");
                    failed().insert(name.clone())
                }
            };
        }
    }

    async fn open_version(&self, last: &Arc<Dataset>, options: ReaderOptions, period: u64) -> Result<()> {
        let (state, known) = (reading(&options)?, last.clone());
        let look = async move { catalog::load_again(&known.file, &state, |_| Some(known.clone())).await };
        let opened =
            self.opening.run(look).await.and_then(|opened| match opened.policy_version == last.policy_version {
                true => Ok(opened),
                false => Err(Error::configuration("its declaration is another one now: reload to put it in force")),
            });
        let dataset = opened.as_ref().unwrap_or(last).clone();
        self.session.replace_one(Engine::new(dataset, options, period)?);
        opened.map(|_| ())
    }
}

/// Seconds after which schedules are looked at again.
const LOOK_AGAIN: u64 = 60;
