//! Operators other than joins and aggregates.

use super::aggregate::Grouping;
use super::interval::projected;
use super::scope::{Lowered, Noise, Scope, Slot, UNREAD};
use super::{Lowering, MAX_DEPTH, MAX_TEXT_COLUMNS};
use crate::algebra::{Direction, Domain, Expr, Literal, Relation, SortKey, Type, bounds};
use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::Field;
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::logical_plan::{Join, Limit, Projection, Sort, TableScan, Values};
use datafusion::logical_expr::{Distinct, EmptyRelation, Expr as DfExpr, Filter, LogicalPlan, SubqueryAlias};
use std::sync::Arc;

/// What an operator counts as, beside its columns and expressions: DataFusion makes several of one.
const OPERATOR_NODES: usize = 20;

impl Lowering<'_> {
    /// Lowers an operator and all that is under it.
    pub fn relation(&mut self, plan: &LogicalPlan) -> Result<Lowered> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message =
                format!("the question nests more than {MAX_DEPTH} joins, subqueries and WITH queries: split it");
            return Err(Error::new(Code::SqlTooDeep, message));
        }
        let lowered = self.operator(plan)?;
        self.depth -= 1;
        self.spend(OPERATOR_NODES + lowered.scope.width)?;
        let texts = lowered.scope.columns.iter().filter(|slot| slot.ty == Type::Text && slot.index != UNREAD).count();
        if texts > MAX_TEXT_COLUMNS {
            let message = format!(
                "a step of the question has more than {MAX_TEXT_COLUMNS} columns of text: name the columns that you need"
            );
            return Err(Error::new(Code::SqlTooLong, message));
        }
        Ok(lowered)
    }

    fn operator(&mut self, plan: &LogicalPlan) -> Result<Lowered> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias: _, schema: _, .. }) => self.relation(input),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Join(join) => self.join(join, None),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Sort(sort) => self.sort(sort),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(input),
            LogicalPlan::Distinct(Distinct::On(_)) => {
                Err(self.unsupported("on", "DISTINCT ON is not supported: use GROUP BY"))
            }
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: _ }) => {
                let scope = Scope::public(vec![], 0, 1);
                Ok(Lowered { relation: Relation::Rows { types: vec![], rows: vec![vec![]] }, scope })
            }
            // What DataFusion knows to have no rows, as after LIMIT 0.
            LogicalPlan::EmptyRelation(_) => {
                Err(self.unsupported("limit", "a subquery without rows is not supported: leave it out"))
            }
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Subquery(_) | LogicalPlan::Unnest(_) | LogicalPlan::RecursiveQuery(_) => {
                Err(self.unsupported("select", "this form of subquery is not supported: put it into FROM and join it"))
            }
            LogicalPlan::Repartition(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Extension(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => Err(self.unsupported("select", "only SELECT is answered")),
        }
    }

    /// A table of the dataset. A protected one gets its unit in column 0: a row is a function of its unit's rows, because
    /// the unit is its own column's value, or that of the one parent row it refers to.
    fn scan(&self, scan: &TableScan) -> Result<Lowered> {
        let TableScan {
            table_name,
            source: _,
            projection,
            projected_schema: _,
            filters,
            fetch,
            statistics_requests: _,
            ..
        } = scan;
        if projection.is_some() || !filters.is_empty() || fetch.is_some() {
            return Err(Error::internal("a scan was rewritten before it was lowered"));
        }
        let (id, table) =
            self.dataset.table(table_name.table()).ok_or_else(|| Error::internal("a scanned table vanished"))?;
        let offset = usize::from(!table.is_public());
        let mut columns = Vec::new();
        let slots = table.columns.iter().enumerate().map(|(at, column)| {
            // A column that the question does not mention is not read, and cannot be reached.
            let read = self.mentioned.contains_key(&column.name);
            let index = if read { offset + columns.len() } else { UNREAD };
            if read {
                columns.push(at);
            }
            Slot {
                unit: table.is_unit(at),
                origin: (!table.is_public()).then_some((id, at)),
                repeats: column.repeats,
                bounds: column.bounds,
                domain: column.domain.as_ref().map(|d| d.values.clone()),
                ..Slot::plain(index, &column.name, column.ty)
            }
        });
        let slots: Vec<Slot> = slots.collect();
        let width = offset + columns.len();
        Ok(match table.is_public() {
            true => Lowered {
                relation: Relation::Public { table: id, columns },
                scope: Scope::public(slots, width, table.rows),
            },
            false => {
                Lowered { relation: Relation::Protected { table: id, columns }, scope: Scope::private(slots, width) }
            }
        })
    }

    /// Row by row. On a private relation the unit stays in column 0; a projected column is the unit only where it is the
    /// unit's column unchanged.
    fn projection(&mut self, projection: &Projection) -> Result<Lowered> {
        let Projection { expr, input, schema, .. } = projection;
        let Lowered { relation, scope } = self.relation(input)?;
        let typed = expr.iter().map(|e| self.expr(e, input.schema(), &scope)).collect::<Result<Vec<_>>>()?;
        let first = usize::from(scope.private);
        let mut exprs: Vec<Expr> = if scope.private { vec![Expr::Column(0)] } else { vec![] };
        let mut slots = Vec::new();
        for ((expr, ty), field) in typed.iter().zip(schema.fields()) {
            let same = scope.slot_of(expr);
            slots.push(Slot {
                unit: same.is_some_and(|s| s.unit),
                origin: same.and_then(|s| s.origin),
                repeats: same.map_or(u64::MAX, |s| s.repeats),
                bounds: bounds(expr, &|i| scope.bounds_at(i)),
                domain: self.image(&scope, expr, *ty)?,
                ..Slot::plain(first + slots.len(), field.name(), *ty)
            });
        }
        exprs.extend(typed.iter().map(|(e, _)| e.clone()));
        if !scope.private {
            projected(&typed, &scope, &mut slots, &mut exprs);
        }
        // What is computed from noisy values has ends of intervals that name them often.
        self.spend(exprs[first + typed.len()..].iter().map(Expr::size).sum())?;
        let optional = self.optional_columns(&scope, &exprs)?;
        let width = exprs.len();
        Ok(Lowered { relation: relation.project(exprs), scope: Scope { columns: slots, width, optional, ..scope } })
    }

    /// Row by row. Above an inner join it is part of its condition: `FROM a, b WHERE a.x = b.y` is the join that it means.
    fn filter(&mut self, filter: &Filter) -> Result<Lowered> {
        let Filter { predicate, input, .. } = filter;
        if let LogicalPlan::Join(join @ Join { join_type: JoinType::Inner, .. }) = input.as_ref() {
            return self.join(join, Some(predicate));
        }
        let Lowered { relation, scope } = self.relation(input)?;
        let condition = self.condition(predicate, input.schema(), &scope)?;
        let chosen = scope.chosen || scope.is_noisy(&condition);
        let optional = self.optional_behind(&scope, &condition)?;
        Ok(Lowered { relation: relation.filter(condition), scope: Scope { chosen, optional, ..scope } })
    }

    /// The order of private rows cannot be seen, so sorting them is nothing; the order of public rows is the answer's.
    fn sort(&mut self, sort: &Sort) -> Result<Lowered> {
        let Sort { expr, input, fetch } = sort;
        let Lowered { mut relation, scope } = self.relation(input)?;
        if scope.private {
            return match fetch {
                None => Ok(Lowered { relation, scope }),
                Some(_) => Err(self.private_limit()),
            };
        }
        let mut keys = Vec::new();
        for key in expr {
            let (expr, _) = self.expr(&key.expr, input.schema(), &scope)?;
            let direction = if key.asc { Direction::Ascending } else { Direction::Descending };
            keys.push(SortKey { expr, direction, nulls_first: key.nulls_first });
        }
        let noisy_order = scope.chosen || keys.iter().any(|key| scope.is_noisy(&key.expr));
        relation = Relation::Sort { input: Box::new(relation), keys };
        let sorted = Lowered { relation, scope: Scope { noisy_order, ..scope } };
        Ok(match fetch {
            Some(_) => limited(sorted, 0, *fetch),
            None => sorted,
        })
    }

    fn private_limit(&self) -> Error {
        self.unsupported(
            "limit",
            "LIMIT over private rows picks single units' rows: aggregate first, and limit the groups",
        )
    }

    fn limit(&mut self, limit: &Limit) -> Result<Lowered> {
        let Limit { skip, fetch, input } = limit;
        let input = self.relation(input)?;
        if input.scope.private {
            return Err(self.private_limit());
        }
        let skip = self.row_count(skip.as_deref())?.unwrap_or(0);
        let fetch = self.row_count(fetch.as_deref())?;
        Ok(limited(input, skip, fetch))
    }

    fn row_count(&self, expr: Option<&DfExpr>) -> Result<Option<usize>> {
        let Some(expr) = expr else { return Ok(None) };
        match self.expr(expr, &DFSchema::empty(), &Scope::empty())?.0 {
            Expr::Literal(Literal::Int(n)) if n >= 0 => Ok(Some(usize::try_from(n).unwrap_or(usize::MAX))),
            Expr::Literal(l) if l.is_null() => Ok(None),
            _ => Err(self.unsupported("limit", "LIMIT and OFFSET take a whole number that is not negative")),
        }
    }

    /// Distinct public rows, each unit's distinct rows, or the keys of a release.
    fn distinct(&mut self, input: &Arc<LogicalPlan>) -> Result<Lowered> {
        let Lowered { relation, scope } = self.relation(input)?;
        if scope.optional.is_some() {
            return Err(self.unsupported(
                "distinct",
                "after an outer join that keeps unmatched rows of a public table comes its GROUP BY",
            ));
        }
        if scope.private && !scope.columns.iter().any(|slot| self.is_within_unit(slot)) {
            // The keys of a release, and nothing else.
            let keys = scope.columns.iter().map(|slot| (slot.expr(), slot.ty)).collect();
            let names: Vec<&str> = scope.columns.iter().map(|slot| slot.name.as_str()).collect();
            let grouping = Grouping { keys, calls: vec![], key_names: &names, output_names: &[], of: 1, nodes: 0 };
            let released = self.release(relation, &scope, grouping);
            return released.map_err(|e| match e.code {
                Code::PrivateKeys => Error { at: self.locator.find("distinct"), ..e },
                _ => e,
            });
        }
        let keys = scope.columns.iter().map(Slot::expr);
        let keys: Vec<Expr> =
            if scope.private { std::iter::once(Expr::Column(0)).chain(keys).collect() } else { keys.collect() };
        let first = usize::from(scope.private);
        let columns = scope.columns.iter().enumerate();
        let columns = columns.map(|(i, slot)| Slot { index: first + i, noise: withheld(&slot.noise), ..slot.clone() });
        let columns: Vec<Slot> = columns.collect();
        let scope = Scope { columns, width: keys.len(), ..scope };
        Ok(Lowered { relation: Relation::Aggregate { input: Box::new(relation), keys, folds: vec![] }, scope })
    }

    fn values(&self, values: &Values) -> Result<Lowered> {
        let Values { schema, values } = values;
        let none = Scope::empty();
        let mut types = Vec::new();
        let mut rows = Vec::new();
        for row in values {
            let typed = row.iter().map(|e| self.expr(e, &DFSchema::empty(), &none)).collect::<Result<Vec<_>>>()?;
            if types.is_empty() {
                types = schema
                    .fields()
                    .iter()
                    .zip(&typed)
                    .map(|(f, (_, ty))| crate::catalog::canonical(f.data_type()).unwrap_or(*ty))
                    .collect();
            }
            rows.push(
                typed
                    .into_iter()
                    .zip(&types)
                    .map(|((e, from), to)| if from == *to { e } else { e.cast(*to) })
                    .collect(),
            );
        }
        let slot = |(i, (field, ty)): (usize, (&Arc<Field>, &Type))| {
            let column = || rows.iter().map(|row: &Vec<Expr>| &row[i]);
            let (domain, repeats) = constants(column()).map_or((None, u64::MAX), |(d, most)| (Some(d), most));
            Slot { domain, repeats, ..Slot::plain(i, field.name(), *ty) }
        };
        let slots = schema.fields().iter().zip(&types).enumerate().map(slot).collect();
        let scope = Scope::public(slots, types.len(), rows.len() as u64);
        Ok(Lowered { relation: Relation::Rows { types, rows }, scope })
    }
}

/// The distinct values of a column of literals, and the most rows that share one.
fn constants<'a>(column: impl Iterator<Item = &'a Expr>) -> Option<(Domain, u64)> {
    let mut counted: Vec<(Literal, u64)> = Vec::new();
    for expr in column {
        let Expr::Literal(value) = expr else { return None };
        match counted.iter_mut().find(|(known, _)| known == value) {
            Some((_, count)) => *count += 1,
            None => counted.push((value.clone(), 1)),
        }
    }
    let most = counted.iter().map(|(_, count)| *count).max().unwrap_or(0);
    Some((counted.into_iter().map(|(value, _)| value).collect(), most))
}

/// The rows from `skip` on, at most `fetch`. Where noisy values gave the order, they choose the rows.
fn limited(input: Lowered, skip: usize, fetch: Option<usize>) -> Lowered {
    let Lowered { relation, scope } = input;
    let rows = scope.rows.min(fetch.map_or(u64::MAX, |n| n as u64));
    let chosen = scope.chosen || scope.noisy_order;
    Lowered { relation: relation.limit(skip, fetch), scope: Scope { rows, chosen, ..scope } }
}

/// What is left of error bars where rows are merged: none.
pub fn withheld(noise: &Noise) -> Noise {
    match noise {
        Noise::Exact => Noise::Exact,
        Noise::Known { .. } | Noise::Withheld => Noise::Withheld,
    }
}
