//! What there is to ask about: datasets, their tables and columns, the privacy unit and how each table
//! reaches it, and the files behind them.
//!
//! A dataset is declared in a TOML file. What is not declared cannot be queried. Everything that a declaration says about
//! a file is checked when the dataset is loaded, against the files that will be read, and holds for
//! those files only: see [`Dataset::check_unchanged`].

mod arrow_stream;
mod csv;
mod declaration;
mod format;
mod identifier;
mod load;
mod location;
mod outline;
mod pinned;
mod reader;
mod scan;
mod source;
mod spill;

pub use load::{load, load_again};
pub use outline::Outline;
pub use reader::{ReaderOptions, SpillOptions, arrow_type, canonical, environment, literal_value, session, session_in};
pub use source::Source;

use crate::algebra::{Bounds, Contribution, Domain, Mechanism, TableId, Type};
use crate::error::{Code, Error, Result};
use crate::num::Amount;
use std::path::PathBuf;
use std::time::Duration;

/// A longer value is NULL: one unit's texts must not be able to exhaust memory.
pub use crate::algebra::MAX_TEXT_BYTES;

/// One population and the tables about it.
pub struct Dataset {
    /// Where it is declared.
    pub file: PathBuf,
    pub name: String,
    pub description: String,
    /// What one unit is, in words: "one customer".
    pub privacy_unit: String,
    pub rules: Rules,
    /// Time between versions of the data; None where the operator decides.
    pub schedule: Option<Duration>,
    pub tables: Vec<Table>,
    /// SHA-256 of the declaration, in hexadecimal.
    pub policy_version: String,
    /// SHA-256 over the identities of all files, in hexadecimal.
    pub data_version: String,
}

/// What a question may ask for and what it gets where it does not say.
#[derive(Clone, Debug)]
pub struct Rules {
    pub default_epsilon: Amount,
    pub max_epsilon: Amount,
    /// For private keys; zero forbids them.
    pub default_delta: Amount,
    pub max_delta: Amount,
    pub mechanism: Mechanism,
    /// Largest and default contribution of one unit to one release.
    pub contribution: Contribution,
    /// Whether a unit's groups are limited by what each question finds out, and not by policy.
    pub open_groups: bool,
    /// The same of its rows in a group.
    pub open_rows: bool,
    /// Whether limits of sums and means may be found out.
    pub private_bounds: bool,
    /// Groups with private keys appear only from this many units on: fewer appear with probability delta at most.
    pub min_units: u64,
    /// Most rows of one unit on each side of a join that could multiply them.
    pub max_rows_per_unit: u64,
}

pub struct Table {
    pub name: String,
    pub description: String,
    pub protection: Protection,
    pub columns: Vec<Column>,
    pub source: Source,
    /// Rows of a public table; `u64::MAX` of a protected one.
    pub rows: u64,
}

/// How a table relates to the privacy unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The same in all neighbouring databases.
    Public,
    /// Each row belongs to the unit that this column names.
    Unit { column: usize },
    /// Each row belongs to the unit of the one parent row that `column` refers to.
    Parent { column: usize, parent: TableId, parent_key: usize },
}

pub struct Column {
    pub name: String,
    pub description: String,
    pub ty: Type,
    /// Position in the source.
    pub source_index: usize,
    pub bounds: Option<Bounds>,
    pub domain: Option<DeclaredDomain>,
    /// Most rows of a public table that share one value of this column; `u64::MAX` where that is private or unknown.
    pub repeats: u64,
    /// Sensitivity, for example "general" or "health".
    pub tier: String,
}

/// The public values of a column and where they come from, in words.
#[derive(Clone, Debug)]
pub struct DeclaredDomain {
    pub values: Domain,
    pub origin: String,
}

impl Dataset {
    pub fn table(&self, name: &str) -> Option<(TableId, &Table)> {
        self.tables.iter().enumerate().find(|(_, t)| t.name == name)
    }

    /// Fails where a file is not the one that was verified: no plan may rely on facts about another file.
    pub async fn check_unchanged(&self) -> Result<()> {
        for table in &self.tables {
            if !table.source.is_unchanged().await {
                let message = format!(
                    "a file of table '{}' changed after it was verified; ask again once the operator has opened the new version",
                    table.name
                );
                return Err(Error::new(Code::DataChanged, message));
            }
        }
        Ok(())
    }

    /// Whether a file may have been written to while it was read.
    pub async fn was_written_to(&self) -> bool {
        for table in &self.tables {
            if table.source.was_written_to().await {
                return true;
            }
        }
        false
    }
}

impl Table {
    pub fn is_public(&self) -> bool {
        self.protection == Protection::Public
    }

    /// Whether this column names the privacy unit of its own row.
    pub fn is_unit(&self, column: usize) -> bool {
        self.protection == Protection::Unit { column }
    }
}
