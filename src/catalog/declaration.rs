//! The dataset file as it is written. Unknown keys are refused. `examples/shop.toml` is the annotated example.

use crate::algebra::Mechanism;
use crate::error::Position;
use crate::num::Amount;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetFile {
    pub dataset: Header,
    #[serde(rename = "table", default)]
    pub tables: Vec<TableEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub name: String,
    #[serde(default)]
    pub description: String,
    pub privacy_unit: String,
    pub default_epsilon: Amount,
    pub max_epsilon: Amount,
    /// What one question with private keys costs in delta. Without it keys must be public.
    #[serde(default)]
    pub default_delta: Amount,
    /// The most that one question may ask for; by default the default.
    pub max_delta: Option<Amount>,
    #[serde(default)]
    pub mechanism: Mechanism,
    /// Without it each question finds a limit of its own, for a part of its price.
    pub max_groups_contributed: Option<u64>,
    /// Whether questions may find limits of sums and means that nobody has declared, for a part of their price.
    #[serde(default = "yes")]
    pub private_bounds: bool,
    /// As for groups.
    pub max_rows_contributed: Option<u64>,
    #[serde(default = "three_hundred")]
    pub max_rows_per_unit: u64,
    /// A new version of the data opens at each whole multiple of this since 1970 in UTC, whether files changed or not.
    pub new_version_every_minutes: Option<u64>,
}

/// Reads a dataset file, with the places of its tables and columns.
pub fn parse(text: &str) -> Result<DatasetFile, toml::de::Error> {
    let mut file: DatasetFile = toml::from_str(text)?;
    let tree = DeTable::parse(text)?;
    let name_of = |entry: &Spanned<DeValue>| {
        let name = entry.get_ref().as_table()?.get("name")?;
        Some(position(text, name.span().start))
    };
    for (table, entry) in file.tables.iter_mut().zip(list(tree.get_ref(), "table")) {
        table.at = name_of(entry);
        let columns = entry.get_ref().as_table().map(|table| list(table, "column")).unwrap_or_default();
        for (column, entry) in table.columns.iter_mut().zip(columns) {
            column.at = name_of(entry);
        }
    }
    Ok(file)
}

fn list<'a>(table: &'a DeTable<'a>, key: &str) -> &'a [Spanned<DeValue<'a>>] {
    table.get(key).and_then(|value| value.get_ref().as_array()).map(DeArray::as_ref).unwrap_or_default()
}

fn position(text: &str, byte: usize) -> Position {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Position { line: before.matches('\n').count() as u64 + 1, column: before[line_start..].chars().count() as u64 + 1 }
}

fn yes() -> bool {
    true
}

fn three_hundred() -> u64 {
    300
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Parquet,
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// Arrow IPC, file or stream.
    Arrow,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// A file, a directory or a glob, relative to the dataset file or as a URL.
    pub path: String,
    pub format: Format,
    /// Of CSV and NDJSON; by default what the files' names say: .gz, .bz2, .xz or .zst.
    pub compression: Option<Compression>,
    /// Columns whose values are in the names of directories, outermost first: `year=2024/month=05/`.
    #[serde(default)]
    pub path_columns: Vec<String>,
    /// Whether quoted fields of a CSV file may hold line ends. One that is not expected is more likely a quote left open.
    #[serde(default)]
    pub newlines_in_values: bool,
    /// True: no privacy unit has anything to do with it.
    #[serde(default)]
    pub public: bool,
    /// Column that names the privacy unit, or the way to it over a parent table.
    pub unit: Option<UnitEntry>,
    #[serde(rename = "column", default)]
    pub columns: Vec<ColumnEntry>,
    /// Rules that later versions enforce; a file that sets one is refused until then, never silently ignored.
    pub consent: Option<ConsentRule>,
    pub retention: Option<RetentionRule>,
    /// Where its name stands in the file.
    #[serde(skip)]
    pub at: Option<Position>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum UnitEntry {
    Column(String),
    Parent(ParentEntry),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentEntry {
    pub column: String,
    /// `table.column`; the column must be unique there.
    pub references: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnEntry {
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// Name in the file, where it differs.
    pub source: Option<String>,
    /// BIGINT, DOUBLE, VARCHAR, BOOLEAN, DATE or TIMESTAMP. Needed for CSV; else the file's own.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// Lowest and highest value: numbers, or dates and timestamps as text.
    pub bounds: Option<[BoundEntry; 2]>,
    pub domain: Option<DomainEntry>,
    /// Whether NULL is one of the domain's values.
    #[serde(default)]
    pub nullable: bool,
    #[serde(default = "general")]
    pub tier: String,
    /// Where its name stands in the file.
    #[serde(skip)]
    pub at: Option<Position>,
}

fn general() -> String {
    "general".into()
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum BoundEntry {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum DomainEntry {
    Values(Vec<toml::Value>),
    PublicColumn(PublicColumnEntry),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicColumnEntry {
    pub table: String,
    pub column: String,
}

/// Rows are used only for purposes that their unit agreed to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentRule {
    #[serde(rename = "column")]
    pub _column: String,
    #[serde(rename = "purposes")]
    pub _purposes: Vec<String>,
}

/// Rows older than this are not used.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRule {
    #[serde(rename = "column")]
    pub _column: String,
    #[serde(rename = "days")]
    pub _days: u32,
}
