//! What a question does, from its answer down to its tables: what is private, where it becomes public, and what is made of that.

use super::names::Names;
use crate::algebra::{Direction, JoinKind, Relation, SortKey};
use crate::proto::{Step, Visibility};
use crate::sql::Statement;
use std::collections::BTreeSet;

/// Deepest tree: readers of nested messages go no deeper than 100.
const MAX_DEPTH: usize = 60;
/// Longest text of one step.
const MAX_TEXT: usize = 400;

/// The steps of a question.
pub fn steps(statement: &Statement, names: &Names) -> Step {
    let post = &statement.query.post;
    let column = |(at, column): (usize, &crate::sql::OutputColumn)| {
        let made_of = names.expr(&crate::algebra::Expr::Column(at), post);
        if made_of == column.name { made_of } else { format!("{} = {made_of}", column.name) }
    };
    let columns: Vec<String> = statement.columns.iter().enumerate().map(column).collect();
    let mut tree = Tree { names, shown: BTreeSet::new() };
    let inputs = vec![tree.step(post, 1)];
    step(tree.names.visibility(post, true), format!("answer: {}", columns.join("; ")), inputs)
}

fn step(visibility: Visibility, text: String, inputs: Vec<Step>) -> Step {
    let text = match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    };
    Step { visibility: visibility.into(), text, inputs, release: 0 }
}

struct Tree<'a> {
    names: &'a Names<'a>,
    /// Releases whose input stands above already.
    shown: BTreeSet<usize>,
}

impl Tree<'_> {
    fn step(&mut self, relation: &Relation, depth: usize) -> Step {
        let names = self.names;
        let visibility = names.visibility(relation, false);
        if depth > MAX_DEPTH {
            return step(visibility, "further steps, which nest too deep to show".into(), vec![]);
        }
        let private = visibility == Visibility::Private;
        let text = match relation {
            Relation::Project { input, .. } => return self.step(input, depth),
            Relation::Fixed(id) => return self.step(&names.query.fixed[*id], depth),
            Relation::Sort { input, .. } if private => return self.step(input, depth),
            Relation::Released(id) => return self.release(*id, depth),
            Relation::Public { table, columns } => {
                let name = &names.dataset.tables[*table].name;
                format!("public table {name} ({})", names.columns(*table, columns))
            }
            Relation::Protected { table, columns } => {
                let name = &names.dataset.tables[*table].name;
                let unit = &names.dataset.privacy_unit;
                format!("protected table {name} ({}), each row of {unit}", names.columns(*table, columns))
            }
            Relation::Rows { rows, .. } => format!("{} constant rows", rows.len()),
            Relation::Filter { input, predicate } => format!("where {}", names.expr(predicate, input)),
            Relation::Join { left, right, kind, on, filter } => {
                let kind = match kind {
                    JoinKind::Inner => "join",
                    JoinKind::Left => "left join",
                    JoinKind::Full => "full join",
                    JoinKind::Semi => "rows that have a match",
                    JoinKind::Anti => "rows that have no match",
                };
                let within = match names.is_private(left) && names.is_private(right) {
                    true => " within each unit",
                    false => "",
                };
                match names.condition(on, filter.as_ref(), left, right) {
                    none if none.is_empty() => format!("{kind}{within}, all pairs"),
                    condition => format!("{kind}{within} on {condition}"),
                }
            }
            Relation::Aggregate { input, keys, folds } => {
                let mut keys: Vec<String> = keys.iter().map(|key| names.expr(key, input)).collect();
                if private {
                    // The unit stands first, whether it is named among the others or not.
                    let unit = keys.remove(0);
                    keys.retain(|key| *key != unit);
                }
                let by = match (keys.join(", ").as_str(), private) {
                    ("", true) => "for each unit".to_owned(),
                    ("", false) => "over all rows".to_owned(),
                    (keys, true) => format!("for each unit and each {keys}"),
                    (keys, false) => format!("for each {keys}"),
                };
                match folds.as_slice() {
                    [] => format!("one row {by}"),
                    folds => format!("{by}: {}", names.folds(folds, input)),
                }
            }
            Relation::Window { input, call } => names.window(call, input),
            Relation::Cap { rows, .. } => format!("at most {rows} rows of each unit, a random sample"),
            Relation::Sort { input, keys } => {
                let key = |key: &SortKey| {
                    let down = if key.direction == Direction::Descending { " DESC" } else { "" };
                    format!("{}{down}", names.expr(&key.expr, input))
                };
                format!("order by {}", keys.iter().map(key).collect::<Vec<_>>().join(", "))
            }
            Relation::Limit { skip, fetch, .. } => match (skip, fetch) {
                (0, Some(fetch)) => format!("first {fetch} rows"),
                (skip, Some(fetch)) => format!("{fetch} rows after the first {skip}"),
                (skip, None) => format!("all rows after the first {skip}"),
            },
            Relation::Union(inputs) => format!("all rows of {} parts", inputs.len()),
        };
        let inputs = relation.inputs().into_iter().map(|input| self.step(input, depth + 1)).collect();
        step(visibility, text, inputs)
    }

    fn release(&mut self, id: usize, depth: usize) -> Step {
        let release = &self.names.query.releases[id];
        let number = id as u64 + 1;
        if !self.shown.insert(id) {
            return Step {
                release: number,
                ..step(Visibility::PostProcessing, format!("release {number}, as above"), vec![])
            };
        }
        let measures = release.measures.iter().map(|measure| self.names.quantity(measure, release));
        let numbers = measures.collect::<Vec<_>>().join(", ");
        let by = match release.keys.as_slice() {
            [] => String::new(),
            keys => format!(" for each {}", self.names.exprs(keys.iter().map(|key| &key.expr), &release.input)),
        };
        let input = self.step(&release.input, depth + 1);
        let text = format!("release {number}: {numbers}{by}, with noise");
        Step { release: number, ..step(Visibility::Release, text, vec![input]) }
    }
}

impl Names<'_> {
    fn is_private(&self, relation: &Relation) -> bool {
        match relation {
            Relation::Protected { .. } => true,
            other => other.inputs().into_iter().any(|input| self.is_private(input)),
        }
    }

    fn reads_release(&self, relation: &Relation) -> bool {
        match relation {
            Relation::Released(_) => true,
            Relation::Fixed(id) => self.reads_release(&self.query.fixed[*id]),
            other => other.inputs().into_iter().any(|input| self.reads_release(input)),
        }
    }

    fn visibility(&self, relation: &Relation, answer: bool) -> Visibility {
        match relation {
            Relation::Released(_) if !answer => Visibility::Release,
            other if self.is_private(other) => Visibility::Private,
            other if self.reads_release(other) => Visibility::PostProcessing,
            _ => Visibility::Public,
        }
    }
}
