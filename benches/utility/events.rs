//! Counts and means of many groups, where each unit is in several.

use crate::{TOGETHER, account, answer, from_env, granted, in_words, made, median, numbers, plain, register, serve};
use crate::{write, yes};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, LogNormal, Zipf};
use std::sync::Arc;
use undertone::algebra::Mechanism;
use undertone::governance::Ask;
use undertone::ledger::Account;
use undertone::session::Session;

const CATEGORIES: usize = 2000;
/// Rows of the categories that errors are about.
const LEAST: f64 = 1000.0;

/// Name, text and the largest error that is wanted, in percent. LIMITS is where a text may name limits.
const AGGREGATES: [(&str, &str, f64); 2] =
    [("COUNT", "count(*) AS n", 4.0), ("AVG", "avg(amount LIMITS) AS mean", 7.0)];
/// The aggregates of each question, which share its epsilon.
const QUESTIONS: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

/// Rows of each user: about ten, and never more than 200.
fn mild(users: usize, rng: &mut StdRng) -> Vec<u32> {
    let each = LogNormal::new(1.7f64, 1.1).unwrap();
    (0..users).map(|_| each.sample(rng).ceil().clamp(1.0, 200.0) as u32).collect()
}

/// One row for each user, and the others by Zipf's law: some have a large part of all.
fn zipf(rows: usize, users: usize, rng: &mut StdRng) -> Vec<u32> {
    let ranks = Zipf::new(users as f64, 1.1).unwrap();
    let mut counts = vec![1u32; users];
    for _ in users..rows {
        counts[(ranks.sample(rng) as usize).min(users) - 1] += 1;
    }
    counts
}

fn blocks(counts: Vec<u32>, mut rng: StdRng) -> impl Iterator<Item = RecordBatch> {
    let categories = Zipf::new(CATEGORIES as f64, 1.1).unwrap();
    let amounts = LogNormal::new(3.5f64, 1.2).unwrap();
    let rows = |(user, rows): (usize, u32)| std::iter::repeat_n(user as i64, rows as usize);
    let mut users = counts.into_iter().enumerate().flat_map(rows);
    std::iter::from_fn(move || {
        let users: Vec<i64> = users.by_ref().take(1 << 17).collect();
        if users.is_empty() {
            return None;
        }
        let category = |rng: &mut StdRng| (categories.sample(rng) as i64).min(CATEGORIES as i64) - 1;
        let amount = |rng: &mut StdRng| (amounts.sample(rng).min(10_000.0) * 100.0).round() / 100.0;
        let all: Vec<(i64, f64)> = users.iter().map(|_| (category(&mut rng), amount(&mut rng))).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(Int64Array::from(users))),
            ("category", Arc::new(Int64Array::from_iter_values(all.iter().map(|(category, _)| *category)))),
            ("amount", Arc::new(Float64Array::from_iter_values(all.iter().map(|(_, amount)| *amount)))),
        ];
        Some(RecordBatch::try_from_iter(columns).unwrap())
    })
}

/// Each column after the first, by the category that is there.
fn by_category(batches: &[RecordBatch]) -> Vec<Vec<f64>> {
    let mut found = vec![vec![f64::NAN; CATEGORIES]; batches[0].num_columns() - 1];
    for batch in batches {
        let categories = numbers(batch, 0);
        for (at, column) in found.iter_mut().enumerate() {
            for (category, value) in categories.iter().zip(numbers(batch, at + 1)) {
                column[*category as usize] = value;
            }
        }
    }
    found
}

fn declaration() -> String {
    let domain = (0..CATEGORIES).map(|category| category.to_string()).collect::<Vec<_>>().join(", ");
    format!(
        r#"
        [dataset]
        name = "events"
        privacy_unit = "one user"
        default_epsilon = "1"
        max_epsilon = "1e9"
        [[table]]
        name = "events"
        path = "events.parquet"
        format = "parquet"
        unit = "user_id"
        column = [{{ name = "user_id" }}, {{ name = "category", domain = [{domain}] }}, {{ name = "amount" }}]
        "#
    )
}

/// The lines of one question: asked with noise, and then with its bounds and next to none. What the second is off by is the bias of the bounds;
/// what the two differ in is the noise, and that each question keeps other groups of a unit.
async fn measured(session: &Session, at: usize, truth: &[Vec<f64>]) -> Vec<String> {
    let sql = |limits: &str| {
        let aggregates: Vec<String> =
            QUESTIONS[at].iter().map(|aggregate| AGGREGATES[*aggregate].1.replace(" LIMITS", limits)).collect();
        format!("SELECT category, {} FROM events GROUP BY category", aggregates.join(", "))
    };
    let ask = Ask { dataset: "events".into(), sql: sql(""), epsilon: "1".into(), ..Ask::default() };
    let (private, bounds) = answer(session, &format!("private {at}"), &ask).await;
    let found = |what: &str| bounds.iter().find(|bound| bound.what.starts_with(what));
    let most = |what: &str| found(what).map_or(0, |bound| bound.upper as u64);
    let limits = found("mean of").map_or(String::new(), |found| {
        format!(", contribution_bounds_per_group => ({}, {})", found.lower, found.upper)
    });
    let exact = Ask {
        sql: sql(&limits),
        epsilon: "1e9".into(),
        max_groups: most("groups of"),
        max_rows: most("rows of"),
        // Laplace noise would cost more rho than the pool has, and its pure ledger ended with the first question.
        mechanism: Some(Mechanism::Gaussian),
        ..ask
    };
    let (exact, _) = answer(session, &format!("exact {at}"), &exact).await;
    let (private, exact) = (by_category(&[private]), by_category(&[exact]));
    let keys: Vec<usize> = (0..CATEGORIES).filter(|key| truth[0][*key] >= LEAST).collect();
    let names: Vec<&str> = QUESTIONS[at].iter().map(|aggregate| AGGREGATES[*aggregate].0).collect();
    let line = |(column, aggregate): (usize, &usize)| {
        let ((name, _, goal), truth) = (AGGREGATES[*aggregate], &truth[*aggregate]);
        let off = |a: &[f64], b: &[f64]| {
            median(keys.iter().map(|key| 100.0 * ((a[*key] - b[*key]) / truth[*key]).abs()).collect())
        };
        let (private, exact) = (&private[column], &exact[column]);
        let [error, noise, bias] = [off(private, truth), off(private, exact), off(exact, truth)];
        format!(
            "{:<12} {name:<6} {:>6} {error:>8.2} {noise:>8.2} {bias:>8.2} {goal:>6} {:>4}  {}",
            names.join(" + "),
            keys.len(),
            yes(error <= goal),
            in_words(&bounds)
        )
    };
    QUESTIONS[at].iter().enumerate().map(line).collect()
}

pub async fn run() {
    let rows: usize = from_env("UNDERTONE_BENCH_ROWS", 10_000_000);
    let users = (rows / 10).max(1);
    for data in ["mild", "zipf"] {
        let dir = made(&format!("{data}-{rows}"), |dir| {
            let mut rng = StdRng::seed_from_u64(7);
            let counts = if data == "mild" { mild(users, &mut rng) } else { zipf(rows, users, &mut rng) };
            write(&dir.join("events.parquet"), blocks(counts, rng));
        });
        let file = dir.join("events.toml");
        std::fs::write(&file, declaration()).unwrap();
        let mut settings = vec![granted(Account::pool("events"), "1e12", "1e-6")];
        for at in 0..QUESTIONS.len() {
            settings.push(granted(account("events", &format!("private {at}")), "1", "1e-6"));
            settings.push(granted(account("events", &format!("exact {at}")), "1e12", "1e-6"));
        }
        let scratch = tempfile::tempdir().unwrap();
        let session = serve(&[file], settings, &scratch.path().join("ledger.sqlite")).await;
        let context = SessionContext::new();
        register(&context, &dir, "events").await;
        let sql = "SELECT category, count(*) AS n, avg(amount) AS mean FROM events GROUP BY category";
        let truth = by_category(&plain(&context, sql).await);
        println!("\nEvents, {data}: {users} users, {} rows; (1, 1e-6) for each question", truth[0].iter().sum::<f64>());
        println!("median error in % of the truth over categories of {LEAST} rows and more");
        println!(
            "{:<12} {:<6} {:>6} {:>8} {:>8} {:>8} {:>6} {:>4}  bounds",
            "question", "of", "keys", "error", "noise", "bias", "goal", "met"
        );
        let lines = futures::stream::iter(0..QUESTIONS.len()).map(|at| measured(&session, at, &truth));
        let lines: Vec<Vec<String>> = lines.buffered(TOGETHER).collect().await;
        lines.iter().flatten().for_each(|line| println!("{line}"));
    }
}
