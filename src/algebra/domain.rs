//! Public sets of key values.
//!
//! A set is fixed before any private row is read, from policy or public tables alone; every key in it is
//! returned and rows whose key is not in it are dropped. So a key can neither appear nor vanish
//! on account of anyone.

use super::calendar::DAY;
use super::scalars::Value;
use super::{Bounds, Expr, Function, Literal, ScalarCall, Type, bounds};
use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;

/// The public values of a key, each once, in the order in which they are returned.
pub type Domain = Arc<[Literal]>;

/// Most values of a set that is worked out from bounds.
const MAX_IMAGE: usize = 100_000;

/// Most evaluations of a function for its set of results.
const MAX_EVALUATED: usize = 4_000;

/// Most texts that a regular expression is looked for in, for its set of results.
const MAX_SEARCHED: usize = 500;

/// What looking for a regular expression in a text counts for.
const EVALUATIONS_PER_SEARCH: usize = 100;

/// Values listed in the time of an evaluation.
const COUNTED_PER_EVALUATION: usize = 16;

/// Most results that are known by their bounds alone: not all of them need be there.
const MAX_NUMBERS: usize = 1_100;

/// What is left of the evaluations that a question may need for sets of results: they are done before anything is charged.
pub struct Work(Cell<usize>);

impl Work {
    pub fn new(evaluations: usize) -> Work {
        Work(Cell::new(evaluations))
    }

    pub fn is_used_up(&self) -> bool {
        self.0.get() == 0
    }

    /// None where nothing is left.
    fn take(&self, evaluations: usize) -> Option<()> {
        self.0.set(self.0.get().saturating_sub(evaluations));
        (!self.is_used_up()).then_some(())
    }
}

/// What is known of the columns that expressions read.
pub struct Known<'a> {
    /// The public values of a position.
    pub domain: &'a dyn Fn(usize) -> Option<Domain>,
    pub bounds: &'a dyn Fn(usize) -> Option<Bounds>,
    pub work: &'a Work,
}

impl Known<'_> {
    /// The finite set of values that an expression can take, or None where no such set follows or no work is left.
    pub fn image(&self, expr: &Expr, ty: Type) -> Option<Domain> {
        match expr {
            Expr::Column(i) => (self.domain)(*i).or_else(|| (ty == Type::Bool).then(truth_values)),
            Expr::Literal(value) => Some([value.clone()].into()),
            Expr::Case { branches, otherwise } => {
                let mut values = Distinct::default();
                for result in branches.iter().map(|(_, then)| then).chain(otherwise.as_deref()) {
                    let of_branch = self.image(result, ty)?;
                    self.work.take(of_branch.len())?;
                    of_branch.iter().for_each(|v| values.add(v.clone()));
                }
                if otherwise.is_none() {
                    values.add(Literal::Null(ty));
                }
                Some(values.into())
            }
            Expr::All(_) | Expr::Any(_) | Expr::Not(_) | Expr::IsNull(_) | Expr::Compare(..) => Some(truth_values()),
            Expr::Cast(_, Type::Bool) => Some(truth_values()),
            Expr::Call(call, args) => {
                let values_of = |(arg, ty): (&Expr, &Type)| {
                    self.image(arg, *ty).or_else(|| counted_through(bounds(arg, &self.bounds), *ty, self.work))
                };
                let of: Option<Vec<Domain>> = args.iter().zip(call.overload().takes).map(values_of).collect();
                of.and_then(|of| self.results(*call, &of)).or_else(|| self.numbers(expr, ty))
            }
            Expr::Apply(Function::Search(search), of) if search.result() != Type::Bool => {
                let of = self.image(of, Type::Text)?;
                if of.len() > MAX_SEARCHED {
                    return None;
                }
                self.work.take(of.len() * EVALUATIONS_PER_SEARCH)?;
                let mut values = Distinct::default();
                for value in of.iter() {
                    let found = match value {
                        Literal::Text(text) => search.of(text),
                        _ => None,
                    };
                    values.add(found.map_or(Literal::Null(ty), Value::literal));
                }
                Some(values.into())
            }
            Expr::Apply(function, of) => counted(function.image(bounds(of, &self.bounds))?, ty, self.work),
            Expr::Cast(..) | Expr::Arithmetic(..) => None,
        }
    }

    /// The whole numbers within the bounds of an expression, where these are few.
    fn numbers(&self, expr: &Expr, ty: Type) -> Option<Domain> {
        let within = bounds(expr, &self.bounds).filter(|_| ty == Type::Int)?;
        let few = within.high - within.low < MAX_NUMBERS as f64;
        counted_through(Some(within).filter(|_| few), ty, self.work)
    }

    /// The results over all combinations of arguments, where these are not too many.
    fn results(&self, call: ScalarCall, of: &[Domain]) -> Option<Domain> {
        let count = of.iter().try_fold(1usize, |n, domain| n.checked_mul(domain.len()))?;
        if count > MAX_EVALUATED || call.is_slow() {
            return None;
        }
        self.work.take(count)?;
        let mut values = Distinct::default();
        for at in 0..count {
            let mut rest = at;
            let argument = |domain: &'_ Domain| {
                let value = rest % domain.len();
                rest /= domain.len();
                value
            };
            let chosen: Vec<usize> = of.iter().map(argument).collect();
            let arguments: Vec<&Literal> = of.iter().zip(chosen).map(|(domain, value)| &domain[value]).collect();
            values.add(call.of_literals(&arguments));
        }
        Some(values.into())
    }
}

/// The whole numbers or the dates within these bounds, and NULL.
fn counted_through(within: Option<Bounds>, ty: Type, work: &Work) -> Option<Domain> {
    let Bounds { low, high } = within?;
    let (unit, literal): (f64, fn(i64) -> Literal) = match ty {
        Type::Int => (1.0, Literal::Int),
        Type::Date => (DAY as f64, |day| i32::try_from(day).map_or(Literal::Null(Type::Date), Literal::Date)),
        _ => return None,
    };
    let (low, high) = ((low / unit).ceil(), (high / unit).floor());
    if high - low >= MAX_IMAGE as f64 {
        return None;
    }
    counted((low as i64..=high as i64).map(literal), ty, work)
}

/// The values, and NULL.
fn counted(values: impl Iterator<Item = Literal>, ty: Type, work: &Work) -> Option<Domain> {
    let values: Vec<Literal> = values.take(MAX_IMAGE + 1).collect();
    work.take(values.len() / COUNTED_PER_EVALUATION)?;
    (values.len() <= MAX_IMAGE).then(|| values.into_iter().chain([Literal::Null(ty)]).collect())
}

fn truth_values() -> Domain {
    [Literal::Bool(false), Literal::Bool(true), Literal::Null(Type::Bool)].into()
}

/// Values in the order in which they are found, each once.
#[derive(Default)]
struct Distinct {
    values: Vec<Literal>,
    seen: HashSet<String>,
}

impl Distinct {
    fn add(&mut self, value: Literal) {
        if self.seen.insert(format!("{value:?}")) {
            self.values.push(value);
        }
    }
}

impl From<Distinct> for Domain {
    fn from(found: Distinct) -> Domain {
        found.values.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::calendar::DAY;
    use crate::algebra::{Comparison, DatePart, DateUnit};

    fn text(t: &str) -> Literal {
        Literal::Text(t.into())
    }

    #[test]
    fn images_are_finite_where_they_can_be() {
        let declared: Domain = [text("north"), text("south")].into();
        let column = |i| (i == 0).then(|| declared.clone());
        // 1970-01-01 to 1970-03-02.
        let bounds_of = |i| if i == 2 { Bounds::new(0.0, 60.0 * DAY as f64) } else { None };
        let check = |expr: Expr, ty, expected: Option<Vec<Literal>>| {
            let known = Known { domain: &column, bounds: &bounds_of, work: &Work::new(1_000) };
            assert_eq!(known.image(&expr, ty).as_deref(), expected.as_deref(), "{expr:?}");
        };
        check(Expr::Column(0), Type::Text, Some(vec![text("north"), text("south")]));
        check(Expr::Column(1), Type::Text, None);
        let big = Expr::compare(Comparison::Greater, Expr::Column(1), Expr::Literal(Literal::Int(5)));
        let label = |t: &str| Expr::Literal(text(t));
        check(
            Expr::Case { branches: vec![(big.clone(), label("big"))], otherwise: None },
            Type::Text,
            Some(vec![text("big"), Literal::Null(Type::Text)]),
        );
        check(
            Expr::Case { branches: vec![(big.clone(), label("big"))], otherwise: Some(Box::new(Expr::Column(0))) },
            Type::Text,
            Some(vec![text("big"), text("north"), text("south")]),
        );
        check(Expr::Case { branches: vec![(big.clone(), Expr::Column(1))], otherwise: None }, Type::Int, None);
        check(big, Type::Bool, Some(vec![Literal::Bool(false), Literal::Bool(true), Literal::Null(Type::Bool)]));
        check(Expr::Column(0).cast(Type::Int), Type::Int, None);
        let at = || Box::new(Expr::Column(2));
        let starts = [0, 31, 59].map(|day| Literal::Timestamp(day * DAY));
        let null = Literal::Null(Type::Timestamp);
        check(
            Expr::Apply(Function::Start(DateUnit::Month), at()),
            Type::Timestamp,
            Some(starts.into_iter().chain([null]).collect()),
        );
        check(Expr::Apply(Function::Start(DateUnit::Second), at()), Type::Timestamp, None);
        check(Expr::Apply(Function::Start(DateUnit::Year), Box::new(Expr::Column(1))), Type::Timestamp, None);
        let quarters = (1..=4).map(Literal::Int).chain([Literal::Null(Type::Int)]).collect();
        check(Expr::Apply(Function::Part(DatePart::Quarter), Box::new(Expr::Column(1))), Type::Int, Some(quarters));
        check(
            Expr::Apply(Function::Part(DatePart::Year), at()),
            Type::Int,
            Some(vec![Literal::Int(1970), Literal::Null(Type::Int)]),
        );
        check(Expr::Apply(Function::Part(DatePart::Year), Box::new(Expr::Column(1))), Type::Int, None);
    }
}
