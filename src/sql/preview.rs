//! Previews: plain lists of columns of private tables, which tools fire at a click. With rows they are refused, and become a count by the values of a column, a mean, or a
//! count; whether that is admitted, and what it costs, is for the rules to say. Without rows (`WHERE 1 = 0`, `LIMIT 0`), which is how tools find out whether a table is there and
//! which columns it has, the declaration alone answers them.

use super::DATA_SCHEMA;
use super::fence;
use super::parameters::{Parameter, Parameters};
use crate::algebra::TableId;
use crate::catalog::{Dataset, Table};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, LimitClause, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, Value,
};

/// Questions about the same tables and rows, the one that shows most first; none where the text is not a plain list of columns. Recurses like [`super::plan`].
pub fn instead(text: &str, parameters: &[Parameter], dataset: &Dataset) -> Vec<String> {
    let Ok(fence::Fenced { query, .. }) = fence::parse(text, &Parameters(parameters)) else { return vec![] };
    preview(&query, dataset).unwrap_or_default()
}

fn preview(query: &Query, dataset: &Dataset) -> Option<Vec<String>> {
    let Query { with: None, body, .. } = query else { return None };
    let SetExpr::Select(select) = body.as_ref() else { return None };
    let Select { projection, from, selection, .. } = select.as_ref();
    let shown: Vec<Shown> = projection.iter().map(shown).collect::<Option<_>>()?;
    let tables = from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let rest = match selection {
        Some(condition) => format!("FROM {tables} WHERE {condition}"),
        None => format!("FROM {tables}"),
    };
    let mut texts = Vec::new();
    if let Some((_, table)) = only(from, dataset) {
        let quoted = |at: &usize| Ident::with_quote('"', &table.columns[*at].name);
        let columns = columns(&shown, table);
        let public = |at: &&usize| table.columns[**at].domain.is_some() && !table.is_unit(**at);
        texts.extend(
            columns
                .iter()
                .find(public)
                .map(quoted)
                .map(|key| format!("SELECT {key}, count(*) AS n {rest} GROUP BY {key}")),
        );
        let bounded = |at: &&usize| table.columns[**at].bounds.is_some() && table.columns[**at].ty.is_numeric();
        texts.extend(
            columns
                .iter()
                .find(bounded)
                .map(quoted)
                .map(|value| format!("SELECT avg({value}) AS mean, count(*) AS n {rest}")),
        );
    }
    texts.push(format!("SELECT count(*) AS n {rest}"));
    Some(texts)
}

/// What an item of a plain list shows.
enum Shown<'a> {
    All,
    Column(&'a Ident),
}

fn shown(item: &SelectItem) -> Option<Shown<'_>> {
    match item {
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => Some(Shown::All),
        SelectItem::UnnamedExpr(Expr::Identifier(name))
        | SelectItem::ExprWithAlias { expr: Expr::Identifier(name), .. } => Some(Shown::Column(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names))
        | SelectItem::ExprWithAlias { expr: Expr::CompoundIdentifier(names), .. } => names.last().map(Shown::Column),
        _ => None,
    }
}

/// The columns of a table that a list shows.
fn columns(shown: &[Shown], table: &Table) -> Vec<usize> {
    let all = 0..table.columns.len();
    let of = |item: &Shown| match item {
        Shown::All => all.clone().collect::<Vec<_>>(),
        Shown::Column(name) => all.clone().filter(|at| table.columns[*at].name == named(name)).collect(),
    };
    shown.iter().flat_map(of).collect()
}

/// A preview that has no rows, whatever the data.
#[derive(Debug, PartialEq)]
pub struct NoRows {
    /// Position of its table.
    pub table: TableId,
    /// Of the answer: each with the position of what it shows.
    pub columns: Vec<(String, usize)>,
}

/// The preview of a text that asks one table for no rows of columns that one may read; None for all others. Recurses like [`super::plan`].
pub fn no_rows(
    text: &str,
    parameters: &[Parameter],
    dataset: &Dataset,
    may_read: impl Fn(&Table, usize) -> bool,
) -> Option<NoRows> {
    let fence::Fenced { query, .. } = fence::parse(text, &Parameters(parameters)).ok()?;
    let Query { with: None, body, limit_clause, .. } = query.as_ref() else { return None };
    let SetExpr::Select(select) = body.as_ref() else { return None };
    let Select { projection, from, selection, group_by, having: None, qualify: None, .. } = select.as_ref() else {
        return None;
    };
    let limit = match limit_clause {
        Some(LimitClause::LimitOffset { limit: Some(limit), .. }) => Some(limit),
        _ => None,
    };
    let is_grouped = *group_by != GroupByExpr::Expressions(vec![], vec![]);
    if is_grouped || !(selection.as_ref().is_some_and(is_false) || limit.is_some_and(is_zero)) {
        return None;
    }
    let (at, table) = only(from, dataset)?;
    let mut shows = Vec::new();
    for item in projection {
        let item_shows = columns(&[shown(item)?], table);
        // What is not there is for the rules to say.
        let first = *item_shows.first()?;
        match item {
            SelectItem::ExprWithAlias { alias, .. } => shows.push((named(alias), first)),
            SelectItem::UnnamedExpr(_) => shows.push((table.columns[first].name.clone(), first)),
            // As much as one may see.
            _ => shows.extend(
                item_shows.into_iter().filter(|at| may_read(table, *at)).map(|at| (table.columns[at].name.clone(), at)),
            ),
        }
    }
    if shows.is_empty() || !shows.iter().all(|(_, at)| may_read(table, *at)) {
        return None;
    }
    Some(NoRows { table: at, columns: shows })
}

/// The only table of a FROM.
fn only<'a>(from: &[TableWithJoins], dataset: &'a Dataset) -> Option<(TableId, &'a Table)> {
    let [TableWithJoins { relation: TableFactor::Table { name, alias, .. }, joins }] = from else { return None };
    if !joins.is_empty() || alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
        return None;
    }
    let parts: Vec<String> = name.0.iter().map(|part| part.as_ident().map(named)).collect::<Option<_>>()?;
    let (table, qualifier) = parts.split_last()?;
    let is_here = match qualifier {
        [] => true,
        [schema] => schema == DATA_SCHEMA || *schema == dataset.name,
        [catalog, schema] => *catalog == dataset.name && schema == DATA_SCHEMA,
        _ => false,
    };
    dataset.table(table).filter(|_| is_here)
}

fn is_zero(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(&value.value, Value::Number(number, _) if *number == "0"))
}

/// Whether a condition is false by its own words.
fn is_false(condition: &Expr) -> bool {
    match condition {
        Expr::Nested(within) => is_false(within),
        Expr::Value(value) => value.value == Value::Boolean(false),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => match (left.as_ref(), right.as_ref()) {
            (Expr::Value(left), Expr::Value(right)) => match (&left.value, &right.value) {
                (Value::Number(left, _), Value::Number(right, _)) => {
                    let whole = |text: String| text.parse::<u32>().ok();
                    whole(left.to_string()).zip(whole(right.to_string())).is_some_and(|(left, right)| left != right)
                }
                _ => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// As it is looked up: what is not quoted is in lower case.
fn named(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_false_by_their_own_words() {
        let is_false = |condition: &str| {
            let text = format!("SELECT 1 FROM t WHERE {condition}");
            let fence::Fenced { query, .. } = fence::parse(&text, &Parameters(&[])).unwrap();
            let SetExpr::Select(select) = *query.body else { panic!("no SELECT") };
            super::is_false(&select.selection.unwrap())
        };
        for condition in ["1=0", "(0 = 1)", "false", "1 = 2"] {
            assert!(is_false(condition), "{condition}");
        }
        for condition in ["true", "1=1", "1.0 = 1", "x = 0", "1 = 0 OR true", "NOT 1=0", "'a' = 'b'", "0 <> 1"] {
            assert!(!is_false(condition), "{condition}");
        }
    }
}
