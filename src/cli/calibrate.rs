//! `undertone calibrate`.

use crate::error::Result;
use crate::governance::Ask;
use crate::server;
use crate::session::{Calibration, Session};
use std::path::Path;

/// Finds bounds in this process, over the files and the ledger of a server that may be running.
pub async fn calibrate(config: &Path, ask: &Ask, epsilon: &str) -> Result<Calibration> {
    super::serve::log_panics();
    let config = server::load(config)?;
    let datasets = server::open_datasets(&config, |_| None).await?;
    let ledger = config.open_ledger().await?;
    let session = Session::new(server::engines(datasets, config.reader_options())?, ledger, config.limits())?;
    session.calibrate(ask, epsilon, &super::new_query_id()).await
}
