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
        let words = tokens.iter().filter_map(|t| {
            let text = match &t.token {
                Token::Whitespace(_) => return None,
                Token::Word(word) => word.value.to_lowercase(),
                Token::SingleQuotedString(text) => text.to_lowercase(),
                other => other.to_string().to_lowercase(),
            };
            position(t.span.start).map(|at| (text, at))
        });
        Locator { words: words.collect(), outer: None }
    }

    /// The first place of this token, in any case: a keyword, a name, an operator, or a string without its quotes.
    pub fn find(&self, word: &str) -> Option<Position> {
        let wanted = word.to_lowercase();
        self.words.iter().find(|(found, _)| *found == wanted).map(|(_, at)| *at)
    }
}

/// The place of a parser's location; empty ones have line 0.
pub fn position(location: Location) -> Option<Position> {
    (location.line > 0).then_some(Position { line: location.line, column: location.column })
}
