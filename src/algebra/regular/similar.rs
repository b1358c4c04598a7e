//! SQL's SIMILAR TO as a regular expression.

use std::iter::Peekable;
use std::str::Chars;

/// All of the text, with % for any text and _ for any character; a backslash takes their meaning away. None where it is no pattern.
pub fn similar(pattern: &str) -> Option<String> {
    let (mut text, mut characters, mut open) = (String::from("^(?s:"), pattern.chars().peekable(), 0usize);
    while let Some(character) = characters.next() {
        match character {
            '\\' => escaped(&mut characters, &mut text)?,
            '%' => text += ".*",
            '_' => text.push('.'),
            '.' | '^' | '$' => text += &regex::escape(&character.to_string()),
            '(' if characters.peek() == Some(&'?') => return None,
            '(' => {
                open += 1;
                text += "(?:";
            }
            ')' => {
                // What would close the group around all.
                open = open.checked_sub(1)?;
                text.push(')');
            }
            '[' => set(&mut characters, &mut text)?,
            _ => text.push(character),
        }
    }
    Some(text + ")$")
}

/// A character for itself; of a letter or digit other engines make a class.
fn escaped(characters: &mut Peekable<Chars>, text: &mut String) -> Option<()> {
    let character = characters.next().filter(|character| !character.is_alphanumeric())?;
    *text += &regex::escape(&character.to_string());
    Some(())
}

/// POSIX's classes of characters.
const CLASSES: [&str; 12] =
    ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"];

/// A set of characters, of which the bracket is read.
fn set(characters: &mut Peekable<Chars>, text: &mut String) -> Option<()> {
    text.push('[');
    if characters.next_if_eq(&'^').is_some() {
        text.push('^');
    }
    let mut first = true;
    loop {
        match characters.next()? {
            ']' if !first => break,
            '\\' => escaped(characters, text)?,
            // Equivalence classes and collating elements are of no locale.
            '[' if matches!(characters.peek(), Some('=' | '.')) => return None,
            '[' if characters.peek() == Some(&':') => {
                let name: String = characters.by_ref().skip(1).take_while(|c| *c != ']').collect();
                *text += CLASSES.contains(&name.strip_suffix(':')?).then(|| format!("[:{name}]"))?.as_str();
            }
            // A range has a character on both sides.
            '-' if !first && !matches!(characters.peek(), Some(']' | '-')) => text.push('-'),
            other @ (']' | '[' | '-' | '&' | '~' | '^') => text.extend(['\\', other]),
            other => text.push(other),
        }
        first = false;
    }
    text.push(']');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::{Find, Search, Value};

    #[test]
    fn similar_to_is_the_standards() {
        let found = |pattern: &str, text: &str| {
            let search = Search::similar(pattern).unwrap();
            search.find == Find::Any && search.of(text) == Some(Value::Bool(true))
        };
        for (pattern, yes, no) in [
            ("h%", "hiv", "ahiv"),
            ("_lu", "flu", "flut"),
            ("(flu|hiv)", "hiv", "hivflu"),
            ("flu|hiv", "hiv", "hivflu"),
            ("a.c", "a.c", "abc"),
            ("[a-c]+", "abcab", "abd"),
            ("[^a-c]", "d", "a"),
            ("a{2,3}", "aaa", "aaaa"),
            ("50\\%", "50%", "500"),
            ("%\n%", "a\nb", "ab"),
            ("[[]", "[", "x"),
            ("[]a]", "]", "b"),
            ("[^]a]", "b", "]"),
            ("[%_]", "%", "a"),
            ("[[:digit:]a-c]+", "1b2", "d"),
            ("[a-]", "-", "b"),
            ("[-a]", "-", "b"),
            ("[a&&b]", "&", "c"),
            ("[a\\]]", "]", "b"),
            ("$1^", "$1^", "1"),
        ] {
            assert!(found(pattern, yes), "{pattern} {yes}");
            assert!(!found(pattern, no), "{pattern} {no}");
        }
        for pattern in
            ["(a", "a\\", "a)|(b", "(?i)a", "[a", "[[:letters:]]", "[[:alpha", "{2}", "\\d", "[\\d]", "[[=a=]]"]
        {
            assert!(Search::similar(pattern).is_err(), "{pattern}");
        }
    }
}
