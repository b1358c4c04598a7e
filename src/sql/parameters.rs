//! Values of `$1`, `$2`, ... or of one `?` after the other. They take their places in the syntax tree before anything is analysed, so
//! that a question with parameters is the question with their values written out.

use super::limits::MAX_BYTES;
use super::locate::position;
use crate::error::{Code, Error, Result};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Query, TimezoneInfo, TypedString, UnaryOperator, Value, ValueWithSpan,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// One value.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Parameter {
    Null,
    Bool(bool),
    Int(i64),
    Float(#[serde(with = "crate::num::bits")] f64),
    Text(String),
    /// ISO 8601, for example 2026-01-31.
    Date(String),
    /// ISO 8601 without a time zone, for example 2026-01-31 12:00:00.
    Timestamp(String),
}

/// The values of a question, by number.
pub struct Parameters<'a>(pub &'a [Parameter]);

/// How many parameters a text has: each `?`, or each different `$1`, `$2`, ... 0 where it cannot be read.
pub fn count(text: &str) -> usize {
    if text.len() > MAX_BYTES {
        return 0;
    }
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().unwrap_or_default();
    let placeholders = tokens.into_iter().filter_map(|token| match token {
        Token::Placeholder(text) => Some(text),
        _ => None,
    });
    let (anonymous, numbered): (Vec<String>, Vec<String>) = placeholders.partition(|text| text == "?");
    anonymous.len() + numbered.into_iter().collect::<BTreeSet<_>>().len()
}

/// Numbers each `?`, and checks that each value has a place and each place a value.
pub fn number(tokens: &mut [TokenWithSpan], Parameters(values): &Parameters) -> Result<()> {
    let (mut anonymous, mut numbered) = (0usize, BTreeSet::new());
    let invalid = |message: String| Error::new(Code::InvalidRequest, message);
    for token in tokens {
        let at = position(token.span.start);
        match &token.token {
            Token::Placeholder(text) if text == "?" => {
                anonymous += 1;
                token.token = Token::Placeholder(format!("${anonymous}"));
            }
            Token::Placeholder(text) => match text.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()) {
                Some(number) if number > 0 => drop(numbered.insert(number)),
                _ => return Err(invalid("parameters are written $1, $2, ... or ?".into()).or_at(at)),
            },
            _ => continue,
        }
        if anonymous > 0 && !numbered.is_empty() {
            return Err(
                invalid("parameters are written $1, $2, ... or ?, not both ways in one question".into()).or_at(at)
            );
        }
        let needed = anonymous.max(numbered.last().copied().unwrap_or(0));
        if needed > values.len() {
            let message = match values.len() {
                0 => format!(
                    "parameter {needed} has no value: give values with the question, in the order of their numbers"
                ),
                given => format!("parameter {needed} has no value: the question came with {given}"),
            };
            return Err(invalid(message).or_at(at));
        }
    }
    let used = if anonymous > 0 { anonymous } else { numbered.len() };
    match used == values.len() {
        true => Ok(()),
        false => Err(invalid(format!("the question came with {} parameters and uses {used} of them", values.len()))),
    }
}

impl Parameters<'_> {
    /// Puts the values into a query.
    pub fn bind(&self, query: &mut Query) {
        let _ = query.visit(&mut Binding(self));
    }

    /// Puts the values into an expression.
    pub fn bind_expr(&self, expr: &mut Expr) {
        let _ = expr.visit(&mut Binding(self));
    }
}

struct Binding<'a>(&'a Parameters<'a>);

impl VisitorMut for Binding<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span }) = expr {
            let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
            if let Some(value) = number.and_then(|n| self.0.0.get(n - 1)) {
                *expr = literal(value, *span);
            }
        }
        ControlFlow::Continue(())
    }
}

/// A value as its literal in SQL.
fn literal(value: &Parameter, span: Span) -> Expr {
    let plain = |value| Expr::Value(ValueWithSpan { value, span });
    let text = |text: &str| Value::SingleQuotedString(text.to_owned());
    let negated = |number: Expr| Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number) };
    let typed = |data_type, value: &str| {
        Expr::TypedString(TypedString {
            data_type,
            value: ValueWithSpan { value: text(value), span },
            uses_odbc_syntax: false,
        })
    };
    match value {
        Parameter::Null => plain(Value::Null),
        Parameter::Bool(value) => plain(Value::Boolean(*value)),
        Parameter::Int(value) => {
            let number = plain(Value::Number(value.unsigned_abs().to_string(), false));
            if *value < 0 { Expr::Nested(Box::new(negated(number))) } else { number }
        }
        Parameter::Float(value) if value.is_finite() => {
            // With an exponent it is a DOUBLE, whole or not.
            let number = plain(Value::Number(format!("{:e}", value.abs()), false));
            if value.is_sign_negative() { Expr::Nested(Box::new(negated(number))) } else { number }
        }
        Parameter::Float(value) => Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(plain(text(&value.to_string()))),
            data_type: DataType::Double(ExactNumberInfo::None),
            array: false,
            format: None,
        },
        Parameter::Text(value) => plain(text(value)),
        Parameter::Date(value) => typed(DataType::Date, value),
        Parameter::Timestamp(value) => typed(DataType::Timestamp(None, TimezoneInfo::None), value),
    }
}
