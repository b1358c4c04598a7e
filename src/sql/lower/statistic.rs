//! Variances, covariances and regressions: from calls to the moments that a release adds up.

use super::Lowering;
use super::aggregate::{Call, only_where};
use super::expr::{Typed, is_null, not};
use super::release::non_null;
use super::scope::Scope;
use crate::algebra::{Arithmetic, Bounds, Expr, FoldKind, Literal, Moment, Output, Quantity, Statistic, Type};
use crate::error::{Error, Result};
use crate::sql::marks::{MAX_BOUND, Mark};

/// What an aggregate of statistics is of.
pub enum Parts {
    /// A statistic of all arguments.
    All(Statistic),
    /// Of y and x, in the pairs in which neither is NULL: this of x alone.
    OfX(FoldKind),
    /// The same of y.
    OfY(FoldKind),
}

/// An aggregate of statistics by its name.
pub fn named_statistic(name: &str) -> Option<Parts> {
    Some(match name {
        "var_pop" => Parts::All(Statistic::VarPop),
        "var" | "var_samp" | "var_sample" | "variance" => Parts::All(Statistic::VarSamp),
        "var_population" => Parts::All(Statistic::VarPop),
        "stddev_pop" => Parts::All(Statistic::StddevPop),
        "stddev" | "stddev_samp" => Parts::All(Statistic::StddevSamp),
        "covar_pop" => Parts::All(Statistic::CovarPop),
        "covar" | "covar_samp" => Parts::All(Statistic::CovarSamp),
        "corr" => Parts::All(Statistic::Corr),
        "regr_slope" => Parts::All(Statistic::Slope),
        "regr_intercept" => Parts::All(Statistic::Intercept),
        "regr_r2" => Parts::All(Statistic::R2),
        "regr_sxy" => Parts::All(Statistic::SumOfProducts),
        "regr_sxx" => Parts::OfX(FoldKind::Statistic(Statistic::SumOfSquares)),
        "regr_syy" => Parts::OfY(FoldKind::Statistic(Statistic::SumOfSquares)),
        "regr_avgx" => Parts::OfX(FoldKind::Mean),
        "regr_avgy" => Parts::OfY(FoldKind::Mean),
        "regr_count" => Parts::OfX(FoldKind::NonNull),
        _ => return None,
    })
}

impl Lowering<'_> {
    /// The call of a statistic. SQL writes y before x.
    pub fn statistic_call(&self, name: &str, parts: Parts, distinct: bool, args: Vec<Typed>) -> Result<Call> {
        if distinct {
            return Err(self.unsupported("distinct", format!("{name}(DISTINCT ...) is not supported")));
        }
        if let Some((_, ty)) = args.iter().find(|(_, ty)| !ty.is_numeric()) {
            return Err(self.unsupported(name, format!("{name} needs numbers, not {}", ty.sql())));
        }
        let number = |(expr, ty): Typed| if ty == Type::Float { expr } else { expr.cast(Type::Float) };
        let mut args = args.into_iter().map(number);
        let call = |kind, of, on| Ok(Call { kind, of, on, ty: Type::Float, mark: None });
        match (parts, args.next(), args.next(), args.next()) {
            (Parts::All(statistic), Some(x), None, None) if !statistic.of_two() => {
                call(FoldKind::Statistic(statistic), x, None)
            }
            (Parts::All(statistic), Some(y), Some(x), None) if statistic.of_two() => {
                call(FoldKind::Statistic(statistic), y, Some(x))
            }
            (Parts::OfX(kind), Some(y), Some(x), None) => call(kind, self.beside(x, &y)?, None),
            (Parts::OfY(kind), Some(y), Some(x), None) => call(kind, self.beside(y, &x)?, None),
            (Parts::All(statistic), ..) if !statistic.of_two() => {
                Err(self.unsupported(name, format!("{name} takes one argument")))
            }
            _ => Err(self.unsupported(name, format!("{name} takes two arguments, y and x"))),
        }
    }

    /// `value` in the rows in which `other` is not NULL.
    fn beside(&self, value: Expr, other: &Expr) -> Result<Expr> {
        self.spend(other.size())?;
        Ok(only_where(not(is_null(other.clone())), value))
    }

    /// The output of a statistic over private rows; `measure` gives the position of what it needs.
    pub fn statistic(
        &self,
        statistic: Statistic,
        (of, on): (Expr, Option<Expr>),
        scope: &Scope,
        mark: Option<&Mark>,
        measure: &mut impl FnMut(Quantity) -> usize,
    ) -> Result<Output> {
        // STDDEV is short for STDDEV_SAMP, and so on: what stands in the text is what a message names.
        let whole = statistic.name();
        let short = whole.split('_').next().unwrap_or(whole);
        let name = if self.locator.find(whole).is_none() { short } else { whole };
        let bounded = |expr: &Expr| match self.row_bounds(expr, scope, name, mark)? {
            Some(bounds) if bounds.low.abs().max(bounds.high.abs()) <= MAX_BOUND => Ok(bounds),
            _ => Err(Error::internal("a statistic without bounds")),
        };
        // One argument is x; of two, y is the first.
        let (x, y) = match on {
            None => (of, None),
            Some(x) => (x, Some(of)),
        };
        let x_bounds = bounded(&x)?;
        let y_bounds = y.as_ref().map(&bounded).transpose()?.unwrap_or(Bounds { low: 0.0, high: 0.0 });
        let (x, y) = match y {
            None => (x.clone(), x),
            Some(y) => (self.beside(x.clone(), &y)?, self.beside(y, &x)?),
        };
        self.spend(4 * (x.size() + y.size()))?;
        let middle = |bounds: Bounds| bounds.low + (bounds.high - bounds.low) / 2.0;
        let middles = (middle(x_bounds), middle(y_bounds));
        let about = |expr: &Expr, middle: f64| {
            Expr::arithmetic(Arithmetic::Subtract, expr.clone(), Expr::Literal(Literal::float(middle)))
        };
        let (dx, dy) = (about(&x, middles.0), about(&y, middles.1));
        let half = |bounds: Bounds| (bounds.high - bounds.low) / 2.0;
        let (half_x, half_y) = (half(x_bounds), half(y_bounds));
        let product = |a: &Expr, b: &Expr| Expr::arithmetic(Arithmetic::Multiply, a.clone(), b.clone());
        let centred = |of, low, high| Quantity::Sum { of, bounds: Bounds::new(low, high), whole: false, centred: true };
        let count = measure(non_null(x.clone()));
        let sums = statistic.moments().iter().map(|moment| {
            measure(match moment {
                Moment::X => centred(x.clone(), x_bounds.low, x_bounds.high),
                Moment::Y => centred(y.clone(), y_bounds.low, y_bounds.high),
                Moment::XX => centred(product(&dx, &dx), 0.0, half_x * half_x),
                Moment::YY => centred(product(&dy, &dy), 0.0, half_y * half_y),
                Moment::XY => centred(product(&dx, &dy).canonical(), -half_x * half_y, half_x * half_y),
            })
        });
        let sums = sums.collect();
        Ok(Output::Statistic { statistic, count, sums, middles })
    }
}
