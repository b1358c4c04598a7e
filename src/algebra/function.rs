//! Functions of one value: their total meaning, the bounds of their results, and the finite set of these where there is one, by which a
//! question can group.

use super::{Bounds, DatePart, DateUnit, Literal, Type};

/// NULL goes to NULL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// A field of a timestamp.
    Part(DatePart),
    /// The start of the unit that holds a timestamp; NULL where that is before every timestamp.
    Start(DateUnit),
    /// The number of the bucket that a float falls into.
    Bucket(Buckets),
    /// Whether a text is like a pattern.
    Like(Pattern),
    /// A part of a text, in characters.
    Slice(Slice),
    /// Of a number of this type, which is the result's.
    Math(Math, Type),
    /// Of a text, whose result is NULL where it is longer than [`MAX_TEXT_BYTES`].
    Change(Change),
    /// The number of a text's characters.
    Length,
}

/// Longest text, in bytes; longer ones are NULL.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Of a finite number a result that is not finite, or none, is NULL: the root of -1, the logarithm of 0, too large a power. NaN stays
/// NaN, and infinity goes where IEEE 754 sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Math {
    Abs,
    /// -1, 0 or 1.
    Sign,
    Floor,
    Ceil,
    /// To the nearest whole number, halves away from zero.
    Round,
    /// Towards zero.
    Trunc,
    Sqrt,
    Exp,
    Ln,
    Log10,
    Log2,
}

impl Math {
    pub fn of(self, value: f64) -> Option<f64> {
        let result = match self {
            Math::Abs => value.abs(),
            Math::Sign if value == 0.0 => 0.0,
            Math::Sign => {
                if value.is_nan() {
                    value
                } else {
                    value.signum()
                }
            }
            Math::Floor => value.floor(),
            Math::Ceil => value.ceil(),
            Math::Round => value.round(),
            Math::Trunc => value.trunc(),
            Math::Sqrt => value.sqrt(),
            Math::Exp => value.exp(),
            Math::Ln => value.ln(),
            Math::Log10 => value.log10(),
            Math::Log2 => value.log2(),
        };
        (result.is_finite() || !value.is_finite()).then_some(result)
    }

    /// Of a whole number, for those whose result is one.
    pub fn of_whole(self, value: i64) -> Option<i64> {
        match self {
            Math::Abs => value.checked_abs(),
            Math::Sign => Some(value.signum()),
            Math::Floor | Math::Ceil | Math::Round | Math::Trunc => Some(value),
            Math::Sqrt | Math::Exp | Math::Ln | Math::Log10 | Math::Log2 => None,
        }
    }

    fn bounds(self, of: Bounds) -> Option<Bounds> {
        let Bounds { low, high } = of;
        match self {
            Math::Abs if low < 0.0 && high > 0.0 => Bounds::new(0.0, high.max(-low)),
            Math::Abs => Bounds::new(low.abs().min(high.abs()), low.abs().max(high.abs())),
            // What is below zero has no root.
            Math::Sqrt => Bounds::new(self.of(low.max(0.0))?, self.of(high.max(0.0))?),
            // The others never fall.
            _ => Bounds::new(self.of(low)?, self.of(high)?),
        }
    }
}

/// What becomes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Lower,
    Upper,
    /// Without spaces at both ends.
    Trim,
    TrimStart,
    TrimEnd,
    Reverse,
}

impl Change {
    pub fn of(self, text: &str) -> Option<String> {
        let changed = match self {
            Change::Lower => text.to_lowercase(),
            Change::Upper => text.to_uppercase(),
            Change::Trim => text.trim_matches(' ').to_owned(),
            Change::TrimStart => text.trim_start_matches(' ').to_owned(),
            Change::TrimEnd => text.trim_end_matches(' ').to_owned(),
            Change::Reverse => text.chars().rev().collect(),
        };
        (changed.len() <= MAX_TEXT_BYTES).then_some(changed)
    }
}

/// SQL's LIKE: % stands for any text, _ for any one character, and a backslash takes their meaning away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub text: String,
    pub ignore_case: bool,
}

/// SQL's SUBSTRING: characters from `start` on, counted from 1, as many as `length` or to the end. What is before the first
/// character counts towards the length and has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    pub start: i64,
    pub length: Option<u64>,
}

impl Slice {
    /// The part of `text`.
    pub fn of(self, text: &str) -> &str {
        let first = self.start.max(1).unsigned_abs() - 1;
        let end = self.length.map(|length| self.start.saturating_add_unsigned(length).max(1).unsigned_abs() - 1);
        let at = |character: u64| {
            let found = usize::try_from(character).ok().and_then(|n| text.char_indices().nth(n));
            found.map_or(text.len(), |(at, _)| at)
        };
        let from = at(first);
        let to = end.map_or(text.len(), at);
        if from < to { &text[from..to] } else { "" }
    }
}

impl Function {
    pub fn result(&self) -> Type {
        match self {
            Function::Part(_) | Function::Bucket(_) => Type::Int,
            Function::Start(_) => Type::Timestamp,
            Function::Like(_) => Type::Bool,
            Function::Slice(_) | Function::Change(_) => Type::Text,
            Function::Math(_, ty) => *ty,
            Function::Length => Type::Int,
        }
    }

    /// A text's result, for functions from texts to texts.
    pub fn of_text(&self, text: &str) -> Option<String> {
        match self {
            Function::Slice(slice) => Some(slice.of(text).to_owned()),
            Function::Change(change) => change.of(text),
            _ => None,
        }
    }

    /// Bounds of the results over arguments within `of`.
    pub fn bounds(&self, of: Option<Bounds>) -> Option<Bounds> {
        let each = |f: &dyn Fn(f64) -> Option<f64>| {
            let of = of?;
            let (a, b) = (f(of.low)?, f(of.high)?);
            Bounds::new(a.min(b), a.max(b))
        };
        match self {
            Function::Part(part) => match part.range() {
                Some((low, high)) => Bounds::new(low as f64, high as f64),
                None => each(&|micros| Some(part.of(micros as i64) as f64)),
            },
            // A double tells all microseconds up to here apart.
            Function::Start(unit) => each(&|micros| {
                unit.start(micros as i64).filter(|start| start.unsigned_abs() <= 1 << 53).map(|start| start as f64)
            }),
            Function::Bucket(buckets) => {
                each(&|value| Some(buckets.of(value) as f64)).or(Bounds::new(0.0, buckets.count as f64 + 1.0))
            }
            Function::Math(math, _) => math.bounds(of?),
            Function::Length => Bounds::new(0.0, MAX_TEXT_BYTES as f64),
            Function::Like(_) | Function::Slice(_) | Function::Change(_) => None,
        }
    }

    /// The results over arguments within `of`, in ascending order, without NULL. They may be many.
    pub fn image(&self, of: Option<Bounds>) -> Option<Box<dyn Iterator<Item = Literal>>> {
        let ends = |range: Bounds| (range.low as i64, range.high as i64);
        Some(match self {
            Function::Part(_) | Function::Bucket(_) | Function::Length | Function::Math(Math::Sign, Type::Int) => {
                let (low, high) = ends(self.bounds(of)?);
                Box::new((low..=high).map(Literal::Int))
            }
            Function::Like(_) => Box::new([false, true].into_iter().map(Literal::Bool)),
            Function::Slice(_) | Function::Change(_) | Function::Math(..) => return None,
            Function::Start(unit) => {
                let ((low, high), unit) = (ends(self.bounds(of)?), *unit);
                let starts = std::iter::successors(Some(low), move |at| unit.next(*at));
                Box::new(starts.take_while(move |at| *at <= high).map(Literal::Timestamp))
            }
        })
    }
}

/// Equal parts of a range, as in SQL's `width_bucket`: 1 is the first one, 0 is before it, `count + 1` after the last one.
/// They may go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Buckets {
    /// Bits of the ends, so that equal ones are the same.
    from: u64,
    to: u64,
    count: i64,
}

impl Buckets {
    /// None where the ends are not two finite numbers, or there is no bucket.
    pub fn new(from: f64, to: f64, count: i64) -> Option<Buckets> {
        let width = to - from;
        let fine = width.is_finite() && width != 0.0 && (1..=i64::from(i32::MAX)).contains(&count);
        fine.then(|| Buckets { from: from.to_bits(), to: to.to_bits(), count })
    }

    /// Values that are no number are after the last bucket.
    pub fn of(&self, value: f64) -> i64 {
        let (from, to) = (f64::from_bits(self.from), f64::from_bits(self.to));
        let outside = |before: bool| if before { 0 } else { self.count + 1 };
        if value.is_nan() {
            return self.count + 1;
        }
        match to > from {
            true if value < from || value >= to => outside(value < from),
            false if value > from || value <= to => outside(value > from),
            // The quotient may round up to the count.
            _ => ((((value - from) / (to - from)) * self.count as f64) as i64).min(self.count - 1) + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_standard() {
        let up = Buckets::new(0.0, 10.0, 5).unwrap();
        let numbers = [-0.1, 0.0, 1.9, 2.0, 9.99, 10.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        assert_eq!(numbers.map(|v| up.of(v)), [0, 1, 1, 2, 5, 6, 6, 0, 6]);
        let down = Buckets::new(10.0, 0.0, 5).unwrap();
        assert_eq!([10.1, 10.0, 8.0, 0.1, 0.0, -1.0].map(|v| down.of(v)), [0, 1, 2, 5, 6, 6]);
        // PostgreSQL's manual: width_bucket(5.35, 0.024, 10.06, 5) is 3.
        assert_eq!(Buckets::new(0.024, 10.06, 5).unwrap().of(5.35), 3);
        for (from, to, count) in
            [(1.0, 1.0, 3), (0.0, f64::INFINITY, 3), (f64::NAN, 1.0, 3), (-1e308, 1e308, 3), (0.0, 1.0, 0)]
        {
            assert_eq!(Buckets::new(from, to, count), None);
        }
        // No value is outside of 0 to count + 1, whatever rounding does.
        let fine = Buckets::new(0.1, 0.7, 3).unwrap();
        assert!(
            (0..100_000).all(|i| (1..=3).contains(&fine.of(0.1 + 0.6 * (f64::from(i) / 100_000.0).min(1.0 - 1e-9))))
        );
    }

    #[test]
    fn images_follow_from_bounds() {
        let within = |low, high| Bounds::new(low, high);
        let numbers = |f: Function, of| f.image(of).unwrap().collect::<Vec<_>>();
        let ints = |from: i64, to: i64| (from..=to).map(Literal::Int).collect::<Vec<_>>();
        let up = Function::Bucket(Buckets::new(0.0, 10.0, 5).unwrap());
        assert_eq!(numbers(up.clone(), None), ints(0, 6));
        assert_eq!(numbers(up, within(1.0, 7.0)), ints(1, 4));
        let down = Function::Bucket(Buckets::new(10.0, 0.0, 5).unwrap());
        assert_eq!(numbers(down, within(1.0, 7.0)), ints(2, 5));
        assert!(Function::Start(DateUnit::Month).image(None).is_none());
    }

    #[test]
    fn slices_are_those_of_the_standard() {
        let slice = |start, length: Option<u64>| Slice { start, length }.of("äbcde");
        for (start, length, expected) in [
            (1, Some(2), "äb"),
            (2, None, "bcde"),
            (0, Some(2), "ä"),
            (-3, Some(4), ""),
            (-3, Some(5), "ä"),
            (5, Some(9), "e"),
            (6, Some(1), ""),
            (3, Some(0), ""),
            (i64::MIN, Some(u64::MAX), "äbcde"),
            (i64::MAX, Some(u64::MAX), ""),
            (i64::MIN, None, "äbcde"),
        ] {
            assert_eq!(slice(start, length), expected, "{start} {length:?}");
        }
    }

    #[test]
    fn math_is_total() {
        let extremes = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -2.5,
            1e308,
            -1e308,
            f64::MIN_POSITIVE,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        for math in [
            Math::Abs,
            Math::Sign,
            Math::Floor,
            Math::Ceil,
            Math::Round,
            Math::Trunc,
            Math::Sqrt,
            Math::Exp,
            Math::Ln,
            Math::Log10,
            Math::Log2,
        ] {
            for value in extremes {
                // Not finite only where the argument is not.
                assert!(
                    math.of(value).is_none_or(|result| result.is_finite() || !value.is_finite()),
                    "{math:?} {value}"
                );
            }
            // Bounds hold all values between their ends.
            for (low, high) in [(-3.0, 4.0), (0.0, 9.0), (-9.0, -1.0), (0.25, 100.0), (-0.5, 0.5)] {
                let Some(bounds) = math.bounds(Bounds { low, high }) else { continue };
                for step in 0..=100 {
                    let value = low + (high - low) * f64::from(step) / 100.0;
                    let within = math.of(value).is_none_or(|v| (bounds.low..=bounds.high).contains(&v));
                    assert!(within, "{math:?} of {value} is outside of {bounds:?}");
                }
            }
            for value in [i64::MIN, -1, 0, 1, i64::MAX] {
                let _ = math.of_whole(value);
            }
        }
        assert_eq!([2.5, -2.5, 0.4].map(|v| Math::Round.of(v).unwrap()), [3.0, -3.0, 0.0]);
        assert_eq!((Math::Sqrt.of(-1.0), Math::Ln.of(0.0), Math::Exp.of(1000.0)), (None, None, None));
        assert_eq!((Math::Abs.of_whole(i64::MIN), Math::Abs.of_whole(-3)), (None, Some(3)));
    }

    #[test]
    fn texts_that_grow_too_long_are_null() {
        assert_eq!(Change::Upper.of("straße").as_deref(), Some("STRASSE"));
        assert_eq!(Change::Upper.of(&"\u{390}".repeat(500)), None);
        assert_eq!(Change::Trim.of("  a b \t ").as_deref(), Some("a b \t"));
        assert_eq!(Change::Reverse.of("äb").as_deref(), Some("bä"));
    }
}
