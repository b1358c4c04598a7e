//! The bounded integers before noise: the same whatever the order of rows, partitions and batch size, and within the
//! claimed sensitivity between neighbours.

use super::build::Sources;
use super::functions::Secret;
use super::run::{Bounding, Engine, Fixed};
use crate::algebra::{Family, Measure, Sensitivity};
use crate::catalog::{self, ReaderOptions, SpillOptions, session};
use crate::mechanism::{Calibrated, Exact, Price, Selection, UNIT_WEIGHT, calibrate};
use crate::sql;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::parquet::arrow::ArrowWriter;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use ruint::aliases::U256;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// (unit, region, amount, pieces)
type Event = (i64, Option<&'static str>, Option<f64>, i64);

fn events(seed: u64, units: i64) -> Vec<Event> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut events = Vec::new();
    for unit in 1..=units {
        for _ in 0..rng.random_range(1..25) {
            let region = [Some("north"), Some("south"), Some("east"), Some("nowhere"), None][rng.random_range(0..5)];
            let amount = match rng.random_range(0..20) {
                0 => None,
                1 => Some(f64::NAN),
                2 => Some(f64::INFINITY),
                3 => Some(f64::NEG_INFINITY),
                4 => Some(-0.0),
                5 => Some(f64::MAX),
                6 => Some(f64::MIN_POSITIVE),
                _ => Some(rng.random_range(-20.0..130.0)),
            };
            events.push((unit, region, amount, rng.random_range(i64::MIN..=i64::MAX) >> rng.random_range(0..64)));
        }
    }
    events
}

fn write(dir: &Path, events: &[Event]) {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("unit", Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.0)))),
        ("region", Arc::new(events.iter().map(|e| e.1).collect::<StringArray>())),
        ("amount", Arc::new(events.iter().map(|e| e.2).collect::<Float64Array>())),
        ("pieces", Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.3)))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(dir.join("events.parquet")).unwrap(), batch.schema(), None).unwrap();
    // Several row groups, so that partitions have something to split.
    for at in (0..batch.num_rows()).step_by(200) {
        writer.write(&batch.slice(at, 200.min(batch.num_rows() - at))).unwrap();
        writer.flush().unwrap();
    }
    writer.close().unwrap();
    // A public table of several files, with floats whose sum depends on their order.
    std::fs::create_dir_all(dir.join("rates")).unwrap();
    for part in 0..4 {
        let line = |i: i32| {
            let region = ["north", "south", "east", "west"][(i % 4) as usize];
            format!("{region},{}\n", f64::from(i * 37 % 101) * 0.1 + f64::from(part) * 1e-9)
        };
        let lines: String = (0..40).map(line).collect();
        std::fs::write(dir.join(format!("rates/{part}.csv")), format!("region,rate\n{lines}")).unwrap();
    }
    let file = r#"
        [dataset]
        name = "shop"
        privacy_unit = "one unit"
        default_epsilon = 1
        default_delta = "1e-6"
        max_epsilon = 1
        max_groups_contributed = 2
        max_rows_contributed = 5
        max_rows_per_unit = 7
        [[table]]
        name = "events"
        path = "events.parquet"
        format = "parquet"
        unit = "unit"
        column = [
            { name = "unit" },
            { name = "region", domain = ["north", "south", "east", "west"] },
            { name = "amount", bounds = [-5, 100] },
            { name = "pieces", bounds = [-1000, 1000] },
        ]
        [[table]]
        name = "rates"
        path = "rates"
        format = "csv"
        public = true
        column = [{ name = "region", type = "VARCHAR" }, { name = "rate", type = "DOUBLE" }]
    "#;
    std::fs::write(dir.join("shop.toml"), file).unwrap();
}

const QUESTIONS: &[&str] = &[
    "SELECT region, count(*), count(amount), sum(amount), avg(amount), sum(pieces), count(DISTINCT unit) FROM events GROUP BY region",
    "SELECT sum(amount * pieces), avg(CASE WHEN pieces > 0 THEN amount END) FROM events WHERE amount < 90",
    "SELECT a.region, sum(a.amount) FROM events a JOIN events b ON a.unit = b.unit AND a.pieces < b.pieces GROUP BY a.region",
    "SELECT count(*) FROM (SELECT unit, count(*) AS n, max(pieces) AS p, sum(pieces) AS s FROM events GROUP BY unit) t WHERE n > 8 AND p + s > 0",
    "SELECT region, sum(amount) FROM events WHERE amount IS NOT NULL GROUP BY region",
    "SELECT count(*), sum(amount * r) FROM events e JOIN (SELECT region, CASE WHEN sum(rate) / 1000 > 1 THEN 1 ELSE sum(rate) / 1000 END AS r0, 0.5 AS r FROM rates GROUP BY region) t ON e.region = t.region AND e.amount < t.r0 * 1000",
    "SELECT count(*) FROM events e JOIN (SELECT region, rate FROM rates LIMIT 7) t ON e.region = t.region AND e.amount < t.rate * 10",
    "SELECT CAST(amount AS BIGINT) AS a, count(*), sum(pieces) FROM events GROUP BY a",
    "SELECT region, amount, count(DISTINCT unit) FROM events GROUP BY region, amount",
    "SELECT count(*), sum(amount) FROM events e WHERE EXISTS (SELECT 1 FROM events f WHERE f.unit = e.unit AND f.pieces < e.pieces)",
    "SELECT region, count(*) FROM events e WHERE unit NOT IN (SELECT 7) AND NOT EXISTS (SELECT 1 FROM events f WHERE f.unit = e.unit AND f.region = 'nowhere' AND f.pieces > 0) GROUP BY region",
    "SELECT count(*), sum(pieces) FROM events WHERE region IN (SELECT region FROM rates WHERE rate > 1)",
    "SELECT region, count(*), count(DISTINCT unit), sum(x) FROM (SELECT unit, region, pieces AS x FROM events UNION ALL SELECT unit, 'north', CAST(amount AS BIGINT) FROM events) t GROUP BY region",
    "SELECT count(*) FROM (SELECT unit, region, pieces % 3 FROM events UNION SELECT unit, region, 1 FROM events) t",
    "SELECT count(*), sum(pieces) FROM (SELECT unit, region, pieces, row_number() OVER (PARTITION BY unit ORDER BY region) AS n FROM events) t WHERE n <= 3",
    "SELECT region, count(*) FROM (SELECT unit, region, pieces, lag(pieces) OVER (PARTITION BY unit ORDER BY region) AS b, count(*) OVER (PARTITION BY unit ORDER BY region ROWS 2 PRECEDING) AS c FROM events) t WHERE pieces > b AND c > 1 GROUP BY region",
    "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 6, privacy_unit_column = unit) region, count(*), sum(amount), avg(pieces) FROM events GROUP BY region",
    "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_groups_contributed = 1) region, sum(pieces, contribution_bounds_per_group => (-50, 700)), avg(amount, contribution_bounds_per_group => (0, 20)), count(*, contribution_bounds_per_group => (2, 4)) FROM events GROUP BY region",
    "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 3) region, sum(amount * amount * amount, contribution_bounds_per_group => (-1e5, 1e6), epsilon => 0.25), sum(unit, contribution_bounds_per_group => (3, 50)), sum(amount, contribution_bounds_per_row => (0, 10)) FROM events GROUP BY region",
    "SELECT DISTINCT pieces % 7 FROM events",
    "SELECT DISTINCT pieces, region FROM events",
    "SELECT region, count(DISTINCT pieces), count(DISTINCT amount), var_pop(amount), corr(amount, pieces) FROM events GROUP BY region",
    "SELECT pieces % 5 AS k, count(DISTINCT amount), stddev(pieces), count(DISTINCT region) FROM events GROUP BY k",
    "SELECT count(DISTINCT pieces % 9) FILTER (WHERE amount > 3), count(DISTINCT unit) FILTER (WHERE pieces > 0), regr_slope(amount, pieces) FILTER (WHERE pieces > 1) FROM events",
    "SELECT region, median(amount), max(pieces), mode(CASE WHEN amount > 30 THEN 1 WHEN amount > 0 THEN 2 END), histogram(CASE WHEN amount > 20 THEN 1 END), count(DISTINCT pieces), count(*) FROM events GROUP BY region",
    "SELECT pieces % 5 AS k, percentile_cont(0.9) WITHIN GROUP (ORDER BY pieces), bool_or(amount > 3), bool_and(pieces > 0) FROM events GROUP BY k",
    "SELECT count(*), sum(m), median(m) FROM (SELECT unit, region, median(pieces) AS m, percentile_cont(amount, 0.3) AS q FROM events GROUP BY unit, region) t WHERE q > 0.1",
    "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 4) median(pieces), min(amount, contribution_bounds_per_row => (0, 9)) FROM events",
    "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 4) region, count(DISTINCT pieces), covar_samp(amount, pieces) FROM events GROUP BY region",
];

/// What each group has of each measure, by its keys or its number: one integer, or sorted values to choose among.
type Groups = BTreeMap<String, Vec<Vec<i128>>>;

/// By how much two groups differ in a measure: their integers, or the number of values that only one has.
fn distance(measure: &Measure, a: &[i128], b: &[i128]) -> u128 {
    if !measure.of.is_list() {
        return a[0].abs_diff(b[0]);
    }
    let count = |of: &[i128]| {
        let mut counts = BTreeMap::new();
        of.iter().for_each(|value| *counts.entry(*value).or_insert(0i128) += 1);
        counts
    };
    let (a, b) = (count(a), count(b));
    let values: BTreeSet<&i128> = a.keys().chain(b.keys()).collect();
    let of = |counts: &BTreeMap<i128, i128>, value: &i128| counts.get(value).copied().unwrap_or(0);
    values.into_iter().map(|value| of(&a, value).abs_diff(of(&b, value))).sum()
}

/// The first release of a question and its exact integers, over the files in `dir`.
async fn exact(dir: &Path, sql: &str, options: ReaderOptions) -> (Calibrated, Groups) {
    let (made, found, _) = exact_and_how(dir, sql, options).await;
    (made, found)
}

/// The same, and whether they were bounded in one pass.
async fn exact_and_how(dir: &Path, sql: &str, options: ReaderOptions) -> (Calibrated, Groups, bool) {
    let dataset = catalog::load(&dir.join("shop.toml"), &session(&options).unwrap()).await.unwrap();
    let statement = sql::plan(sql, &[], &dataset).unwrap();
    let made = calibrate(
        statement.query.releases[0].clone(),
        Price::pure("1".parse().unwrap(), "1e-6".parse().unwrap()),
        Family::Laplace,
    )
    .unwrap();
    let engine = Engine::new(dataset.clone(), options, 0).unwrap();
    let prepared = engine.prepared(Secret::fixed()).unwrap();
    let (keys, columns) =
        engine.exact(&statement.query, &made, &prepared, &[], &mut Fixed::default()).await.unwrap().into_parts();
    let name = |at: usize| match keys.as_slice() {
        [] => at.to_string(),
        keys => keys.iter().map(|key| array_value_to_string(key, at).unwrap() + "|").collect(),
    };
    let columns: Vec<Vec<Vec<i128>>> = columns.into_iter().map(listed).collect();
    let groups = columns.first().map_or(0, Vec::len);
    let made_of = |at: usize| (name(at), columns.iter().map(|column| column[at].clone()).collect());
    let found: Groups = (0..groups).map(made_of).collect();
    assert_eq!(found.len(), groups, "a key stands twice");
    let sources = Sources { dataset: &dataset, released: &[], fixed: &BTreeMap::new(), secret: Secret::fixed() };
    let in_one_pass = matches!(engine.bounding(&made, &sources).await, Ok(Bounding::OnePass(..)));
    (made, found, in_one_pass)
}

fn listed(exact: Exact) -> Vec<Vec<i128>> {
    match exact {
        Exact::Sums(sums) => sums.into_iter().map(|sum| vec![sum]).collect(),
        Exact::Values(cells) => {
            let sorted = |mut values: Vec<i64>| {
                values.sort_unstable();
                values.into_iter().map(i128::from).collect()
            };
            cells.into_iter().map(sorted).collect()
        }
    }
}

fn options(partitions: usize, batch_size: usize) -> ReaderOptions {
    ReaderOptions { partitions, batch_size, memory_bytes: 1 << 30, spill: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn integers_do_not_depend_on_order_partitions_or_batches() {
    let (mut rows, dir) = (events(5, 120), tempfile::tempdir().unwrap());
    write(dir.path(), &rows);
    let mut expected = Vec::new();
    for sql in QUESTIONS {
        expected.push(exact(dir.path(), sql, options(1, 8192)).await.1);
    }
    assert!(expected.iter().all(|groups| groups.values().flatten().flatten().any(|v| *v != 0)));
    for (seed, (partitions, batch)) in
        [(2, 8192), (3, 1), (8, 64), (1, 1), (5, 333), (6, 7), (7, 1024), (4, 8192)].into_iter().enumerate()
    {
        rows.shuffle(&mut StdRng::seed_from_u64(seed as u64));
        write(dir.path(), &rows);
        for (sql, expected) in QUESTIONS.iter().zip(&expected) {
            let got = exact(dir.path(), sql, options(partitions, batch)).await.1;
            assert!(got == *expected, "{partitions} partitions, batches of {batch}, order {seed}: {sql}");
        }
    }
}

/// The one pass gives the integers that DataFusion's operators give: on questions of all kinds and at random, whatever the limits, partitions and batches.
#[tokio::test(flavor = "multi_thread")]
async fn one_pass_gives_the_integers_of_the_reference() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut rng = StdRng::seed_from_u64(9);
    write(dir.path(), &events(10, 150));
    let limits = ["max_groups_contributed = 1", "max_groups_contributed = 2", "max_rows_contributed = 1"]
        .map(|limit| format!("SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({limit})"));
    let mut asked: Vec<String> = QUESTIONS.iter().map(|sql| (*sql).to_owned()).collect();
    asked.extend((0..60).map(|_| random_question(&mut rng)));
    let columns = "region, count(*), count(amount), sum(pieces), sum(amount), avg(amount), count(DISTINCT unit)";
    asked.extend(limits.map(|select| format!("{select} {columns} FROM events GROUP BY region")));
    let mut passes = 0;
    for (n, sql) in asked.iter().enumerate() {
        let (partitions, batch) = [(1, 8192), (2, 64), (3, 1), (8, 7)][n % 4];
        // What may be put aside is for the operators.
        let spill = SpillOptions { directory: scratch.path().to_owned(), bytes: 1 << 30 };
        let reference = ReaderOptions { spill: Some(spill), ..options(2, 512) };
        let (_, wanted, by_one_pass) = exact_and_how(dir.path(), sql, reference).await;
        assert!(!by_one_pass);
        let (_, got, by_one_pass) = exact_and_how(dir.path(), sql, options(partitions, batch)).await;
        passes += usize::from(by_one_pass);
        assert!(got == wanted, "{sql}: {got:?} and not {wanted:?}");
    }
    assert!(passes > asked.len() / 2, "few questions are bounded in one pass");
}

/// Takes each of some units out and compares: in L1, and in the number of groups that moved.
#[tokio::test(flavor = "multi_thread")]
async fn neighbours_differ_by_no_more_than_the_sensitivity() {
    let rows = events(6, 60);
    for sql in QUESTIONS {
        assert!(check_neighbours(sql, &rows, 12).await, "{sql}: no unit moves anything");
    }
}

/// The same for questions that are put together at random.
#[tokio::test(flavor = "multi_thread")]
async fn neighbours_of_random_questions_differ_by_no_more_than_the_sensitivity() {
    let (rows, mut rng) = (events(7, 40), StdRng::seed_from_u64(8));
    let (mut asked, mut moved) = (BTreeSet::new(), 0);
    while asked.len() < 40 {
        let sql = random_question(&mut rng);
        if asked.insert(sql.clone()) {
            moved += usize::from(check_neighbours(&sql, &rows, 4).await);
        }
    }
    assert!(moved > 35, "only {moved} questions have a unit that moves anything");
}

/// A release over events, or what can stand in their place: each part of it is chosen by itself.
fn random_question(rng: &mut StdRng) -> String {
    let mut one = |of: &[&str]| of[rng.random_range(0..of.len())].to_owned();
    let source = one(&[
        "events",
        "(SELECT a.unit, a.region, b.amount, a.pieces FROM events a JOIN events b ON a.unit = b.unit AND a.pieces < b.pieces)",
        "(SELECT unit, region, sum(amount) AS amount, max(pieces) AS pieces FROM events GROUP BY unit, region)",
        "(SELECT unit, region, amount, pieces FROM events UNION ALL SELECT unit, 'south', amount + 1, 3 FROM events)",
        "(SELECT e.unit, r.region, e.amount, e.pieces FROM events e JOIN rates r ON e.region = r.region AND r.rate < 1)",
        "(SELECT unit, region, amount, lag(pieces) OVER (PARTITION BY unit ORDER BY region) AS pieces FROM events)",
        "(SELECT * FROM events e WHERE amount > 50 OR EXISTS (SELECT 1 FROM events f WHERE f.unit = e.unit AND f.pieces > e.pieces))",
        "(SELECT e.* FROM events e LEFT JOIN (SELECT unit, count(*) AS n FROM events GROUP BY unit) c ON c.unit = e.unit WHERE c.n > 6)",
    ]);
    let clause = one(&[
        "",
        "WITH DIFFERENTIAL_PRIVACY OPTIONS (max_groups_contributed = 1)",
        "WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 1)",
        "WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 7, privacy_unit_column = unit)",
    ]);
    let measures: Vec<String> = (0..3)
        .map(|_| {
            one(&[
                "count(*)",
                "count(amount)",
                "count(DISTINCT unit)",
                "count(*, contribution_bounds_per_group => (1, 3))",
                "sum(amount, contribution_bounds_per_row => (-5, 50))",
                "sum(pieces, contribution_bounds_per_group => (-500, 900))",
                "sum(CASE WHEN region = 'north' THEN amount * pieces ELSE 1 END, contribution_bounds_per_group => (-1e4, 1e4), epsilon => 0.1)",
                "avg(amount, contribution_bounds_per_group => (0, 20))",
                "avg(pieces, contribution_bounds_per_row => (-10, 10))",
            ])
        })
        .collect();
    let condition = one(&[
        "",
        "WHERE amount > 20",
        "WHERE pieces % 3 = 1",
        "WHERE region LIKE '%th' OR pieces < 5",
        "WHERE NOT (amount < 90)",
    ]);
    let key = one(&[
        "",
        "region",
        "CASE WHEN pieces > 0 THEN 'some' WHEN amount > 10 THEN 'less' END",
        "region, pieces > 0",
        "pieces % 5",
    ]);
    let (keys, group) = match key.as_str() {
        "" => (String::new(), String::new()),
        key => (format!("{key}, "), format!("GROUP BY {key}")),
    };
    // A measure may stand twice; names keep them apart.
    let named: Vec<String> = measures.iter().enumerate().map(|(at, measure)| format!("{measure} AS m{at}")).collect();
    format!("SELECT {clause} {keys}{} FROM {source} AS t {condition} {group}", named.join(", "))
}

/// Takes each of the first units out and compares; whether one moves anything.
async fn check_neighbours(sql: &str, rows: &[Event], units: i64) -> bool {
    let (all, less) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(all.path(), rows);
    let (made, with) = exact(all.path(), sql, options(2, 512)).await;
    let groups = made.contribution.groups;
    let mut moved_any = false;
    for unit in 1..=units {
        write(less.path(), &rows.iter().copied().filter(|e| e.0 != unit).collect::<Vec<_>>());
        let without = exact(less.path(), sql, options(2, 512)).await.1;
        let nothing = |measure: &Measure| if measure.of.is_list() { vec![] } else { vec![0] };
        let absent: Vec<Vec<i128>> = made.release.measures.iter().map(nothing).collect();
        let all: BTreeSet<&String> = with.keys().chain(without.keys()).collect();
        for (measure, clamp) in made.clamps.iter().enumerate() {
            let of = |groups: &Groups, name: &String| groups.get(name).unwrap_or(&absent)[measure].clone();
            let moved =
                |name: &&String| distance(&made.release.measures[measure], &of(&with, name), &of(&without, name));
            let moves: Vec<u128> = all.iter().map(moved).collect();
            let changed = moves.iter().filter(|m| **m > 0).count() as u64;
            moved_any |= changed > 0;
            assert!(changed <= groups, "{sql}: {changed} groups moved");
            assert!(moves.iter().all(|m| *m <= clamp.per_group()), "{sql}: a group moved by more than C");
            if matches!(made.selection, Selection::Weighted { .. }) {
                let squared = moves.iter().map(|m| m * m).sum::<u128>();
                assert!(squared <= u128::from(UNIT_WEIGHT).pow(2), "{sql}: a unit weighs more than 1");
            }
            assert!(moves.iter().sum::<u128>() <= Sensitivity::new(clamp, made.contribution).l1, "{sql}: L1");
            let squares = moves.iter().map(|m| U256::from(*m) * U256::from(*m)).fold(U256::ZERO, |a, b| a + b);
            assert!(squares <= Sensitivity::new(clamp, made.contribution).l2_squared, "{sql}: L2");
        }
    }
    moved_any
}

/// Little memory and a disk, or much memory: the integers are the same. Without the disk there are none.
#[tokio::test(flavor = "multi_thread")]
async fn integers_do_not_depend_on_memory() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(dir.path(), &events(5, 30_000));
    let sql = "SELECT pieces % 1000 AS p, region, count(*), sum(amount) FROM events GROUP BY p, region";
    let little = ReaderOptions { memory_bytes: 32 << 20, ..options(2, 1024) };
    let spill = SpillOptions { directory: scratch.path().to_owned(), bytes: 1 << 30 };
    let (_, much) = exact(dir.path(), sql, options(2, 1024)).await;
    let (_, spilled) = exact(dir.path(), sql, ReaderOptions { spill: Some(spill), ..little.clone() }).await;
    assert_eq!(much, spilled);
    let none = tokio::spawn(async move { exact(dir.path(), sql, little).await });
    assert!(none.await.is_err(), "what fits into the memory shows nothing");
}
