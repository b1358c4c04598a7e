//! The six TPC-H queries about one kind of unit.

use crate::{TOGETHER, account, answer, from_env, granted, in_words, made, median, numbers, plain, register, serve};
use crate::{trimmed_mean, write, yes};
use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use std::path::Path;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartSuppGenerator, SupplierGenerator,
};
use tpchgen_arrow::{CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartSuppArrow, SupplierArrow};
use undertone::governance::Ask;
use undertone::ledger::Account;
use undertone::proto::ChosenBound;
use undertone::session::Session;

/// Tables with the columns that the queries name.
const TABLES: [(&str, &[&str]); 6] = [
    ("customer", &["c_custkey", "c_nationkey"]),
    ("orders", &["o_orderkey", "o_custkey", "o_orderdate"]),
    ("lineitem", &["l_orderkey", "l_partkey", "l_suppkey", "l_quantity", "l_shipdate"]),
    ("supplier", &["s_suppkey", "s_nationkey"]),
    ("partsupp", &["ps_partkey", "ps_suppkey", "ps_availqty", "ps_supplycost"]),
    ("nation", &["n_nationkey"]),
];

/// Kinds of units, and what each table has to do with them.
const UNITS: [(&str, &[(&str, &str)]); 3] = [
    (
        "customer",
        &[
            ("customer", r#"unit = "c_custkey""#),
            ("orders", r#"unit = "o_custkey""#),
            ("lineitem", r#"unit = { column = "l_orderkey", references = "orders.o_orderkey" }"#),
            ("nation", "public = true"),
        ],
    ),
    ("order", &[("orders", r#"unit = "o_orderkey""#), ("lineitem", r#"unit = "l_orderkey""#)]),
    (
        "supplier",
        &[
            ("supplier", r#"unit = "s_suppkey""#),
            ("partsupp", r#"unit = "ps_suppkey""#),
            ("lineitem", r#"unit = "l_suppkey""#),
            ("nation", "public = true"),
        ],
    ),
];

struct Query {
    name: &'static str,
    unit: &'static str,
    /// R2T's error at epsilon 0.8: the trimmed mean, in percent.
    published: f64,
    /// As it was published.
    joined: &'static str,
    /// The same as it is asked here; that it means the same is checked. Limits are found out for sums, not for COUNT(*), so a count is the
    /// sum of counts per unit; and what a foreign key joins is looked up, which sorts no rows.
    asked: &'static str,
}

const QUERIES: [Query; 6] = [
    Query {
        name: "Q3",
        unit: "customer",
        published: 0.2540,
        joined: "SELECT count(*) AS answer FROM customer, orders, lineitem WHERE o_custkey = c_custkey AND l_orderkey = o_orderkey AND o_orderdate < date '1997-01-01' AND l_shipdate > date '1994-01-01'",
        asked: "SELECT sum(n) AS answer FROM (SELECT l_orderkey, count(*) AS n FROM lineitem WHERE l_shipdate > date '1994-01-01' AND l_orderkey IN (SELECT o_orderkey FROM orders WHERE o_orderdate < date '1997-01-01' AND o_custkey IN (SELECT c_custkey FROM customer)) GROUP BY l_orderkey) t",
    },
    Query {
        name: "Q12",
        unit: "order",
        published: 0.0229,
        joined: "SELECT count(*) AS answer FROM orders, lineitem WHERE o_orderkey = l_orderkey",
        asked: "SELECT sum(n) AS answer FROM (SELECT l_orderkey, count(*) AS n FROM lineitem WHERE l_orderkey IN (SELECT o_orderkey FROM orders) GROUP BY l_orderkey) t",
    },
    Query {
        name: "Q20",
        unit: "supplier",
        published: 0.5786,
        joined: "SELECT count(*) AS answer FROM supplier, nation, partsupp, lineitem WHERE l_partkey = ps_partkey AND l_suppkey = ps_suppkey AND s_nationkey = n_nationkey AND s_suppkey = ps_suppkey",
        asked: "SELECT sum(n) AS answer FROM (SELECT l_suppkey, count(*) AS n FROM lineitem WHERE EXISTS (SELECT 1 FROM partsupp WHERE ps_partkey = l_partkey AND ps_suppkey = l_suppkey) AND l_suppkey IN (SELECT s_suppkey FROM supplier JOIN nation ON s_nationkey = n_nationkey) GROUP BY l_suppkey) t",
    },
    Query {
        name: "Q10",
        unit: "customer",
        published: 0.1744,
        joined: "SELECT count(*) AS answer FROM orders, customer, nation WHERE c_custkey = o_custkey AND c_nationkey = n_nationkey",
        asked: "SELECT sum(n) AS answer FROM (SELECT o_custkey, count(*) AS n FROM orders WHERE o_custkey IN (SELECT c_custkey FROM customer JOIN nation ON c_nationkey = n_nationkey) GROUP BY o_custkey) t",
    },
    Query {
        name: "Q11",
        unit: "supplier",
        published: 1.8187,
        joined: "SELECT sum(ps_supplycost * ps_availqty / 1000000) AS answer FROM nation, supplier, partsupp WHERE ps_suppkey = s_suppkey AND s_nationkey = n_nationkey",
        asked: "SELECT sum(ps_supplycost * ps_availqty / 1000000) AS answer FROM partsupp WHERE ps_suppkey IN (SELECT s_suppkey FROM supplier JOIN nation ON s_nationkey = n_nationkey)",
    },
    Query {
        name: "Q18",
        unit: "customer",
        published: 0.1319,
        joined: "SELECT sum(l_quantity) AS answer FROM customer, orders, lineitem WHERE c_custkey = o_custkey AND o_orderkey = l_orderkey",
        asked: "SELECT sum(l_quantity) AS answer FROM lineitem WHERE l_orderkey IN (SELECT o_orderkey FROM orders WHERE o_custkey IN (SELECT c_custkey FROM customer))",
    },
];

/// How much smaller than the published error ours is to be.
const WANTED: f64 = 10.0;

fn columns(table: &str) -> &'static [&'static str] {
    TABLES.iter().find(|(name, _)| *name == table).map(|(_, columns)| *columns).unwrap()
}

/// The table's named columns, decimals as doubles.
fn generated(dir: &Path, table: &str, batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>) {
    let names = columns(table);
    let narrow = |batch: RecordBatch| {
        let column = |name: &&'static str| {
            let column = batch.column_by_name(name).unwrap();
            match column.data_type() {
                DataType::Decimal128(..) => (*name, cast(column, &DataType::Float64).unwrap()),
                _ => (*name, column.clone()),
            }
        };
        RecordBatch::try_from_iter(names.iter().map(column)).unwrap()
    };
    write(&dir.join(format!("{table}.parquet")), batches.map(|batch| narrow(batch.unwrap())));
}

fn generate(dir: &Path, scale: f64) {
    std::thread::scope(|scope| {
        // More rows than all others together.
        scope.spawn(|| generated(dir, "lineitem", LineItemArrow::new(LineItemGenerator::new(scale, 1, 1))));
        generated(dir, "customer", CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)));
        generated(dir, "orders", OrderArrow::new(OrderGenerator::new(scale, 1, 1)));
        generated(dir, "supplier", SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)));
        generated(dir, "partsupp", PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)));
        generated(dir, "nation", NationArrow::new(NationGenerator::new(scale, 1, 1)));
    });
}

fn dataset_of(unit: &str) -> String {
    format!("by_{unit}")
}

/// A dataset with this unit, and without bounds: all that is known of a sum is found out.
fn declaration(unit: &str, tables: &[(&str, &str)]) -> String {
    let mut text = format!(
        r#"
        [dataset]
        name = "{}"
        privacy_unit = "one {unit}"
        default_epsilon = "0.8"
        max_epsilon = "0.8"
        # Of counts alone, of which there are none.
        max_rows_contributed = 1000
        "#,
        dataset_of(unit)
    );
    for (table, protection) in tables {
        let columns: Vec<String> = columns(table).iter().map(|name| format!("{{ name = \"{name}\" }}")).collect();
        text += &format!(
            r#"
            [[table]]
            name = "{table}"
            path = "{table}.parquet"
            format = "parquet"
            {protection}
            column = [{}]
            "#,
            columns.join(", ")
        );
    }
    text
}

fn run_of(query: &Query, run: usize) -> String {
    format!("{} {run}", query.name)
}

/// One number, and the bounds that were found out for it.
async fn once(session: &Session, principal: String, ask: &Ask) -> (f64, Vec<ChosenBound>) {
    let (table, bounds) = answer(session, &principal, ask).await;
    (numbers(&table, 0)[0], bounds)
}

pub async fn run() {
    let (scale, runs) = (from_env("UNDERTONE_BENCH_SCALE", 1.0), from_env("UNDERTONE_BENCH_RUNS", 15usize));
    let dir = made(&format!("tpch-{scale}"), |dir| generate(dir, scale));
    let (mut files, mut settings) = (Vec::new(), Vec::new());
    for (unit, tables) in UNITS {
        let file = dir.join(format!("{unit}.toml"));
        std::fs::write(&file, declaration(unit, tables)).unwrap();
        files.push(file);
        settings.push(granted(Account::pool(&dataset_of(unit)), "1e12", "0"));
    }
    for query in &QUERIES {
        let own = (0..runs).map(|run| account(&dataset_of(query.unit), &run_of(query, run)));
        settings.extend(own.map(|account| granted(account, "0.8", "0")));
    }
    let scratch = tempfile::tempdir().unwrap();
    let session = serve(&files, settings, &scratch.path().join("ledger.sqlite")).await;
    let context = SessionContext::new();
    for (table, _) in TABLES {
        register(&context, &dir, table).await;
    }
    println!("TPC-H at scale {scale}, epsilon 0.8, {runs} runs: error in % of the truth, with what bounds cost");
    println!("ratio: of the published error to our trimmed mean, which is what was published");
    println!(
        "{:<5} {:<9} {:>14} {:>10} {:>10} {:>10} {:>8} {:>5}  bounds of the last run",
        "query", "unit", "truth", "median", "trimmed", "R2T", "ratio", ">= 10"
    );
    for query in &QUERIES {
        let truth = numbers(&plain(&context, query.joined).await[0], 0)[0];
        let same = numbers(&plain(&context, query.asked).await[0], 0)[0];
        assert!((truth - same).abs() <= 1e-9 * truth.abs(), "{} is {truth}, and is asked for as {same}", query.name);
        let ask =
            Ask { dataset: dataset_of(query.unit), sql: query.asked.into(), epsilon: "0.8".into(), ..Ask::default() };
        let all = futures::stream::iter(0..runs).map(|run| once(&session, run_of(query, run), &ask));
        let found: Vec<(f64, Vec<ChosenBound>)> = all.buffered(TOGETHER).collect().await;
        let errors: Vec<f64> = found.iter().map(|(found, _)| 100.0 * (found / truth - 1.0).abs()).collect();
        let (middle, trimmed) = (median(errors.clone()), trimmed_mean(errors));
        let ratio = query.published / trimmed;
        println!(
            "{:<5} {:<9} {truth:>14.1} {middle:>10.5} {trimmed:>10.5} {:>10.4} {ratio:>8.1} {:>5}  {}",
            query.name,
            query.unit,
            query.published,
            yes(ratio >= WANTED),
            found.last().map_or(String::new(), |(_, bounds)| in_words(bounds))
        );
    }
}
