//! Functions of one value with constants in their definition: their total meaning, the bounds of their results, and the finite set of these
//! where there is one, by which a question can group.

use super::{Bounds, DatePart, DateUnit, Literal, Search, Type};

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
    /// What a regular expression finds in a text.
    Search(Search),
}

/// Longest text, in bytes; longer ones are NULL.
pub const MAX_TEXT_BYTES: usize = 1024;

/// SQL's LIKE: % stands for any text, _ for any one character, and a backslash takes their meaning away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub text: String,
    pub ignore_case: bool,
}

impl Function {
    pub fn result(&self) -> Type {
        match self {
            Function::Part(_) | Function::Bucket(_) => Type::Int,
            Function::Start(_) => Type::Timestamp,
            Function::Like(_) => Type::Bool,
            Function::Search(search) => search.result(),
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
            Function::Search(search) if search.result() == Type::Int => Bounds::new(0.0, MAX_TEXT_BYTES as f64 + 1.0),
            Function::Like(_) | Function::Search(_) => None,
        }
    }

    /// The results over arguments within `of`, in ascending order, without NULL. They may be many.
    pub fn image(&self, of: Option<Bounds>) -> Option<Box<dyn Iterator<Item = Literal>>> {
        let ends = |range: Bounds| (range.low as i64, range.high as i64);
        Some(match self {
            Function::Part(_) | Function::Bucket(_) => {
                let (low, high) = ends(self.bounds(of)?);
                Box::new((low..=high).map(Literal::Int))
            }
            Function::Like(_) => Box::new([false, true].into_iter().map(Literal::Bool)),
            Function::Search(search) if search.result() == Type::Bool => {
                Box::new([false, true].into_iter().map(Literal::Bool))
            }
            Function::Search(_) => return None,
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
}
