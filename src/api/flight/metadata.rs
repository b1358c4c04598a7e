//! What tools look around with: catalogs, schemas, tables with what is declared of their columns, and keys. Each dataset is a catalog with two schemas: `main` has its data,
//! `undertone` what is the caller's own to see ([`super::about`]). Tables and columns that one may not read are not there. Reads no data, costs nothing.

use super::about;
use super::info::{sql_info, type_info};
use super::{flight, malformed};
use crate::algebra::Bounds;
use crate::api::grpc::date;
use crate::catalog::{Column, Dataset, Protection, Table, arrow_type};
use crate::error::{Error, Result};
use crate::governance::literal_in_words;
use crate::ledger::Balance;
use crate::policy::Policy;
use crate::session::Session;
use crate::sql::{DATA_SCHEMA as DATA, OWN_SCHEMA as OWN};
use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{Command, CommandGetTableTypes};
use std::collections::HashMap;
use std::sync::Arc;

const SCHEMAS: [&str; 2] = [DATA, OWN];
const TABLE: &str = "TABLE";
const OWN_TABLE: &str = "SYSTEM TABLE";

/// Keys of a field's metadata that drivers know (`FlightSql.proto`).
const REMARKS: &str = "ARROW:FLIGHT:SQL:REMARKS";
const TYPE_NAME: &str = "ARROW:FLIGHT:SQL:TYPE_NAME";

/// A dataset as its caller sees it.
struct Seen<'a> {
    dataset: &'a Dataset,
    accounts: &'a [Balance],
    policy: &'a Policy,
}

impl<'a> Seen<'a> {
    fn tables(&self) -> impl Iterator<Item = &'a Table> {
        let Seen { dataset, accounts, policy } = *self;
        let may = move |table: &&Table| accounts.iter().any(|of| policy.may_read_rows(dataset, of, table).is_ok());
        dataset.tables.iter().filter(may)
    }

    fn shows(&self, table: &Table, column: &Column) -> bool {
        self.accounts.iter().any(|of| self.policy.may_read(self.dataset, of, table, column).is_ok())
    }

    /// The foreign keys that lead to the privacy unit.
    fn keys(&self) -> Vec<Key<'a>> {
        let key = |table: &'a Table| match table.protection {
            Protection::Parent { column, parent, parent_key } => {
                let parent = &self.dataset.tables[parent];
                let key = Key {
                    catalog: &self.dataset.name,
                    child: (&table.name, &table.columns[column].name),
                    parent: (&parent.name, &parent.columns[parent_key].name),
                };
                let both = self.shows(table, &table.columns[column]) && self.shows(parent, &parent.columns[parent_key]);
                (both && self.tables().any(|shown| shown.name == parent.name)).then_some(key)
            }
            Protection::Public | Protection::Unit { .. } => None,
        };
        self.tables().filter_map(key).collect()
    }
}

/// A column that refers to one row of another table.
#[derive(Clone, PartialEq)]
struct Key<'a> {
    catalog: &'a str,
    /// Table and column.
    child: (&'a str, &'a str),
    parent: (&'a str, &'a str),
}

/// The table that a command about keys names: what is left out is any.
struct Named {
    catalog: Option<String>,
    schema: Option<String>,
    table: String,
}

impl Named {
    fn is(&self, catalog: &str, table: &str) -> bool {
        self.catalog.as_ref().is_none_or(|wanted| wanted == catalog)
            && self.schema.as_ref().is_none_or(|wanted| wanted == DATA)
            && self.table == table
    }
}

/// The rows of a command about metadata.
///
/// Errors: `INVALID_REQUEST` where it is none.
pub async fn answer(session: &Session, who: &str, command: &Command) -> Result<RecordBatch> {
    let policy = session.policy().await?;
    let datasets = session.datasets(who).await?;
    let seen = || datasets.iter().map(|(dataset, accounts)| Seen { dataset, accounts, policy: &policy });
    let names = || datasets.iter().map(|(dataset, _)| dataset.name.as_str());
    let built = match command.clone() {
        Command::CommandGetCatalogs(wanted) => {
            let mut catalogs = wanted.into_builder();
            names().for_each(|name| catalogs.append(name));
            catalogs.build()
        }
        Command::CommandGetDbSchemas(wanted) => {
            let mut schemas = wanted.into_builder();
            names().for_each(|name| SCHEMAS.iter().for_each(|schema| schemas.append(name, *schema)));
            schemas.build()
        }
        Command::CommandGetTables(wanted) => {
            let mut tables = wanted.into_builder();
            for seen in seen() {
                let name = &seen.dataset.name;
                for table in seen.tables() {
                    tables.append(name, DATA, &table.name, TABLE, &schema(&seen, table)).map_err(flight)?;
                }
                for ((table, description), (_, rows)) in about::TABLES.iter().zip(about::empty()?) {
                    let about = HashMap::from([("undertone.description".to_owned(), (*description).to_owned())]);
                    let schema = rows.schema().as_ref().clone().with_metadata(about);
                    tables.append(name, OWN, table, OWN_TABLE, &schema).map_err(flight)?;
                }
            }
            tables.build()
        }
        Command::CommandGetTableTypes(CommandGetTableTypes {}) => {
            let mut types = CommandGetTableTypes {}.into_builder();
            [OWN_TABLE, TABLE].into_iter().for_each(|ty| types.append(ty));
            types.build()
        }
        Command::CommandGetSqlInfo(wanted) => return sql_info(wanted),
        Command::CommandGetXdbcTypeInfo(wanted) => return type_info(wanted),
        Command::CommandGetPrimaryKeys(of) => {
            let named = Named { catalog: of.catalog, schema: of.db_schema, table: of.table };
            let all: Vec<Key> = seen().flat_map(|seen| seen.keys()).collect();
            return primary_keys(all.into_iter().filter(|key| named.is(key.catalog, key.parent.0)).collect());
        }
        Command::CommandGetExportedKeys(of) => {
            let named = Named { catalog: of.catalog, schema: of.db_schema, table: of.table };
            return foreign_keys(seen().flat_map(|s| s.keys()).filter(|k| named.is(k.catalog, k.parent.0)).collect());
        }
        Command::CommandGetImportedKeys(of) => {
            let named = Named { catalog: of.catalog, schema: of.db_schema, table: of.table };
            return foreign_keys(seen().flat_map(|s| s.keys()).filter(|k| named.is(k.catalog, k.child.0)).collect());
        }
        Command::CommandGetCrossReference(of) => {
            let parent = Named { catalog: of.pk_catalog, schema: of.pk_db_schema, table: of.pk_table };
            let child = Named { catalog: of.fk_catalog, schema: of.fk_db_schema, table: of.fk_table };
            let both = |key: &Key| parent.is(key.catalog, key.parent.0) && child.is(key.catalog, key.child.0);
            return foreign_keys(seen().flat_map(|s| s.keys()).filter(both).collect());
        }
        _ => return Err(malformed()),
    };
    built.map_err(flight)
}

/// A table's columns, with what is declared of each: for tools that show remarks, and by itself.
fn schema(seen: &Seen, table: &Table) -> Schema {
    let columns = table.columns.iter().enumerate().filter(|(_, column)| seen.shows(table, column));
    let fields = columns.map(|(at, column)| {
        let unit = table.is_unit(at).then(|| seen.dataset.privacy_unit.clone());
        let (domain, bounds) = (public_values(column), bounds(column));
        let remarks = [
            Some(column.description.clone()).filter(|text| !text.is_empty()),
            unit.as_ref().map(|unit| format!("names {unit}")),
            domain.as_ref().map(|domain| format!("public values: {domain}")),
            bounds.as_ref().map(|bounds| format!("from {bounds}")),
            Some(format!("tier {}", column.tier)),
        ];
        let remarks = remarks.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let about = [
            ("undertone.description", Some(column.description.clone())),
            ("undertone.tier", Some(column.tier.clone())),
            ("undertone.privacy_unit", unit),
            ("undertone.domain", domain),
            ("undertone.bounds", bounds),
            (REMARKS, Some(remarks)),
            (TYPE_NAME, Some(column.ty.sql().to_owned())),
        ];
        let about = about.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Field::new(&column.name, arrow_type(column.ty), true).with_metadata(about.collect())
    });
    let purposes: Vec<&str> = seen.accounts.iter().map(|account| account.account.purpose.as_str()).collect();
    let about = HashMap::from([
        ("undertone.description".to_owned(), table.description.clone()),
        ("undertone.purposes".to_owned(), purposes.join(", ")),
        ("undertone.privacy_unit".to_owned(), seen.dataset.privacy_unit.clone()),
    ]);
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), about)
}

/// Public values that are written out, and characters of them.
const MOST_VALUES: usize = 50;
const MOST_CHARACTERS: usize = 400;

/// The public values of a column in words: where they come from, how many, and the first ones.
pub fn public_values(column: &Column) -> Option<String> {
    let domain = column.domain.as_ref()?;
    let mut text = format!("{} ({} values): ", domain.origin, domain.values.len());
    for (at, value) in domain.values.iter().enumerate() {
        let value = literal_in_words(value);
        if at == MOST_VALUES || text.len() + value.len() > MOST_CHARACTERS {
            text += ", ...";
            break;
        }
        text += if at == 0 { "" } else { ", " };
        text += &value;
    }
    Some(text)
}

/// The declared bounds of a column in words.
fn bounds(column: &Column) -> Option<String> {
    let Bounds { low, high } = column.bounds?;
    Some(match column.ty.is_numeric() {
        true => format!("{low} to {high}"),
        false => format!("{} to {}", date(low), date(high)),
    })
}

/// Columns in the order and of the types that `FlightSql.proto` has.
fn rows<const N: usize>(columns: [(&str, bool, ArrayRef); N]) -> Result<RecordBatch> {
    let columns = columns.map(|(name, nullable, values)| (name, values, nullable));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(|e| Error::internal(e.to_string()))
}

fn texts<'a>(keys: &[Key<'a>], text: impl Fn(&Key<'a>) -> &'a str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(keys.iter().map(text)))
}

fn nothing(ty: &DataType, length: usize) -> ArrayRef {
    arrow::array::new_null_array(ty, length)
}

fn primary_keys(mut keys: Vec<Key>) -> Result<RecordBatch> {
    // Several tables may refer to one.
    keys.sort_by_key(|key| (key.catalog, key.parent));
    keys.dedup_by_key(|key| (key.catalog, key.parent));
    rows([
        ("catalog_name", true, texts(&keys, |key| key.catalog)),
        ("db_schema_name", true, texts(&keys, |_| DATA)),
        ("table_name", false, texts(&keys, |key| key.parent.0)),
        ("column_name", false, texts(&keys, |key| key.parent.1)),
        ("key_name", true, nothing(&DataType::Utf8, keys.len())),
        ("key_sequence", false, Arc::new(Int32Array::from(vec![1; keys.len()]))),
    ])
}

fn foreign_keys(keys: Vec<Key>) -> Result<RecordBatch> {
    /// Nothing is ever updated or deleted through SQL.
    const NO_ACTION: u8 = 3;
    let rule = || Arc::new(UInt8Array::from(vec![NO_ACTION; keys.len()])) as ArrayRef;
    rows([
        ("pk_catalog_name", true, texts(&keys, |key| key.catalog)),
        ("pk_db_schema_name", true, texts(&keys, |_| DATA)),
        ("pk_table_name", false, texts(&keys, |key| key.parent.0)),
        ("pk_column_name", false, texts(&keys, |key| key.parent.1)),
        ("fk_catalog_name", true, texts(&keys, |key| key.catalog)),
        ("fk_db_schema_name", true, texts(&keys, |_| DATA)),
        ("fk_table_name", false, texts(&keys, |key| key.child.0)),
        ("fk_column_name", false, texts(&keys, |key| key.child.1)),
        ("key_sequence", false, Arc::new(Int32Array::from(vec![1; keys.len()]))),
        ("fk_key_name", true, nothing(&DataType::Utf8, keys.len())),
        ("pk_key_name", true, nothing(&DataType::Utf8, keys.len())),
        ("update_rule", false, rule()),
        ("delete_rule", false, rule()),
    ])
}
