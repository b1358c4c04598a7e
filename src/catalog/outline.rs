//! What a dataset's declaration names, without its files: what a policy can be about.

use super::{Dataset, declaration};
use crate::error::{Error, Result};
use std::path::Path;

/// The names in a declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    pub dataset: String,
    /// Tables, with each column and its tier.
    pub tables: Vec<(String, Vec<(String, String)>)>,
}

impl Outline {
    pub fn of(dataset: &Dataset) -> Outline {
        let columns = |table: &super::Table| table.columns.iter().map(|c| (c.name.clone(), c.tier.clone())).collect();
        let tables = dataset.tables.iter().map(|table| (table.name.clone(), columns(table)));
        Outline { dataset: dataset.name.clone(), tables: tables.collect() }
    }

    /// Errors: `CONFIGURATION`.
    pub fn read(path: &Path) -> Result<Outline> {
        let fail = |why: String| Error::configuration(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        let file = declaration::parse(&text).map_err(|e| fail(e.to_string().trim_end().to_owned()))?;
        let columns =
            |table: &declaration::TableEntry| table.columns.iter().map(|c| (c.name.clone(), c.tier.clone())).collect();
        let tables = file.tables.iter().map(|table| (table.name.clone(), columns(table)));
        Ok(Outline { dataset: file.dataset.name.clone(), tables: tables.collect() })
    }

    pub fn table(&self, name: &str) -> Option<&[(String, String)]> {
        self.tables.iter().find(|(table, _)| table == name).map(|(_, columns)| columns.as_slice())
    }
}
