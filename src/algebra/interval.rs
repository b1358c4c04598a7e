//! Public bounds of an expression's values, by interval arithmetic from declared column bounds.
//!
//! The bounds are never trusted: the value of the whole expression is clamped to them row by row before
//! it is added up. So a rule here that is too narrow costs accuracy, never privacy.

use super::{Arithmetic, DateUnit, Expr, Literal, Type};

/// Lowest and highest value; finite, low <= high. Of dates and timestamps in microseconds since 1970-01-01T00:00:00.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    pub low: f64,
    pub high: f64,
}

impl Bounds {
    /// None unless both ends are finite and in order.
    pub fn new(low: f64, high: f64) -> Option<Bounds> {
        (low.is_finite() && high.is_finite() && low <= high).then_some(Bounds { low, high })
    }

    /// Holds every value's whole part, to whichever side a fraction is rounded.
    fn whole(self) -> Option<Bounds> {
        Bounds::new(self.low.floor(), self.high.ceil())
    }

    pub fn hull(self, other: Bounds) -> Bounds {
        Bounds { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn corners(self, other: Bounds, f: fn(f64, f64) -> f64) -> Option<Bounds> {
        let all = [f(self.low, other.low), f(self.low, other.high), f(self.high, other.low), f(self.high, other.high)];
        Bounds::new(
            all.iter().copied().fold(f64::INFINITY, f64::min),
            all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        )
    }
}

/// Bounds of every value that is not NULL, or None where they do not follow from the columns' declared ones.
/// `column` gives the declared bounds of a position.
pub fn bounds(expr: &Expr, column: &impl Fn(usize) -> Option<Bounds>) -> Option<Bounds> {
    match expr {
        Expr::Column(i) => column(*i),
        Expr::Literal(Literal::Int(v)) => Bounds::new(*v as f64, *v as f64),
        Expr::Literal(Literal::Float(v)) => Bounds::new(*v, *v),
        Expr::Cast(inner, Type::Int) => bounds(inner, column)?.whole(),
        Expr::Cast(inner, Type::Float | Type::Timestamp) => bounds(inner, column),
        // A date begins its day.
        Expr::Cast(inner, Type::Date) => {
            let of = bounds(inner, column)?;
            Bounds::new(DateUnit::Day.start(of.low as i64)? as f64, of.high)
        }
        Expr::Apply(function, inner) => function.bounds(bounds(inner, column)),
        Expr::Call(call, args) => {
            let of: Vec<_> = args.iter().map(|e| bounds(e, column)).collect();
            (call.overload().bounds)(&of)
        }
        // |a % b| is at most |a| and |b|, and a % b takes the sign of a.
        Expr::Arithmetic(Arithmetic::Remainder, l, r) => {
            let most = bounds(r, column).map_or(f64::INFINITY, |r| r.low.abs().max(r.high.abs()));
            let ends = bounds(l, column).map_or((-most, most), |l| (l.low.min(0.0), l.high.max(0.0)));
            Bounds::new(ends.0.max(-most), ends.1.min(most))
        }
        Expr::Arithmetic(op, l, r) => {
            let (l, r) = (bounds(l, column)?, bounds(r, column)?);
            match op {
                Arithmetic::Add => l.corners(r, |a, b| a + b),
                Arithmetic::Subtract => l.corners(r, |a, b| a - b),
                Arithmetic::Multiply => l.corners(r, |a, b| a * b),
                Arithmetic::Divide if r.low > 0.0 || r.high < 0.0 => l.corners(r, |a, b| a / b),
                Arithmetic::Quotient if r.low > 0.0 || r.high < 0.0 => {
                    l.corners(r, |a, b| a / b).and_then(Bounds::whole)
                }
                Arithmetic::Divide | Arithmetic::Quotient | Arithmetic::Remainder => None,
            }
        }
        // NULL branches add nothing to a sum or a mean.
        Expr::Case { branches, otherwise } => branches
            .iter()
            .map(|(_, then)| then)
            .chain(otherwise.as_deref())
            .filter(|e| !matches!(e, Expr::Literal(l) if l.is_null()))
            .map(|e| bounds(e, column))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .reduce(Bounds::hull),
        Expr::Literal(_)
        | Expr::Cast(..)
        | Expr::All(_)
        | Expr::Any(_)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::Compare(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::Comparison;

    fn check(expr: Expr, expected: Option<(f64, f64)>) {
        let column = |i| [Bounds::new(0.0, 10.0), Bounds::new(-2.0, 3.0), None].get(i).copied().flatten();
        assert_eq!(bounds(&expr, &column).map(|b| (b.low, b.high)), expected, "{expr:?}");
    }

    #[test]
    fn arithmetic_follows_the_corners() {
        let (a, b) = (|| Expr::Column(0), || Expr::Column(1));
        check(Expr::arithmetic(Arithmetic::Add, a(), b()), Some((-2.0, 13.0)));
        check(Expr::arithmetic(Arithmetic::Subtract, a(), b()), Some((-3.0, 12.0)));
        check(Expr::arithmetic(Arithmetic::Multiply, a(), b()), Some((-20.0, 30.0)));
        check(Expr::arithmetic(Arithmetic::Divide, a(), b()), None);
        check(Expr::arithmetic(Arithmetic::Quotient, a(), b()), None);
        check(Expr::arithmetic(Arithmetic::Quotient, a(), Expr::Literal(Literal::Int(20))), Some((0.0, 1.0)));
        check(
            Expr::arithmetic(Arithmetic::Divide, a(), Expr::Literal(Literal::Int(20))).cast(Type::Int),
            Some((0.0, 1.0)),
        );
        check(Expr::arithmetic(Arithmetic::Divide, a(), Expr::Literal(Literal::Int(-2))), Some((-5.0, 0.0)));
        check(Expr::arithmetic(Arithmetic::Remainder, b(), a()), Some((-2.0, 3.0)));
        check(Expr::arithmetic(Arithmetic::Add, a(), Expr::Column(2)), None);
        check(a().cast(Type::Float), Some((0.0, 10.0)));
        check(a().cast(Type::Text), None);
    }

    #[test]
    fn case_is_the_hull_of_its_results() {
        let when = || Expr::compare(Comparison::Eq, Expr::Column(2), Expr::Column(2));
        let null = || Expr::Literal(Literal::Null(Type::Float));
        let case =
            |then, otherwise| Expr::Case { branches: vec![(when(), then)], otherwise: Some(Box::new(otherwise)) };
        check(case(Expr::Column(0), Expr::Literal(Literal::Int(-7))), Some((-7.0, 10.0)));
        check(case(Expr::Column(0), null()), Some((0.0, 10.0)));
        check(case(null(), null()), None);
        check(case(Expr::Column(2), Expr::Column(0)), None);
    }
}
