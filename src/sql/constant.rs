//! Constants in the syntax tree, where a value must be known before anything is planned.

use datafusion::sql::sqlparser::ast::{Expr, UnaryOperator, Value};

/// A constant as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A number's text, with its sign; also `nan` and `inf`.
    Number(String),
    /// A name or the content of a string.
    Word(String),
    Null,
}

/// The constant that an expression is, if it is one: a literal, a name, a number with its sign, or a cast of one of these.
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
        Expr::Cast { expr, .. } => Some(match constant(expr)? {
            Constant::Word(text) => Constant::Number(text.to_lowercase()),
            other => other,
        }),
        _ => None,
    }
}
