//! TPC-H with the customer as the privacy unit: customer, orders and lineitem are protected, through foreign keys; part, supplier,
//! partsupp, nation and region are public. Texts of the queries and data come from the `tpchgen` crates, parameters are the standard's
//! for validation (TPC-H 3.0.1, 2.4). At an epsilon without noise, answers are plain DataFusion's.

use crate::world::{ANA, Caller, batch, code, rows, same};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow, RegionArrow, SupplierArrow,
};
use undertone::server;

const SCALE: f64 = 0.01;
const TABLES: [&str; 8] = ["customer", "orders", "lineitem", "part", "supplier", "partsupp", "nation", "region"];

/// Values of `:1`, `:2`, ... in each query.
const PARAMETERS: [&[&str]; 22] = [
    &["90"],
    &["15", "BRASS", "EUROPE"],
    &["BUILDING", "1995-03-15"],
    &["1993-07-01"],
    &["ASIA", "1994-01-01"],
    &["1994-01-01", "0.06", "24"],
    &["FRANCE", "GERMANY"],
    // Nor has BRAZIL a supplier with a share.
    &["ARGENTINA", "AMERICA", "ECONOMY ANODIZED STEEL"],
    &["green"],
    &["1993-10-01"],
    &["GERMANY", "0.0001"],
    &["MAIL", "SHIP", "1994-01-01"],
    &["special", "requests"],
    &["1995-09-01"],
    &["1996-01-01"],
    &["Brand#45", "MEDIUM POLISHED", "49", "14", "23", "45", "19", "3", "36", "9"],
    // At this scale the standard's own parts (Brand#23, MED BOX) have no such line.
    &["Brand#44", "WRAP CAN"],
    &["300"],
    &["Brand#12", "Brand#23", "Brand#34", "1", "10", "20"],
    &["forest", "1994-01-01", "CANADA"],
    &["SAUDI ARABIA"],
    &["13", "31", "23", "29", "30", "18", "17"],
];

/// Groups, and rows per group, of one customer at most: none has more. Tight limits, so that what noise is left is small.
const LIMITS: [(u64, u64); 22] = [
    (6, 150),
    (0, 0),
    (0, 0),
    (5, 6),
    (1, 12),
    (1, 20),
    (4, 12),
    (7, 4),
    (20, 10),
    (0, 0),
    (0, 0),
    (2, 12),
    (1, 1),
    (1, 20),
    (20, 4),
    (0, 0),
    (150, 6),
    (0, 0),
    (1, 10),
    (40, 4),
    (20, 4),
    (1, 1),
];

/// What becomes of a query.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// Answered, at a price, and equal to plain DataFusion's answer.
    Equal,
    /// The same, but for private keys that fewer than two customers have.
    EqualWhereShown,
    /// Of public tables alone: equal and free.
    Free,
    /// Its result has a row for each customer or order.
    Rows,
}

const FATES: [Fate; 22] = {
    use Fate::*;
    [
        Equal,
        Free,
        Rows,
        Equal,
        Equal,
        Equal,
        Equal,
        Equal,
        Equal,
        Rows,
        Free,
        Equal,
        EqualWhereShown,
        Equal,
        Equal,
        Free,
        Equal,
        Rows,
        Equal,
        Equal,
        Equal,
        EqualWhereShown,
    ]
};

/// A query's text with its parameters, as one statement.
fn text(query: usize) -> String {
    let mut text = tpchgen::q_and_a::queries::query(query as i32).unwrap().to_owned();
    // The longest names first: :10 is not :1 and a zero.
    for (at, value) in PARAMETERS[query - 1].iter().enumerate().rev() {
        text = text.replace(&format!(":{}", at + 1), value);
    }
    // A precision that is not in the standard's own text of an interval, and a view in the place of a WITH query.
    text = text
        .replace("day (3)", "day")
        .replace("create view revenue:s", "with revenue")
        .replace("drop view revenue:s;", "");
    if text.contains("revenue:s") {
        text = text.replacen(") as\n", ") as (\n", 1).replacen(";", ")", 1).replace("revenue:s", "revenue");
    }
    text.trim().trim_end_matches(';').to_owned()
}

/// The same as it is asked here: what limits rows in all groups together needs less noise where a customer is in many groups.
fn asked(query: usize) -> String {
    match query {
        9 => text(query).replacen("select", "select with differential_privacy options (max_rows_contributed = 15)", 1),
        _ => text(query),
    }
}

fn write(dir: &Path, table: &str, batches: impl Iterator<Item = RecordBatch>) {
    let mut writer: Option<ArrowWriter<File>> = None;
    for batch in batches {
        // Plain strings; decimals stay what they are.
        let plain = |column: &ArrayRef| match column.data_type() {
            DataType::Utf8View => cast(column, &DataType::Utf8).unwrap(),
            _ => column.clone(),
        };
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| (field.name(), plain(column)));
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = || File::create(dir.join(format!("{table}.parquet"))).unwrap();
        writer
            .get_or_insert_with(|| ArrowWriter::try_new(file(), batch.schema(), None).unwrap())
            .write(&batch)
            .unwrap();
    }
    writer.unwrap().close().unwrap();
}

fn generate(dir: &Path) {
    write(dir, "customer", CustomerArrow::new(CustomerGenerator::new(SCALE, 1, 1)).map(Result::unwrap));
    write(dir, "orders", OrderArrow::new(OrderGenerator::new(SCALE, 1, 1)).map(Result::unwrap));
    write(dir, "lineitem", LineItemArrow::new(LineItemGenerator::new(SCALE, 1, 1)).map(Result::unwrap));
    write(dir, "part", PartArrow::new(PartGenerator::new(SCALE, 1, 1)).map(Result::unwrap));
    write(dir, "supplier", SupplierArrow::new(SupplierGenerator::new(SCALE, 1, 1)).map(Result::unwrap));
    write(dir, "partsupp", PartSuppArrow::new(PartSuppGenerator::new(SCALE, 1, 1)).map(Result::unwrap));
    write(dir, "nation", NationArrow::new(NationGenerator::new(SCALE, 1, 1)).map(Result::unwrap));
    write(dir, "region", RegionArrow::new(RegionGenerator::new(SCALE, 1, 1)).map(Result::unwrap));
}

/// The dataset's declaration: bounds are those of the standard's data generator (TPC-H 3.0.1, 4.2.3).
const DECLARATION: &str = include_str!("tpch.toml");

/// A server of its own for each query: each may spend the whole grant.
fn configuration(dir: &Path, query: usize) -> std::path::PathBuf {
    let file = dir.join(format!("undertone-{query}.toml"));
    let text = format!(
        r#"
        [server]
        deadline_seconds = 60
        [ledger]
        path = "ledger-{query}.sqlite"
        [[dataset]]
        file = "tpch.toml"
        [policy]
        file = "policy.toml"
        [[principal]]
        name = "ana"
        token_sha256 = "{}"
        "#,
        undertone::api::digest(ANA)
    );
    std::fs::write(&file, text).unwrap();
    let policy = r#"
        [[dataset]]
        name = "tpch"
        pool_epsilon = "1e12"
        pool_delta = "1e-6"
        [[grant]]
        principal = "ana"
        dataset = "tpch"
        purpose = "research"
        epsilon = "1e12"
        delta = "1e-6"
        "#;
    std::fs::write(dir.join("policy.toml"), policy).unwrap();
    file
}

/// Plain DataFusion over the same files, with the two functions that this build of it lacks.
async fn plain(dir: &Path) -> SessionContext {
    let context = SessionContext::new();
    for table in TABLES {
        let path = dir.join(format!("{table}.parquet"));
        context.register_parquet(table, path.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
    }
    let year = |args: &[ColumnarValue]| {
        let dates = args[0].to_array(1)?;
        let years = date_part(&dates, DatePart::Year)?;
        Ok(ColumnarValue::Array(cast(&years, &DataType::Int64)?))
    };
    let prefix = |args: &[ColumnarValue]| {
        let texts = cast(&args[0].to_array(1)?, &DataType::Utf8)?;
        let parts: StringArray = texts.as_string::<i32>().iter().map(|text| text.map(|text| &text[..2])).collect();
        Ok(ColumnarValue::Array(Arc::new(parts)))
    };
    let pure = Volatility::Immutable;
    context.register_udf(create_udf("year_of", vec![DataType::Date32], DataType::Int64, pure, Arc::new(year)));
    context.register_udf(create_udf("prefix", vec![DataType::Utf8], DataType::Utf8, pure, Arc::new(prefix)));
    context
}

async fn expected(context: &SessionContext, query: usize) -> Vec<Vec<String>> {
    let text = text(query)
        .replace("extract(year from ", "year_of(")
        .replace("substring(c_phone from 1 for 2)", "prefix(c_phone)");
    let found = context.sql(&text).await.unwrap_or_else(|e| panic!("Q{query}: {e}\n{text}"));
    found.collect().await.unwrap().iter().map(doubles).flat_map(|batch| rows(&batch)).collect()
}

/// Decimals as doubles, which is what they are in answers.
fn doubles(batch: &RecordBatch) -> RecordBatch {
    let column = |column: &ArrayRef| match column.data_type() {
        DataType::Decimal128(..) => cast(column, &DataType::Float64).unwrap(),
        _ => column.clone(),
    };
    let schema = batch.schema();
    // Names may stand twice.
    let columns = schema.fields().iter().zip(batch.columns()).enumerate();
    RecordBatch::try_from_iter(columns.map(|(at, (_, c))| (at.to_string(), column(c)))).unwrap()
}

/// Equal, with means within the six places to which DataFusion rounds those of decimals.
fn equal(answer: &undertone::proto::Answer, got: &[Vec<String>], expected: &[Vec<String>]) -> bool {
    let schema = batch(&answer.table).schema();
    let columns = &answer.receipt.as_ref().unwrap().columns;
    let means = columns.iter().filter(|column| column.mechanism.starts_with("ratio"));
    let means: Vec<usize> = means.map(|column| schema.index_of(&column.name).unwrap()).collect();
    let part = |rows: &[Vec<String>], mean: bool| -> Vec<Vec<String>> {
        let cells = |row: &Vec<String>| {
            let cells = row.iter().enumerate().filter(|(at, _)| means.contains(at) == mean);
            cells.map(|(_, cell)| cell.clone()).collect()
        };
        rows.iter().map(cells).collect()
    };
    same(&part(got, false), &part(expected, false), 1e-9) && same(&part(got, true), &part(expected, true), 2e-6)
}

/// The rows that are not empty groups: of those all counts and sums are nothing; where neither is shown, their key is not expected.
fn shown(answer: &undertone::proto::Answer, expected: &[Vec<String>]) -> Vec<Vec<String>> {
    let table = batch(&answer.table);
    let columns = &answer.receipt.as_ref().unwrap().columns;
    let position = |name: &str| table.schema().index_of(name).unwrap();
    let noisy: Vec<usize> = columns.iter().map(|column| position(&column.name)).collect();
    let sums = columns.iter().filter(|column| column.noise_scale > 0.0);
    let sums: Vec<usize> = sums.map(|column| position(&column.name)).collect();
    let keys: Vec<usize> = (0..table.num_columns()).filter(|at| !noisy.contains(at)).collect();
    let nothing = |text: &str| text.parse::<f64>().is_ok_and(|v| v.abs() < 0.5);
    let mut rows = rows(&table);
    if keys.is_empty() || noisy.is_empty() {
        return rows;
    }
    rows.retain(|row| match sums.is_empty() {
        true => expected.iter().any(|other| keys.iter().all(|at| row[*at] == other[*at])),
        false => !sums.iter().all(|at| nothing(&row[*at])),
    });
    rows
}

fn world() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path());
    std::fs::write(dir.path().join("tpch.toml"), DECLARATION).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn all_queries_are_answered_or_refused_for_a_reason() {
    let dir = world();
    let context = plain(dir.path()).await;
    let mut wrong = Vec::new();
    for (query, fate) in (1..=22).zip(FATES) {
        let mut config = server::load(&configuration(dir.path(), query)).unwrap();
        config.listen_at("127.0.0.1:0".parse().unwrap()).unwrap();
        let running = server::start(&config).await.unwrap();
        let ana = Caller::connect(&running.address.to_string(), ANA).await;
        let mut request = crate::world::request(&asked(query), "9e11");
        let question = request.question.as_mut().unwrap();
        question.dataset = "tpch".into();
        (question.max_groups_contributed, question.max_rows_contributed) = LIMITS[query - 1];
        let got = ana.execute(request).await;
        running.stop().await.unwrap();
        match (fate, got) {
            (Fate::Rows, Err(e)) if code(&e) == "PRIVATE_ROWS" => {}
            (Fate::Rows, Err(e)) => wrong.push(format!("Q{query}: {} {}", code(&e), e.message())),
            (_, Err(e)) => wrong.push(format!("Q{query}: {} {}", code(&e), e.message())),
            (Fate::Rows, Ok(_)) => wrong.push(format!("Q{query} is answered")),
            (fate, Ok(answer)) => {
                let mut expected = expected(&context, query).await;
                let got = shown(&answer, &expected);
                let paid = answer.receipt.as_ref().unwrap().price.as_ref().unwrap().rho != "0";
                if paid == (fate == Fate::Free) {
                    wrong.push(format!("Q{query}: the wrong price"));
                }
                if fate == Fate::EqualWhereShown {
                    let lacking = expected.iter().filter(|row| !got.contains(row)).count();
                    let few = expected.iter().filter(|row| row[1] == "1").count();
                    assert!(lacking <= few, "Q{query} shows less than it could");
                    expected.retain(|row| row[1] != "1");
                }
                if !equal(&answer, &got, &expected) || got.is_empty() {
                    let alone = |row: &Vec<String>| [row.clone()];
                    let differ = got.iter().zip(&expected).find(|(a, b)| !equal(&answer, &alone(a), &alone(b)));
                    wrong.push(format!("Q{query}: {} rows, not {}; first {differ:?}", got.len(), expected.len()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_are_statements_with_all_their_parameters() {
    for query in 1..=22 {
        let text = text(query);
        assert!(!text.contains(':') && !text.contains(';'), "Q{query}: {text}");
    }
}

#[test]
fn the_table_in_the_docs_is_this_one() {
    let docs = include_str!("../../docs/sql.md");
    for (query, fate) in (1..=22).zip(FATES) {
        let row = docs.lines().find_map(|line| line.strip_prefix(&format!("| Q{query} | "))).unwrap();
        let outcome = match fate {
            Fate::Equal | Fate::EqualWhereShown => "answered",
            Fate::Free => "free",
            Fate::Rows => "refused",
        };
        assert!(row.starts_with(outcome), "Q{query}: {row}");
    }
}
