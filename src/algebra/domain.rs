//! Public sets of key values.
//!
//! A set is fixed before any private row is read, from policy or public tables alone; every key in it is
//! returned and rows whose key is not in it are dropped. So a key can neither appear nor vanish
//! on account of anyone.

use super::{Expr, Literal, Type};
use std::sync::Arc;

/// The public values of a key, each once, in the order in which they are returned.
pub type Domain = Arc<[Literal]>;

/// The finite set of values that an expression can take, or None where no such set follows. `column` gives the
/// domain of a position.
pub fn image(expr: &Expr, ty: Type, column: &impl Fn(usize) -> Option<Domain>) -> Option<Domain> {
    match expr {
        Expr::Column(i) => column(*i).or_else(|| (ty == Type::Bool).then(truth_values)),
        Expr::Literal(value) => Some([value.clone()].into()),
        Expr::Case { branches, otherwise } => {
            let mut values = Vec::new();
            for result in branches.iter().map(|(_, then)| then).chain(otherwise.as_deref()) {
                image(result, ty, column)?.iter().for_each(|v| add(&mut values, v));
            }
            if otherwise.is_none() {
                add(&mut values, &Literal::Null(ty));
            }
            Some(values.into())
        }
        Expr::All(_) | Expr::Any(_) | Expr::Not(_) | Expr::IsNull(_) | Expr::Compare(..) => Some(truth_values()),
        Expr::Cast(_, Type::Bool) => Some(truth_values()),
        Expr::Cast(..) | Expr::Arithmetic(..) => None,
    }
}

fn truth_values() -> Domain {
    [Literal::Bool(false), Literal::Bool(true), Literal::Null(Type::Bool)].into()
}

fn add(values: &mut Vec<Literal>, value: &Literal) {
    if !values.contains(value) {
        values.push(value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::Comparison;

    fn text(t: &str) -> Literal {
        Literal::Text(t.into())
    }

    #[test]
    fn images_are_finite_where_they_can_be() {
        let declared: Domain = [text("north"), text("south")].into();
        let column = |i| (i == 0).then(|| declared.clone());
        let check = |expr: Expr, ty, expected: Option<Vec<Literal>>| {
            assert_eq!(image(&expr, ty, &column).as_deref(), expected.as_deref(), "{expr:?}");
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
    }
}
