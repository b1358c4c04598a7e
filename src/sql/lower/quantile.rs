//! Quantiles, the least and the greatest: from calls to choices among a group's values.

use super::Lowering;
use super::aggregate::{Call, only_where};
use super::expr::{Typed, not};
use super::scope::Scope;
use crate::algebra::calendar::DAY;
use crate::algebra::{Bounds, Expr, FoldKind, Fraction, Literal, Quantity, Scalar, Type, bounds};
use crate::error::{Code, Error, Result};
use crate::sql::marks::Mark;

/// Whether a function gives a quantile, and which one where it says.
pub fn named_quantile(name: &str) -> Option<Option<Fraction>> {
    Some(match name {
        "median" | "approx_median" => Some(Fraction::HALF),
        "percentile_cont" | "approx_percentile_cont" | "quantile_cont" | "approx_quantile" => None,
        _ => return None,
    })
}

impl Lowering<'_> {
    /// The call of a quantile; `descending` is the order of its WITHIN GROUP.
    pub fn quantile_call(
        &self,
        name: &str,
        known: Option<Fraction>,
        distinct: bool,
        args: Vec<Typed>,
        descending: bool,
    ) -> Result<Call> {
        if distinct {
            return Err(self.unsupported("distinct", format!("{name}(DISTINCT ...) is not supported")));
        }
        let asked = match (known, args.get(1).map(|(e, _)| e)) {
            (Some(known), None) => Some(known),
            (None, Some(Expr::Literal(Literal::Int(at)))) => Fraction::of(*at as f64),
            (None, Some(Expr::Literal(Literal::Float(at)))) => Fraction::of(*at),
            _ => None,
        };
        let fraction = asked.ok_or_else(|| {
            let message = match known {
                Some(_) => format!("{name} takes one argument"),
                None => format!(
                    "{name} takes a fraction from 0 to 1 with at most six decimal places, as a literal: {name}(0.95) WITHIN GROUP (ORDER BY x)"
                ),
            };
            self.unsupported(name, message)
        })?;
        let fraction = if descending { fraction.reversed() } else { fraction };
        let (of, ty) = args.into_iter().next().ok_or_else(|| Error::internal("a quantile of nothing"))?;
        Ok(Call { kind: FoldKind::Quantile(fraction), of, ty, on: None, mark: None })
    }

    /// What is chosen from: numbers as they are but for NaN, dates as days, timestamps as microseconds.
    pub fn quantile(
        &self,
        name: &str,
        at: Fraction,
        (of, ty): Typed,
        scope: &Scope,
        mark: Option<&Mark>,
    ) -> Result<Quantity> {
        let none = || Error::internal("a quantile without bounds");
        let call = |name: &str, args: Vec<Expr>, types: &[Type]| {
            let types: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
            let call = Scalar::find(name).and_then(|scalar| scalar.overload(&types));
            call.map(|call| Expr::Call(call, args)).ok_or_else(|| Error::internal(format!("no function {name}")))
        };
        match ty {
            Type::Int => {
                let bounds = self.row_bounds(&of, scope, name, mark)?.ok_or_else(none)?;
                Ok(Quantity::Quantile { of, bounds, whole: true, at })
            }
            Type::Float => {
                let bounds = self.row_bounds(&of, scope, name, mark)?.ok_or_else(none)?;
                self.spend(of.size())?;
                let is_nan = call("isnan", vec![of.clone()], &[Type::Float])?;
                Ok(Quantity::Quantile { of: only_where(not(is_nan), of), bounds, whole: false, at })
            }
            Type::Date | Type::Timestamp => {
                let known = bounds(&of, &|i| scope.bounds_at(i)).ok_or_else(|| {
                    let message = format!("{name} needs public bounds of its values: ask governance to declare them");
                    self.refuse(Code::MissingBounds, name, message)
                })?;
                let (of, unit) = match ty {
                    Type::Date => {
                        let first = Expr::Literal(Literal::Date(0));
                        (call("days_between", vec![of, first], &[Type::Date, Type::Date])?, DAY as f64)
                    }
                    _ => (call("to_unixmicros", vec![of], &[Type::Timestamp])?, 1.0),
                };
                let bounds = Bounds::new((known.low / unit).floor(), (known.high / unit).floor()).ok_or_else(none)?;
                Ok(Quantity::Quantile { of, bounds, whole: true, at })
            }
            Type::Text | Type::Bool => {
                let message = format!(
                    "{name} over private rows is of numbers, dates and timestamps, not of {}: it would show one unit's value",
                    ty.sql()
                );
                Err(self.unsupported(name, message))
            }
        }
    }
}
