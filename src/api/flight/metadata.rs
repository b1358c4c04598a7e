//! What tools look around with: catalogs, schemas, tables and what this server can do. Each dataset is a catalog, with one schema. Reads no data, costs nothing.

use super::malformed;
use crate::catalog::{Dataset, Table, arrow_type};
use crate::error::{Error, Result};
use crate::ledger::Balance;
use crate::session::Session;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::metadata::{SqlInfoDataBuilder, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Command, CommandGetTableTypes, SqlInfo, SqlSupportedTransaction};
use std::collections::HashMap;
use std::sync::Arc;

/// The schema within each catalog.
const SCHEMA: &str = "main";
const TABLE: &str = "TABLE";

/// The rows of a command about metadata.
///
/// Errors: `INVALID_REQUEST` where it is none.
pub async fn answer(session: &Session, who: &str, command: &Command) -> Result<RecordBatch> {
    let internal = |e: arrow::error::ArrowError| Error::internal(e.to_string());
    let policy = session.policy().await?;
    let datasets = session.datasets(who).await?;
    let names = || datasets.iter().map(|(dataset, _)| dataset.name.as_str());
    let built = match command.clone() {
        Command::CommandGetCatalogs(wanted) => {
            let mut catalogs = wanted.into_builder();
            names().for_each(|name| catalogs.append(name));
            catalogs.build()
        }
        Command::CommandGetDbSchemas(wanted) => {
            let mut schemas = wanted.into_builder();
            names().for_each(|name| schemas.append(name, SCHEMA));
            schemas.build()
        }
        Command::CommandGetTables(wanted) => {
            let mut tables = wanted.into_builder();
            for (dataset, accounts) in &datasets {
                let may = |table: &&Table| accounts.iter().any(|of| policy.may_read_rows(dataset, of, table).is_ok());
                for table in dataset.tables.iter().filter(may) {
                    let may = |at: usize| {
                        let column = &table.columns[at];
                        accounts.iter().any(|of: &Balance| policy.may_read(dataset, of, table, column).is_ok())
                    };
                    let schema = schema(dataset, table, may);
                    tables.append(&dataset.name, SCHEMA, &table.name, TABLE, &schema).map_err(flight)?;
                }
            }
            tables.build()
        }
        Command::CommandGetTableTypes(CommandGetTableTypes {}) => {
            let mut types = CommandGetTableTypes {}.into_builder();
            types.append(TABLE);
            types.build()
        }
        Command::CommandGetSqlInfo(wanted) => {
            let mut info = SqlInfoDataBuilder::new();
            info.append(SqlInfo::FlightSqlServerName, "undertone");
            info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
            info.append(SqlInfo::FlightSqlServerArrowVersion, "1.3");
            info.append(SqlInfo::FlightSqlServerReadOnly, true);
            info.append(SqlInfo::FlightSqlServerSql, true);
            info.append(SqlInfo::FlightSqlServerSubstrait, false);
            // Drivers that find none warn of it; what they begin and end does nothing.
            info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::Transaction as i32);
            info.append(SqlInfo::FlightSqlServerCancel, false);
            let info = info.build().map_err(flight)?;
            wanted.into_builder(&info).build()
        }
        Command::CommandGetXdbcTypeInfo(wanted) => {
            let types = XdbcTypeInfoDataBuilder::new().build().map_err(flight)?;
            wanted.into_builder(&types).build()
        }
        Command::CommandGetPrimaryKeys(_) => return empty(PRIMARY_KEYS).map_err(internal),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => return empty(FOREIGN_KEYS).map_err(internal),
        _ => return Err(malformed()),
    };
    built.map_err(flight)
}

fn flight(e: arrow_flight::error::FlightError) -> Error {
    Error::internal(e.to_string())
}

/// A table's columns, with what is declared of each.
fn schema(dataset: &Dataset, table: &Table, may_read: impl Fn(usize) -> bool) -> Schema {
    let columns = table.columns.iter().enumerate().filter(|(at, _)| may_read(*at));
    let fields = columns.map(|(at, column)| {
        let mut about = HashMap::from([
            ("undertone.description".to_owned(), column.description.clone()),
            ("undertone.tier".to_owned(), column.tier.clone()),
        ]);
        if table.is_unit(at) {
            about.insert("undertone.privacy_unit".to_owned(), dataset.privacy_unit.clone());
        }
        if let Some(domain) = &column.domain {
            about.insert("undertone.domain".to_owned(), domain.origin.clone());
        }
        if let Some(bounds) = column.bounds {
            about.insert("undertone.bounds".to_owned(), format!("{} to {}", bounds.low, bounds.high));
        }
        Field::new(&column.name, arrow_type(column.ty), true).with_metadata(about)
    });
    let about = HashMap::from([("undertone.description".to_owned(), table.description.clone())]);
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), about)
}

/// Columns as `FlightSql.proto` has them: name, whether it is text, and whether it may be NULL.
type Columns = &'static [(&'static str, DataType, bool)];

const PRIMARY_KEYS: Columns = &[
    ("catalog_name", DataType::Utf8, true),
    ("db_schema_name", DataType::Utf8, true),
    ("table_name", DataType::Utf8, false),
    ("column_name", DataType::Utf8, false),
    ("key_name", DataType::Utf8, true),
    ("key_sequence", DataType::Int32, false),
];

const FOREIGN_KEYS: Columns = &[
    ("pk_catalog_name", DataType::Utf8, true),
    ("pk_db_schema_name", DataType::Utf8, true),
    ("pk_table_name", DataType::Utf8, false),
    ("pk_column_name", DataType::Utf8, false),
    ("fk_catalog_name", DataType::Utf8, true),
    ("fk_db_schema_name", DataType::Utf8, true),
    ("fk_table_name", DataType::Utf8, false),
    ("fk_column_name", DataType::Utf8, false),
    ("key_sequence", DataType::Int32, false),
    ("fk_key_name", DataType::Utf8, true),
    ("pk_key_name", DataType::Utf8, true),
    ("update_rule", DataType::UInt8, false),
    ("delete_rule", DataType::UInt8, false),
];

/// No keys are told yet.
fn empty(columns: Columns) -> arrow::error::Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, ty, null)| Field::new(*name, ty.clone(), *null)).collect();
    let arrays = columns.iter().map(|(_, ty, _)| arrow::array::new_empty_array(ty)).collect();
    RecordBatch::try_new_with_options(
        Arc::new(Schema::new(fields)),
        arrays,
        &RecordBatchOptions::new().with_row_count(Some(0)),
    )
}
