//! Compiled regular expressions, and how much of a text they read.
//!
//! One search reads a text once in each direction, but that for the next match starts again where the last one ended, and may have read up to the text's end
//! before: over all matches that is quadratic. So what searches read is counted, by running the same automaton, and has a limit.

use super::super::MAX_TEXT_BYTES;
use regex::{Regex, RegexBuilder};
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::{Input, MatchKind};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetBinaryOp, ClassSetItem, Span, Visitor,
};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Largest compiled expression, in bytes: about a hundred states, each of which a byte of a text may cost a step.
const MAX_SIZE: usize = 8 << 10;

/// Longest expression, in bytes: sets of characters take time before their size is known.
const MAX_PATTERN: usize = 1_000;

/// Most classes beyond ASCII: `\p` ones, which have hundreds of ranges, and ranges, of which each character is looked up in either case.
const MAX_WIDE: usize = 8;

/// Most characters in ranges beyond ASCII.
const MAX_CHARACTERS: u32 = 50_000;

/// Most bytes of a text that its searches read, each time counted.
const MAX_READ: usize = 8 * MAX_TEXT_BYTES;

const INVALID: &str = "this regular expression is not valid: there are no back references and no look-around, and the edge of a word is \\b";

const NESTED: &str = "brackets inside of brackets are for classes such as [[:alpha:]], and there are no operations on sets: write \\[, \\&, \\- or \\~ for the character";

const WORD_EDGE: &str = "of the edges of words there is \\b alone";

const TOO_LARGE: &str = "this regular expression is too large: a repeat such as {1,64} is written out, and . or [^a] counts for any character, so use + or * for them; \\p classes are large too, so write ranges such as [A-Za-zÀ-ÿ]";

/// Equal expressions are compiled to the same.
pub struct Compiled {
    regex: Regex,
    automaton: DFA,
    caches: Pool<Cache, NewCache>,
}

type NewCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

impl Compiled {
    /// `\d`, `\w`, `\s` and `\b` are of ASCII, as in RE2. Err is why there is none.
    pub fn new(pattern: &str) -> Result<Compiled, &'static str> {
        if pattern.len() > MAX_PATTERN {
            return Err(TOO_LARGE);
        }
        let pattern = in_ascii(pattern)?;
        let regex = RegexBuilder::new(&pattern).size_limit(MAX_SIZE).dfa_size_limit(16 * MAX_SIZE).build();
        let regex =
            regex.map_err(|e| if matches!(e, regex::Error::CompiledTooBig(_)) { TOO_LARGE } else { INVALID })?;
        let automaton = DFA::builder()
            .configure(DFA::config().match_kind(MatchKind::LeftmostFirst))
            .thompson(thompson::Config::new().nfa_size_limit(Some(2 * MAX_SIZE)))
            .build(&pattern)
            .map_err(|_| TOO_LARGE)?;
        let of = automaton.clone();
        let caches: NewCache = Box::new(move || of.create_cache());
        Ok(Compiled { regex, automaton, caches: Pool::new(caches) })
    }

    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// Calls `each` with the captures of all matches that do not overlap, up to `most` of them. None where they take more reading than one may.
    pub fn matches<'t>(&self, text: &'t str, most: usize, mut each: impl FnMut(&regex::Captures<'t>)) -> Option<()> {
        let mut cache = self.caches.get();
        let (mut found, mut start, mut left) = (self.regex.captures_iter(text), 0, MAX_READ);
        for _ in 0..most {
            left = left.checked_sub(self.read(&mut cache, text, start)?)?;
            let Some(captures) = found.next() else { break };
            start = captures.get(0)?.end();
            each(&captures);
        }
        Some(())
    }

    /// Bytes that the search from `start` on reads before it knows the match.
    fn read(&self, cache: &mut Cache, text: &str, start: usize) -> Option<usize> {
        let mut state = self.automaton.start_state_forward(cache, &Input::new(text).range(start..)).ok()?;
        for (read, byte) in text.as_bytes()[start..].iter().enumerate() {
            state = self.automaton.next_state(cache, state, *byte).ok()?;
            if state.is_dead() {
                return Some(read + 1);
            }
        }
        Some(text.len() - start + 1)
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("..")
    }
}

impl PartialEq for Compiled {
    fn eq(&self, _: &Compiled) -> bool {
        true
    }
}

impl Eq for Compiled {}

impl Hash for Compiled {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The expression with ASCII classes in the place of Unicode's, which are hundreds of ranges.
fn in_ascii(pattern: &str) -> Result<String, &'static str> {
    let tree = Parser::new().parse(pattern).map_err(|_| INVALID)?;
    let found = ast::visit(&tree, Classes::default())?;
    let (mut text, mut at) = (String::new(), 0);
    for (span, class) in found.replaced {
        text += &pattern[at..span.start.offset];
        text += &class;
        at = span.end.offset;
    }
    Ok(text + &pattern[at..])
}

#[derive(Default)]
struct Classes {
    replaced: Vec<(Span, String)>,
    wide: usize,
    characters: u32,
}

impl Classes {
    fn perl(&mut self, class: &ClassPerl, open: &str, close: &str) {
        let name = match class.kind {
            ClassPerlKind::Digit => "digit",
            ClassPerlKind::Space => "space",
            ClassPerlKind::Word => "word",
        };
        let not = if class.negated { "^" } else { "" };
        self.replaced.push((class.span, format!("{open}[:{not}{name}:]{close}")));
    }

    fn wide(&mut self) -> Result<(), &'static str> {
        self.wide += 1;
        if self.wide > MAX_WIDE { Err(TOO_LARGE) } else { Ok(()) }
    }
}

impl Visitor for Classes {
    type Output = Classes;
    type Err = &'static str;

    fn finish(self) -> Result<Classes, &'static str> {
        Ok(self)
    }

    fn visit_pre(&mut self, tree: &Ast) -> Result<(), &'static str> {
        match tree {
            Ast::ClassPerl(class) => self.perl(class, "[", "]"),
            Ast::ClassUnicode(_) => self.wide()?,
            Ast::Assertion(is) => match is.kind {
                AssertionKind::WordBoundary => self.replaced.push((is.span, r"(?-u:\b)".to_owned())),
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText => {}
                _ => return Err(WORD_EDGE),
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), &'static str> {
        match item {
            ClassSetItem::Perl(class) => self.perl(class, "", ""),
            ClassSetItem::Unicode(_) => self.wide()?,
            ClassSetItem::Range(range) if !range.end.c.is_ascii() => {
                self.characters = self.characters.saturating_add(range.end.c as u32 - range.start.c as u32);
                if self.characters > MAX_CHARACTERS {
                    return Err(TOO_LARGE);
                }
                self.wide()?;
            }
            ClassSetItem::Bracketed(_) => return Err(NESTED),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), &'static str> {
        Err(NESTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pattern: &str, text: &str) -> Option<usize> {
        let mut count = 0;
        Compiled::new(pattern).unwrap().matches(text, usize::MAX, |_| count += 1).map(|()| count)
    }

    #[test]
    fn classes_are_of_ascii() {
        assert_eq!(in_ascii(r"\d+[\w-]\b\S").unwrap(), r"[[:digit:]]+[[:word:]-](?-u:\b)[[:^space:]]");
        assert_eq!(in_ascii(r"\\d[^\D]").unwrap(), r"\\d[^[:^digit:]]");
        assert_eq!((count(r"\w", "aé1"), count(r"\W", "aé1"), count(r"\ba", "éa a")), (Some(2), Some(1), Some(2)));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        for pattern in [r"(\w{50}){50}", r".{100}", r"\pL", "(a{100}){100}", "((a*)*)*{1000}", &"a".repeat(1_001)] {
            assert_eq!(Compiled::new(pattern).err(), Some(TOO_LARGE), "{pattern}");
        }
        // Without a limit on classes, a second for each.
        assert_eq!(Compiled::new(&format!("(?i)[{}]", r"\pL".repeat(300))).err(), Some(TOO_LARGE));
        let wide = format!("(?i)[{}]", "!-\u{10ffff}".repeat(100));
        assert_eq!(Compiled::new(&wide).err(), Some(TOO_LARGE));
        assert_eq!(Compiled::new("(?i)[!-\u{10ffff}]").err(), Some(TOO_LARGE));
        assert!(Compiled::new("(?i)[一-鿿]").is_ok());
        for pattern in ["(", r"(a)\1", "(?=a)", "[", r"\q", "a{2,1}", r"\y"] {
            assert_eq!(Compiled::new(pattern).err(), Some(INVALID), "{pattern}");
        }
        for pattern in ["[[:<:]]a", "[[=a=]]", "[a&&b]", "[a--b]", "[a[b]]", "(?i)[[!-~]]"] {
            assert_eq!(Compiled::new(pattern).err(), Some(NESTED), "{pattern}");
        }
        for pattern in [r"a\Bb", r"\<a", r"\b{start}a"] {
            assert_eq!(Compiled::new(pattern).err(), Some(WORD_EDGE), "{pattern}");
        }
        for pattern in [
            r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
            r"^\+?\d{1,3}[ -]?[\d -]{6,14}$",
            r"\w+@\w+\.\w+",
            r"https?://[^/\s]+/.*",
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "(?i)influenza|hepatitis|diabetes|asthma|cancer|migraine|arthritis",
            r"\p{Greek}",
            "(?i)^[A-Za-zÀ-ÿ' -]+$",
            "[[:alpha:]_]+[^[:digit:]]",
        ] {
            assert!(Compiled::new(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn reading_is_bounded() {
        let letters = "a".repeat(MAX_TEXT_BYTES);
        // Each search for `a+b` reads to the end before it takes the one letter.
        assert_eq!(count("a+b|a", &letters), None);
        assert_eq!(count("a+b|a", "aaa"), Some(3));
        assert_eq!(
            (count("a", &letters), count("a*", &letters), count("a*?", &letters)),
            (Some(1024), Some(1), Some(1025))
        );
        assert_eq!(count(r"\d+", &"12 a ".repeat(204)), Some(204));
        assert_eq!(count(r"\w+\s*", &"ab  c".repeat(204)), Some(205));
        assert_eq!(count("", &"é".repeat(512)), Some(513));
        assert_eq!(count(r"(?m)^.*$", &"a\n".repeat(512)), Some(513));
    }
}
