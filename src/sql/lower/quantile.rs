//! Quantiles, the least, the greatest and the most frequent: from calls to choices among a group's values.

use super::Lowering;
use super::aggregate::{Call, one_zero, only_where};
use super::expr::{Typed, not};
use super::scope::Scope;
use crate::algebra::calendar::DAY;
use crate::algebra::{Bounds, Domain, Expr, FoldKind, Fraction, Literal, Quantity, Scalar, Type, bounds};
use crate::error::{Code, Error, Result};
use crate::sql::marks::Mark;

/// Most values that are counted each.
const MAX_VALUES: usize = 1_000;

/// Whether a function gives a quantile, and which one where it says.
pub fn named_quantile(name: &str) -> Option<Option<Fraction>> {
    Some(match name {
        "median" | "approx_median" => Some(Fraction::HALF),
        "percentile_cont" | "approx_percentile_cont" | "quantile_cont" | "approx_quantile" => None,
        _ => return None,
    })
}

/// Whether a function has WITHIN GROUP.
pub fn is_ordered(name: &str) -> bool {
    named_quantile(name).is_some() || name == "mode"
}

/// Quantiles of the same values that are better read from one tree of counts than chosen one by one.
const MANY: usize = 16;

/// What of a quantile is read from ranks, and not chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Read {
    Nothing,
    Interval,
    All,
}

/// Values with the bounds that they are clamped to.
pub struct Values {
    of: Expr,
    bounds: Bounds,
    whole: bool,
}

impl Values {
    pub fn quantile(&self, at: Fraction) -> Quantity {
        Quantity::Quantile { of: self.of.clone(), bounds: self.bounds, whole: self.whole, at }
    }

    pub fn ranks(&self) -> Quantity {
        Quantity::Ranks { of: self.of.clone(), bounds: self.bounds, whole: self.whole }
    }
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

    /// What of a quantile is read from ranks.
    pub fn read(&self, call: &Call, all: &[Call], private: bool) -> Result<Read> {
        let FoldKind::Quantile(_) = call.kind else { return Ok(Read::Nothing) };
        let is_alike = |other: &&Call| {
            matches!(other.kind, FoldKind::Quantile(_)) && other.of == call.of && other.mark == call.mark
        };
        let bars = call.mark.as_ref().and_then(|mark| mark.error_bars);
        match (bars, private) {
            (Some(true), true) => {
                let message =
                    "quantiles of private keys have no error bars: group by public keys, or leave error_bars out";
                Err(self.unsupported("error_bars", message))
            }
            (None, false) if all.iter().filter(is_alike).count() >= MANY => Ok(Read::All),
            (Some(true), false) => Ok(Read::Interval),
            (Some(false) | None, _) => Ok(Read::Nothing),
        }
    }

    /// What is chosen from: numbers as they are but for NaN, dates as days, timestamps as microseconds.
    pub fn quantile_values(&self, name: &str, (of, ty): Typed, scope: &Scope, mark: Option<&Mark>) -> Result<Values> {
        let none = || Error::internal("a quantile without bounds");
        let call = |name: &str, args: Vec<Expr>, types: &[Type]| {
            let types: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
            let call = Scalar::find(name).and_then(|scalar| scalar.overload(&types));
            call.map(|call| Expr::Call(call, args)).ok_or_else(|| Error::internal(format!("no function {name}")))
        };
        match ty {
            Type::Int => {
                let bounds = self.row_bounds(&of, scope, name, mark)?.ok_or_else(none)?;
                Ok(Values { of, bounds, whole: true })
            }
            Type::Float => {
                let bounds = self.row_bounds(&of, scope, name, mark)?.ok_or_else(none)?;
                self.spend(of.size())?;
                let is_nan = call("isnan", vec![of.clone()], &[Type::Float])?;
                Ok(Values { of: only_where(not(is_nan), of), bounds, whole: false })
            }
            Type::Date | Type::Timestamp => {
                if mark.is_some_and(|mark| mark.per_row.is_some()) {
                    let message =
                        format!("{name} of moments takes no contribution_bounds_per_row: declare their bounds");
                    return Err(self.refuse(Code::InvalidRequest, "contribution_bounds_per_row", message));
                }
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
                Ok(Values { of, bounds, whole: true })
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

    /// `approx_top_k(x, k)`.
    pub fn top_call(&self, distinct: bool, args: Vec<Typed>) -> Result<Call> {
        let most = match args.get(1).map(|(e, _)| e) {
            Some(Expr::Literal(Literal::Int(most))) if args.len() == 2 && !distinct => u64::try_from(*most).ok(),
            _ => None,
        };
        let most = most.filter(|most| *most > 0).ok_or_else(|| {
            let message = "approx_top_k(x, k) takes a value and a whole number above 0, as a literal";
            self.unsupported("approx_top_k", message)
        })?;
        let (of, ty) = args.into_iter().next().ok_or_else(|| Error::internal("the most frequent of nothing"))?;
        Ok(Call { kind: FoldKind::Histogram(Some(most)), of, ty, on: None, mark: None })
    }

    /// A value, and the public ones that it can be.
    pub fn among_public(&self, name: &str, (of, ty): Typed, scope: &Scope) -> Result<(Expr, Domain)> {
        let known = self
            .image(scope, &of, ty)?
            .map(|values| values.iter().filter(|v| !v.is_null()).cloned().collect::<Domain>());
        let values = known.filter(|values| (1..=MAX_VALUES).contains(&values.len())).ok_or_else(|| {
            let message = format!(
                "{name} over private rows is of values that are public, at most {MAX_VALUES}: of a column with a declared domain, CASE with constant results, or width_bucket(x, low, high, n). Else write GROUP BY x ORDER BY count(*) DESC LIMIT k"
            );
            self.refuse(Code::PrivateKeys, name, message)
        })?;
        Ok((one_zero(of, ty), values))
    }
}
