//! What privacy costs: the engine's bounding, and the whole way of a question, against plain DataFusion on the same file in the same run, noise per second,
//! and durable charges per second.
//!
//! `cargo bench` measures a release build (over half an hour to build on two cores); `cargo bench --profile dev` shares the
//! build of the tests, in which the crates that move data are optimised and this crate is not.
//! `UNDERTONE_BENCH_ROWS` changes the size of the data.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use undertone::accounting::{Charge, Grant};
use undertone::algebra::Family;
use undertone::catalog::{self, ReaderOptions, SpillOptions, session};
use undertone::engine::{Engine, Fixed};
use undertone::governance::Ask;
use undertone::ledger::{Account, Claim, Ledger, Location, NewPolicy, Setting, Terms};
use undertone::mechanism::{Coins, Noise, Price, calibrate};
use undertone::session::{Limits, Session};
use undertone::sql;

/// Questions with a private and a plain reading, from the cheapest to the dearest.
const QUESTIONS: &[(&str, &str)] = &[
    ("count", "SELECT count(*) FROM events"),
    ("by_12_regions", "SELECT region, count(*), sum(amount), avg(amount) FROM events GROUP BY region"),
    ("distinct_units", "SELECT region, count(DISTINCT user_id) FROM events GROUP BY region"),
    ("filter", "SELECT region, count(*) FROM events WHERE amount > 100 GROUP BY region"),
];

/// Ten rows per user on average, written once per size.
fn events() -> PathBuf {
    let rows: usize =
        std::env::var("UNDERTONE_BENCH_ROWS").map_or(10_000_000, |n| n.parse().expect("a number of rows"));
    let dir = std::env::temp_dir().join(format!("undertone-bench-{rows}"));
    let file = dir.join("events.parquet");
    if file.exists() {
        return dir;
    }
    std::fs::create_dir_all(&dir).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let amounts = LogNormal::new(3.5f64, 1.2).unwrap();
    let users = (rows / 10) as i64;
    let regions: Vec<String> = (0..12).map(|r| format!("region_{r:02}")).collect();
    let mut writer: Option<ArrowWriter<File>> = None;
    for at in (0..rows).step_by(1 << 17) {
        let n = (rows - at).min(1 << 17);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from_iter_values((0..n).map(|_| rng.random_range(0..users))))),
            ("region", Arc::new(StringArray::from_iter_values((0..n).map(|_| &regions[rng.random_range(0..12)])))),
            (
                "amount",
                Arc::new(Float64Array::from_iter_values((0..n).map(|_| amounts.sample(&mut rng).min(10_000.0)))),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let writer = writer.get_or_insert_with(|| {
            ArrowWriter::try_new(File::create(dir.join("part")).unwrap(), batch.schema(), None).unwrap()
        });
        writer.write(&batch).unwrap();
    }
    writer.unwrap().close().unwrap();
    let names = regions.iter().map(|r| format!("{r:?}")).collect::<Vec<_>>().join(", ");
    let declaration = format!(
        r#"
        [dataset]
        name = "bench"
        privacy_unit = "one user"
        default_epsilon = 1
        max_epsilon = 1
        max_groups_contributed = 4
        max_rows_contributed = 10
        [[table]]
        name = "events"
        path = "events.parquet"
        format = "parquet"
        unit = "user_id"
        column = [{{ name = "user_id" }}, {{ name = "region", domain = [{names}] }}, {{ name = "amount", bounds = [0, 10000] }}]
        "#
    );
    std::fs::write(dir.join("bench.toml"), declaration).unwrap();
    std::fs::rename(dir.join("part"), file).unwrap();
    dir
}

fn account() -> Account {
    Account { dataset: "bench".into(), principal: "ana".into(), purpose: "bench".into() }
}

async fn ledger(path: &Path) -> Ledger {
    let ledger = Ledger::open(&Location::Sqlite(path.to_owned())).await.unwrap();
    let grant = Grant::new("1e12".parse().unwrap(), "1e-6".parse().unwrap());
    let setting = |account| Setting { account, grant, terms: Terms::default() };
    let settings = vec![setting(Account::pool("bench")), setting(account())];
    ledger.apply(NewPolicy { settings, ..NewPolicy::default() }).await.unwrap();
    ledger
}

async fn private(dir: &Path, ledger_path: &Path) -> Session {
    let options = ReaderOptions::default();
    let dataset = catalog::load(&dir.join("bench.toml"), &session(&options).unwrap()).await.unwrap();
    let threads = options.partitions;
    let engine = Engine::new(dataset, options, 0).unwrap();
    let limits = Limits {
        deadline: Duration::from_secs(600),
        concurrent: 4,
        concurrent_per_principal: 4,
        // So short that what is measured is the work.
        time_bucket: Duration::from_nanos(1),
        threads,
    };
    Session::new(vec![engine], ledger(ledger_path).await, limits).unwrap()
}

/// The work of the engine, from the plan to bounded integers, beside plain DataFusion on the same file in the same run: bounded in one pass, and by DataFusion's own
/// operators.
fn bounding(criterion: &mut Criterion) {
    let (runtime, dir, scratch) = (Runtime::new().unwrap(), events(), tempfile::tempdir().unwrap());
    // Where rows may be put aside, contributions are bounded by operators; here there is no need to.
    let spill = SpillOptions { directory: scratch.path().to_owned(), bytes: 1 << 36 };
    let ways = [("one_pass", None), ("operators", Some(spill))].map(|(way, spill)| {
        let options = ReaderOptions { memory_bytes: 16 << 30, spill, ..ReaderOptions::default() };
        let load = async {
            let dataset = catalog::load(&dir.join("bench.toml"), &session(&options).unwrap()).await.unwrap();
            Engine::new(dataset, options, 0).unwrap()
        };
        (way, runtime.block_on(load))
    });
    let plain = SessionContext::new();
    let file = dir.join("events.parquet");
    runtime.block_on(plain.register_parquet("events", file.to_str().unwrap(), ParquetReadOptions::default())).unwrap();
    let mut group = criterion.benchmark_group("bounding");
    group.sample_size(10);
    for (name, sql) in QUESTIONS {
        group.bench_function(BenchmarkId::new("plain", name), |b| {
            b.to_async(&runtime).iter(async || plain.sql(sql).await.unwrap().collect().await.unwrap());
        });
        for (way, engine) in &ways {
            let query = sql::plan(sql, &[], engine.dataset()).unwrap().query;
            let price = Price::pure("1".parse().unwrap(), "1e-6".parse().unwrap());
            let made = calibrate(query.releases[0].clone(), price, Family::Laplace).unwrap();
            let run = async || {
                let prepared = engine.prepare(&query, std::slice::from_ref(&made), [].into_iter(), None).await.unwrap();
                engine.exact(&query, &made, &prepared, &[], &mut Fixed::default()).await.unwrap()
            };
            group.bench_function(BenchmarkId::new(*way, name), |b| b.to_async(&runtime).iter(run));
        }
    }
    group.finish();
}

/// The whole way, from text to the committed answer, beside plain DataFusion. The answer is seen at the next of few moments, each twice as late as the one before.
fn query(criterion: &mut Criterion) {
    let (runtime, dir, scratch) = (Runtime::new().unwrap(), events(), tempfile::tempdir().unwrap());
    let session = runtime.block_on(private(&dir, &scratch.path().join("ledger.sqlite")));
    let plain = SessionContext::new();
    let file = dir.join("events.parquet");
    runtime.block_on(plain.register_parquet("events", file.to_str().unwrap(), ParquetReadOptions::default())).unwrap();
    let mut group = criterion.benchmark_group("query");
    group.sample_size(10);
    let next = AtomicUsize::new(0);
    for (name, sql) in QUESTIONS {
        group.bench_function(BenchmarkId::new("plain", name), |b| {
            b.to_async(&runtime).iter(async || plain.sql(sql).await.unwrap().collect().await.unwrap());
        });
        let ask = Ask { dataset: "bench".into(), sql: (*sql).into(), ..Ask::default() };
        group.bench_function(BenchmarkId::new("private", name), |b| {
            b.to_async(&runtime).iter(async || {
                let id = next.fetch_add(1, Ordering::Relaxed).to_string();
                session.execute("ana", &ask, &id, true).await.unwrap()
            });
        });
    }
    group.finish();
}

/// Cells of a large release.
const CELLS: usize = 100_000;

/// Exact draws per second.
fn noise(criterion: &mut Criterion) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut group = criterion.benchmark_group("noise");
    group.throughput(Throughput::Elements(1));
    for (name, l1) in [("small", 4u64), ("large", 1 << 40)] {
        let coins = &mut Coins::new(&mut rng);
        let laplace = Noise::laplace(u128::from(l1), "1".parse().unwrap()).unwrap().sampler();
        group.bench_function(BenchmarkId::new("laplace", name), |b| b.iter(|| laplace.draw(coins)));
        let squared = ruint::aliases::U256::from(l1) * ruint::aliases::U256::from(l1);
        let gaussian = Noise::gaussian(squared, "0.5".parse().unwrap()).unwrap().sampler();
        group.bench_function(BenchmarkId::new("gaussian", name), |b| b.iter(|| gaussian.draw(coins)));
    }
    group.finish();
    // A release of many cells: what noise adds to the time of a question.
    let mut group = criterion.benchmark_group("cells");
    group.throughput(Throughput::Elements(CELLS as u64));
    let exact: Vec<i128> = (0..CELLS as i128).collect();
    for (name, noise) in [
        ("laplace", Noise::laplace(40, "0.1".parse().unwrap())),
        ("gaussian", Noise::gaussian(ruint::aliases::U256::from(64), "0.005".parse().unwrap())),
    ] {
        let sampler = noise.unwrap().sampler();
        group.bench_function(BenchmarkId::new(name, CELLS), |b| {
            b.iter(|| {
                let mut coins = Coins::new(&mut rng);
                exact.iter().map(|cell| cell + sampler.draw(&mut coins)).collect::<Vec<i128>>()
            });
        });
    }
    group.finish();
}

/// Charges that are on disk, one caller after the other and many at once.
fn charges(criterion: &mut Criterion) {
    let (runtime, scratch) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let ledger = runtime.block_on(ledger(&scratch.path().join("ledger.sqlite")));
    let next = AtomicUsize::new(0);
    let charge = async || {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let claim = Claim {
            query_id: id.to_string(),
            account: account(),
            request: vec![0; 32],
            question: id.to_be_bytes().to_vec(),
            before: None,
            tiers: vec![],
            policy: None,
            charge: Charge::pure("0.1".parse().unwrap()),
            pool_charge: Charge::pure("0.1".parse().unwrap()),
            releases: 1,
            fresh: true,
            call: "execute",
        };
        ledger.reserve(claim).await.unwrap()
    };
    let mut group = criterion.benchmark_group("durable_charges");
    group.sample_size(10);
    for together in [1u64, 64] {
        group.throughput(Throughput::Elements(together));
        group.bench_function(BenchmarkId::from_parameter(together), |b| {
            b.to_async(&runtime).iter(|| futures::future::join_all((0..together).map(|_| charge())));
        });
    }
    group.finish();
}

criterion_group!(benches, noise, charges, bounding, query);
criterion_main!(benches);
