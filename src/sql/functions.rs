//! The functions that have a rule, and what to write in the place of those that have none.

use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use datafusion::sql::sqlparser::ast::Function;

/// Functions that have a rule. Everything else is refused by name.
const FUNCTIONS: [&str; 13] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "coalesce",
    "nullif",
    "date_trunc",
    "date_part",
    "date_bin",
    "width_bucket",
    "substr",
    "grouping",
];

/// Those of them that are aggregates.
pub const AGGREGATES: [&str; 5] = ["count", "sum", "avg", "min", "max"];

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
    if !FUNCTIONS.contains(&name.as_str()) && !WINDOWS.contains(&name.as_str()) {
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
        "stddev" | "stddev_pop" | "stddev_samp" | "variance" | "var_pop" | "var_samp" | "var" => {
            "it follows from avg(x) and avg(x * x)"
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
    let known = FUNCTIONS.into_iter().chain(WINDOWS);
    let near = known.clone().map(|other| (normalized_levenshtein(name, other), other));
    match near.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, other)) if likeness >= 0.6 => format!(": did you mean {other}?"),
        _ => format!("; supported are {}", known.collect::<Vec<_>>().join(", ")),
    }
}
