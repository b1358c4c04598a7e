//! `SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (...)` and the named arguments of aggregates, as in GoogleSQL (its references "Differential
//! privacy clause" and "Differentially private aggregate functions").
//!
//! The parser has no place for the clause: its tokens are cut out before it runs, and the place of its SELECT tells later whose it is: see
//! [`super::marks`].

use super::constant::{Constant, constant};
use super::locate::position;
use super::parameters::Parameters;
use crate::algebra::{Accuracy, Family};
use crate::error::{Code, Error, Position, Result};
use crate::num::{Amount, ParseAmountError};
use datafusion::sql::sqlparser::ast::{Expr, Ident, Value};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// How groups become public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Private keys by a threshold, with this noise.
    Threshold(Family),
    /// By public values alone.
    PublicGroups,
}

/// What one clause asks for; whether policy allows it is judged where its SELECT is lowered.
#[derive(Clone, Debug, Default)]
pub struct Clause {
    pub at: Option<Position>,
    pub epsilon: Option<Amount>,
    pub delta: Option<Amount>,
    /// Groups that one unit takes part in.
    pub groups: Option<u64>,
    /// Rows of one unit in all groups together.
    pub rows: Option<u64>,
    pub strategy: Option<Strategy>,
    /// In the place of epsilon.
    pub accuracy: Option<Accuracy>,
    pub non_negative: bool,
    pub consistent: bool,
    /// What it takes for the privacy unit.
    pub unit: Option<Expr>,
}

/// A clause as it was written.
pub struct Written {
    select: Location,
    at: Option<Position>,
    options: Vec<(Ident, Expr)>,
}

/// Takes the clauses out of the tokens.
pub fn cut(tokens: Vec<TokenWithSpan>, max_depth: usize) -> Result<(Vec<TokenWithSpan>, Vec<Written>)> {
    let (mut kept, mut found) = (Vec::with_capacity(tokens.len()), Vec::new());
    let mut rest = tokens.into_iter().peekable();
    let mut select = None;
    while let Some(token) = rest.next() {
        if matches!(token.token, Token::Whitespace(_)) {
            kept.push(token);
            continue;
        }
        let is_with = matches!(&token.token, Token::Word(word) if word.keyword == Keyword::WITH);
        let Some(location) = select.filter(|_| is_with) else {
            let is_select = matches!(&token.token, Token::Word(word) if word.keyword == Keyword::SELECT);
            select = is_select.then_some(token.span.start);
            kept.push(token);
            continue;
        };
        select = None;
        let at = position(token.span.start);
        let mut next = || rest.find(|t| !matches!(t.token, Token::Whitespace(_)));
        let named = match next().map(|t| t.token) {
            Some(Token::Word(word)) => word.value.to_uppercase(),
            _ => String::new(),
        };
        if named != "DIFFERENTIAL_PRIVACY" {
            let message = "after SELECT WITH comes DIFFERENTIAL_PRIVACY OPTIONS (epsilon = ..., ...): no other clause is supported";
            return Err(Error::new(Code::UnsupportedSql, message).or_at(at));
        }
        while matches!(rest.peek(), Some(t) if matches!(t.token, Token::Whitespace(_))) {
            rest.next();
        }
        let has_options = matches!(rest.peek(), Some(t) if matches!(&t.token, Token::Word(w) if w.value.eq_ignore_ascii_case("options")));
        let options = match has_options {
            true => {
                rest.next();
                options(bracketed(&mut rest, at)?, max_depth)?
            }
            false => vec![],
        };
        found.push(Written { select: location, at, options });
    }
    Ok((kept, found))
}

/// The tokens between a bracket that comes next and its end.
fn bracketed(rest: &mut impl Iterator<Item = TokenWithSpan>, at: Option<Position>) -> Result<Vec<TokenWithSpan>> {
    let mut rest = rest.skip_while(|t| matches!(t.token, Token::Whitespace(_)));
    let unclosed = || Error::new(Code::Syntax, "after OPTIONS come brackets: OPTIONS (epsilon = 1, ...)").or_at(at);
    if rest.next().is_none_or(|t| t.token != Token::LParen) {
        return Err(unclosed());
    }
    let (mut within, mut open) = (Vec::new(), 1usize);
    for token in rest {
        match token.token {
            Token::LParen => open += 1,
            Token::RParen => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Ok(within);
        }
        within.push(token);
    }
    Err(unclosed())
}

fn options(tokens: Vec<TokenWithSpan>, max_depth: usize) -> Result<Vec<(Ident, Expr)>> {
    if tokens.iter().all(|t| matches!(t.token, Token::Whitespace(_))) {
        return Ok(vec![]);
    }
    let at = tokens.first().and_then(|t| position(t.span.start));
    let dialect = GenericDialect {};
    let mut parser = Parser::new(&dialect).with_recursion_limit(max_depth).with_tokens_with_locations(tokens);
    let mut read = || -> std::result::Result<Vec<(Ident, Expr)>, ParserError> {
        let mut found = Vec::new();
        loop {
            let name = parser.parse_identifier()?;
            parser.expect_token(&Token::Eq)?;
            found.push((name, parser.parse_expr()?));
            if !parser.consume_token(&Token::Comma) {
                parser.expect_token(&Token::EOF)?;
                return Ok(found);
            }
        }
    };
    read().map_err(|_| {
        Error::new(
            Code::Syntax,
            "OPTIONS holds name = value, separated by commas: OPTIONS (epsilon = 1, max_groups_contributed = 2)",
        )
        .or_at(at)
    })
}

const OPTIONS: &str = "epsilon, delta, max_groups_contributed, max_rows_contributed, group_selection_strategy, privacy_unit_column, non_negative, consistent, and in the place of epsilon error or relative_error with magnitude, and confidence";

impl Clause {
    /// Reads the options of a clause; the place is that of its SELECT.
    pub fn read(written: Written, parameters: &Parameters) -> Result<(Location, Clause)> {
        let Written { select, at, options } = written;
        let mut clause = Clause { at, ..Clause::default() };
        let mut seen: Vec<String> = Vec::new();
        let [mut error, mut relative, mut magnitude, mut confidence] = [None; 4];
        for (name, mut value) in options {
            let at = position(name.span.start).or(at);
            let name = name.value.to_lowercase();
            let invalid = |message: String| Error::new(Code::InvalidRequest, message).or_at(at);
            if seen.contains(&name) {
                return Err(invalid(format!("the option {name} is given twice")));
            }
            parameters.bind_expr(&mut value);
            let read = constant(&value);
            match name.as_str() {
                "epsilon" => clause.epsilon = Some(epsilon(read, "epsilon", at)?),
                "delta" => clause.delta = Some(delta(read, at)?),
                "max_groups_contributed" => clause.groups = Some(limit(read, &name, at)?),
                "max_rows_contributed" => clause.rows = Some(limit(read, &name, at)?),
                "group_selection_strategy" => clause.strategy = Some(strategy(read, at)?),
                "error" => error = Some(number(read, &name, at)?),
                "relative_error" => relative = Some(number(read, &name, at)?),
                "magnitude" => magnitude = Some(number(read, &name, at)?),
                "confidence" => confidence = Some(number(read, &name, at)?),
                "non_negative" | "consistent" => match &value {
                    Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => {
                        let wanted = value.value == Value::Boolean(true);
                        if name == "consistent" { clause.consistent = wanted } else { clause.non_negative = wanted }
                    }
                    _ => return Err(invalid(format!("{name} takes true or false"))),
                },
                "privacy_unit_column" => match value {
                    Expr::Identifier(_) | Expr::CompoundIdentifier(_) => clause.unit = Some(value),
                    _ => return Err(invalid("privacy_unit_column takes the name of a column".into())),
                },
                _ => return Err(invalid(format!("there is no option {name}; known are {OPTIONS}"))),
            }
            seen.push(name);
        }
        if clause.groups.is_some() && clause.rows.is_some() {
            let message =
                "max_groups_contributed and max_rows_contributed are two ways to bound one unit: give one of them";
            return Err(Error::new(Code::InvalidRequest, message).or_at(at));
        }
        let accuracy = Accuracy::new(error, relative, magnitude, confidence);
        clause.accuracy = accuracy.map_err(|message| Error::new(Code::InvalidRequest, message).or_at(at))?;
        if clause.accuracy.is_some() && clause.epsilon.is_some() {
            let message = "epsilon is a price, and an error is what a price is found for: give one of them";
            return Err(Error::new(Code::InvalidRequest, message).or_at(at));
        }
        Ok((select, clause))
    }
}

fn number(value: Option<Constant>, name: &str, at: Option<Position>) -> Result<f64> {
    let read = match &value {
        Some(Constant::Number(text)) => text.parse::<f64>().ok(),
        _ => None,
    };
    read.ok_or_else(|| {
        Error::new(Code::InvalidRequest, format!("{name} must be a number, but is {}", shown(&value))).or_at(at)
    })
}

/// The number as it was written, for a message.
fn shown(value: &Option<Constant>) -> String {
    match value {
        Some(Constant::Number(text) | Constant::Word(text)) => text.chars().take(32).collect(),
        Some(Constant::Null) => "NULL".into(),
        None => "no constant".into(),
    }
}

/// A positive amount.
pub fn epsilon(value: Option<Constant>, name: &str, at: Option<Position>) -> Result<Amount> {
    let invalid = |why: &str| {
        let message = format!("{name} must be finite and positive, but {why}");
        Error::new(Code::InvalidEpsilon, message).or_at(at)
    };
    let shown = shown(&value);
    match value {
        Some(Constant::Number(text)) => match text.parse::<Amount>() {
            Ok(amount) if !amount.is_zero() => Ok(amount),
            Err(e @ (ParseAmountError::TooLarge | ParseAmountError::TooFine)) => Err(invalid(&format!("{shown} {e}"))),
            _ => Err(invalid(&format!("is {shown}"))),
        },
        _ => Err(invalid(&format!("is {shown}"))),
    }
}

fn delta(value: Option<Constant>, at: Option<Position>) -> Result<Amount> {
    let invalid = || {
        let message = format!("delta must be in the interval [0, 1], but is {}", shown(&value));
        Error::new(Code::InvalidRequest, message).or_at(at)
    };
    match &value {
        Some(Constant::Number(text)) => {
            let amount = text.parse::<Amount>().map_err(|_| invalid())?;
            if amount <= Amount::from_atto(10u128.pow(18)) { Ok(amount) } else { Err(invalid()) }
        }
        _ => Err(invalid()),
    }
}

fn limit(value: Option<Constant>, name: &str, at: Option<Position>) -> Result<u64> {
    let number = match &value {
        Some(Constant::Number(text)) => text.parse::<u64>().ok().filter(|n| *n > 0),
        _ => None,
    };
    number.ok_or_else(|| {
        let hint = match value {
            Some(Constant::Null) => {
                ", which would lift the limit that the promise rests on: leave it out for the dataset's"
            }
            _ => "",
        };
        let message = format!("{name} must be a whole number above 0, but is {}{hint}", shown(&value));
        Error::new(Code::InvalidRequest, message).or_at(at)
    })
}

fn strategy(value: Option<Constant>, at: Option<Position>) -> Result<Strategy> {
    let word = match &value {
        Some(Constant::Word(word)) => word.to_uppercase(),
        _ => String::new(),
    };
    match word.as_str() {
        "LAPLACE_THRESHOLD" => Ok(Strategy::Threshold(Family::Laplace)),
        "GAUSSIAN_THRESHOLD" => Ok(Strategy::Threshold(Family::Gaussian)),
        "PUBLIC_GROUPS" => Ok(Strategy::PublicGroups),
        _ => {
            let message = format!(
                "group_selection_strategy must be LAPLACE_THRESHOLD, GAUSSIAN_THRESHOLD or PUBLIC_GROUPS, but is {}",
                shown(&value)
            );
            Err(Error::new(Code::InvalidRequest, message).or_at(at))
        }
    }
}
