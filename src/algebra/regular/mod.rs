//! Regular expressions, of the crate `regex`: each has a limited size, and the time of a search is bounded by that and by the length of the text.

mod compiled;
mod similar;

use super::scalars::{Value, short};
use super::{MAX_TEXT_BYTES, Type};
use compiled::Compiled;
use std::borrow::Cow;
use std::sync::Arc;

/// What is looked for in a text, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Search {
    pattern: String,
    find: Find,
    compiled: Arc<Compiled>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Find {
    /// Whether there is one.
    Any,
    /// The number of those that do not overlap.
    Count,
    /// The position of the first one in characters, from 1; 0 where there is none.
    Position,
    /// The first one; NULL where there is none.
    First,
    /// The text with others in their place: of all, or of the first. `\1` to `\9` are the groups of the match, `\&` is all of it.
    Replaced { with: String, all: bool },
}

impl Search {
    /// `flags` are letters of `i` (either case), `m` (`^` and `$` at lines), `s` (`.` is a line's end too) and `x` (white space means nothing).
    ///
    /// Err is why there is no such search, for people.
    pub fn new(pattern: &str, flags: &str, find: Find) -> Result<Search, &'static str> {
        if !flags.chars().all(|flag| "imsx".contains(flag)) {
            return Err("the flags of a regular expression are i, m, s and x, and g of regexp_replace");
        }
        let pattern = if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
        let compiled = Arc::new(Compiled::new(&pattern)?);
        Ok(Search { pattern, find, compiled })
    }

    /// SQL's SIMILAR TO.
    pub fn similar(pattern: &str) -> Result<Search, &'static str> {
        let pattern = similar::similar(pattern).ok_or("this pattern of SIMILAR TO is not valid")?;
        Search::new(&pattern, "", Find::Any)
    }

    pub fn result(&self) -> Type {
        match self.find {
            Find::Any => Type::Bool,
            Find::Count | Find::Position => Type::Int,
            Find::First | Find::Replaced { .. } => Type::Text,
        }
    }

    /// The call in words.
    pub fn shown(&self, argument: &str) -> String {
        let name = match self.find {
            Find::Any => "regexp_like",
            Find::Count => "regexp_count",
            Find::Position => "regexp_instr",
            Find::First => "regexp_substr",
            Find::Replaced { .. } => "regexp_replace",
        };
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let with =
            if let Find::Replaced { with, .. } = &self.find { format!(", {}", quoted(with)) } else { String::new() };
        format!("{name}({argument}, {}{with})", quoted(&self.pattern))
    }

    /// In this text; None is NULL.
    pub fn of(&self, text: &str) -> Option<Value<'static>> {
        let first = || self.compiled.regex().find(text);
        match &self.find {
            Find::Any => Some(Value::Bool(self.compiled.regex().is_match(text))),
            Find::Count => {
                let mut count = 0;
                self.compiled.matches(text, usize::MAX, |_| count += 1)?;
                Some(Value::Int(count))
            }
            Find::Position => {
                let before = first().map(|found| text[..found.start()].chars().count() as i64 + 1);
                Some(Value::Int(before.unwrap_or(0)))
            }
            Find::First => Some(Value::Text(Cow::Owned(first()?.as_str().to_owned()))),
            Find::Replaced { with, all } => {
                let (mut replaced, mut at) = (String::new(), 0);
                self.compiled.matches(text, if *all { usize::MAX } else { 1 }, |captures| {
                    let Some(found) = captures.get(0) else { return };
                    // What is too long already stays so.
                    if replaced.len() <= MAX_TEXT_BYTES {
                        replaced += &text[at..found.start()];
                        captures.expand(with, &mut replaced);
                    }
                    at = found.end();
                })?;
                short(replaced + &text[at..])
            }
        }
    }
}

/// A replacement as SQL writes it, in the crate's way.
pub fn replacement(sql: &str) -> String {
    let (mut text, mut characters) = (String::new(), sql.chars().peekable());
    while let Some(character) = characters.next() {
        match (character, characters.peek().copied()) {
            ('\\', Some(group)) if group.is_ascii_digit() => text += &format!("${{{group}}}"),
            ('\\', Some('&')) => text += "${0}",
            ('\\', Some('\\')) => text.push('\\'),
            ('$', _) => {
                text += "$$";
                continue;
            }
            _ => {
                text.push(character);
                continue;
            }
        }
        characters.next();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(search: Result<Search, &str>, text: &str) -> Option<Value<'static>> {
        search.unwrap().of(text)
    }

    fn text(text: &str) -> Option<Value<'static>> {
        Some(Value::Text(text.to_owned().into()))
    }

    #[test]
    fn searches_say_what_they_find() {
        let search = |find| Search::new("[a-c]+", "", find);
        assert!(found(search(Find::Any), "xxab") == Some(Value::Bool(true)));
        assert!(found(search(Find::Any), "xyz") == Some(Value::Bool(false)));
        assert!(found(search(Find::Count), "ab x c") == Some(Value::Int(2)));
        assert!(found(search(Find::Position), "äxab") == Some(Value::Int(3)));
        assert!(found(search(Find::Position), "x") == Some(Value::Int(0)));
        assert!(found(search(Find::First), "xxab c") == text("ab"));
        assert!(found(search(Find::First), "xx").is_none());
        let replaced = |with: &str, all| search(Find::Replaced { with: replacement(with), all });
        assert!(found(replaced("<\\&>", true), "ab x c") == text("<ab> x <c>"));
        assert!(found(replaced("$1\\\\", false), "ab x c") == text("$1\\ x c"));
        assert!(found(replaced(&"\\&".repeat(600), true), "abc").is_none());
        assert!(found(Search::new("B", "i", Find::Any), "b") == Some(Value::Bool(true)));
        assert!(
            found(Search::new("a+b|a", "", Find::Replaced { with: "".into(), all: true }), &"a".repeat(1_000))
                .is_none()
        );
        assert!(Search::new("a", "q", Find::Any).is_err());
    }
}
