//! Questions about what is one's own to see: what may be asked, balances, receipts. They read tables of the schema [`OWN_SCHEMA`] alone, none of which holds anything that its
//! reader may not know, so they are ordinary queries; but nobody pays for them, so they are small: few tables, and no operator that makes values larger.

use super::fence;
use super::parameters::{Parameter, Parameters};
use crate::error::{Code, Error, Result};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, ObjectName, Query, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// The schema of these tables.
pub const OWN_SCHEMA: &str = "undertone";

/// Most tables of [`OWN_SCHEMA`], and with the uses of WITH queries most tables at all: so that no more than two are ever joined.
const MOST_TABLES: usize = 2;
const MOST_USES: usize = 3;

/// Such a query, with its tables named `undertone.<table>`.
pub struct OwnQuery {
    pub query: Box<Query>,
    /// Those that it reads.
    pub tables: Vec<String>,
}

/// The query of a text that names a table of [`OWN_SCHEMA`]; None for all others, those that cannot be read too. Recurses like [`super::plan`].
///
/// Errors: `UNSUPPORTED_SQL` where it is too large.
pub fn own(text: &str, parameters: &[Parameter]) -> Result<Option<OwnQuery>> {
    let Ok(fence::Fenced { mut query, .. }) = fence::parse(text, &Parameters(parameters)) else { return Ok(None) };
    let mut found = Found::default();
    let _ = query.visit(&mut found);
    let Found { tables, uses, concatenates } = found;
    if tables.is_empty() {
        return Ok(None);
    }
    let refuse =
        |what: &str| Err(Error::new(Code::UnsupportedSql, format!("a question about the schema {OWN_SCHEMA} {what}")));
    if tables.len() > MOST_TABLES || uses > MOST_USES {
        return refuse("joins two tables at most: read them, and join them yourself");
    }
    if concatenates {
        return refuse("cannot put texts together: read them, and do it yourself");
    }
    Ok(Some(OwnQuery { query, tables }))
}

/// Whether a text can be such a query, at a glance.
pub fn may_be_own(text: &str) -> bool {
    text.as_bytes().windows(OWN_SCHEMA.len()).any(|part| part.eq_ignore_ascii_case(OWN_SCHEMA.as_bytes()))
}

#[derive(Default)]
struct Found {
    tables: Vec<String>,
    uses: usize,
    concatenates: bool,
}

impl VisitorMut for Found {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        self.uses += 1;
        let parts = &mut name.0;
        let schema = parts.len().checked_sub(2).and_then(|at| parts[at].as_ident());
        if schema.is_some_and(|schema| schema.value.eq_ignore_ascii_case(OWN_SCHEMA)) {
            // Tools put the catalog before it.
            parts.drain(..parts.len() - 2);
            self.tables.extend(parts.last().and_then(|part| part.as_ident()).map(|table| table.value.to_lowercase()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.concatenates |= matches!(expr, Expr::BinaryOp { op: BinaryOperator::StringConcat, .. });
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_schema_make_a_question_ones_own() {
        let own = |text: &str| own(text, &[]).unwrap().map(|own| own.query.to_string());
        assert_eq!(own("SELECT * FROM shop.\"undertone\".columns c").unwrap(), "SELECT * FROM \"undertone\".columns c");
        assert!(own("SELECT (SELECT max(epsilon) FROM UNDERTONE.receipts) AS e").is_some());
        for other in
            ["SELECT count(*) FROM undertone", "SELECT count(*) FROM main.orders", "SELECT undertone.x FROM y", "SELEC"]
        {
            assert!(own(other).is_none(), "{other}");
        }
        assert!(may_be_own("select 1 from UnderTone.x") && !may_be_own("select under, tone from x"));
    }

    #[test]
    fn what_nobody_pays_for_is_small() {
        for large in [
            "SELECT 1 FROM undertone.receipts a, undertone.receipts b, undertone.receipts c",
            "WITH a AS (SELECT 1 FROM undertone.receipts), b AS (SELECT 1 FROM a, a x) SELECT 1 FROM b, b y",
            "SELECT s || s FROM (SELECT dataset || dataset AS s FROM undertone.receipts) t",
        ] {
            assert!(own(large, &[]).is_err(), "{large}");
        }
        let two = own("SELECT 1 FROM undertone.receipts r JOIN shop.undertone.Budget b ON r.dataset = b.dataset", &[]);
        assert_eq!(two.unwrap().unwrap().tables, ["receipts", "budget"]);
    }
}
