//! Constants in the syntax tree, where a value must be known before anything is planned.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Query, UnaryOperator, Value, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// A constant as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A number's text, with its sign; also `nan` and `inf`.
    Number(String),
    /// A name or the content of a string.
    Word(String),
    Null,
}

/// Sums, differences and products of decimal literals are exact, as in the SQL standard: 0.06 + 0.01 is 0.07 and not the double beside
/// it. Literals are turned into doubles after that.
pub fn fold_decimals(query: &mut Query) {
    let _ = query.visit(&mut Folding);
}

struct Folding;

impl VisitorMut for Folding {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { left, op, right } = expr
            && let (Some(left), Some(right)) = (decimal(left), decimal(right))
            && left.1.max(right.1) > 0
            && let Some(folded) = folded(left, op, right)
        {
            *expr = folded;
        }
        ControlFlow::Continue(())
    }
}

/// Most digits behind the point of what is folded: a double has fewer.
const MAX_PLACES: u32 = 30;

/// A decimal literal's digits as a whole number, and how many of them are behind the point.
fn decimal(expr: &Expr) -> Option<(i128, u32)> {
    match expr {
        Expr::Value(value) => {
            let Value::Number(text, _) = &value.value else { return None };
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let places = u32::try_from(fraction.len()).ok().filter(|places| *places <= MAX_PLACES)?;
            Some((format!("{whole}{fraction}").parse().ok()?, places))
        }
        Expr::Nested(inner) => decimal(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => decimal(expr).map(|(digits, places)| (-digits, places)),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => decimal(expr),
        _ => None,
    }
}

fn folded(left: (i128, u32), op: &BinaryOperator, right: (i128, u32)) -> Option<Expr> {
    let scale = left.1.max(right.1);
    let scaled = |(digits, places): (i128, u32)| digits.checked_mul(10i128.checked_pow(scale - places)?);
    let (digits, scale) = match op {
        BinaryOperator::Plus => (scaled(left)?.checked_add(scaled(right)?)?, scale),
        BinaryOperator::Minus => (scaled(left)?.checked_sub(scaled(right)?)?, scale),
        BinaryOperator::Multiply => (left.0.checked_mul(right.0)?, left.1 + right.1),
        _ => return None,
    };
    if scale > MAX_PLACES {
        return None;
    }
    let width = scale as usize + 1;
    let text = format!("{:0width$}", digits.unsigned_abs());
    let (whole, fraction) = text.split_at(text.len() - scale as usize);
    let number = Expr::value(Value::Number(format!("{whole}.{fraction}"), false));
    Some(match digits < 0 {
        true => Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number) })),
        false => number,
    })
}

/// The constant that an expression is, if it is one: a literal, a name, a number with its sign, or one of these as a DOUBLE.
pub fn constant(expr: &Expr) -> Option<Constant> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(Constant::Number(text.clone())),
            Value::SingleQuotedString(text) => Some(Constant::Word(text.clone())),
            Value::Null => Some(Constant::Null),
            _ => None,
        },
        Expr::Identifier(name) => Some(Constant::Word(name.value.clone())),
        Expr::Nested(inner) => constant(inner),
        Expr::UnaryOp { op, expr } => match (op, constant(expr)?) {
            (UnaryOperator::Plus, Constant::Number(text)) => Some(Constant::Number(text)),
            (UnaryOperator::Minus, Constant::Number(text)) => Some(Constant::Number(match text.strip_prefix('-') {
                Some(positive) => positive.to_owned(),
                None => format!("-{text}"),
            })),
            _ => None,
        },
        // NaN and infinity have no other literals.
        Expr::Cast { expr, data_type: DataType::Double(_) | DataType::DoublePrecision | DataType::Float64, .. } => {
            Some(match constant(expr)? {
                Constant::Word(text) => Constant::Number(text.to_lowercase()),
                other => other,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn decimals_are_exact() {
        for (text, folded) in [
            ("0.06 + 0.01", "0.07"),
            ("0.06 - 0.01", "0.05"),
            ("1 - 0.9", "0.1"),
            ("0.1 - 1.25", "(-1.15)"),
            ("0.1 * -0.3", "(-0.03)"),
            ("0.5 * 0.5 + 1", "1.25"),
            ("(0.1 + 0.2) + x", "(0.3) + x"),
            // Whole numbers have operators of their own, and a number with an exponent is a DOUBLE.
            ("1 + 2", "1 + 2"),
            ("0.1 + 1e0", "0.1 + 1e0"),
            ("0.1 / 0.3", "0.1 / 0.3"),
            ("0.1 + CAST(0.2 AS DOUBLE)", "0.1 + CAST(0.2 AS DOUBLE)"),
            ("(CAST(2.7 AS BIGINT)) + 0.1", "(CAST(2.7 AS BIGINT)) + 0.1"),
            ("-CAST(2.7 AS BIGINT) + 0.1", "-CAST(2.7 AS BIGINT) + 0.1"),
            ("-0.5::int + 0.25", "-0.5::INT + 0.25"),
            ("0.0000000000000000000000000000001 + 0.1", "0.0000000000000000000000000000001 + 0.1"),
            ("99999999999999999999999999999999999999.5 * 10.5", "99999999999999999999999999999999999999.5 * 10.5"),
        ] {
            let mut expr = Parser::new(&GenericDialect {}).try_with_sql(text).unwrap().parse_expr().unwrap();
            let _ = expr.visit(&mut Folding);
            assert_eq!(expr.to_string(), folded, "{text}");
        }
    }
}
