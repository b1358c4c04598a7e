//! From DataFusion's typed plan to the algebra, by an exhaustive match. What has no rule is refused.
//!
//! Each rule keeps a private relation unit-preserving, with the unit in column 0, and says why in its place:
//! [`relation`] has the operators, [`join`] and [`union`] those of several inputs, [`aggregate`] the per-unit aggregates and [`release`] the one
//! way out, [`grouping`] several of them, and [`terms`] what the text may ask of them; [`expr`] has the scalar expressions, [`functions`] those with a name, and [`interval`] the error bars of what is computed from noisy values.

mod aggregate;
mod expr;
mod functions;
mod grouping;
mod interval;
mod join;
mod preserved;
mod quantile;
mod relation;
mod release;
mod scope;
mod statistic;
mod terms;
mod union;
mod window;

pub use quantile::named_quantile;

use super::locate::Locator;
use super::marks::Asked;
use super::{OutputColumn, OutputNoise, Statement};
use crate::algebra::{Domain, Expr, Hierarchy, Query, Relation, Release, Type, Work};
use crate::catalog::Dataset;
use crate::error::{Code, Error, Result};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlan};
use scope::{Noise, Scope};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// What lowering knows and collects.
struct Lowering<'a> {
    dataset: &'a Dataset,
    locator: &'a Locator,
    /// What clauses and named arguments ask for.
    asked: &'a Asked,
    /// How often the question mentions each column's name; columns that it does not mention are not read.
    mentioned: HashMap<String, usize>,
    /// Each distinct release once: the same noisy table asked for twice is one draw.
    releases: Vec<Release>,
    hierarchies: Vec<Hierarchy>,
    /// Public relations beside private rows, each distinct one once.
    fixed: Vec<Relation>,
    /// Operators that are open.
    depth: usize,
    /// Sides of joins that are cut down per unit.
    caps: usize,
    /// IN and EXISTS below OR.
    marks: usize,
    /// What is left of [`MAX_NODES`].
    nodes_left: Cell<usize>,
    /// What is left of [`MAX_EVALUATED`].
    evaluations: Work,
}

/// Most text columns of one relation: a batch holds all of them at once.
const MAX_TEXT_COLUMNS: usize = 40;
/// Most nodes of operators, their columns and expressions, each copy counted, that a question may become: some meanings name an
/// operand twice and a WITH query is written out at each use, so a short text could become a huge plan.
const MAX_NODES: usize = 50_000;
/// Most evaluations of functions for the sets of their results.
const MAX_EVALUATED: usize = 200_000;
/// What a regular expression counts for, which is compiled, and a function that takes time for pairs of characters.
const NODES_PER_SLOW: usize = 1_000;
/// Deepest nesting of operators.
const MAX_DEPTH: usize = 200;

impl Lowering<'_> {
    /// Pays for nodes of the algebra before they are made.
    fn spend(&self, nodes: usize) -> Result<()> {
        let left = self.nodes_left.get().checked_sub(nodes).ok_or_else(|| {
            let message = format!(
                "written out, with every WITH query and repeated operand in each of its places, the question has more than {MAX_NODES} parts: split it"
            );
            Error::new(Code::SqlTooLong, message)
        })?;
        self.nodes_left.set(left);
        Ok(())
    }

    /// The finite set of values of an expression, where there is one.
    fn image(&self, scope: &Scope, expr: &Expr, ty: Type) -> Result<Option<Domain>> {
        let domain = scope.image(expr, ty, &self.evaluations);
        if self.evaluations.is_used_up() {
            let message = format!(
                "the results that functions can have are worked out before anything is asked, and here these are more than {MAX_EVALUATED}: ask by fewer keys, or by columns as they are"
            );
            return Err(Error::new(Code::SqlTooLong, message));
        }
        Ok(domain)
    }

    /// A refusal that points at the first place of `word` in the text.
    fn refuse(&self, code: Code, word: &str, message: impl Into<String>) -> Error {
        Error::new(code, message).or_at(self.locator.find(word))
    }

    /// Names of columns that the question mentions outside of a part of its plan.
    fn used_above(&self, part: &LogicalPlan) -> Result<HashSet<&str>> {
        let within = mentions(part)?;
        let outside = self.mentioned.iter().filter(|(name, count)| **count > within.get(*name).copied().unwrap_or(0));
        Ok(outside.map(|(name, _)| name.as_str()).collect())
    }

    fn unsupported(&self, word: &str, message: impl Into<String>) -> Error {
        self.refuse(Code::UnsupportedSql, word, message)
    }
}

/// Lowers a whole question. Its result must be public.
pub fn lower(plan: &LogicalPlan, dataset: &Dataset, locator: &Locator, asked: &Asked) -> Result<Statement> {
    let mentioned = mentions(plan)?;
    let mut lowering = Lowering {
        dataset,
        locator,
        asked,
        mentioned,
        releases: Vec::new(),
        hierarchies: Vec::new(),
        fixed: Vec::new(),
        depth: 0,
        caps: 0,
        marks: 0,
        nodes_left: Cell::new(MAX_NODES),
        evaluations: Work::new(MAX_EVALUATED),
    };
    let lowered = lowering.relation(plan)?;
    if lowered.scope.private {
        let message = format!(
            "the answer would hold rows about single units ({}): aggregate them, for example SELECT count(*) ... GROUP BY a column with a declared domain",
            dataset.privacy_unit
        );
        return Err(Error::new(Code::PrivateRows, message).or_at(locator.outer));
    }
    let Scope { columns: slots, chosen, .. } = lowered.scope;
    let mut exprs: Vec<Expr> = slots.iter().map(|slot| Expr::Column(slot.index)).collect();
    let mut columns = Vec::new();
    for (slot, field) in slots.iter().zip(plan.schema().fields()) {
        let (noise, ends) = match slot.noise {
            Noise::Exact => (OutputNoise::Exact, None),
            Noise::Withheld => (OutputNoise::Derived, None),
            Noise::Known { output, ends } => {
                let noise = output.map_or(OutputNoise::Derived, |(release, at)| OutputNoise::Output(release, at));
                (noise, Some(if chosen { ends.all } else { ends.own }))
            }
        };
        let interval = ends.map(|(lower, upper)| {
            exprs.extend([Expr::Column(lower), Expr::Column(upper)]);
            (exprs.len() - 2, exprs.len() - 1)
        });
        columns.push(OutputColumn { name: field.name().clone(), ty: slot.ty, noise, interval, simultaneous: chosen });
    }
    for column in columns.iter().filter(|c| c.interval.is_some()) {
        for end in ["lower", "upper"] {
            let taken = format!("{}_{end}", column.name);
            if columns.iter().any(|c| c.name == taken) {
                let message = format!(
                    "'{taken}' is the name of an end of the interval of '{}': give the column another name with AS",
                    column.name
                );
                return Err(Error::new(Code::UnsupportedSql, message).or_at(locator.find(&taken)));
            }
        }
    }
    let post = lowered.relation.project(exprs);
    let Lowering { releases, hierarchies, fixed, .. } = lowering;
    Ok(Statement { query: Query { releases, hierarchies, fixed, post }, columns })
}

/// How often each column name stands in the expressions of a plan.
fn mentions(plan: &LogicalPlan) -> Result<HashMap<String, usize>> {
    let mut names = HashMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if let DfExpr::Column(column) = e {
                    *names.entry(column.name.clone()).or_insert(0) += 1;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })
    .map_err(|e| Error::internal(e.to_string()))?;
    Ok(names)
}
