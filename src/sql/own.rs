//! Questions about what is one's own to see: what may be asked, balances, receipts. They read tables of the schema [`OWN_SCHEMA`] alone, none of which holds anything that its
//! reader may not know, so they are ordinary queries, within the limits on texts.

use super::fence;
use super::parameters::{Parameter, Parameters};
use crate::error::Result;
use datafusion::sql::sqlparser::ast::{ObjectName, Query, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// The schema of these tables.
pub const OWN_SCHEMA: &str = "undertone";

/// Such a query, with its tables named `undertone.<table>`.
pub struct OwnQuery(pub Box<Query>);

/// The query of a text that names a table of [`OWN_SCHEMA`]; None for all others, those that cannot be read too. Recurses like [`super::plan`].
pub fn own(text: &str, parameters: &[Parameter]) -> Result<Option<OwnQuery>> {
    let Ok(fence::Fenced { mut query, .. }) = fence::parse(text, &Parameters(parameters)) else { return Ok(None) };
    let mut found = Found(false);
    let _ = query.visit(&mut found);
    Ok(found.0.then_some(OwnQuery(query)))
}

/// Whether a text can be such a query, at a glance.
pub fn may_be_own(text: &str) -> bool {
    text.as_bytes().windows(OWN_SCHEMA.len()).any(|part| part.eq_ignore_ascii_case(OWN_SCHEMA.as_bytes()))
}

struct Found(bool);

impl VisitorMut for Found {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        let parts = &mut name.0;
        let schema = parts.len().checked_sub(2).and_then(|at| parts[at].as_ident());
        if schema.is_some_and(|schema| schema.value.eq_ignore_ascii_case(OWN_SCHEMA)) {
            self.0 = true;
            // Tools put the catalog before it.
            parts.drain(..parts.len() - 2);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_schema_make_a_question_ones_own() {
        let own = |text: &str| own(text, &[]).unwrap().map(|query| query.0.to_string());
        assert_eq!(own("SELECT * FROM shop.\"undertone\".columns c").unwrap(), "SELECT * FROM \"undertone\".columns c");
        assert!(own("SELECT (SELECT max(epsilon) FROM UNDERTONE.receipts) AS e").is_some());
        for other in
            ["SELECT count(*) FROM undertone", "SELECT count(*) FROM main.orders", "SELECT undertone.x FROM y", "SELEC"]
        {
            assert!(own(other).is_none(), "{other}");
        }
        assert!(may_be_own("select 1 from UnderTone.x") && !may_be_own("select under, tone from x"));
    }
}
