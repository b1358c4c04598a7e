//! Error bars of what is computed from noisy values, by interval arithmetic.
//!
//! A noisy output of a release comes with the ends of its own interval, with wider ones that hold for one value of each output of the
//! question together, and with the widest that hold for all of its noisy values. An expression over one noisy column contains the
//! exact value wherever the column's own interval does; one over several needs those of a row to hold together; and where noisy
//! values chose the rows, only all together hold for the chosen ones.

use super::expr::Typed;
use super::scope::{self, Noise, Scope, Slot};
use crate::algebra::{Arithmetic, Comparison, Expr, Literal, Type};

/// Largest number of nodes of one end: a product names each operand four times.
const MAX_SIZE: usize = 400;

/// Lower and upper end, as expressions over the projection's input.
type Ends = (Expr, Expr);

/// Which ends of the noisy columns an expression's are made of.
type Pick = fn(&scope::Ends) -> (usize, usize);

/// Gives each projected slot its noise, and appends the ends of intervals to the projection's hidden columns.
pub fn projected(typed: &[Typed], scope: &Scope, slots: &mut [Slot], exprs: &mut Vec<Expr>) {
    for ((expr, ty), slot) in typed.iter().zip(slots) {
        let (output, ends) = match expr {
            Expr::Column(i) => match scope.slot_at(*i).map(|s| &s.noise) {
                Some(Noise::Known { output, ends }) => {
                    let columns = |(lower, upper)| (Expr::Column(lower), Expr::Column(upper));
                    (*output, Some([columns(ends.own), columns(ends.row), columns(ends.all)]))
                }
                Some(Noise::Exact) | None => continue,
                Some(Noise::Withheld) => (None, None),
            },
            derived => {
                let noisy = derived.columns().into_iter().filter_map(|i| scope.slot_at(i));
                let own: Pick = match noisy.filter(|slot| slot.noise != Noise::Exact).count() {
                    0 => continue,
                    1 => |ends| ends.own,
                    _ => |ends| ends.row,
                };
                let picks: [Pick; 3] = [own, |ends| ends.row, |ends| ends.all];
                let made = picks.map(|pick| ty.is_numeric().then(|| self::ends(derived, scope, pick)).flatten());
                let [own, row, all] = made;
                (None, own.zip(row).zip(all).map(|((own, row), all)| [own, row, all]))
            }
        };
        slot.noise = match ends {
            Some(ends) => {
                let [own, row, all] = ends.map(|(lower, upper)| {
                    exprs.extend([lower, upper]);
                    (exprs.len() - 2, exprs.len() - 1)
                });
                Noise::Known { output, ends: scope::Ends { own, row, all } }
            }
            None => Noise::Withheld,
        };
    }
}

/// The ends of an expression's interval.
fn ends(expr: &Expr, scope: &Scope, pick: Pick) -> Option<Ends> {
    let found = match expr {
        Expr::Column(i) => match scope.slot_at(*i).map(|s| &s.noise) {
            Some(Noise::Known { ends, .. }) => {
                let (lower, upper) = pick(ends);
                (Expr::Column(lower), Expr::Column(upper))
            }
            Some(Noise::Exact) => (expr.clone(), expr.clone()),
            Some(Noise::Withheld) | None => return None,
        },
        Expr::Literal(_) => (expr.clone(), expr.clone()),
        Expr::Cast(inner, ty) if ty.is_numeric() => {
            let (lower, upper) = ends(inner, scope, pick)?;
            (lower.cast(*ty), upper.cast(*ty))
        }
        Expr::Arithmetic(op, l, r) => {
            let ((l0, l1), (r0, r1)) = (ends(l, scope, pick)?, ends(r, scope, pick)?);
            let apply = |a: &Expr, b: &Expr| Expr::arithmetic(*op, a.clone(), b.clone());
            match op {
                Arithmetic::Add => (apply(&l0, &r0), apply(&l1, &r1)),
                Arithmetic::Subtract => (apply(&l0, &r1), apply(&l1, &r0)),
                Arithmetic::Multiply => corners([apply(&l0, &r0), apply(&l0, &r1), apply(&l1, &r0), apply(&l1, &r1)])?,
                Arithmetic::Divide | Arithmetic::Quotient => {
                    // A divisor that may be zero leaves no interval.
                    let (lower, upper) = corners([apply(&l0, &r0), apply(&l0, &r1), apply(&l1, &r0), apply(&l1, &r1)])?;
                    let zero = |ty| if ty == Type::Int { Literal::Int(0) } else { Literal::float(0.0) };
                    let ty = type_of(&r0, scope)?;
                    let above = Expr::compare(Comparison::Greater, r0, Expr::Literal(zero(ty)));
                    let below = Expr::compare(Comparison::Less, r1, Expr::Literal(zero(ty)));
                    let safe = Expr::or(vec![above, below]);
                    let only = |end| Expr::Case { branches: vec![(safe.clone(), end)], otherwise: None };
                    (only(lower), only(upper))
                }
                Arithmetic::Remainder => return None,
            }
        }
        _ => return None,
    };
    (found.0.size() <= MAX_SIZE).then_some(found)
}

fn corners(all: [Expr; 4]) -> Option<Ends> {
    if all.iter().any(|e| e.size() > MAX_SIZE / 8) {
        return None;
    }
    let pick = |op: Comparison| {
        let [a, b, c, d] = all.clone();
        let better = |x: Expr, y: Expr| Expr::Case {
            branches: vec![(Expr::compare(op, x.clone(), y.clone()), x)],
            otherwise: Some(Box::new(y)),
        };
        better(better(a, b), better(c, d))
    };
    Some((pick(Comparison::LessEq), pick(Comparison::GreaterEq)))
}

/// The numeric type of an end, which is built of columns, literals, casts, arithmetic and CASE alone.
fn type_of(expr: &Expr, scope: &Scope) -> Option<Type> {
    match expr {
        Expr::Literal(l) => Some(l.ty()),
        Expr::Cast(_, ty) => Some(*ty),
        Expr::Arithmetic(_, l, _) => type_of(l, scope),
        Expr::Case { branches, .. } => branches.first().and_then(|(_, then)| type_of(then, scope)),
        Expr::Column(i) => scope.columns.iter().find_map(|slot| match &slot.noise {
            Noise::Known { ends, .. } if ends.contains(*i) => Some(slot.ty),
            _ if slot.index == *i => Some(slot.ty),
            _ => None,
        }),
        _ => None,
    }
}
