//! The generated shop: a few customers do most of the ordering, amounts are log-normal, some tickets are sensitive.
//!
//! `rand_distr` samples floats and is right for this; it never makes the noise of an answer.

use crate::error::{Error, Result};
use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::weighted::WeightedIndex;
use rand_distr::{Distribution, LogNormal, Zipf};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

const SEED: u64 = 20_260_101;
const ORDERS_PER_CUSTOMER: u64 = 15;
const TICKETS_PER_CUSTOMER: u64 = 3;
/// Days since 1970-01-01 of 2025-01-01, and the days of the year after it.
const FIRST_DAY: i32 = 20_089;
const DAYS: i32 = 365;
const ORDER_FILES: usize = 3;

const REGIONS: [(&str, u32); 5] = [("north", 30), ("south", 28), ("east", 22), ("west", 17), ("islands", 3)];
const SEGMENTS: [(&str, u32); 2] = [("private", 85), ("business", 15)];
const TOPICS: [(&str, u32); 6] =
    [("delivery", 38), ("billing", 22), ("returns", 21), ("account", 14), ("health", 4), ("harassment", 1)];
const CATEGORIES: [(&str, &str, u32); 12] = [
    ("books", "media", 18),
    ("music", "media", 5),
    ("games", "media", 9),
    ("phones", "electronics", 7),
    ("laptops", "electronics", 4),
    ("audio", "electronics", 6),
    ("kitchen", "home", 12),
    ("garden", "home", 6),
    ("furniture", "home", 3),
    ("clothing", "fashion", 16),
    ("shoes", "fashion", 10),
    ("pharmacy", "health", 4),
];

/// How much was written, in words.
pub fn write(dir: &Path, customers: u64) -> Result<String> {
    let failed = |e: Box<dyn std::error::Error>| Error::internal(format!("cannot write the demo's data: {e}"));
    let (orders, tickets) = write_files(dir, customers).map_err(failed)?;
    Ok(format!("{customers} customers, {orders} orders and {tickets} tickets"))
}

fn write_files(dir: &Path, customers: u64) -> std::result::Result<(u64, u64), Box<dyn std::error::Error>> {
    let mut rng = StdRng::seed_from_u64(SEED);
    std::fs::create_dir_all(dir.join("orders"))?;
    let mut ids: Vec<i64> = (1..=customers as i64).collect();
    ids.shuffle(&mut rng);

    let regions = Names::new(&REGIONS)?;
    let segments = Names::new(&SEGMENTS)?;
    let joined = (0..customers).map(|_| FIRST_DAY - rng.random_range(0..2000)).collect::<Vec<_>>();
    parquet(
        &dir.join("customers.parquet"),
        vec![
            ("customer_id", Arc::new(Int64Array::from(ids.clone()))),
            ("region", Arc::new(regions.column(customers, &mut rng))),
            ("segment", Arc::new(segments.column(customers, &mut rng))),
            ("joined", Arc::new(Date32Array::from(joined))),
        ],
    )?;

    let orders = customers * ORDERS_PER_CUSTOMER;
    let activity = Zipf::new(customers as f64, 0.7)?;
    let buyers: Vec<i64> = (0..orders).map(|_| ids[activity.sample(&mut rng) as usize - 1]).collect();
    let categories = WeightedIndex::new(CATEGORIES.iter().map(|c| c.2))?;
    let amounts = LogNormal::new(35f64.ln(), 0.9)?;
    let share = orders.div_ceil(ORDER_FILES as u64);
    for file in 0..ORDER_FILES as u64 {
        let numbers = file * share..((file + 1) * share).min(orders);
        let count = numbers.clone().count();
        let amount = (0..count).map(|_| (amounts.sample(&mut rng) * 100.0).round() / 100.0).collect::<Vec<f64>>();
        let category = (0..count).map(|_| CATEGORIES[categories.sample(&mut rng)].0).collect::<Vec<_>>();
        let quantity = (0..count).map(|_| rng.random_range(1..=4)).collect::<Vec<i64>>();
        let day = (0..count).map(|_| FIRST_DAY + rng.random_range(0..DAYS)).collect::<Vec<_>>();
        let buyer = numbers.clone().map(|n| buyers[n as usize]).collect::<Vec<_>>();
        parquet(
            &dir.join("orders").join(format!("part-{file}.parquet")),
            vec![
                ("order_id", Arc::new(Int64Array::from_iter_values(numbers.map(|n| n as i64 + 1)))),
                ("customer_id", Arc::new(Int64Array::from(buyer))),
                ("category", Arc::new(StringArray::from(category))),
                ("amount", Arc::new(Float64Array::from(amount))),
                ("quantity", Arc::new(Int64Array::from(quantity))),
                ("ordered_on", Arc::new(Date32Array::from(day))),
            ],
        )?;
    }

    let tickets = customers * TICKETS_PER_CUSTOMER;
    let topics = Names::new(&TOPICS)?;
    let minutes = LogNormal::new(12f64.ln(), 0.8)?;
    let satisfaction =
        (0..tickets).map(|_| rng.random_bool(0.6).then(|| rng.random_range(1..=5))).collect::<Vec<Option<i64>>>();
    csv(
        &dir.join("tickets.csv"),
        vec![
            ("ticket_id", Arc::new(Int64Array::from_iter_values(1..=tickets as i64))),
            (
                "order_id",
                Arc::new(Int64Array::from_iter_values((0..tickets).map(|_| rng.random_range(1..=orders as i64)))),
            ),
            ("topic", Arc::new(topics.column(tickets, &mut rng))),
            (
                "minutes",
                Arc::new(Int64Array::from_iter_values((0..tickets).map(|_| minutes.sample(&mut rng).ceil() as i64))),
            ),
            ("satisfaction", Arc::new(Int64Array::from(satisfaction))),
        ],
    )?;
    csv(
        &dir.join("categories.csv"),
        vec![
            ("category", Arc::new(StringArray::from_iter_values(CATEGORIES.iter().map(|c| c.0)))),
            ("department", Arc::new(StringArray::from_iter_values(CATEGORIES.iter().map(|c| c.1)))),
        ],
    )?;
    Ok((orders, tickets))
}

/// Names drawn with weights.
struct Names {
    names: Vec<&'static str>,
    weights: WeightedIndex<u32>,
}

impl Names {
    fn new(weighted: &[(&'static str, u32)]) -> std::result::Result<Self, rand_distr::weighted::Error> {
        let weights = WeightedIndex::new(weighted.iter().map(|w| w.1))?;
        Ok(Names { names: weighted.iter().map(|w| w.0).collect(), weights })
    }

    fn column(&self, count: u64, rng: &mut StdRng) -> StringArray {
        StringArray::from_iter_values((0..count).map(|_| self.names[self.weights.sample(rng)]))
    }
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn parquet(path: &Path, columns: Columns) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let batch = RecordBatch::try_from_iter(columns)?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

fn csv(path: &Path, columns: Columns) -> std::result::Result<(), Box<dyn std::error::Error>> {
    arrow::csv::Writer::new(File::create(path)?).write(&RecordBatch::try_from_iter(columns)?)?;
    Ok(())
}
