//! The functions that have a rule, and what to write in the place of those that have none.

use crate::algebra::Type;
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use datafusion::sql::sqlparser::ast::Function;
use std::ops::RangeInclusive;

/// A scalar function: its name, its numbers of arguments, and the type of its result, which is its argument's where there is none.
pub type Scalar = (&'static str, RangeInclusive<usize>, Option<Type>);

/// Scalar functions that have a rule, beside COALESCE, NULLIF, GREATEST and LEAST. Everything else is refused by name.
pub const SCALARS: [Scalar; 28] = [
    ("abs", 1..=1, None),
    ("btrim", 1..=1, Some(Type::Text)),
    ("ceil", 1..=1, None),
    ("ceiling", 1..=1, None),
    ("char_length", 1..=1, Some(Type::Int)),
    ("character_length", 1..=1, Some(Type::Int)),
    ("date_bin", 2..=3, Some(Type::Timestamp)),
    ("date_part", 2..=2, Some(Type::Int)),
    ("date_trunc", 2..=2, Some(Type::Timestamp)),
    ("exp", 1..=1, Some(Type::Float)),
    ("floor", 1..=1, None),
    ("length", 1..=1, Some(Type::Int)),
    ("ln", 1..=1, Some(Type::Float)),
    ("log10", 1..=1, Some(Type::Float)),
    ("log2", 1..=1, Some(Type::Float)),
    ("lower", 1..=1, Some(Type::Text)),
    ("ltrim", 1..=1, Some(Type::Text)),
    ("reverse", 1..=1, Some(Type::Text)),
    ("round", 1..=1, None),
    ("rtrim", 1..=1, Some(Type::Text)),
    ("sign", 1..=1, None),
    ("signum", 1..=1, None),
    ("sqrt", 1..=1, Some(Type::Float)),
    ("substr", 2..=3, Some(Type::Text)),
    ("trim", 1..=1, Some(Type::Text)),
    ("trunc", 1..=1, None),
    ("upper", 1..=1, Some(Type::Text)),
    ("width_bucket", 4..=4, Some(Type::Int)),
];

/// The names of all scalar functions.
pub fn scalar_names() -> impl Iterator<Item = &'static str> + Clone {
    ["coalesce", "nullif", "greatest", "least"].into_iter().chain(SCALARS.iter().map(|(name, ..)| *name))
}

/// The names of all that have a rule.
fn known() -> impl Iterator<Item = &'static str> + Clone {
    AGGREGATES.into_iter().chain(["grouping"]).chain(scalar_names()).chain(WINDOWS)
}

/// Aggregates that have a rule.
pub const AGGREGATES: [&str; 27] = [
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
    if !function.within_group.is_empty() || function.null_treatment.is_some() {
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
        "median" | "percentile_cont" | "percentile_disc" | "approx_median" | "quantile" => {
            "count the values in ranges: width_bucket(x, low, high, n)"
        }
        "anon_count" | "anon_sum" | "anon_avg" => {
            "write SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (...) and SUM(x, contribution_bounds_per_group => (low, high))"
        }
        "year" | "month" | "day" | "hour" | "quarter" | "week" => "write EXTRACT(field FROM x)",
        "if" | "iff" | "ifnull" | "nvl" | "isnull" | "decode" => {
            "write CASE WHEN ... THEN ... ELSE ... END, or COALESCE"
        }
        "left" | "right" | "mid" => "write SUBSTRING(x FROM start FOR length)",
        "regexp_like" | "regexp_match" | "contains" | "starts_with" | "ends_with" | "strpos" => "write x LIKE '%...%'",
        _ => "",
    };
    if !hint.is_empty() {
        return format!(": {hint}");
    }
    let near = known().map(|other| (normalized_levenshtein(name, other), other));
    match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, other)) if likeness >= 0.6 => format!(": did you mean {other}?"),
        _ => format!("; supported are {}", known().collect::<Vec<_>>().join(", ")),
    }
}
