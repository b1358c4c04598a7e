//! Answers, quotes, balances and datasets as text for people.

mod budget;

pub use budget::{accounts, balances, effect, policies, proposals};

use crate::error::{Error, Result};
use crate::governance::{bound_in_words, number_in_words};
use crate::proto::{
    AccountState, Answer, Column, Dataset, NoisyColumn, Price, QuoteResponse, Receipt, ReleaseNote, Step, Visibility,
};
use crate::session::{CalibratedRelease, Calibration};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::ipc::reader::StreamReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The answer as a table with error bars, and below it what it cost.
pub fn answer(answer: &Answer) -> Result<String> {
    let (table, intervals) = (batch(&answer.table)?, batch(&answer.intervals)?);
    let mut text = grid(&header(&table), &rows(&table, &intervals)?);
    let confidence = answer.receipt.as_ref().map_or(0.0, |r| r.confidence) * 100.0;
    if intervals.num_columns() > 0 {
        text += &format!("± at {confidence:.0} % confidence for each value\n");
    }
    text += &format!("{}\n", cost(answer));
    Ok(text)
}

/// One line: what was paid now and what is left.
fn cost(answer: &Answer) -> String {
    let price = answer.receipt.as_ref().and_then(|r| r.price.as_ref()).map(price).unwrap_or_default();
    let paid = match answer.replayed {
        true => format!("answered before at {price}; this time it cost nothing"),
        false => format!("cost {price}"),
    };
    let left = answer.balance.as_ref().and_then(|b| b.account.as_ref());
    let left = left
        .map(|a| format!("; {} of epsilon {} left", short(&a.remaining_epsilon), a.granted_epsilon))
        .unwrap_or_default();
    format!("{paid}{left} (query id {})", answer.query_id)
}

/// An amount for people: to five digits.
fn short(amount: &str) -> String {
    match amount.parse::<f64>() {
        Ok(value) if amount.len() > 8 && value > 0.0 => {
            let unit = 10f64.powi(value.log10().floor() as i32 - 4);
            let decimals = usize::try_from(-(unit.log10().round() as i32)).unwrap_or(0);
            let text = format!("{:.decimals$}", (value / unit).round() * unit);
            if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
        }
        _ => amount.to_owned(),
    }
}

fn price(price: &Price) -> String {
    let part = match price.part_of_grant.is_finite() {
        true => format!(", {} % of the grant", number(price.part_of_grant * 100.0)),
        false => String::new(),
    };
    match price.epsilon.as_str() {
        "" => format!("rho {}{part}", short(&price.rho)),
        epsilon => format!("epsilon {epsilon}{part}"),
    }
}

/// The receipt in words.
pub fn receipt(receipt: &Receipt) -> String {
    let mut text = format!("receipt of query {}\n", receipt.query_id);
    let price = receipt.price.clone().unwrap_or_default();
    let mut line = |name: &str, value: String| text += &format!("  {name:<10} {value}\n");
    line("who, why", format!("{}, for {}, on {}", receipt.principal, receipt.purpose, receipt.dataset));
    if !receipt.refines.is_empty() {
        line("refines", format!("{}, by one more draw, whose price this is", receipt.refines));
    }
    line(
        "price",
        format!(
            "epsilon {}, rho {}, delta {}",
            if price.epsilon.is_empty() { "infinite" } else { &price.epsilon },
            price.rho,
            price.delta
        ),
    );
    if price.odds_factor > 0.0 {
        let odds = "whatever anyone believed about one unit, this answer changes the odds at most by a factor of";
        line("odds", format!("{odds} {}", number(price.odds_factor)));
    }
    for column in &receipt.columns {
        line(&column.name, describe(column));
    }
    for release in &receipt.releases {
        line("keys", format!("{}{}", release.keys, groups(release)));
        line("unit", limits(release));
        for bound in &release.chosen {
            line("bound", bound_in_words(bound));
        }
    }
    if let Some((account, pool)) = receipt.balance_after.as_ref().and_then(|b| b.account.as_ref().zip(b.pool.as_ref()))
    {
        let left =
            |state: &AccountState| format!("{} of epsilon {}", short(&state.remaining_epsilon), state.granted_epsilon);
        line("left then", format!("{}; in the dataset's pool {}", left(account), left(pool)));
    }
    line("policy", receipt.policy_version.chars().take(16).collect());
    line("promise", receipt.promise.clone());
    text
}

/// What one unit takes part in.
fn limits(release: &ReleaseNote) -> String {
    let ReleaseNote { max_groups_contributed: groups, max_rows_contributed: rows, .. } = release;
    match (release.max_rows_in_all_groups, groups, rows) {
        (0, 0, 0) => "in how many groups one unit is, and with how many rows in each, is found out first".into(),
        (0, 0, rows) => {
            format!("one unit has at most {rows} rows in a group; in how many groups it is, is found out first")
        }
        (0, groups, 0) => {
            format!("one unit is in at most {groups} groups; with how many rows in each, is found out first")
        }
        (0, groups, rows) => format!("one unit is in at most {groups} groups, with at most {rows} rows in each"),
        (rows, ..) => format!("one unit has at most {rows} rows in all groups together"),
    }
}

/// Bounds that were found for all accounts.
pub fn calibration(calibration: &Calibration) -> String {
    let Calibration { releases, epsilon, rho } = calibration;
    let of = |release: &CalibratedRelease| {
        let by = match release.keys.as_str() {
            "" => "without keys".to_owned(),
            keys => format!("by {keys}"),
        };
        release.found.iter().map(|what| format!("{by}: {what}: found\n")).collect::<String>()
    };
    let bounds: String = releases.iter().map(of).collect();
    let cost = match epsilon.as_str() {
        "0" => "all of it was known already; this time it cost nothing\n".to_owned(),
        epsilon => format!(
            "cost the dataset's pool epsilon {epsilon}, rho {}; each account pays its part of that once, with its first question that needs it and costs at least four times as much\n",
            short(rho)
        ),
    };
    bounds + &cost
}

/// A step and those under it, each with what can be seen of it.
fn draw(step: &Step, here: &str, below: &str, text: &mut String) {
    let mark = match step.visibility() {
        Visibility::Private => "private",
        Visibility::Release => "RELEASE",
        Visibility::Public => "public",
        Visibility::PostProcessing => "free",
        Visibility::Unspecified => "",
    };
    *text += &format!("{mark:<8} {here}{}\n", step.text);
    for (at, input) in step.inputs.iter().enumerate() {
        let (branch, deeper) = if at + 1 == step.inputs.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(input, &format!("{below}{branch}"), &format!("{below}{deeper}"), text);
    }
}

/// Private keys have no number of groups before they are released.
fn groups(release: &ReleaseNote) -> String {
    if release.groups > 0 { format!("; {} groups", release.groups) } else { String::new() }
}

fn describe(column: &NoisyColumn) -> String {
    let mut parts = vec![column.mechanism.clone()];
    if column.noise_scale > 0.0 {
        parts.push(format!("scale {}", number(column.noise_scale)));
    }
    match (column.half_width > 0.0, column.has_interval) {
        (true, _) => parts.push(format!("± {}", number(column.half_width))),
        (false, true) => parts.push("± differs by row".into()),
        (false, false) => parts.push("no interval".into()),
    }
    if column.simultaneous && column.has_interval {
        parts.push("for all values together".into());
    }
    if !column.bounds.is_empty() {
        parts.push(column.bounds.clone());
    }
    parts.join(", ")
}

/// How a question would be answered, release by release.
pub fn explanation(quote: &QuoteResponse) -> String {
    let mut text = self::quote(quote);
    for (at, release) in quote.releases.iter().enumerate() {
        let price = release.price.clone().unwrap_or_default();
        let epsilon = if price.epsilon.is_empty() { "infinite" } else { &price.epsilon };
        text += &format!("\nrelease {}\n  keys   {}{}\n", at + 1, release.keys, groups(release));
        for key in &release.key_columns {
            let values = if key.public { format!("{} public values", key.values) } else { "private".into() };
            text += &format!("    {}: {values}\n", key.expression);
        }
        text += "  noise\n";
        for number in &release.numbers {
            text += &format!("    {}\n", number_in_words(number));
        }
        text += &format!("  choice {}\n", release.choice);
        for bound in &release.chosen {
            text += &format!("  bound  {}\n", bound_in_words(bound));
        }
        text += &format!("  limits {}\n", limits(release));
        text += &format!("  price  epsilon {epsilon}, rho {}, delta {}\n", price.rho, price.delta);
    }
    if let Some(plan) = &quote.plan {
        text += "\n";
        draw(plan, "", "", &mut text);
    }
    text += match quote.releases.is_empty() {
        true => "\nnothing private is asked: no noise, no price\n",
        false => "\nprivate rows are read for the noisy tables alone; whatever the question does with those is free\n",
    };
    text
}

pub fn quote(quote: &QuoteResponse) -> String {
    let mut text = format!("would cost {}", quote.price.as_ref().map(price).unwrap_or_default());
    let left = quote.balance.as_ref().and_then(|b| b.account.as_ref());
    if let Some(account) = left {
        text += &format!("; {} of epsilon {} left", short(&account.remaining_epsilon), account.granted_epsilon);
    }
    text += match (quote.affordable, quote.advice.as_str()) {
        _ if quote.answered => ": was answered before, and costs nothing once more\n".to_owned(),
        (true, _) => "\n".to_owned(),
        (false, "") => ": cannot be paid now\n".to_owned(),
        (false, advice) => format!(": cannot be paid now: {advice}\n"),
    }
    .as_str();
    let rows: Vec<Vec<String>> = quote.columns.iter().map(|c| vec![c.name.clone(), describe(c)]).collect();
    text += &grid(&["column".into(), format!("noise, ± at {:.0} %", quote.confidence * 100.0)], &rows);
    for release in &quote.releases {
        text += &format!("{}{}\n", release.keys, groups(release));
    }
    text
}

pub fn datasets(datasets: &[Dataset]) -> String {
    let mut text = String::new();
    for dataset in datasets {
        text += &format!("{}: {}\n", dataset.name, dataset.description);
        text += &format!(
            "  protects {}; a question costs epsilon {} unless it says otherwise, at most {}\n  purposes: {}\n",
            dataset.privacy_unit,
            dataset.default_epsilon,
            dataset.max_epsilon,
            dataset.purposes.join(", ")
        );
        for table in &dataset.tables {
            let kind = if table.protected { "protected" } else { "public" };
            text += &format!("\n  {} ({kind}) {}\n", table.name, table.description);
            let rows: Vec<Vec<String>> = table.columns.iter().map(column_row).collect();
            let shown = grid(&["column", "type", "what it is", "values", "tier"].map(String::from), &rows);
            text += &shown.lines().map(|l| format!("    {l}\n")).collect::<String>();
        }
    }
    text
}

fn column_row(column: &Column) -> Vec<String> {
    let unit = if column.privacy_unit { "the privacy unit".to_owned() } else { String::new() };
    let bounds = column.lower.zip(column.upper).map(|(l, u)| format!("{l} to {u}"));
    let domain = (!column.domain.is_empty()).then(|| column.domain.clone());
    let values = bounds.or(domain).unwrap_or(unit);
    vec![column.name.clone(), column.r#type.clone(), column.description.clone(), values, column.tier.clone()]
}

/// The one batch of an Arrow IPC stream.
pub fn batch(bytes: &[u8]) -> Result<RecordBatch> {
    let unreadable = |e: arrow::error::ArrowError| Error::internal(format!("the answer cannot be read: {e}"));
    let reader = StreamReader::try_new(bytes, None).map_err(unreadable)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    match batches.as_slice() {
        // Concatenation would lose the number of rows of a batch without columns.
        [only] => Ok(only.clone()),
        several => concat_batches(&schema, several).map_err(unreadable),
    }
}

fn header(table: &RecordBatch) -> Vec<String> {
    table.schema().fields().iter().map(|f| f.name().clone()).collect()
}

fn rows(table: &RecordBatch, intervals: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let unreadable = |e: arrow::error::ArrowError| Error::internal(format!("the answer cannot be shown: {e}"));
    let options = FormatOptions::default().with_null("NULL");
    let mut columns = Vec::new();
    for (field, values) in table.schema().fields().iter().zip(table.columns()) {
        let written = |values| ArrayFormatter::try_new(values, &options).map_err(unreadable);
        let formatter = written(values)?;
        let ends = intervals
            .column_by_name(&format!("{}_lower", field.name()))
            .zip(intervals.column_by_name(&format!("{}_upper", field.name())));
        let ends = ends.map(|(lower, upper)| Ok(((lower, written(lower)?), (upper, written(upper)?)))).transpose()?;
        let cell = |row: usize| match (numeric(values, row), &ends) {
            (Some(value), Some(((lower, _), (upper, _)))) => match numeric(lower, row).zip(numeric(upper, row)) {
                Some(ends) => with_bar(value, ends),
                None => number(value),
            },
            (Some(value), None) => number(value),
            (None, Some(((_, lower), (_, upper)))) if !values.is_null(row) => {
                format!("{} [{} to {}]", formatter.value(row), lower.value(row), upper.value(row))
            }
            (None, _) => formatter.value(row).to_string(),
        };
        columns.push((0..table.num_rows()).map(cell).collect::<Vec<_>>());
    }
    Ok((0..table.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect()).collect())
}

fn numeric(values: &dyn Array, row: usize) -> Option<f64> {
    if values.is_null(row) {
        return None;
    }
    match values.data_type() {
        DataType::Int64 => Some(values.as_primitive::<Int64Type>().value(row) as f64),
        DataType::Float64 => Some(values.as_primitive::<Float64Type>().value(row)),
        _ => None,
    }
}

fn with_bar(value: f64, (lower, upper): (f64, f64)) -> String {
    let (below, above) = (value - lower, upper - value);
    match (below - above).abs() <= 1e-6 * (below + above) {
        true => format!("{} ± {}", number(value), number(above)),
        false => format!("{} [{} to {}]", number(value), number(lower), number(upper)),
    }
}

/// A number with thousands separated, and as many decimals as its size deserves.
fn number(value: f64) -> String {
    let whole = value.round();
    let value = if (value - whole).abs() <= 1e-7 * whole.abs() { whole } else { value };
    let decimals = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        v if v >= 1000.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 => 3,
        _ => 6,
    };
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 && plain.bytes().any(|b| (b'1'..=b'9').contains(&b)) { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// Columns padded to their widest cell, numbers to the right.
fn grid(header: &[String], rows: &[Vec<String>]) -> String {
    let width =
        |i: usize| rows.iter().map(|r| &r[i]).chain([&header[i]]).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let starts_like_number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let right: Vec<bool> =
        (0..header.len()).map(|i| !rows.is_empty() && rows.iter().all(|r| starts_like_number(&r[i]))).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(i, cell)| {
            let space = " ".repeat(widths[i] - cell.chars().count());
            if right[i] { format!("{space}{cell}") } else { format!("{cell}{space}") }
        });
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let rule = widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  ");
    line(header) + &rule + "\n" + &rows.iter().map(|r| line(r)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable() {
        for (amount, text) in [
            ("0.1", "0.1"),
            ("1.810708432306378111", "1.8107"),
            ("0.000400000000000001", "0.0004"),
            ("999999999.5", "1000000000"),
            ("0.999999999", "1"),
            ("0", "0"),
            ("", ""),
        ] {
            assert_eq!(short(amount), text);
        }
    }

    #[test]
    fn numbers_are_readable() {
        for (value, text) in [
            (0.0, "0"),
            (1234567.0, "1,234,567"),
            (-1234.5, "-1,234"),
            (35.25, "35.2"),
            (0.5, "0.500"),
            (-0.0000001, "0.000000"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn bars_are_symmetric_or_ends() {
        assert_eq!(with_bar(100.0, (90.0, 110.0)), "100 ± 10");
        assert_eq!(with_bar(100.0, (90.0, 130.0)), "100 [90 to 130]");
    }
}
