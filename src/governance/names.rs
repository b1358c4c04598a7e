//! Words for expressions and columns: the algebra has positions, people have names. Positions are traced down to the columns of tables.

use crate::algebra::{
    Arithmetic, Comparison, DateUnit, Expr, Fold, FoldKind, Function, Literal, Measure, Output, Quantity, Query,
    Relation, Release, Type, WindowCall, WindowFunction,
};
use crate::catalog::{Dataset, Protection, literal_value};
use arrow::util::display::array_value_to_string;

/// Names of one question's columns.
pub struct Names<'a> {
    pub dataset: &'a Dataset,
    pub query: &'a Query,
}

/// Most nodes that one expression is written out to: a column may be computed from many, again and again.
const MAX_NODES: usize = 40;

impl Names<'_> {
    /// An expression over a relation's columns, as SQL where it can be.
    pub fn expr(&self, expr: &Expr, over: &Relation) -> String {
        Writer { names: self, left: MAX_NODES }.expr(expr, over)
    }

    /// Several of them.
    pub fn exprs<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>, over: &Relation) -> String {
        exprs.into_iter().map(|e| self.expr(e, over)).collect::<Vec<_>>().join(", ")
    }

    /// What a release's measure adds up.
    pub fn quantity(&self, measure: &Measure, release: &Release) -> String {
        match &measure.of {
            Quantity::Rows => "count of rows".into(),
            Quantity::NonNull(of) => format!("count of {}", self.expr(of, &release.input)),
            Quantity::Distinct(of) => format!("count of distinct {}", self.expr(of, &release.input)),
            Quantity::Units => format!("count of units ({})", self.dataset.privacy_unit),
            Quantity::Histogram { of, .. } => format!("counts of each {}", self.expr(of, &release.input)),
            Quantity::Mode { of, .. } => format!("choice of the most frequent of {}", self.expr(of, &release.input)),
            Quantity::Quantile { of, at, .. } => {
                format!("choice of the {} quantile of {}", at.value(), self.expr(with_nan(of), &release.input))
            }
            Quantity::Ranks { of, .. } => format!("ranks of {}", self.expr(with_nan(of), &release.input)),
            Quantity::Sum { of, centred: false, .. } => format!("sum of {}", self.expr(of, &release.input)),
            Quantity::Sum { of, centred: true, .. } => {
                format!("sum of {} less the middle of its bounds", self.expr(of, &release.input))
            }
        }
    }

    /// What one unit has of a sum or mean.
    pub fn total(&self, measure: &Measure, release: &Release) -> String {
        match &measure.of {
            Quantity::Sum { of, centred: true, .. } => format!("mean of {}", self.expr(of, &release.input)),
            _ => self.quantity(measure, release),
        }
    }

    /// Names of a table's columns at these positions.
    pub fn columns(&self, table: usize, columns: &[usize]) -> String {
        let table = &self.dataset.tables[table];
        columns.iter().map(|at| table.columns[*at].name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Numbers of which those that are none are left out, as all of them.
fn with_nan(of: &Expr) -> &Expr {
    match of {
        Expr::Case { branches, otherwise: None } => match branches.as_slice() {
            [(Expr::Not(condition), number)] if matches!(&**condition, Expr::Call(call, _) if call.name() == "isnan") => {
                number
            }
            _ => of,
        },
        _ => of,
    }
}

/// One expression's text.
struct Writer<'a> {
    names: &'a Names<'a>,
    left: usize,
}

impl Writer<'_> {
    fn expr(&mut self, expr: &Expr, over: &Relation) -> String {
        let Some(left) = self.left.checked_sub(1) else { return "...".into() };
        self.left = left;
        match expr {
            Expr::Column(at) => self.column(*at, over),
            Expr::Literal(literal) => literal_in_words(literal),
            Expr::All(parts) => self.joined(parts, " AND ", over),
            Expr::Any(parts) => format!("({})", self.joined(parts, " OR ", over)),
            Expr::Not(inner) => match inner.as_ref() {
                Expr::IsNull(inner) => format!("{} IS NOT NULL", self.operand(inner, over)),
                inner => format!("NOT ({})", self.expr(inner, over)),
            },
            Expr::IsNull(inner) => format!("{} IS NULL", self.operand(inner, over)),
            Expr::Compare(op, left, right) => {
                format!("{} {} {}", self.operand(left, over), comparison(*op), self.operand(right, over))
            }
            Expr::Arithmetic(op, left, right) => {
                let operator = match op {
                    Arithmetic::Add => "+",
                    Arithmetic::Subtract => "-",
                    Arithmetic::Multiply => "*",
                    Arithmetic::Divide | Arithmetic::Quotient => "/",
                    Arithmetic::Remainder => "%",
                };
                format!("({} {operator} {})", self.expr(left, over), self.expr(right, over))
            }
            Expr::Case { branches, otherwise } => {
                let mut text = String::from("CASE");
                for (when, then) in branches {
                    text += &format!(" WHEN {} THEN {}", self.expr(when, over), self.expr(then, over));
                }
                if let Some(otherwise) = otherwise {
                    text += &format!(" ELSE {}", self.expr(otherwise, over));
                }
                text + " END"
            }
            // A whole number as a fraction, which the planner adds, is the same number.
            Expr::Cast(inner, Type::Float) => self.expr(inner, over),
            Expr::Cast(inner, ty) => format!("CAST({} AS {})", self.expr(inner, over), ty.sql()),
            Expr::Apply(function, inner) => {
                let argument = self.expr(inner, over);
                match function {
                    Function::Part(part) => format!("date_part('{part:?}', {argument})").to_lowercase(),
                    Function::Start(DateUnit::Steps { .. }) => format!("date_bin({argument})"),
                    Function::Start(unit) => format!("date_trunc('{unit:?}', {argument})").to_lowercase(),
                    Function::Bucket(_) => format!("width_bucket({argument})"),
                    Function::Search(search) => search.shown(&argument),
                    Function::Like(pattern) => {
                        let like = if pattern.ignore_case { "ILIKE" } else { "LIKE" };
                        format!("{argument} {like} '{}'", pattern.text.replace('\'', "''"))
                    }
                }
            }
            Expr::Call(call, args) => {
                let args = args.iter().map(|e| self.expr(e, over)).collect::<Vec<_>>();
                format!("{}({})", call.name(), args.join(", "))
            }
        }
    }

    /// An operand, in brackets where it is a condition.
    fn operand(&mut self, expr: &Expr, over: &Relation) -> String {
        match expr {
            Expr::All(_) | Expr::Compare(..) | Expr::Not(_) | Expr::IsNull(_) => format!("({})", self.expr(expr, over)),
            _ => self.expr(expr, over),
        }
    }

    fn joined(&mut self, parts: &[Expr], by: &str, over: &Relation) -> String {
        parts.iter().map(|part| self.expr(part, over)).collect::<Vec<_>>().join(by)
    }

    /// A position's name, or what it is computed from.
    fn column(&mut self, at: usize, of: &Relation) -> String {
        match of {
            Relation::Public { table, columns } => self.names.columns(*table, &columns[at..=at]),
            Relation::Protected { table, columns: _ } if at == 0 => self.names.unit_column(*table),
            Relation::Protected { table, columns } => self.names.columns(*table, &columns[at - 1..at]),
            Relation::Released(id) => {
                let release = &self.names.query.releases[*id];
                let keys = release.keys.len();
                match at.checked_sub(keys) {
                    None => self.expr(&release.keys[at].expr, &release.input),
                    Some(output) => match release.outputs.get(output) {
                        Some(output) => format!("noisy {}", self.output(output, release)),
                        None => "an end of an interval".into(),
                    },
                }
            }
            Relation::Fixed(id) => self.column(at, &self.names.query.fixed[*id]),
            Relation::Rows { .. } => format!("value {}", at + 1),
            Relation::Filter { input, .. }
            | Relation::Cap { input, .. }
            | Relation::Sort { input, .. }
            | Relation::Limit { input, .. } => self.column(at, input),
            Relation::Project { input, exprs } => self.expr(&exprs[at], input),
            Relation::Aggregate { input, keys, folds } => match at.checked_sub(keys.len()) {
                None => self.expr(&keys[at], input),
                Some(fold) => self.fold(&folds[fold], input),
            },
            Relation::Window { input, call } if at == self.names.width(input) => self.window(call, input),
            Relation::Window { input, .. } => self.column(at, input),
            Relation::Join { left, right, .. } => match at.checked_sub(self.names.width(left)) {
                None => self.column(at, left),
                Some(at) => self.column(at, right),
            },
            Relation::Union(inputs) => inputs.first().map_or(String::new(), |first| self.column(at, first)),
        }
    }

    fn output(&mut self, output: &Output, release: &Release) -> String {
        let of = |measure: &usize| &release.measures[*measure];
        match output {
            Output::Count(measure)
            | Output::Sum { sum: measure, .. }
            | Output::Quantile { value: measure, ranks: None, .. }
            | Output::Mode { choice: measure, .. }
            | Output::Histogram { counts: measure, .. } => self.names.quantity(of(measure), release),
            Output::Quantile { at, value, ranks: Some(ranks), .. } => match value == ranks {
                true => format!("{} quantile from the {}", at.value(), self.names.quantity(of(ranks), release)),
                false => self.names.quantity(of(value), release),
            },
            Output::Logical { count, all } => {
                let sign = if *all { "= 0" } else { "> 0" };
                format!("{} {sign}", self.names.quantity(of(count), release))
            }
            Output::Mean { sum, .. } => match &of(sum).of {
                Quantity::Sum { of, .. } => format!("mean of {}", self.expr(of, &release.input)),
                _ => "mean".into(),
            },
            Output::Statistic { statistic, sums, .. } => {
                let argument = |sum: &usize| match &of(sum).of {
                    Quantity::Sum { of, .. } => self.expr(of, &release.input),
                    _ => String::new(),
                };
                // x comes first, and y second, which SQL writes first.
                let mut arguments: Vec<String> =
                    sums.iter().take(if statistic.of_two() { 2 } else { 1 }).map(argument).collect();
                arguments.reverse();
                format!("{}({})", statistic.name(), arguments.join(", "))
            }
        }
    }

    fn fold(&mut self, fold: &Fold, over: &Relation) -> String {
        let name = match fold.kind {
            FoldKind::Rows => return "count(*)".into(),
            FoldKind::Distinct => return format!("count(DISTINCT {})", self.expr(&fold.of, over)),
            FoldKind::Quantile(at) => {
                return format!("percentile_cont({}, {})", self.expr(&fold.of, over), at.value());
            }
            kind => kind.name(),
        };
        let arguments = std::iter::once(&fold.of).chain(&fold.on).map(|e| self.expr(e, over)).collect::<Vec<_>>();
        format!("{name}({})", arguments.join(", "))
    }

    fn window(&mut self, call: &WindowCall, over: &Relation) -> String {
        let of = call.of.as_ref().map_or(String::new(), |of| self.expr(of, over));
        let name = match call.function {
            WindowFunction::RowNumber => "row_number",
            WindowFunction::Rank => "rank",
            WindowFunction::DenseRank => "dense_rank",
            WindowFunction::PercentRank => "percent_rank",
            WindowFunction::CumeDist => "cume_dist",
            WindowFunction::Ntile(_) => "ntile",
            WindowFunction::Lag(_) => "lag",
            WindowFunction::Lead(_) => "lead",
            WindowFunction::First => "first_value",
            WindowFunction::Last => "last_value",
            WindowFunction::Fold(kind) => kind.name(),
        };
        let mut within = Vec::new();
        if !call.partition.is_empty() {
            within.push(format!("PARTITION BY {}", self.joined(&call.partition, ", ", over)));
        }
        if !call.order.is_empty() {
            // What breaks ties may stand before it already.
            let mut keys: Vec<String> = Vec::new();
            for key in &call.order {
                let key = self.expr(&key.expr, over);
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            within.push(format!("ORDER BY {}", keys.join(", ")));
        }
        format!("{name}({of}) OVER ({})", within.join(" "))
    }
}

impl Names<'_> {
    /// The column that names the unit of a table's rows, in whichever table it stands.
    fn unit_column(&self, table: usize) -> String {
        match self.dataset.tables[table].protection {
            Protection::Unit { column } => self.columns(table, &[column]),
            Protection::Parent { parent, .. } => self.unit_column(parent),
            Protection::Public => "the unit".into(),
        }
    }

    /// Number of a relation's columns.
    fn width(&self, relation: &Relation) -> usize {
        match relation {
            Relation::Public { columns, .. } => columns.len(),
            Relation::Protected { columns, .. } => 1 + columns.len(),
            Relation::Released(id) => {
                let release = &self.query.releases[*id];
                release.keys.len() + 7 * release.outputs.len()
            }
            Relation::Fixed(id) => self.width(&self.query.fixed[*id]),
            Relation::Rows { types, .. } => types.len(),
            Relation::Filter { input, .. }
            | Relation::Cap { input, .. }
            | Relation::Sort { input, .. }
            | Relation::Limit { input, .. } => self.width(input),
            Relation::Project { exprs, .. } => exprs.len(),
            Relation::Aggregate { keys, folds, .. } => keys.len() + folds.len(),
            Relation::Window { input, .. } => self.width(input) + 1,
            Relation::Join { left, right, kind, .. } => match kind.keeps_left_alone() {
                true => self.width(left),
                false => self.width(left) + self.width(right),
            },
            Relation::Union(inputs) => inputs.first().map_or(0, |first| self.width(first)),
        }
    }

    /// A window function's text.
    pub fn window(&self, call: &WindowCall, over: &Relation) -> String {
        Writer { names: self, left: MAX_NODES }.window(call, over)
    }

    /// Aggregates' texts.
    pub fn folds(&self, folds: &[Fold], over: &Relation) -> String {
        let mut writer = Writer { names: self, left: MAX_NODES };
        folds.iter().map(|fold| writer.fold(fold, over)).collect::<Vec<_>>().join(", ")
    }

    /// A join's condition. Positions of both sides, the left side's first.
    pub fn condition(&self, on: &[(Expr, Expr)], filter: Option<&Expr>, left: &Relation, right: &Relation) -> String {
        let both = Relation::Join {
            left: Box::new(left.clone()),
            right: Box::new(right.clone()),
            kind: crate::algebra::JoinKind::Inner,
            on: vec![],
            filter: None,
        };
        let equal = on.iter().map(|(l, r)| format!("{} = {}", self.expr(l, left), self.expr(r, right)));
        equal.chain(filter.map(|filter| self.expr(filter, &both))).collect::<Vec<_>>().join(" AND ")
    }
}

fn comparison(op: Comparison) -> &'static str {
    match op {
        Comparison::Eq => "=",
        Comparison::NotEq => "<>",
        Comparison::Less => "<",
        Comparison::LessEq => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterEq => ">=",
    }
}

/// A literal as SQL writes it.
pub fn literal_in_words(literal: &Literal) -> String {
    let shown = literal_value(literal).to_array().and_then(|one| Ok(array_value_to_string(&one, 0)?));
    let value = shown.unwrap_or_default();
    match literal {
        Literal::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Literal::Date(_) => format!("DATE '{value}'"),
        Literal::Timestamp(_) => format!("TIMESTAMP '{value}'"),
        Literal::Null(_) => "NULL".into(),
        Literal::Bool(value) => value.to_string().to_uppercase(),
        Literal::Int(_) | Literal::Float(_) => value,
    }
}
