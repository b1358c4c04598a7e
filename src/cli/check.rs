//! `undertone check`.

use crate::catalog::{self, Dataset, Outline, Protection, session};
use crate::error::{Error, Result};
use crate::server;
use std::path::Path;

/// Checks a server's configuration and all of its datasets, or one dataset file: what they hold, in words.
pub async fn check(file: &Path) -> Result<String> {
    super::serve::log_panics();
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::configuration(format!("cannot read {}: {e}", file.display())))?;
    let is_dataset =
        text.parse::<toml::Table>().is_ok_and(|table| table.get("dataset").is_some_and(toml::Value::is_table));
    if is_dataset {
        let state = session(&Default::default()).map_err(|e| Error::internal(e.strip_backtrace()))?;
        return Ok(describe(catalog::load(file, &state).await?.as_ref()));
    }
    let config = server::load(file)?;
    let datasets = server::open_datasets(&config, |_| None).await?;
    let described: String = datasets.iter().map(|dataset| describe(dataset)).collect();
    let policy = config.policy()?;
    let outlines: Vec<_> = datasets.iter().map(|dataset| Outline::of(dataset)).collect();
    server::check_policy(&policy, &outlines, &config)?;
    let counts = format!("{} principals, {} grants", config.principals.len(), policy.document.grants.len());
    Ok(format!("{described}{}: {counts}: fine\n", file.display()))
}

fn describe(dataset: &Dataset) -> String {
    let table = |table: &catalog::Table| {
        let kind = match table.protection {
            Protection::Public => "public".to_owned(),
            Protection::Unit { column } => format!("protected by {}", table.columns[column].name),
            Protection::Parent { column, parent, .. } => {
                format!("protected over {} by table {}", table.columns[column].name, dataset.tables[parent].name)
            }
        };
        let files = table.source.files();
        let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
        format!("  {}: {} columns, {files}, {kind}\n", table.name, table.columns.len())
    };
    let tables: String = dataset.tables.iter().map(table).collect();
    format!("dataset {} (policy {}): fine\n{tables}", dataset.name, &dataset.policy_version[..16])
}
