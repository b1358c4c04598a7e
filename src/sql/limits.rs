//! Limits on text that hold before anything recurses.

use crate::error::{Code, Error};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Most bytes of one statement.
pub const MAX_BYTES: usize = 128 * 1024;
/// Most tokens of one statement, white space and comments aside.
pub const MAX_TOKENS: usize = 10_000;
/// Deepest nesting that the parser follows.
pub const MAX_DEPTH: usize = 64;

/// Deepest expression after the parser, which follows runs of operators without nesting.
pub const MAX_OPERATORS: usize = 100;

pub fn too_deep() -> Error {
    let message = format!(
        "the statement nests deeper than {MAX_DEPTH} brackets or {MAX_OPERATORS} operators; flatten it or use WITH"
    );
    Error::new(Code::SqlTooDeep, message)
}

/// Deepest nesting of brackets and CASE, with runs of words and operators that end no operand counted as nesting. The parser
/// recurses on all of these, on some without a limit of its own.
///
/// Some constructs are tried in two ways, one after the other, so that a mistake inside of n of them costs 2^n: they count
/// for more.
pub fn depth(tokens: &[TokenWithSpan]) -> usize {
    #[derive(PartialEq)]
    enum Open {
        Bracket,
        /// Tried twice.
        Twice,
        Case,
        Type,
    }
    let cost = |open: &Open| match open {
        Open::Bracket | Open::Type => 1,
        Open::Case => 4,
        Open::Twice => 8,
    };
    let (mut open, mut run, mut deepest) = (Vec::new(), 0usize, 0usize);
    let mut before = Keyword::NoKeyword;
    for token in tokens.iter().map(|t| &t.token).filter(|t| !matches!(t, Token::Whitespace(_))) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                open.push(if TRIED_TWICE.contains(&before) { Open::Twice } else { Open::Bracket });
                run = 0;
            }
            // ARRAY<STRUCT<a ...: elsewhere < compares.
            Token::Lt if before != Keyword::NoKeyword => open.push(Open::Type),
            Token::Gt if open.last() == Some(&Open::Type) => drop(open.pop()),
            Token::RParen | Token::RBracket | Token::RBrace => {
                // What is left open inside ends with the bracket.
                if let Some(at) = open.iter().rposition(|o| matches!(o, Open::Bracket | Open::Twice)) {
                    open.truncate(at);
                }
                run = 0;
            }
            Token::Word(word) => match word.keyword {
                Keyword::CASE => open.push(Open::Case),
                // Anywhere else it is a name.
                Keyword::END if open.last() == Some(&Open::Case) && before != Keyword::CASE => {
                    open.pop();
                    run = 0;
                }
                Keyword::NoKeyword => run = 0,
                _ => run += 1,
            },
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Comma | Token::Mul => run = 0,
            _ => run += 1,
        }
        before = match token {
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        deepest = deepest.max(open.iter().map(cost).sum::<usize>() + run);
    }
    deepest
}

/// Words before a bracket that the parser reads in two ways.
pub const TRIED_TWICE: [Keyword; 19] = [
    Keyword::CAST,
    Keyword::TRY_CAST,
    Keyword::SAFE_CAST,
    Keyword::CONVERT,
    Keyword::TRY_CONVERT,
    Keyword::POSITION,
    Keyword::CEIL,
    Keyword::FLOOR,
    Keyword::SUBSTRING,
    Keyword::OVERLAY,
    Keyword::TRIM,
    Keyword::EXTRACT,
    Keyword::SUBSTR,
    Keyword::NOT,
    Keyword::CURRENT_DATE,
    Keyword::CURRENT_TIME,
    Keyword::CURRENT_TIMESTAMP,
    Keyword::LOCALTIME,
    Keyword::LOCALTIMESTAMP,
];
