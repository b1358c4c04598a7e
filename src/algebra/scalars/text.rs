//! Functions of texts.
//!
//! A character is a Unicode code point, and positions are counted in characters, from 1. Semantics are PostgreSQL's
//! (`soundex` that of its `fuzzystrmatch`); `substr_index` and `find_in_set` are MySQL's. Counts that only a text longer
//! than [`MAX_TEXT_BYTES`] can have are NULL, so that bounds hold whatever the texts are.

use super::{Bounds, MAX_TEXT_BYTES, Overload, Scalar, Type, Value, short, unknown};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Name, aliases, form, meaning and overloads. An argument in the body of an overload is a reference; the number after
/// `Int` is the highest result, 0 the lowest.
macro_rules! scalar {
    ($name:literal $(or $alias:literal)*, $form:literal, $about:literal,
     $(($($argument:ident: $kind:ident),*) -> $gives:ident $([$highest:expr])? { $result:expr })*) => {
        Scalar {
            name: $name,
            aliases: &[$($alias),*],
            overloads: &[$(Overload {
                takes: &[$(Type::$kind),*],
                gives: Type::$gives,
                of: |arguments| match arguments {
                    [$(Value::$kind($argument)),*] => $result,
                    _ => None,
                },
                bounds: bounds!($($highest)?),
            }),*],
            about: $about,
            form: $form,
        }
    };
}

macro_rules! bounds {
    () => {
        unknown
    };
    ($highest:expr) => {
        |_| Bounds::new(0.0, $highest as f64)
    };
}

const MAX_BITS: usize = 8 * MAX_TEXT_BYTES;
const MAX_CODE: usize = char::MAX as usize;
/// Most characters of texts whose edits are counted, as in PostgreSQL: it takes time for each pair of them.
const MAX_EDITED: usize = 255;

pub const ALL: &[Scalar] = &[
    scalar!("lower", "lower(text)", "The text in lower case, by Unicode. NULL where that is too long a text.",
        (text: Text) -> Text { short(text.to_lowercase()) }),
    scalar!("upper", "upper(text)", "The text in upper case, by Unicode. NULL where that is too long a text.",
        (text: Text) -> Text { short(text.to_uppercase()) }),
    scalar!("initcap", "initcap(text)",
        "The text with the first letter of each word in upper case and the others in lower case. Words are made of \
         letters and digits. NULL where that is too long a text.",
        (text: Text) -> Text { short(initcap(text)) }),
    scalar!("trim" or "btrim", "trim(text [, characters])",
        "The text without the spaces at both ends; with `characters`, without any of these characters there.",
        (text: Text) -> Text { part(text.trim_matches(' ')) }
        (text: Text, characters: Text) -> Text { part(text.trim_matches(any_of(characters))) }),
    scalar!("ltrim", "ltrim(text [, characters])",
        "The text without the spaces at its start; with `characters`, without any of these characters there.",
        (text: Text) -> Text { part(text.trim_start_matches(' ')) }
        (text: Text, characters: Text) -> Text { part(text.trim_start_matches(any_of(characters))) }),
    scalar!("rtrim", "rtrim(text [, characters])",
        "The text without the spaces at its end; with `characters`, without any of these characters there.",
        (text: Text) -> Text { part(text.trim_end_matches(' ')) }
        (text: Text, characters: Text) -> Text { part(text.trim_end_matches(any_of(characters))) }),
    scalar!("reverse", "reverse(text)", "The characters of the text in reverse order.",
        (text: Text) -> Text { short(text.chars().rev().collect()) }),
    scalar!("length" or "char_length" or "character_length", "length(text)", "How many characters the text has.",
        (text: Text) -> Int[MAX_TEXT_BYTES] { up_to(MAX_TEXT_BYTES, text.chars().count()) }),
    scalar!("octet_length", "octet_length(text)", "How many bytes the text has in UTF-8.",
        (text: Text) -> Int[MAX_TEXT_BYTES] { up_to(MAX_TEXT_BYTES, text.len()) }),
    scalar!("bit_length", "bit_length(text)", "How many bits the text has in UTF-8: 8 for each byte.",
        (text: Text) -> Int[MAX_BITS] { up_to(MAX_BITS, text.len().saturating_mul(8)) }),
    scalar!("text_concat", "a || b", "The text `a`, then the text `b`. NULL where that is too long a text.",
        (a: Text, b: Text) -> Text { joined(&[a, b]) }),
    scalar!("left", "left(text, n)", "The first `n` characters; of a negative `n` all but the last `-n`.",
        (text: Text, n: Int) -> Text { part(cut(text, if *n < 0 { length(text) + n } else { *n }).0) }),
    scalar!("right", "right(text, n)", "The last `n` characters; of a negative `n` all but the first `-n`.",
        (text: Text, n: Int) -> Text { part(cut(text, if *n < 0 { n.saturating_neg() } else { length(text) - n }).1) }),
    scalar!("lpad", "lpad(text, length [, fill])",
        "The text with `fill` (a space if not given) repeated before it, to `length` characters; a longer text is cut at \
         its end. NULL where that is too long a text.",
        (text: Text, length: Int) -> Text { lpad(text, *length, " ") }
        (text: Text, length: Int, fill: Text) -> Text { lpad(text, *length, fill) }),
    scalar!("rpad", "rpad(text, length [, fill])",
        "The text with `fill` (a space if not given) repeated after it, to `length` characters; a longer text is cut at \
         its end. NULL where that is too long a text.",
        (text: Text, length: Int) -> Text { rpad(text, *length, " ") }
        (text: Text, length: Int, fill: Text) -> Text { rpad(text, *length, fill) }),
    scalar!("repeat", "repeat(text, n)",
        "The text `n` times; empty if `n` is negative. NULL where that is too long a text.",
        (text: Text, n: Int) -> Text { repeat(text, *n) }),
    scalar!("replace", "replace(text, from, to)",
        "The text with `to` for each `from` in it; the text as it is if `from` is empty. NULL where that is too long a \
         text.",
        (text: Text, from: Text, to: Text) -> Text { replace(text, from, to) }),
    scalar!("translate", "translate(text, from, to)",
        "The text with each character that is in `from` replaced by the one at the same place in `to`, or left out if \
         there is none. NULL where that is too long a text.",
        (text: Text, from: Text, to: Text) -> Text { short(translate(text, from, to)) }),
    scalar!("overlay", "overlay(text PLACING replacement FROM start [FOR length])",
        "The text with `replacement` for the `length` characters from `start` on; without `length`, for as many as \
         `replacement` has. NULL if `start` is below 1, and where that is too long a text.",
        (text: Text, new: Text, start: Int) -> Text { overlay(text, new, *start, length(new)) }
        (text: Text, new: Text, start: Int, length: Int) -> Text { overlay(text, new, *start, *length) }),
    scalar!("substr" or "substring", "substr(text, start [, length])",
        "The characters from `start` on, `length` of them at most. Places before the first character count towards the \
         length. NULL if `length` is negative.",
        (text: Text, start: Int) -> Text { part(cut(text, start.saturating_sub(1)).1) }
        (text: Text, start: Int, length: Int) -> Text { substr(text, *start, *length) }),
    scalar!("split_part", "split_part(text, delimiter, n)",
        "The field number `n` of the text, counted from the end if negative; empty if there is none. NULL if `n` is 0.",
        (text: Text, delimiter: Text, n: Int) -> Text { split_part(text, delimiter, *n) }),
    scalar!("substr_index" or "substring_index", "substr_index(text, delimiter, n)",
        "What is before the `n`th delimiter; of a negative `n`, what is after the `-n`th from the end. The whole text \
         if there are fewer; empty if `n` is 0 or the delimiter is empty.",
        (text: Text, delimiter: Text, n: Int) -> Text { part(substr_index(text, delimiter, *n)) }),
    scalar!("strpos" or "instr", "strpos(text, part)",
        "The position of the first `part` in the text, from 1; 0 if there is none.",
        (text: Text, part: Text) -> Int[MAX_TEXT_BYTES] { up_to(MAX_TEXT_BYTES, strpos(text, part)) }),
    scalar!("find_in_set", "find_in_set(text, list)",
        "The number of the first item that is the text, from 1, in a list with commas between its items; 0 if there is \
         none or the list is empty.",
        (text: Text, list: Text) -> Int[MAX_TEXT_BYTES] { up_to(MAX_TEXT_BYTES, find_in_set(text, list)) }),
    scalar!("starts_with", "starts_with(text, part)", "Whether the text starts with `part`.",
        (text: Text, part: Text) -> Bool { Some(Value::Bool(text.starts_with(&**part))) }),
    scalar!("ends_with", "ends_with(text, part)", "Whether the text ends with `part`.",
        (text: Text, part: Text) -> Bool { Some(Value::Bool(text.ends_with(&**part))) }),
    scalar!("contains", "contains(text, part)", "Whether `part` is in the text.",
        (text: Text, part: Text) -> Bool { Some(Value::Bool(text.contains(&**part))) }),
    scalar!("ascii", "ascii(text)", "The Unicode number of the first character; 0 of an empty text.",
        (text: Text) -> Int[MAX_CODE] { up_to(MAX_CODE, text.chars().next().map_or(0, |first| first as usize)) }),
    scalar!("chr", "chr(n)", "The character with this Unicode number. NULL if there is none, and for 0.",
        (n: Int) -> Text { chr(*n) }),
    scalar!("levenshtein", "levenshtein(a, b)",
        "How many characters one must insert, delete or replace to make `b` of `a`. NULL where one has more than 255 \
         characters.",
        (a: Text, b: Text) -> Int[MAX_EDITED] { levenshtein(a, b).and_then(|edits| up_to(MAX_EDITED, edits)) }),
    scalar!("soundex", "soundex(text)",
        "How an English name sounds, as a letter and three digits; empty if there is no letter from A to Z.",
        (text: Text) -> Text { short(soundex(text.as_bytes())) }),
];

fn up_to(highest: usize, count: usize) -> Option<Value<'static>> {
    (count <= highest).then_some(Value::Int(count as i64))
}

fn part(text: &str) -> Option<Value<'static>> {
    joined(&[text])
}

/// The texts one after the other, not built if that is too long.
fn joined(texts: &[&str]) -> Option<Value<'static>> {
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    (bytes <= MAX_TEXT_BYTES).then(|| Value::Text(Cow::Owned(texts.concat())))
}

fn length(text: &str) -> i64 {
    text.chars().count() as i64
}

/// The first `count` characters, and the others.
fn cut(text: &str, count: i64) -> (&str, &str) {
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    text.split_at(text.char_indices().nth(count).map_or(text.len(), |(at, _)| at))
}

/// A set, for the time to be linear in both texts.
fn any_of(characters: &str) -> impl Fn(char) -> bool {
    let characters: BTreeSet<char> = characters.chars().collect();
    move |character| characters.contains(&character)
}

fn initcap(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut in_word = false;
    for character in text.chars() {
        if in_word {
            result.extend(character.to_lowercase());
        } else {
            result.extend(character.to_uppercase());
        }
        in_word = character.is_alphanumeric();
    }
    result
}

/// The text cut to `length` characters, and what fills it up to them.
fn padding<'a>(text: &'a str, length: i64, fill: &str) -> Option<(&'a str, String)> {
    let kept = cut(text, length).0;
    let missing = usize::try_from(length.max(0)).unwrap_or(usize::MAX).saturating_sub(kept.chars().count());
    (fill.is_empty() || missing <= MAX_TEXT_BYTES).then(|| (kept, fill.chars().cycle().take(missing).collect()))
}

fn lpad(text: &str, length: i64, fill: &str) -> Option<Value<'static>> {
    let (kept, padding) = padding(text, length, fill)?;
    joined(&[&padding, kept])
}

fn rpad(text: &str, length: i64, fill: &str) -> Option<Value<'static>> {
    let (kept, padding) = padding(text, length, fill)?;
    joined(&[kept, &padding])
}

fn repeat(text: &str, n: i64) -> Option<Value<'static>> {
    let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
    if text.len().saturating_mul(n) > MAX_TEXT_BYTES {
        return None;
    }
    short(text.repeat(n))
}

fn replace(text: &str, from: &str, to: &str) -> Option<Value<'static>> {
    if from.is_empty() {
        return part(text);
    }
    let count = text.matches(from).count();
    if (text.len() - count * from.len()).saturating_add(count.saturating_mul(to.len())) > MAX_TEXT_BYTES {
        return None;
    }
    short(text.replace(from, to))
}

/// Of a character that is in `from` more than once, the first counts.
fn translate(text: &str, from: &str, to: &str) -> String {
    let mut replacements = BTreeMap::new();
    let mut to = to.chars();
    for character in from.chars() {
        let replacement = to.next();
        replacements.entry(character).or_insert(replacement);
    }
    text.chars().filter_map(|character| *replacements.get(&character).unwrap_or(&Some(character))).collect()
}

/// A negative length repeats characters of the text, as in PostgreSQL.
fn overlay(text: &str, replacement: &str, start: i64, length: i64) -> Option<Value<'static>> {
    let end = start.checked_add(length)?;
    if start < 1 {
        return None;
    }
    joined(&[cut(text, start - 1).0, replacement, cut(text, end.saturating_sub(1)).1])
}

fn substr(text: &str, start: i64, length: i64) -> Option<Value<'static>> {
    if length < 0 {
        return None;
    }
    let end = start.saturating_add(length);
    part(cut(cut(text, end.saturating_sub(1)).0, start.saturating_sub(1)).1)
}

/// Fields are found from the start even if counted from the end, which matters where delimiters could overlap.
fn split_part(text: &str, delimiter: &str, n: i64) -> Option<Value<'static>> {
    let fields: Vec<&str> = if delimiter.is_empty() { vec![text] } else { text.split(delimiter).collect() };
    let index = match n {
        0 => return None,
        1.. => n - 1,
        _ => fields.len() as i64 + n,
    };
    part(usize::try_from(index).ok().and_then(|index| fields.get(index)).unwrap_or(&""))
}

fn substr_index<'a>(text: &'a str, delimiter: &str, n: i64) -> &'a str {
    if n == 0 || delimiter.is_empty() {
        return "";
    }
    let index = usize::try_from(n.unsigned_abs() - 1).unwrap_or(usize::MAX);
    if n > 0 {
        text.match_indices(delimiter).nth(index).map_or(text, |(at, _)| &text[..at])
    } else {
        text.rmatch_indices(delimiter).nth(index).map_or(text, |(at, found)| &text[at + found.len()..])
    }
}

fn strpos(text: &str, part: &str) -> usize {
    text.find(part).map_or(0, |at| text[..at].chars().count() + 1)
}

fn find_in_set(text: &str, list: &str) -> usize {
    if list.is_empty() {
        return 0;
    }
    list.split(',').position(|item| item == text).map_or(0, |index| index + 1)
}

fn chr(n: i64) -> Option<Value<'static>> {
    let character = char::from_u32(u32::try_from(n).ok()?)?;
    if character == '\0' { None } else { short(character.into()) }
}

/// Row by row of the table of distances between what `a` and `b` start with (Wagner and Fischer). None of long texts,
/// for the time is quadratic.
fn levenshtein(a: &str, b: &str) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > MAX_EDITED {
        return None;
    }
    let same_start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[same_start..], &b[same_start..]);
    let same_end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - same_end], &b[..b.len() - same_end]);
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    Some(row[b.len()])
}

/// As in PostgreSQL, a letter counts only if its code is not that of the byte right before it, and H and W part equal
/// codes as vowels do. The code of other bytes is the byte itself.
fn soundex(text: &[u8]) -> String {
    let code = |byte: u8| match byte.to_ascii_uppercase() {
        letter @ b'A'..=b'Z' => b"01230120022455012623010202"[usize::from(letter - b'A')],
        other => other,
    };
    let Some(first) = text.iter().position(u8::is_ascii_alphabetic) else {
        return String::new();
    };
    let letters =
        text[first..].windows(2).filter(|pair| pair[1].is_ascii_alphabetic() && code(pair[0]) != code(pair[1]));
    let digits = letters.map(|pair| code(pair[1])).filter(|digit| *digit != b'0').chain([b'0'; 3]).take(3);
    [text[first].to_ascii_uppercase()].into_iter().chain(digits).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a literal is as a value.
    trait Literal {
        fn value(self) -> Option<Value<'static>>;
    }
    struct Null;
    macro_rules! literal {
        ($($literal:ty: |$it:ident| $value:expr),*) => {
            $(impl Literal for $literal {
                fn value(self) -> Option<Value<'static>> {
                    let $it = self;
                    $value
                }
            })*
        };
    }
    literal!(
        &'static str: |it| Some(Value::Text(it.into())),
        i64: |it| Some(Value::Int(it)),
        bool: |it| Some(Value::Bool(it)),
        Null: |_it| None
    );

    fn kind(value: &Value) -> Type {
        match value {
            Value::Int(_) => Type::Int,
            Value::Text(_) => Type::Text,
            Value::Bool(_) => Type::Bool,
            _ => unreachable!(),
        }
    }

    fn call(name: &str, arguments: &[Value]) -> Option<Value<'static>> {
        let scalar = ALL.iter().find(|scalar| scalar.name == name || scalar.aliases.contains(&name)).expect(name);
        let fits = |overload: &&Overload| overload.takes.iter().copied().eq(arguments.iter().map(kind));
        (scalar.overloads.iter().find(fits).expect(name).of)(arguments)
    }

    macro_rules! check {
        ($($name:ident($($argument:expr),*) = $result:expr;)*) => {
            $(assert!(
                call(stringify!($name), &[$(Literal::value($argument).unwrap()),*]) == Literal::value($result),
                "{}", stringify!($name($($argument),*) = $result)
            );)*
        };
    }

    #[test]
    fn known_values() {
        check! {
            lower("ÀB") = "àb"; upper("àß") = "ÀSS"; initcap("hELLO wORLD-éa 1ST") = "Hello World-Éa 1st";
            initcap("") = ""; trim("  a b ") = "a b"; btrim("\ta ") = "\ta"; trim("xyaxbyx", "yx") = "axb";
            trim("éaé", "é") = "a"; trim(" a", "") = " a"; ltrim(" a ") = "a "; ltrim("xxax", "x") = "ax";
            rtrim(" a ") = " a"; rtrim("axyx", "xy") = "a"; trim("xx", "x") = ""; reverse("aé𝄞") = "𝄞éa";
            length("aé𝄞") = 3; char_length("") = 0; octet_length("aé𝄞") = 7; bit_length("é") = 16;
            text_concat("a", "é") = "aé"; left("añb", 2) = "añ"; left("añb", -1) = "añ"; left("ab", -2) = "";
            left("ab", 9) = "ab"; left("ab", i64::MIN) = ""; right("añb", 2) = "ñb"; right("añb", -1) = "ñb";
            right("ab", -2) = ""; right("ab", 9) = "ab"; right("ab", i64::MIN) = ""; right("ab", i64::MAX) = "ab";
            left("ab", i64::MAX) = "ab"; right("ab", 0) = ""; lpad("hi", 5, "xy") = "xyxhi"; lpad("hi", 4) = "  hi";
            lpad("hello", 2, "x") = "he"; lpad("hi", 5, "") = "hi"; lpad("hi", -1, "x") = "";
            lpad("hi", i64::MAX, "x") = Null; lpad("hi", i64::MAX, "") = "hi"; lpad("hi", 1025) = Null;
            rpad("hi", 5, "xy") = "hixyx"; rpad("hi", 4) = "hi  "; rpad("hello", 2) = "he"; rpad("hi", 5, "") = "hi";
            rpad("a", 513, "é") = Null; repeat("ab", 3) = "ababab"; repeat("ab", -1) = "";
            repeat("x", 1_000_000_000_000_000_000) = Null; repeat("", i64::MAX) = ""; repeat("é", 513) = Null;
            replace("abcabc", "bc", "é") = "aéaé"; replace("abc", "", "x") = "abc"; replace("aaa", "aa", "b") = "ba";
            replace("", "a", "b") = ""; translate("12345", "143", "ax") = "a2x5"; translate("aba", "aa", "xy") = "xbx";
            translate("é", "é", "𝄞") = "𝄞"; translate("ab", "", "x") = "ab"; overlay("Txxxxas", "hom", 2, 4) = "Thomas";
            overlay("abcdef", "XY", 3) = "abXYef"; overlay("ab", "X", 9, 1) = "abX";
            overlay("abcdef", "X", 3, -1) = "abXbcdef"; overlay("ab", "X", 0, 1) = Null;
            overlay("ab", "X", 1, i64::MAX) = Null; overlay("ab", "X", 1, i64::MIN) = "Xab";
            overlay("ab", "X", i64::MAX, 0) = "abX"; overlay("abc", "X", 2, 0) = "aXbc";
            substr("alphabet", 3) = "phabet"; substring("alphabet", 3, 2) = "ph"; substr("añb", 2, 1) = "ñ";
            substr("abc", -1, 3) = "a"; substr("abc", 0, 1) = ""; substr("abc", 2, -1) = Null;
            substr("abc", i64::MIN, i64::MAX) = ""; substr("abc", i64::MIN) = "abc";
            substr("abc", i64::MAX, i64::MAX) = ""; substr("abc", 2, i64::MAX) = "bc"; substr("abc", -5) = "abc";
            substr("abc", i64::MAX) = ""; split_part("a~@~b~@~c", "~@~", 2) = "b"; split_part("a,b,c", ",", -1) = "c";
            split_part("a,b,c", ",", -3) = "a"; split_part("a,b", ",", 3) = ""; split_part("a,b", ",", -3) = "";
            split_part("a,b", ",", 0) = Null; split_part("aaa", "aa", -1) = "a"; split_part("ab", "", 1) = "ab";
            split_part("ab", "", -1) = "ab"; split_part("ab", "", 2) = ""; split_part("", ",", 1) = "";
            split_part("a", ",", i64::MIN) = ""; split_part("a", ",", i64::MAX) = "";
            substr_index("www.apache.org", ".", 1) = "www"; substring_index("www.apache.org", ".", 2) = "www.apache";
            substr_index("www.apache.org", ".", -1) = "org"; substr_index("www.apache.org", ".", -2) = "apache.org";
            substr_index("a.b", ".", 5) = "a.b"; substr_index("a.b", ".", i64::MIN) = "a.b";
            substr_index("a.b", "", 1) = ""; substr_index("a.b", ".", 0) = ""; strpos("éab", "b") = 3;
            instr("ab", "x") = 0; strpos("ab", "") = 1; strpos("", "") = 1; strpos("", "a") = 0;
            find_in_set("b", "a,b,c") = 2; find_in_set("", "a,,b") = 2; find_in_set("", "") = 0;
            find_in_set("a,b", "a,b") = 0; starts_with("abc", "ab") = true; starts_with("a", "ab") = false;
            ends_with("abc", "bc") = true; ends_with("abc", "") = true; contains("abc", "b") = true;
            contains("abc", "ac") = false; contains("", "") = true; ascii("A") = 65; ascii("𝄞") = 0x1D11E;
            ascii("") = 0; chr(65) = "A"; chr(0x1D11E) = "𝄞"; chr(0) = Null; chr(-1) = Null; chr(0xD800) = Null;
            chr(0x110000) = Null; chr(0x1_0000_0041) = Null; chr(i64::MIN) = Null; chr(0x10FFFF) = "\u{10FFFF}";
            levenshtein("kitten", "sitting") = 3; levenshtein("GUMBO", "GAMBOL") = 2; levenshtein("", "éa") = 2;
            levenshtein("ab", "ab") = 0; levenshtein("aab", "ab") = 1; levenshtein("abcd", "badc") = 3;
            soundex("hello world!") = "H464"; soundex("Anne") = "A500"; soundex("Andrew") = "A536";
            soundex("Margaret") = "M626"; soundex("Tymczak") = "T522"; soundex("Pfister") = "P236";
            soundex("Ashcraft") = "A226"; soundex("12é") = ""; soundex("1 a") = "A000";
        }
    }

    fn random_text(random: &mut impl FnMut(u64) -> u64) -> String {
        let alphabet = [[b' ', b',', b'a', b'B', b'x', b'7'].map(char::from), ['é', 'ß', 'ΐ', 'İ', '𝄞', '\0']].concat();
        let letters = random(12) + 1;
        (0..random(40)).map(|_| alphabet[random(letters) as usize]).collect()
    }

    /// Of all arguments there is a result that is short enough and of the right type, and within its bounds.
    #[test]
    fn total_and_bounded() {
        let mut state = 1_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let ends =
            [("", 1), ("a", 1), (",", 1), ("é", 1), ("a", 1024), ("𝄞", 256), ("ΐ", 512), ("ab", 512), ("xé", 1000)];
        let mut texts = ends.map(|(text, n)| text.repeat(n)).to_vec();
        texts.extend((0..12).map(|_| random_text(&mut random)));
        let numbers =
            [i64::MIN, i64::MIN + 1, -1025, -3, -1, 0, 1, 2, 7, 512, 1024, 1025, 0x10FFFF, i64::MAX - 1, i64::MAX];
        let texts: Vec<Value> = texts.into_iter().map(|text| Value::Text(text.into())).collect();
        let numbers = numbers.map(Value::Int);
        for (name, overload) in ALL.iter().flat_map(|scalar| scalar.overloads.iter().map(|it| (scalar.name, it))) {
            let mut calls = vec![vec![]];
            for kind in overload.takes {
                let values = if *kind == Type::Text { &texts[..] } else { &numbers[..] };
                let longer = |call: &Vec<_>| {
                    values.iter().map(|it| [&call[..], std::slice::from_ref(it)].concat()).collect::<Vec<_>>()
                };
                calls = calls.iter().flat_map(longer).collect();
            }
            let bounds = (overload.bounds)(&vec![None; overload.takes.len()]);
            for result in calls.iter().filter_map(|call| (overload.of)(call)) {
                assert!(kind(&result) == overload.gives, "{name}");
                assert!(
                    match (result, bounds) {
                        (Value::Text(text), None) => text.len() <= MAX_TEXT_BYTES,
                        (Value::Int(n), Some(bounds)) => bounds.low <= n as f64 && n as f64 <= bounds.high,
                        (Value::Bool(_), None) => true,
                        _ => false,
                    },
                    "{name}"
                );
            }
        }
    }
}
