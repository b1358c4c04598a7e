//! The error of whole answers, from text to noise, beside what others have published and beside our own goals.
//!
//! *TPC-H*: the six queries about one kind of unit of Dong, Fang, Yi, Tao and Machanavajjhala 2022, SIGMOD, "R2T: Instance-optimal truncation for
//! differentially private query evaluation with foreign keys", at their epsilon of 0.8 and no delta. How much one unit adds is found out by the
//! question, within that epsilon: each run has an account of its own, which knows no bounds yet.
//!
//! *Events*: counts and means by 2,000 categories at (1, 1e-6), with the number of categories of a user found out as well, and noise and bias
//! apart.
//!
//! `cargo bench --bench utility` (with `--profile dev` it shares the build of the tests); `-- tpch` or `-- events` is one of the two.
//! `UNDERTONE_BENCH_SCALE`, `UNDERTONE_BENCH_RUNS` and `UNDERTONE_BENCH_ROWS` change their sizes. Data is made once, and kept among temporary files.

mod events;
mod tpch;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::ipc::reader::StreamReader;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use prost::Message;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tokio::runtime::Runtime;
use undertone::accounting::Grant;
use undertone::catalog::{self, ReaderOptions, session};
use undertone::engine::Engine;
use undertone::governance::{Ask, bound_in_words};
use undertone::ledger::{Account, Ledger, Location, NewPolicy, Setting, Terms};
use undertone::proto::{self, ChosenBound};
use undertone::session::{Limits, Session};

/// Questions that are under way together; one of them runs, the others wait for the moments at which answers are told.
pub const TOGETHER: usize = 3;

pub fn from_env<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// A directory of data that is made once.
pub fn made(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let place = |end: &str| std::env::temp_dir().join(format!("undertone-bench-utility-{name}{end}"));
    let (dir, part) = (place(""), place(".part"));
    if !dir.exists() {
        // What an earlier run did not finish.
        let _ = std::fs::remove_dir_all(&part);
        std::fs::create_dir_all(&part).unwrap();
        make(&part);
        std::fs::rename(&part, &dir).unwrap();
    }
    dir
}

pub fn write(file: &Path, batches: impl Iterator<Item = RecordBatch>) {
    let mut batches = batches.peekable();
    let schema = batches.peek().expect("rows").schema();
    let mut writer = ArrowWriter::try_new(File::create(file).unwrap(), schema, None).unwrap();
    for batch in batches {
        writer.write(&batch).unwrap();
    }
    writer.close().unwrap();
}

pub fn account(dataset: &str, principal: &str) -> Account {
    Account { dataset: dataset.into(), principal: principal.into(), purpose: "bench".into() }
}

pub fn granted(account: Account, epsilon: &str, delta: &str) -> Setting {
    let grant = Grant::new(epsilon.parse().unwrap(), delta.parse().unwrap());
    Setting { account, grant, terms: Terms::default() }
}

pub async fn serve(files: &[PathBuf], settings: Vec<Setting>, ledger: &Path) -> Session {
    // As much memory as it takes: a question that fails would be told only at its deadline.
    let options = ReaderOptions { memory_bytes: 12 << 30, ..ReaderOptions::default() };
    let state = session(&options).unwrap();
    let mut engines = Vec::new();
    for file in files {
        let dataset = catalog::load(file, &state).await.unwrap();
        engines.push(Engine::new(dataset, options.clone(), 0).unwrap());
    }
    let ledger = Ledger::open(&Location::Sqlite(ledger.to_owned())).await.unwrap();
    ledger.apply(NewPolicy { settings, ..NewPolicy::default() }).await.unwrap();
    let limits = Limits {
        deadline: Duration::from_secs(600),
        concurrent: 1,
        concurrent_per_principal: 1,
        time_bucket: Duration::from_nanos(1),
        threads: options.partitions,
    };
    Session::new(engines, ledger, limits).unwrap()
}

/// An answer's table, and the bounds that the question found out. Each principal asks once.
pub async fn answer(session: &Session, principal: &str, ask: &Ask) -> (RecordBatch, Vec<ChosenBound>) {
    let delivered = session.execute(principal, ask, principal, true).await;
    let delivered = delivered.unwrap_or_else(|e| panic!("{}: {e}", ask.sql));
    let answer = proto::Answer::decode(delivered.stored.bytes.as_slice()).unwrap();
    let table = StreamReader::try_new(answer.table.as_slice(), None).unwrap().next().unwrap().unwrap();
    (table, answer.receipt.unwrap().releases.remove(0).chosen)
}

pub async fn plain(context: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    context.sql(sql).await.unwrap().collect().await.unwrap()
}

pub async fn register(context: &SessionContext, dir: &Path, table: &str) {
    let file = dir.join(format!("{table}.parquet"));
    context.register_parquet(table, file.to_str().unwrap(), ParquetReadOptions::default()).await.unwrap();
}

pub fn numbers(batch: &RecordBatch, column: usize) -> Vec<f64> {
    cast(batch.column(column), &DataType::Float64).unwrap().as_primitive::<Float64Type>().values().to_vec()
}

pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

pub fn median(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Without the lowest and the highest fifth.
pub fn trimmed_mean(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    let fifth = values.len() / 5;
    let kept = &values[fifth..values.len() - fifth];
    kept.iter().sum::<f64>() / kept.len() as f64
}

pub fn in_words(bounds: &[ChosenBound]) -> String {
    bounds.iter().map(bound_in_words).collect::<Vec<_>>().join("; ")
}

pub fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn main() {
    // Cargo's own arguments are options.
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    let runtime = Runtime::new().unwrap();
    if wanted("tpch") {
        runtime.block_on(tpch::run());
    }
    if wanted("events") {
        runtime.block_on(events::run());
    }
}
