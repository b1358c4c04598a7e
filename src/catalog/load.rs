//! From a dataset file to a checked [`Dataset`]. Errors name file, table and column.

use super::declaration::{self, BoundEntry, ColumnEntry, DatasetFile, DomainEntry, Header, TableEntry, UnitEntry};
use super::identifier::check_sql_name;
use super::location::{no_panic, unreadable};
use super::reader::{arrow_type, canonical};
use super::source::Found;
use super::{Column, Dataset, DeclaredDomain, Protection, Rules, Source, Table};
use crate::algebra::calendar::DAY;
use crate::algebra::{Bounds, Contribution, Literal, MOST_GROUPS, TableId, Type};
use crate::error::{Error, Result};
use crate::hex::sha256;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, max as arrow_max};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TryCast, col, ident, lit};
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Most values of a public set of keys.
const MAX_DOMAIN: usize = 100_000;
/// Most that a unit may contribute by declaration: keeps every sum within 128 bits.
const MAX_CONTRIBUTION: u64 = 1_000_000_000;

/// Reads, checks and opens a dataset. `state` is a restricted session, see [`super::session`].
pub async fn load(path: &Path, state: &SessionState) -> Result<Arc<Dataset>> {
    load_again(path, state, |_| None).await
}

/// Like [`load`], but where neither the declaration nor any file is another one than those of the open dataset of the same name, it is
/// that one, and no file is read.
pub async fn load_again(
    path: &Path,
    state: &SessionState,
    open: impl Fn(&str) -> Option<Arc<Dataset>>,
) -> Result<Arc<Dataset>> {
    let within = |e: Error| Error { message: format!("{}: {}", path.display(), e.message), ..e };
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::configuration(format!("cannot read dataset file {}: {e}", path.display())))?;
    let file =
        declaration::parse(&text).map_err(|e| within(Error::configuration(e.to_string().trim_end().to_owned())))?;
    let known = open(&file.dataset.name);
    build(file, &text, path, state, known).await.map_err(within)
}

async fn build(
    file: DatasetFile,
    text: &str,
    path: &Path,
    state: &SessionState,
    known: Option<Arc<Dataset>>,
) -> Result<Arc<Dataset>> {
    check_sql_name("dataset", &file.dataset.name)?;
    let rules = rules(&file.dataset)?;
    let base = path.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in &file.tables {
        found.push(Found::look(base, entry).await.map_err(|e| in_table(entry, e))?);
    }
    let data_version = sha256(found.iter().map(Found::fingerprint).collect::<String>());
    let policy_version = sha256(text);
    if let Some(known) = known
        && (&known.policy_version, &known.data_version) == (&policy_version, &data_version)
    {
        return Ok(known);
    }
    let mut tables: Vec<Table> = Vec::new();
    for (entry, found) in file.tables.iter().zip(found) {
        let opened = open_table(entry, found, state).await.map_err(|e| in_table(entry, e))?;
        if tables.iter().any(|t| t.name == opened.name) {
            return Err(in_table(entry, Error::configuration("is declared twice")));
        }
        tables.push(opened);
    }
    for (id, entry) in file.tables.iter().enumerate() {
        tables[id].protection = protection(entry, &tables[id], &tables).map_err(|e| in_table(entry, e))?;
    }
    for (id, entry) in file.tables.iter().enumerate() {
        check_path(id, &tables).map_err(|e| in_table(entry, e))?;
        let verify = async {
            verify_parent(id, &tables, state).await?;
            read_through(&tables[id], state).await
        };
        let rows = no_panic(verify).await.map_err(|e| in_table(entry, e))?;
        if tables[id].is_public() {
            tables[id].rows = rows;
        }
    }
    resolve_domains(&file, &mut tables, state).await?;
    Ok(Arc::new(Dataset {
        file: path.to_owned(),
        name: file.dataset.name,
        description: file.dataset.description,
        privacy_unit: file.dataset.privacy_unit,
        rules,
        schedule: schedule(file.dataset.new_version_every_minutes)?,
        tables,
        policy_version,
        data_version,
    }))
}

fn in_table(entry: &TableEntry, e: Error) -> Error {
    Error { message: format!("table '{}': {}", entry.name, e.message), ..e }.or_at(entry.at)
}

fn in_column(name: &str, message: impl std::fmt::Display) -> Error {
    Error::configuration(format!("column '{name}': {message}"))
}

fn rules(header: &Header) -> Result<Rules> {
    if header.default_epsilon.is_zero() || header.default_epsilon > header.max_epsilon {
        return Err(Error::configuration("default_epsilon must be above 0 and at most max_epsilon"));
    }
    let max_delta = header.max_delta.unwrap_or(header.default_delta);
    if header.default_delta > max_delta || max_delta.to_f64() >= 1.0 {
        return Err(Error::configuration("default_delta must be at most max_delta, and that below 1"));
    }
    let [groups, rows] = [header.max_groups_contributed, header.max_rows_contributed]
        .map(|declared| declared.unwrap_or(MOST_GROUPS.unsigned_abs()));
    for (key, value) in [
        ("max_groups_contributed", groups),
        ("max_rows_contributed", rows),
        ("max_rows_per_unit", header.max_rows_per_unit),
    ] {
        if !(1..=MAX_CONTRIBUTION).contains(&value) {
            return Err(Error::configuration(format!("{key} must be from 1 to {MAX_CONTRIBUTION}")));
        }
    }
    Ok(Rules {
        default_epsilon: header.default_epsilon,
        max_epsilon: header.max_epsilon,
        default_delta: header.default_delta,
        max_delta,
        mechanism: header.mechanism,
        contribution: Contribution { groups, rows, total: None },
        open_groups: header.max_groups_contributed.is_none(),
        open_rows: header.max_rows_contributed.is_none(),
        private_bounds: header.private_bounds,
        min_units: 1,
        max_rows_per_unit: header.max_rows_per_unit,
    })
}

fn schedule(minutes: Option<u64>) -> Result<Option<Duration>> {
    match minutes {
        None => Ok(None),
        Some(minutes @ 1..=MAX_SCHEDULE_MINUTES) => Ok(Some(Duration::from_secs(60 * minutes))),
        Some(_) => {
            Err(Error::configuration(format!("new_version_every_minutes must be from 1 to {MAX_SCHEDULE_MINUTES}")))
        }
    }
}

/// A year.
const MAX_SCHEDULE_MINUTES: u64 = 366 * 24 * 60;

async fn open_table(entry: &TableEntry, found: Found, state: &SessionState) -> Result<Table> {
    check_sql_name("table", &entry.name)?;
    if entry.consent.is_some() || entry.retention.is_some() {
        return Err(Error::configuration("consent and retention rules are not enforced yet, so they are refused"));
    }
    let unit = match &entry.unit {
        Some(UnitEntry::Column(column)) => Some(column),
        Some(UnitEntry::Parent(link)) => Some(&link.column),
        None => None,
    };
    let in_path = |column: &ColumnEntry| entry.path_columns.contains(column.source.as_ref().unwrap_or(&column.name));
    if entry.columns.iter().any(|column| Some(&column.name) == unit && in_path(column)) {
        return Err(Error::configuration("who a row is about must not stand in paths, which errors and logs name"));
    }
    let source = Source::open(state, entry, found).await?;
    let mut columns: Vec<Column> = Vec::new();
    for column in &entry.columns {
        let opened = open_column(column, &source).map_err(|e| e.or_at(column.at))?;
        if columns.iter().any(|c| c.name == opened.name) {
            return Err(in_column(&opened.name, "is declared twice").or_at(column.at));
        }
        columns.push(opened);
    }
    Ok(Table {
        name: entry.name.clone(),
        description: entry.description.clone(),
        protection: Protection::Public,
        columns,
        source,
        rows: u64::MAX,
    })
}

fn open_column(entry: &ColumnEntry, source: &Source) -> Result<Column> {
    let name = entry.name.as_str();
    check_sql_name("column", name)?;
    let schema = source.schema();
    let wanted = entry.source.as_deref().unwrap_or(name);
    let Some((source_index, field)) = schema.fields().iter().enumerate().find(|(_, f)| f.name() == wanted) else {
        return Err(in_column(name, format_args!("the file has no column '{wanted}'")));
    };
    let natural = canonical(field.data_type())
        .ok_or_else(|| in_column(name, format_args!("files' type {} cannot be queried", field.data_type())))?;
    let ty = match &entry.ty {
        Some(text) => type_of(text).ok_or_else(|| {
            in_column(name, format_args!("type '{text}' is not BIGINT, DOUBLE, VARCHAR, BOOLEAN, DATE or TIMESTAMP"))
        })?,
        None => natural,
    };
    // What the file holds as something else is read as text or number only where that cannot fail.
    let readable = natural == ty || natural == Type::Text || (natural == Type::Int && ty == Type::Float);
    if !readable {
        return Err(in_column(
            name,
            format_args!("the file has {}, which cannot be read as {}", natural.sql(), ty.sql()),
        ));
    }
    let bounds = entry.bounds.as_ref().map(|ends| bounds(ends, ty).map_err(|why| in_column(name, why))).transpose()?;
    Ok(Column {
        name: name.to_owned(),
        description: entry.description.clone(),
        ty,
        source_index,
        bounds,
        domain: None,
        repeats: u64::MAX,
        tier: entry.tier.clone(),
    })
}

fn bounds(ends: &[BoundEntry; 2], ty: Type) -> Result<Bounds, &'static str> {
    let micros = |literal| match literal {
        Literal::Date(days) => Some(f64::from(days) * DAY as f64),
        Literal::Timestamp(micros) => Some(micros as f64),
        _ => None,
    };
    let end = |end: &BoundEntry| match (end, ty) {
        (BoundEntry::Number(number), Type::Int | Type::Float) => Some(*number),
        (BoundEntry::Text(text), Type::Date | Type::Timestamp) => {
            let parsed = ScalarValue::try_from_string(text.clone(), &arrow_type(ty)).ok()?;
            literal_of(&parsed).and_then(micros)
        }
        _ => None,
    };
    // Every whole number up to here is a double.
    let most = if ty.is_numeric() { 1e15 } else { 9e15 };
    match ty {
        Type::Text | Type::Bool => Err("bounds are for BIGINT, DOUBLE, DATE and TIMESTAMP columns"),
        _ => end(&ends[0])
            .zip(end(&ends[1]))
            .and_then(|(low, high)| Bounds::new(low, high))
            .filter(|b| b.low.abs().max(b.high.abs()) <= most)
            .ok_or("bounds must be [low, high] of the column's type, finite, in order, and within 1e15 or the years 1685 to 2255"),
    }
}

fn type_of(text: &str) -> Option<Type> {
    [Type::Int, Type::Float, Type::Text, Type::Bool, Type::Date, Type::Timestamp]
        .into_iter()
        .find(|ty| ty.sql().eq_ignore_ascii_case(text))
}

fn position(table: &Table, column: &str) -> Result<usize> {
    let found = table.columns.iter().position(|c| c.name == column);
    found.ok_or_else(|| Error::configuration(format!("column '{column}' of table '{}' is not declared", table.name)))
}

fn protection(entry: &TableEntry, table: &Table, tables: &[Table]) -> Result<Protection> {
    match (&entry.unit, entry.public) {
        (None, true) => Ok(Protection::Public),
        (Some(_), true) => Err(Error::configuration("is public and has a privacy unit: it can only be one of the two")),
        (None, false) => Err(Error::configuration("needs `unit = ...`, or `public = true` where it is about nobody")),
        (Some(UnitEntry::Column(column)), false) => {
            let column = position(table, column)?;
            check_key_type(&table.columns[column])?;
            Ok(Protection::Unit { column })
        }
        (Some(UnitEntry::Parent(link)), false) => {
            let column = position(table, &link.column)?;
            let (name, key) = link
                .references
                .split_once('.')
                .ok_or_else(|| Error::configuration("unit.references must be 'table.column'"))?;
            let parent = tables.iter().position(|t| t.name == name).ok_or_else(|| {
                Error::configuration(format!("unit.references names table '{name}', which is not declared"))
            })?;
            let parent_key = position(&tables[parent], key)?;
            check_key_type(&table.columns[column])?;
            if table.columns[column].ty != tables[parent].columns[parent_key].ty {
                return Err(Error::configuration(format!(
                    "column '{}' and '{}' have different types",
                    link.column, link.references
                )));
            }
            Ok(Protection::Parent { column, parent, parent_key })
        }
    }
}

/// Units and foreign keys must compare exactly, so they are no floats.
fn check_key_type(column: &Column) -> Result<()> {
    match column.ty {
        Type::Int | Type::Text => Ok(()),
        other => Err(in_column(
            &column.name,
            format_args!("a unit or foreign key must be BIGINT or VARCHAR, not {}", other.sql()),
        )),
    }
}

/// The way to the unit ends at a unit column, without going in a circle or over a public table, and all units have one type.
fn check_path(start: TableId, tables: &[Table]) -> Result<()> {
    let mut at = start;
    for _ in 0..=tables.len() {
        match tables[at].protection {
            Protection::Parent { parent, .. } => at = parent,
            Protection::Public if at == start => return Ok(()),
            Protection::Public => {
                return Err(Error::configuration(format!(
                    "its way to the unit leads over the public table '{}'",
                    tables[at].name
                )));
            }
            Protection::Unit { column } => {
                let first = tables.iter().find_map(|t| match t.protection {
                    Protection::Unit { column } => Some(t.columns[column].ty),
                    _ => None,
                });
                return match first == Some(tables[at].columns[column].ty) {
                    true => Ok(()),
                    false => Err(Error::configuration("its unit has another type than the other tables' unit")),
                };
            }
        }
    }
    Err(Error::configuration("its way to the unit goes in a circle"))
}

/// A child row must have one owner: the parent's key is unique in the files that were opened.
async fn verify_parent(id: TableId, tables: &[Table], state: &SessionState) -> Result<()> {
    let Protection::Parent { parent, parent_key, .. } = tables[id].protection else { return Ok(()) };
    let parent = &tables[parent];
    let plan = column_values(parent, parent_key)
        .and_then(|b| b.aggregate(vec![col("value")], vec![count(lit(1)).alias("rows")]))
        .and_then(|b| b.filter(col("rows").gt(lit(1i64))))
        .and_then(|b| b.limit(0, Some(1)));
    let repeated = collect(state, plan).await?.iter().any(|batch| batch.num_rows() > 0);
    match repeated {
        true => Err(Error::configuration(format!(
            "column '{}' of its parent '{}' is not unique, so a row could belong to several units",
            parent.columns[parent_key].name, parent.name
        ))),
        false => Ok(()),
    }
}

/// Reads every row of every column that can be asked for, so that no question is the first to meet what cannot be read: the number
/// of rows.
async fn read_through(table: &Table, state: &SessionState) -> Result<u64> {
    let mut wanted: Vec<usize> = table.columns.iter().map(|c| c.source_index).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let run = async {
        let provider = provider_as_source(table.source.provider());
        let plan = LogicalPlanBuilder::scan("source", provider, Some(wanted))?.build()?;
        let mut batches = DataFrame::new(state.clone(), plan).execute_stream().await?;
        let (mut rows, mut typed) = (0, Typed::of(table));
        while let Some(batch) = batches.try_next().await? {
            rows += batch.num_rows() as u64;
            typed.iter_mut().try_for_each(|column| column.look(&batch))?;
            for (field, values) in batch.schema().fields().iter().zip(batch.columns()) {
                if canonical(field.data_type()) == Some(Type::Text) && longest(values)? > MAX_FILE_TEXT_BYTES {
                    return Ok(Err(format!("a value of '{}' has more than {MAX_FILE_TEXT_BYTES} bytes", field.name())));
                }
            }
        }
        Ok::<_, DataFusionError>(typed.iter().try_for_each(Typed::check).map(|()| rows))
    };
    run.await.map_err(unreadable)?.map_err(Error::configuration)
}

/// A column of text that is declared as something else. A value that does not fit is NULL; where none fits, the declaration is wrong.
struct Typed<'a> {
    column: &'a Column,
    file_name: String,
    seen: bool,
    fits: bool,
}

impl<'a> Typed<'a> {
    fn of(table: &'a Table) -> Vec<Typed<'a>> {
        let schema = table.source.schema();
        let text = |column: &&Column| {
            column.ty != Type::Text && canonical(schema.field(column.source_index).data_type()) == Some(Type::Text)
        };
        let typed = |column: &'a Column| {
            let file_name = schema.field(column.source_index).name().clone();
            Typed { column, file_name, seen: false, fits: false }
        };
        table.columns.iter().filter(text).map(typed).collect()
    }

    fn look(&mut self, batch: &RecordBatch) -> datafusion::error::Result<()> {
        let Some(values) = batch.column_by_name(&self.file_name).filter(|_| !self.fits) else { return Ok(()) };
        let texts = cast(values, &DataType::Utf8)?;
        self.seen |= texts.as_string::<i32>().iter().flatten().any(|text| !text.is_empty());
        let fitting = cast(&texts, &arrow_type(self.column.ty))?;
        self.fits = fitting.null_count() < fitting.len();
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        match self.seen && !self.fits {
            true => Err(format!(
                "column '{}': none of its values in the files is a {}: declare another type, or mend the files",
                self.column.name,
                self.column.ty.sql()
            )),
            false => Ok(()),
        }
    }
}

/// Longest text in a file: readers hold thousands at once.
const MAX_FILE_TEXT_BYTES: usize = 64 << 10;

/// Bytes of the longest text.
fn longest(texts: &ArrayRef) -> datafusion::error::Result<usize> {
    let texts = cast(texts, &DataType::Utf8)?;
    Ok(texts.as_string::<i32>().iter().flatten().map(str::len).max().unwrap_or(0))
}

/// Plan with one column `value`: the values of a table's column that are not NULL.
fn column_values(table: &Table, column: usize) -> datafusion::error::Result<LogicalPlanBuilder> {
    let column = &table.columns[column];
    let name = table.source.schema().field(column.source_index).name().clone();
    let value = Expr::TryCast(TryCast::new(Box::new(ident(name)), arrow_type(column.ty)));
    LogicalPlanBuilder::scan("source", provider_as_source(table.source.provider()), Some(vec![column.source_index]))?
        .project(vec![value.alias("value")])?
        .filter(col("value").is_not_null())
}

async fn collect(
    state: &SessionState,
    plan: datafusion::error::Result<LogicalPlanBuilder>,
) -> Result<Vec<RecordBatch>> {
    let run = async { DataFrame::new(state.clone(), plan?.build()?).collect().await };
    run.await.map_err(unreadable)
}

/// Every column's public values: declared lists, lists by reference, and whatever public tables hold.
async fn resolve_domains(file: &DatasetFile, tables: &mut [Table], state: &SessionState) -> Result<()> {
    let mut public: Vec<Vec<Option<DeclaredDomain>>> = Vec::new();
    for table in tables.iter_mut() {
        let mut row = Vec::new();
        for i in 0..table.columns.len() {
            let found = if table.is_public() { public_values(table, i, state).await? } else { PublicValues::unknown() };
            let origin = format!("values of public column {}.{}", table.name, table.columns[i].name);
            table.columns[i].repeats = found.repeats;
            row.push(found.values.map(|values| DeclaredDomain { values: values.into(), origin }));
        }
        public.push(row);
    }
    for (id, entry) in file.tables.iter().enumerate() {
        for i in 0..tables[id].columns.len() {
            let declared = &entry.columns[i];
            let wrong = |message: String| in_table(entry, in_column(&declared.name, message).or_at(declared.at));
            let domain = match &declared.domain {
                None => public[id][i].clone(),
                Some(DomainEntry::Values(list)) => Some(DeclaredDomain {
                    values: listed(list, tables[id].columns[i].ty).map_err(wrong)?.into(),
                    origin: "declared list".into(),
                }),
                Some(DomainEntry::PublicColumn(reference)) => {
                    let at = tables.iter().position(|t| t.name == reference.table && t.is_public());
                    let at = at.ok_or_else(|| {
                        wrong(format!("domain names '{}', which is not a public table", reference.table))
                    })?;
                    let column = position(&tables[at], &reference.column).map_err(|e| wrong(e.message))?;
                    if tables[at].columns[column].ty != tables[id].columns[i].ty {
                        return Err(wrong("and its domain have different types".into()));
                    }
                    let values = public[at][column].clone();
                    Some(values.ok_or_else(|| wrong(format!("its domain has more than {MAX_DOMAIN} values")))?)
                }
            };
            tables[id].columns[i].domain = domain.map(|d| with_null(d, declared.nullable, tables[id].columns[i].ty));
        }
    }
    Ok(())
}

fn with_null(domain: DeclaredDomain, nullable: bool, ty: Type) -> DeclaredDomain {
    match nullable {
        true => DeclaredDomain { values: domain.values.iter().cloned().chain([Literal::Null(ty)]).collect(), ..domain },
        false => domain,
    }
}

/// What a public table's column holds.
struct PublicValues {
    /// Distinct and not NULL, in ascending order, unless they are too many.
    values: Option<Vec<Literal>>,
    /// Most rows that share one of them.
    repeats: u64,
}

impl PublicValues {
    fn unknown() -> PublicValues {
        PublicValues { values: None, repeats: u64::MAX }
    }
}

/// The values of a public table's column. Of floats nothing is said: they are no keys.
async fn public_values(table: &Table, column: usize, state: &SessionState) -> Result<PublicValues> {
    if table.columns[column].ty == Type::Float {
        return Ok(PublicValues::unknown());
    }
    let plan = column_values(table, column)
        .and_then(|b| b.aggregate(vec![col("value")], vec![count(lit(1)).alias("rows")]))
        .and_then(|b| b.sort(vec![col("value").sort(true, true)]));
    let batches = collect(state, plan).await.map_err(|e| in_column(&table.columns[column].name, e.message))?;
    let counts = |batch: &RecordBatch| batch.column(1).as_primitive_opt::<Int64Type>().and_then(arrow_max).unwrap_or(0);
    let repeats = batches.iter().map(counts).max().unwrap_or(0).unsigned_abs();
    if batches.iter().map(RecordBatch::num_rows).sum::<usize>() > MAX_DOMAIN {
        return Ok(PublicValues { values: None, repeats });
    }
    let mut values = Vec::new();
    for (batch, row) in batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row))) {
        let value = ScalarValue::try_from_array(batch.column(0), row).map_err(|e| Error::internal(e.to_string()))?;
        values.extend(literal_of(&value));
    }
    Ok(PublicValues { values: Some(values), repeats })
}

fn literal_of(scalar: &ScalarValue) -> Option<Literal> {
    Some(match scalar {
        ScalarValue::Int64(Some(v)) => Literal::Int(*v),
        ScalarValue::Utf8(Some(v)) => Literal::Text(v.clone()),
        ScalarValue::Boolean(Some(v)) => Literal::Bool(*v),
        ScalarValue::Date32(Some(v)) => Literal::Date(*v),
        ScalarValue::TimestampMicrosecond(Some(v), _) => Literal::Timestamp(*v),
        _ => return None,
    })
}

/// The values of a declared list, each once, of the column's type.
fn listed(list: &[toml::Value], ty: Type) -> Result<Vec<Literal>, String> {
    let mut values = Vec::new();
    for value in list {
        let literal = match (value, ty) {
            (toml::Value::Integer(v), Type::Int) => Literal::Int(*v),
            (toml::Value::String(v), Type::Text) => Literal::Text(v.clone()),
            (toml::Value::Boolean(v), Type::Bool) => Literal::Bool(*v),
            (toml::Value::String(v), Type::Date | Type::Timestamp) => {
                let parsed = ScalarValue::try_from_string(v.clone(), &arrow_type(ty));
                parsed.ok().as_ref().and_then(literal_of).ok_or(format!("domain value is not a {}", ty.sql()))?
            }
            _ => return Err(format!("domain values must be of the column's type {}", ty.sql())),
        };
        if values.contains(&literal) {
            return Err("domain lists a value twice".into());
        }
        values.push(literal);
    }
    match values.len() {
        0 => Err("domain is empty".into()),
        n if n > MAX_DOMAIN => Err(format!("domain has more than {MAX_DOMAIN} values")),
        _ => Ok(values),
    }
}
