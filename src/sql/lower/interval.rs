//! Error bars of what is computed from noisy values, by interval arithmetic.
//!
//! A noisy output of a release comes with the ends of its own interval, and with wider ones that hold for all outputs of the
//! question together. An expression over one noisy column is monotone or not, but contains the exact value wherever
//! the column's own interval does; one over several needs them to hold together.

use super::expr::Typed;
use super::scope::{Noise, Scope, Slot};
use crate::algebra::{Arithmetic, Comparison, Expr, Literal, Type};

/// Largest number of nodes of one end: a product names each operand four times.
const MAX_SIZE: usize = 400;

/// Lower and upper end, as expressions over the projection's input.
type Ends = (Expr, Expr);

/// Gives each projected slot its noise, and appends the ends of intervals to the projection's hidden columns.
pub fn projected(typed: &[Typed], scope: &Scope, slots: &mut [Slot], exprs: &mut Vec<Expr>) {
    for ((expr, ty), slot) in typed.iter().zip(slots) {
        let (output, own, joint) = match expr {
            Expr::Column(i) => match scope.slot_at(*i).map(|s| &s.noise) {
                Some(Noise::Known { output, own, joint }) => (*output, Some(columns(*own)), Some(columns(*joint))),
                Some(Noise::Exact) | None => continue,
                Some(Noise::Withheld) => (None, None, None),
            },
            derived => {
                let noisy: Vec<&Slot> = derived
                    .columns()
                    .into_iter()
                    .filter_map(|i| scope.slot_at(i))
                    .filter(|slot| slot.noise != Noise::Exact)
                    .collect();
                let single = match noisy.as_slice() {
                    [] => continue,
                    one => one.len() == 1,
                };
                let numeric = ty.is_numeric();
                let within = |single| numeric.then(|| ends(derived, scope, single)).flatten();
                (None, within(single), within(false))
            }
        };
        slot.noise = match own.zip(joint) {
            Some((own, joint)) => {
                let mut add = |(lower, upper): Ends| {
                    exprs.extend([lower, upper]);
                    (exprs.len() - 2, exprs.len() - 1)
                };
                Noise::Known { output, own: add(own), joint: add(joint) }
            }
            None => Noise::Withheld,
        };
    }
}

fn columns((lower, upper): (usize, usize)) -> Ends {
    (Expr::Column(lower), Expr::Column(upper))
}

/// The ends of an expression's interval; `single`: it has only one noisy column.
fn ends(expr: &Expr, scope: &Scope, single: bool) -> Option<Ends> {
    let found = match expr {
        Expr::Column(i) => match scope.slot_at(*i).map(|s| &s.noise) {
            Some(Noise::Known { own, joint, .. }) => columns(if single { *own } else { *joint }),
            Some(Noise::Exact) => (expr.clone(), expr.clone()),
            Some(Noise::Withheld) | None => return None,
        },
        Expr::Literal(_) => (expr.clone(), expr.clone()),
        Expr::Cast(inner, ty) if ty.is_numeric() => {
            let (lower, upper) = ends(inner, scope, single)?;
            (lower.cast(*ty), upper.cast(*ty))
        }
        Expr::Arithmetic(op, l, r) => {
            let ((l0, l1), (r0, r1)) = (ends(l, scope, single)?, ends(r, scope, single)?);
            let apply = |a: &Expr, b: &Expr| Expr::arithmetic(*op, a.clone(), b.clone());
            match op {
                Arithmetic::Add => (apply(&l0, &r0), apply(&l1, &r1)),
                Arithmetic::Subtract => (apply(&l0, &r1), apply(&l1, &r0)),
                Arithmetic::Multiply => corners([apply(&l0, &r0), apply(&l0, &r1), apply(&l1, &r0), apply(&l1, &r1)])?,
                Arithmetic::Divide => {
                    // A divisor that may be zero leaves no interval.
                    let (lower, upper) = corners([apply(&l0, &r0), apply(&l0, &r1), apply(&l1, &r0), apply(&l1, &r1)])?;
                    let zero = |ty| if ty == Type::Int { Literal::Int(0) } else { Literal::Float(0.0) };
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
    (size(&found.0) <= MAX_SIZE).then_some(found)
}

fn corners(all: [Expr; 4]) -> Option<Ends> {
    if all.iter().any(|e| size(e) > MAX_SIZE / 8) {
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

fn size(expr: &Expr) -> usize {
    1 + expr.children().into_iter().map(size).sum::<usize>()
}

/// The numeric type of an end, which is built of columns, literals, casts, arithmetic and CASE alone.
fn type_of(expr: &Expr, scope: &Scope) -> Option<Type> {
    match expr {
        Expr::Literal(l) => Some(l.ty()),
        Expr::Cast(_, ty) => Some(*ty),
        Expr::Arithmetic(_, l, _) => type_of(l, scope),
        Expr::Case { branches, .. } => branches.first().and_then(|(_, then)| type_of(then, scope)),
        Expr::Column(i) => scope.columns.iter().find_map(|slot| match &slot.noise {
            Noise::Known { own, joint, .. } if [own.0, own.1, joint.0, joint.1].contains(i) => Some(slot.ty),
            _ if slot.index == *i => Some(slot.ty),
            _ => None,
        }),
        _ => None,
    }
}
