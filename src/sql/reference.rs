//! The reference of operators and scalar functions, `docs/functions.md`, made from their definitions.

use crate::algebra::Scalar;

/// A construct with a syntax or constants of its own: how it is written, and its total meaning.
type Form = (&'static str, &'static str);

const OPERATORS: &[Form] = &[
    ("a + b", "The sum; of a date and a whole number, the date so many days later. NULL where it does not fit."),
    (
        "a - b",
        "The difference; of two dates, the days between them; of a date and a whole number, the date so many days before. NULL where it does not fit.",
    ),
    ("a * b", "The product. NULL where a whole number does not fit."),
    ("a / b", "The quotient; of two whole numbers without its fraction. NULL where `b` is 0."),
    ("a % b", "The remainder, with the sign of `a`. NULL where `b` is 0."),
    ("-a", "The negative. NULL where a whole number does not fit."),
    ("a = b", "Equality. NaN equals itself, and 0 equals -0. NULL where a side is NULL, as for all comparisons."),
    ("a <> b", "Inequality."),
    ("a < b", "Less. NaN is above infinity."),
    ("a <= b", "Less or equal."),
    ("a > b", "Greater."),
    ("a >= b", "Greater or equal."),
    ("a AND b", "Conjunction by three-valued logic: false where one is false, else NULL where one is NULL."),
    ("a OR b", "Disjunction: true where one is true, else NULL where one is NULL."),
    ("NOT a", "Negation. NULL of NULL."),
    ("a IS [NOT] NULL", "Whether there is no value. Never NULL."),
    ("a IS [NOT] TRUE", "Whether the condition is true. Never NULL."),
    ("a IS [NOT] FALSE", "Whether the condition is false. Never NULL."),
    ("a IS [NOT] UNKNOWN", "Whether the condition is NULL. Never NULL."),
    ("a IS [NOT] DISTINCT FROM b", "Inequality for which NULL equals NULL. Never NULL."),
    ("a [NOT] BETWEEN low AND high", "`a >= low AND a <= high`."),
    ("a [NOT] IN (b, ...)", "Whether `a` equals one of them; NULL where it equals none and one side is NULL."),
    (
        "text [NOT] LIKE pattern",
        "Whether the whole text is like the pattern, a constant: `%` is any text, `_` any character, and a backslash takes their meaning away.",
    ),
    ("text [NOT] ILIKE pattern", "LIKE in either case of letters."),
    (
        "text [NOT] SIMILAR TO pattern",
        "Whether the whole text matches the constant pattern of SQL: LIKE with `|`, `*`, `+`, `?`, `{m,n}`, `(...)` and `[...]`. Time is linear in the text.",
    ),
    (
        "text ~ expression",
        "Whether a constant regular expression is found in the text; `~*` in either case, `!~` and `!~*` whether it is not; see `regexp_like`.",
    ),
    (
        "moment + INTERVAL '...'",
        "The moment so much later, or with `-` earlier: first months (clipped to the month's last day), then days, then the rest. A date with hours becomes a timestamp. NULL outside of the years 1 to 9999.",
    ),
];

const CONDITIONAL: &[Form] = &[
    (
        "CASE WHEN condition THEN a ... [ELSE b] END",
        "The result of the first condition that is true; else `b`, or NULL.",
    ),
    ("COALESCE(a, ...)", "The first value that is not NULL. `IFNULL(a, b)` and `NVL(a, b)` are the same."),
    ("NULLIF(a, b)", "NULL where `a` equals `b`, else `a`."),
    ("GREATEST(a, ...)", "The greatest value that is not NULL; NULL where all are."),
    ("LEAST(a, ...)", "The least value that is not NULL; NULL where all are."),
    (
        "CAST(a AS type)",
        "The value as another type; `TRY_CAST` is the same. NULL where the type cannot hold it. TINYINT to BIGINT, their unsigned kinds, REAL, DOUBLE, DECIMAL(p, s) (a DOUBLE rounded to `s` digits), VARCHAR, BOOLEAN, DATE and TIMESTAMP. A fraction becomes a whole number without its digits after the point. Text is read as SQL writes it.",
    ),
];

const CONSTANT_ARGUMENTS: &[Form] = &[
    (
        "concat(a, ...)",
        "The texts one after the other, without those that are NULL. Other types are written as CAST writes them.",
    ),
    ("concat_ws(separator, a, ...)", "The texts with a constant separator between those that are not NULL."),
    (
        "regexp_like(text, expression [, flags])",
        "Whether a constant regular expression is found. Flags: `i` either case, `m` lines, `s` dot for line ends, `x` white space means nothing. The dialect is near RE2's, and not POSIX's: the first alternative that matches is taken, `.` is no line's end, and `\\d`, `\\w`, `\\s` and `\\b` are of ASCII. There are no back references and no look-around, and the size of an expression is limited, so that no text takes long.",
    ),
    (
        "regexp_count(text, expression [, flags])",
        "How often it is found, without overlaps. NULL where finding all reads the text more than eight times over, as `a+b|a` does in many `a`.",
    ),
    (
        "regexp_instr(text, expression [, flags])",
        "The position of the first match in characters, from 1; 0 where there is none.",
    ),
    ("regexp_substr(text, expression [, flags])", "The first match. NULL where there is none."),
    (
        "regexp_replace(text, expression, replacement [, flags])",
        "The text with the first match replaced, with the flag `g` all of them; `\\1` to `\\9` are its groups and `\\&` is all of it. NULL where that is too long a text, or as in `regexp_count`.",
    ),
    (
        "EXTRACT(field FROM moment)",
        "Year, quarter, month, week (ISO 8601), day, dow (0 is Sunday), doy, hour, minute or second, as a whole number. Also `date_part('field', moment)`.",
    ),
    ("year(moment)", "The year; `quarter`, `month`, `day`, `hour` and `minute` likewise."),
    (
        "date_trunc('unit', moment)",
        "The start of the year, quarter, month, week (from Monday), day, hour, minute or second.",
    ),
    (
        "date_bin(INTERVAL '...', moment [, origin])",
        "The start of the step of days or less that holds the moment, counted from a constant origin (1970-01-01).",
    ),
    (
        "width_bucket(x, low, high, count)",
        "The number of the equal part of a constant range, from 1; 0 before it, `count + 1` after it and for NaN.",
    ),
];

/// The page.
pub fn function_reference() -> String {
    let mut page = format!(
        "# Operators and functions\n\nWhat can stand in expressions, over private and public rows alike: {} operators and functions, names and types of arguments apart. \
         Each is total: it has a result for every value, and none ever fails because of one. NULL among the arguments makes the result NULL unless said otherwise. \
         Of finite numbers a result that is not finite is NULL; NaN stays NaN. Texts longer than 1,024 bytes are NULL; a character is a Unicode code point. \
         A whole number is a BIGINT, and is taken for a DOUBLE where one is needed; a date is taken for the timestamp at which it begins.\n\n\
         This page is made from the definitions: `UPDATE_GENERATED=1 cargo test --test it functions`.\n",
        count()
    );
    let own_syntax =
        [("Operators", OPERATORS), ("Conditions and types", CONDITIONAL), ("With constants", CONSTANT_ARGUMENTS)];
    for (title, forms) in own_syntax {
        table(
            &mut page,
            title,
            ["written", "meaning"],
            forms.iter().map(|(form, about)| [code(form), about.to_string()]),
        );
    }
    for (title, scalars) in Scalar::kinds() {
        table(&mut page, title, ["written", "types", "meaning"], scalars.iter().map(row));
    }
    page
}

/// Distinct constructs.
fn count() -> usize {
    OPERATORS.len() + CONDITIONAL.len() + CONSTANT_ARGUMENTS.len() + Scalar::all().count()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn row(scalar: &Scalar) -> [String; 3] {
    let types = scalar.overloads.iter().map(|overload| {
        let takes: Vec<_> = overload.takes.iter().map(|ty| ty.sql()).collect();
        format!("({}) → {}", takes.join(", "), overload.gives.sql())
    });
    // An operator has a name too.
    let own = (!scalar.form.starts_with(scalar.name)).then_some(scalar.name);
    let names: Vec<_> = own.into_iter().chain(scalar.aliases.iter().copied()).map(code).collect();
    let names = if names.is_empty() { String::new() } else { format!(" Also {}.", names.join(", ")) };
    [code(scalar.form), types.collect::<Vec<_>>().join("; "), format!("{}{names}", scalar.about)]
}

fn table<const N: usize>(page: &mut String, title: &str, heads: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    *page += &format!("\n## {title}\n\n| {} |\n|{}\n", heads.join(" | "), "---|".repeat(N));
    for row in rows {
        *page += &format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::functions::{SPECIALS, scalar_names};
    use std::collections::BTreeSet;

    #[test]
    fn every_function_is_in_the_reference_once() {
        let names: Vec<_> = scalar_names().collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name has two meanings");
        let page = function_reference().to_lowercase();
        for name in names {
            let known = [format!("`{name}("), format!("`{name}`"), format!("{name}(")];
            let form = Scalar::find(name).map(|scalar| scalar.form.to_lowercase().replace('|', "\\|"));
            let found = known.iter().any(|text| page.contains(text)) || form.is_some_and(|form| page.contains(&form));
            assert!(found, "{name} is not in the reference");
        }
        assert!(count() >= 120 && SPECIALS.len() > 10, "{}", count());
    }
}
