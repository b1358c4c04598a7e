//! Regular expressions, of the crate `regex`: their time is linear in the text and in the expression, and an expression's size is limited.

use super::scalars::Value;
use super::{MAX_TEXT_BYTES, Type};
use regex::{NoExpand, Regex, RegexBuilder};
use std::borrow::Cow;

/// Largest compiled expression, in bytes.
const MAX_SIZE: usize = 256 << 10;

/// What is looked for in a text, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Search {
    pattern: String,
    find: Find,
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
    /// None where the expression is not valid or too large. `flags` are letters of `i` (either case), `m` (`^` and `$` at lines), `s` (`.` is a line's end
    /// too) and `x` (white space means nothing).
    pub fn new(pattern: &str, flags: &str, find: Find) -> Option<Search> {
        let known = flags.chars().all(|flag| "imsx".contains(flag));
        let pattern = if flags.is_empty() { pattern.to_owned() } else { format!("(?{flags}){pattern}") };
        let search = known.then_some(Search { pattern, find })?;
        search.compiled().map(|_| search)
    }

    /// SQL's SIMILAR TO: all of the text, with % for any text and _ for any character.
    pub fn similar(pattern: &str) -> Option<Search> {
        let (mut text, mut characters, mut in_set) = (String::from("^(?s:"), pattern.chars(), false);
        while let Some(character) = characters.next() {
            match character {
                '\\' => text += &regex::escape(&characters.next()?.to_string()),
                '%' if !in_set => text += ".*",
                '_' if !in_set => text.push('.'),
                '.' | '^' | '$' if !in_set => text += &regex::escape(&character.to_string()),
                '[' if in_set => text += "\\[",
                '&' | '~' if in_set => text += &format!("\\{character}"),
                _ => {
                    in_set = if in_set { character != ']' } else { character == '[' };
                    text.push(character);
                }
            }
        }
        Search::new(&(text + ")$"), "", Find::Any)
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
        format!("{name}({argument}, '{}')", self.pattern.replace('\'', "''"))
    }

    fn compiled(&self) -> Option<Regex> {
        RegexBuilder::new(&self.pattern).size_limit(MAX_SIZE).dfa_size_limit(MAX_SIZE).build().ok()
    }

    /// A function of texts that does so; None is NULL.
    pub fn function(&self) -> Option<impl Fn(&str) -> Option<Value<'static>>> {
        let (regex, find) = (self.compiled()?, self.find.clone());
        let text = |text: Cow<str>| (text.len() <= MAX_TEXT_BYTES).then(|| Value::Text(Cow::Owned(text.into_owned())));
        Some(move |of: &str| match &find {
            Find::Any => Some(Value::Bool(regex.is_match(of))),
            Find::Count => Some(Value::Int(regex.find_iter(of).count() as i64)),
            Find::Position => {
                let before = regex.find(of).map(|found| of[..found.start()].chars().count() as i64 + 1);
                Some(Value::Int(before.unwrap_or(0)))
            }
            Find::First => text(Cow::Borrowed(regex.find(of)?.as_str())),
            Find::Replaced { with, all } => {
                let limit = if *all { 0 } else { 1 };
                text(match with.contains('$') {
                    true => regex.replacen(of, limit, with.as_str()),
                    false => regex.replacen(of, limit, NoExpand(with)),
                })
            }
        })
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

    fn found(search: Option<Search>, text: &str) -> Option<Value<'static>> {
        search.unwrap().function().unwrap()(text)
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
    }

    #[test]
    fn similar_to_is_the_standards() {
        for (pattern, yes, no) in [
            ("h%", "hiv", "ahiv"),
            ("_lu", "flu", "flut"),
            ("(flu|hiv)", "hiv", "hivflu"),
            ("a.c", "a.c", "abc"),
            ("[a-c]+", "abcab", "abd"),
            ("[^a-c]", "d", "a"),
            ("a{2,3}", "aaa", "aaaa"),
            ("50\\%", "50%", "500"),
            ("%\n%", "a\nb", "ab"),
            ("[[]", "[", "x"),
        ] {
            assert!(found(Search::similar(pattern), yes) == Some(Value::Bool(true)), "{pattern} {yes}");
            assert!(found(Search::similar(pattern), no) == Some(Value::Bool(false)), "{pattern} {no}");
        }
        assert!(Search::similar("(a").is_none() && Search::similar("a\\").is_none());
    }

    #[test]
    fn what_is_too_large_is_refused() {
        assert!(Search::new("(\\w{50}){50}", "", Find::Any).is_none());
        assert!(Search::new("(", "", Find::Any).is_none());
        assert!(Search::new("a", "q", Find::Any).is_none());
        // Back references are not regular.
        assert!(Search::new("(a)\\1", "", Find::Any).is_none());
    }
}
