//! Places in the SQL text.

use crate::error::Position;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// Finds words of the text again, so that a refusal can point at what it means.
pub struct Locator {
    words: Vec<(String, Position)>,
    /// Where the outermost SELECT begins.
    pub outer: Option<Position>,
}

impl Locator {
    pub fn new(tokens: &[TokenWithSpan]) -> Self {
        let words = tokens.iter().filter_map(|t| match &t.token {
            Token::Word(word) => position(t.span.start).map(|at| (word.value.to_lowercase(), at)),
            Token::Mul => position(t.span.start).map(|at| ("*".to_owned(), at)),
            _ => None,
        });
        Locator { words: words.collect(), outer: None }
    }

    /// The first place of this word, in any case. `DISTINCT` is found by "distinct", a function by its name.
    pub fn find(&self, word: &str) -> Option<Position> {
        let wanted = word.to_lowercase();
        self.words.iter().find(|(found, _)| *found == wanted).map(|(_, at)| *at)
    }
}

/// The place of a parser's location; empty ones have line 0.
pub fn position(location: Location) -> Option<Position> {
    (location.line > 0).then_some(Position { line: location.line, column: location.column })
}
