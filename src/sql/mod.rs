//! From SQL text to the private algebra, in three steps that each refuse what they do not know.
//!
//! 1. [`fence`]: tokens are counted, the text is parsed, and syntax that later steps would silently ignore is refused;
//!    [`parameters`] get their values, [`clause`] reads `WITH DIFFERENTIAL_PRIVACY`, and [`marks`] ties it to aggregates.
//! 2. [`analyse`]: DataFusion resolves names and types into a logical plan. That plan is never executed.
//! 3. [`lower`]: an exhaustive match turns the plan into `algebra`. Lowering judges DataFusion's *output*, so a mistake
//!    there can cost correctness, never privacy.
//!
//! All of it is a function of text and catalog. No data is read.

mod aggregates;
mod analyse;
mod clause;
mod constant;
mod fence;
mod functions;
mod limits;
mod locate;
mod lower;
mod marks;
mod own;
mod parameters;
mod preview;
mod reference;
mod windows;

/// The schema that a dataset's tables are in, for tools that write it before their names.
pub const DATA_SCHEMA: &str = "main";

pub use fence::MAX_PARTS;
pub use limits::MAX_BYTES;
pub use own::{OWN_SCHEMA, OwnQuery, may_be_own, own};
pub use parameters::{Parameter, count as parameters};
pub use preview::{NoRows, instead, no_rows};
pub use reference::function_reference;

use crate::algebra::{Query, Type};
use crate::catalog::Dataset;
use crate::error::Result;
use std::collections::BTreeSet;

/// A question that has a private reading.
#[derive(Clone, Debug)]
pub struct Statement {
    pub query: Query,
    pub columns: Vec<OutputColumn>,
}

/// A column of the answer; its values are at the same position of `query.post`.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputColumn {
    pub name: String,
    pub ty: Type,
    pub noise: OutputNoise,
    /// Positions of its interval's lower and upper end in `query.post`, if it has one.
    pub interval: Option<(usize, usize)>,
    /// Whether its intervals hold for all noisy values of the question together, because rows were chosen by noisy values.
    pub simultaneous: bool,
}

/// How a column of the answer came by its noise.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputNoise {
    /// It has none: a key, or public data.
    Exact,
    /// It is an output of a release as it is: (release, output).
    Output(usize, usize),
    /// It is computed from noisy values.
    Derived,
}

/// The types of a text's parameters, as far as it tells; none where it cannot be read. Recurses like [`plan`].
pub fn parameter_types(text: &str, dataset: &Dataset) -> Vec<Option<Type>> {
    let count = parameters(text);
    match fence::read(text, &parameters::Parameters(&vec![Parameter::Null; count])) {
        Ok((query, ..)) => analyse::parameter_types(query, dataset, count),
        Err(_) => vec![None; count],
    }
}

/// Reads one SELECT over `dataset`. Recurses as deep as the limits on text allow, so it wants a large stack: see [`crate::engine::Workers`].
///
/// `parameters`: the values of `$1`, `$2`, ... or of one `?` after the other.
///
/// Errors: `SYNTAX`, `SQL_TOO_LONG`, `SQL_TOO_DEEP`, `UNKNOWN_TABLE`, `UNKNOWN_COLUMN`, `UNSUPPORTED_SQL`, `PRIVATE_ROWS`,
/// `PRIVATE_KEYS`, `MISSING_BOUNDS`, `INVALID_EPSILON` and `INVALID_REQUEST` (parameters and options), each with its place in the text where there is one.
pub fn plan(text: &str, parameters: &[Parameter], dataset: &Dataset) -> Result<Statement> {
    plan_for(text, parameters, dataset, &BTreeSet::new())
}

/// The same for somebody to whom these names of tables and columns are not told: no message lists them.
pub fn plan_for(
    text: &str,
    parameters: &[Parameter],
    dataset: &Dataset,
    hidden: &BTreeSet<String>,
) -> Result<Statement> {
    let fence::Fenced { query, locator, asked } = fence::parse(text, &parameters::Parameters(parameters))?;
    let plan = analyse::analyse(query, (dataset, hidden), &locator);
    // A refusal that has no place of its own points at the question.
    plan.and_then(|plan| lower::lower(&plan, dataset, &locator, &asked)).map_err(|e| e.or_at(locator.outer))
}
