//! The functions that have a rule, and what to write in the place of those that have none.

use crate::algebra::{Scalar, Type};
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use datafusion::sql::sqlparser::ast::Function;
use std::ops::RangeInclusive;

/// A scalar function that is not one of [`Scalar::all`], because its arguments must be constants, or may be left out: its name, its numbers of
/// arguments, and the type of its result.
pub type Special = (&'static str, RangeInclusive<usize>, Type);

/// Most arguments of a function that takes any number.
const MANY: usize = 100;

/// Beside COALESCE, NULLIF, GREATEST and LEAST. Everything else is refused by name.
pub const SPECIALS: [Special; 17] = [
    ("concat", 1..=MANY, Type::Text),
    ("concat_ws", 2..=MANY, Type::Text),
    ("date_bin", 2..=3, Type::Timestamp),
    ("date_part", 2..=2, Type::Int),
    ("date_trunc", 2..=2, Type::Timestamp),
    ("regexp_count", 2..=3, Type::Int),
    ("regexp_instr", 2..=3, Type::Int),
    ("regexp_like", 2..=3, Type::Bool),
    ("regexp_replace", 3..=4, Type::Text),
    ("regexp_substr", 2..=3, Type::Text),
    ("width_bucket", 4..=4, Type::Int),
    // Fields of dates.
    ("year", 1..=1, Type::Int),
    ("quarter", 1..=1, Type::Int),
    ("month", 1..=1, Type::Int),
    ("day", 1..=1, Type::Int),
    ("hour", 1..=1, Type::Int),
    ("minute", 1..=1, Type::Int),
];

/// The names of all scalar functions.
pub fn scalar_names() -> impl Iterator<Item = &'static str> + Clone {
    let others = ["coalesce", "ifnull", "nvl", "nullif", "greatest", "least"].into_iter();
    let table = Scalar::all().flat_map(|scalar| std::iter::once(scalar.name).chain(scalar.aliases.iter().copied()));
    others.chain(SPECIALS.iter().map(|(name, ..)| *name)).chain(table)
}

/// The names of all that have a rule.
fn known() -> impl Iterator<Item = &'static str> + Clone {
    AGGREGATES.into_iter().chain(["grouping"]).chain(scalar_names()).chain(WINDOWS)
}

/// Aggregates that have a rule.
pub const AGGREGATES: [&str; 39] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "var",
    "var_samp",
    "var_sample",
    "variance",
    "var_pop",
    "var_population",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "covar",
    "covar_samp",
    "covar_pop",
    "corr",
    "regr_slope",
    "regr_intercept",
    "regr_r2",
    "regr_count",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
    "median",
    "approx_median",
    "percentile_cont",
    "approx_percentile_cont",
    "quantile_cont",
    "approx_quantile",
    "mode",
    "approx_top_k",
    "histogram",
    "bool_and",
    "every",
    "bool_or",
];

/// Functions that have a rule with OVER, beside aggregates.
const WINDOWS: [&str; 10] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
];

/// What is wrong with a call, if anything is.
pub fn check_function(function: &Function) -> Option<String> {
    let name = function.name.to_string().to_lowercase();
    if !known().any(|known| known == name) {
        return Some(format!("function {name} is not supported{}", instead(&name)));
    }
    if function.filter.is_some() && (function.over.is_some() || !AGGREGATES.contains(&name.as_str())) {
        return Some(format!("{name}(...) takes no FILTER here: write {name}(CASE WHEN ... THEN ... END)"));
    }
    let is_quantile = name.contains("percentile") || name.contains("quantile") || name == "mode";
    if (!function.within_group.is_empty() && !is_quantile) || function.null_treatment.is_some() {
        return Some(format!("{name} takes no WITHIN GROUP, IGNORE NULLS or RESPECT NULLS"));
    }
    None
}

/// What to write in the place of a function that has no rule.
fn instead(name: &str) -> String {
    let hint = match name {
        "array_agg" | "string_agg" | "group_concat" | "listagg" | "any_value" | "first" | "last" => {
            "it would show values of single units; group by the value and count"
        }
        "now" | "current_date" | "current_timestamp" | "today" | "localtime" | "localtimestamp" => {
            "write the moment as a literal or as a parameter, so that the question stays the same question"
        }
        "random" | "rand" | "uuid" | "gen_random_uuid" => {
            "an answer follows from rows and the engine's own noise alone"
        }
        "percentile_disc" | "quantile" | "quantile_disc" => "write percentile_cont(0.5) WITHIN GROUP (ORDER BY x)",
        "topk" | "approx_top_count" | "approx_most_frequent" => {
            "write approx_top_k(x, k), or GROUP BY x ORDER BY count(*) DESC LIMIT k: order and limit are free"
        }
        "approx_histogram" => "write histogram(width_bucket(x, low, high, n))",
        "anon_count" | "anon_sum" | "anon_avg" => {
            "write SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (...) and SUM(x, contribution_bounds_per_group => (low, high))"
        }
        "week" | "second" | "dayofweek" | "dayofyear" => "write EXTRACT(field FROM x)",
        "if" | "iff" | "isnull" | "decode" | "nvl2" => "write CASE WHEN ... THEN ... ELSE ... END, or COALESCE",
        "mid" => "write SUBSTRING(x FROM start FOR length)",
        "regexp_match" | "regexp_matches" | "regexp_extract" => {
            "write regexp_like(x, '...') or regexp_substr(x, '...'); for a group regexp_replace(x, '.*b(c).*', '\\1')"
        }
        _ => "",
    };
    if !hint.is_empty() {
        return format!(": {hint}");
    }
    let near = known().map(|other| (normalized_levenshtein(name, other), other));
    match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, other)) if likeness >= 0.6 => format!(": did you mean {other}?"),
        _ => "; docs/functions.md has those that are".to_owned(),
    }
}
