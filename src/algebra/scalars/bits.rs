//! Bits of whole numbers: their two's complement of 64 bits, the least significant being bit 0.

use super::{Bounds, Overload, Scalar, Type, Value, short, unknown};

type Known = Option<Bounds>;

/// Whole numbers below this are exact as floating-point numbers; bounds that reach it are not used.
const EXACT: f64 = (1_u64 << 53) as f64;
const LAST: f64 = 63.0;

/// The number of a bit, or of places to shift.
fn place(n: i64) -> Option<u32> {
    u32::try_from(n).ok().filter(|n| *n < 64)
}

fn argument(b: &[Known], index: usize) -> Known {
    b.get(index).copied().flatten().filter(|x| x.low > -EXACT && x.high < EXACT)
}

/// An argument where it is known not to be negative.
fn natural(b: &[Known], index: usize) -> Known {
    argument(b, index).filter(|x| x.low >= 0.0)
}

/// How many bits the numbers up to this one take.
fn width(high: f64) -> u32 {
    64 - (high as u64).leading_zeros()
}

/// Neither sets a bit above the highest of both; `low` gives the least result from the least arguments.
fn joined(b: &[Known], low: fn(f64, f64) -> f64) -> Known {
    let (x, y) = (natural(b, 0)?, natural(b, 1)?);
    Bounds::new(low(x.low, y.low), 2_f64.powi(width(x.high.max(y.high)) as i32) - 1.0)
}

fn and_bounds(b: &[Known]) -> Known {
    let high = [natural(b, 0), natural(b, 1)].into_iter().flatten().map(|x| x.high).reduce(f64::min)?;
    Bounds::new(0.0, high)
}

fn not_bounds(b: &[Known]) -> Known {
    let x = argument(b, 0)?;
    Bounds::new(-x.high - 1.0, -x.low - 1.0)
}

fn count_bounds(b: &[Known]) -> Known {
    Bounds::new(0.0, natural(b, 0).map_or(64.0, |x| width(x.high).into()))
}

/// Of a number times (or by) a power of two, from the least to the largest; multiplication by these is exact.
fn shifted(b: &[Known], shift: fn(f64, i32) -> f64) -> Known {
    let x = argument(b, 0)?;
    let n = argument(b, 1).unwrap_or(Bounds { low: 0.0, high: LAST });
    let n = Bounds::new(n.low.max(0.0).ceil(), n.high.min(LAST).floor())?;
    let all = [(x.low, n.low), (x.low, n.high), (x.high, n.low), (x.high, n.high)].map(|(x, n)| shift(x, n as i32));
    Bounds::new(all.into_iter().fold(f64::INFINITY, f64::min), all.into_iter().fold(f64::NEG_INFINITY, f64::max))
}

/// Unknown where a bit may be lost.
fn left_bounds(b: &[Known]) -> Known {
    shifted(b, |x, n| x * 2_f64.powi(n)).filter(|x| x.low >= -EXACT && x.high <= EXACT)
}

fn right_bounds(b: &[Known]) -> Known {
    shifted(b, |x, n| (x / 2_f64.powi(n)).floor())
}

/// The only overload: it takes `$argument`s and gives what `$result` makes of them.
macro_rules! only {
    (($($argument:ident: $takes:ident),+) -> $gives:ident, $result:expr, $bounds:expr) => {
        &[Overload {
            takes: &[$(Type::$takes),+],
            gives: Type::$gives,
            of: |arguments| match *arguments {
                [$(Value::$takes($argument)),+] => $result,
                _ => None,
            },
            bounds: $bounds,
        }]
    };
}

fn whole(a: i64) -> Option<Value<'static>> {
    Some(Value::Int(a))
}

const fn scalar(name: &'static str, form: &'static str, overloads: &'static [Overload], about: &'static str) -> Scalar {
    Scalar { name, aliases: &[], overloads, about, form }
}

#[rustfmt::skip]
pub const ALL: &[Scalar] = &[
    scalar("bitwise_and", "a & b", only!((a: Int, b: Int) -> Int, whole(a & b), and_bounds), "The bits that are set in both a and b."),
    scalar("bitwise_or", "a | b", only!((a: Int, b: Int) -> Int, whole(a | b), |b| joined(b, f64::max)),
        "The bits that are set in a or b."),
    scalar("bitwise_xor", "bitwise_xor(a, b)", only!((a: Int, b: Int) -> Int, whole(a ^ b), |b| joined(b, |_, _| 0.0)),
        "The bits that differ between a and b."),
    scalar("bitwise_not", "bitwise_not(a)", only!((a: Int) -> Int, whole(!a), not_bounds), "The bits that are not set in a, which is -a - 1."),
    scalar("shift_left", "a << n", only!((a: Int, n: Int) -> Int, whole(a.wrapping_shl(place(n)?)), left_bounds),
        "a with its bits moved n places up; those that leave the 64 are lost. NULL for n outside 0 to 63."),
    scalar("shift_right", "a >> n", only!((a: Int, n: Int) -> Int, whole(a.wrapping_shr(place(n)?)), right_bounds),
        "a with its bits moved n places down, keeping its sign. NULL for n outside 0 to 63."),
    scalar("bit_count", "bit_count(a)", only!((a: Int) -> Int, whole(a.count_ones().into()), count_bounds),
        "How many of the 64 bits of a are set."),
    scalar("get_bit", "get_bit(a, n)", only!((a: Int, n: Int) -> Int, whole(a.wrapping_shr(place(n)?) & 1), |_| Bounds::new(0.0, 1.0)),
        "Bit n of a, 0 or 1; bit 0 is the least significant. NULL for n outside 0 to 63."),
    scalar("to_bin", "to_bin(a)", only!((a: Int) -> Text, short(format!("{a:b}")), unknown),
        "a in binary; of a negative number its two's complement of 64 bits."),
    scalar("to_oct", "to_oct(a)", only!((a: Int) -> Text, short(format!("{a:o}")), unknown),
        "a in octal; of a negative number its two's complement of 64 bits."),
    scalar("to_hex", "to_hex(a)", only!((a: Int) -> Text, short(format!("{a:x}")), unknown),
        "a in hexadecimal; of a negative number its two's complement of 64 bits."),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &[i64]) -> Option<Value<'static>> {
        let found = ALL.iter().find(|f| f.name == name).unwrap();
        (found.overloads[0].of)(&arguments.iter().map(|a| Value::Int(*a)).collect::<Vec<_>>())
    }

    #[test]
    fn known_values() {
        let (min, max) = (i64::MIN, i64::MAX);
        #[rustfmt::skip]
        let cases = [
            ("bitwise_and", &[12, 10][..], Some(8)), ("bitwise_and", &[-1, min], Some(min)),
            ("bitwise_or", &[12, 10], Some(14)), ("bitwise_xor", &[12, 10], Some(6)),
            ("bitwise_xor", &[min, max], Some(-1)), ("bitwise_not", &[5], Some(-6)), ("bitwise_not", &[min], Some(max)),
            ("shift_left", &[1, 4], Some(16)), ("shift_left", &[1, 63], Some(min)), ("shift_left", &[3, 63], Some(min)),
            ("shift_left", &[1, 64], None), ("shift_left", &[1, -1], None), ("shift_left", &[1, 1 << 32], None),
            ("shift_right", &[-16, 2], Some(-4)), ("shift_right", &[-1, 63], Some(-1)),
            ("shift_right", &[max, 62], Some(1)), ("shift_right", &[1, min], None), ("bit_count", &[-1], Some(64)),
            ("bit_count", &[255], Some(8)), ("get_bit", &[5, 2], Some(1)), ("get_bit", &[5, 1], Some(0)),
            ("get_bit", &[min, 63], Some(1)), ("get_bit", &[5, 64], None),
        ];
        for (name, arguments, expected) in cases {
            assert!(call(name, arguments) == expected.map(Value::Int), "{name} of {arguments:?}");
        }
        for (name, a, expected) in [
            ("to_hex", 255, "ff"),
            ("to_hex", -1, "ffffffffffffffff"),
            ("to_hex", 0, "0"),
            ("to_oct", 8, "10"),
            ("to_oct", min, "1000000000000000000000"),
            ("to_bin", 5, "101"),
        ] {
            assert!(call(name, &[a]) == Some(Value::Text(expected.into())), "{name} of {a}");
        }
    }

    #[test]
    fn bounds_contain_results() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for _ in 0..200_000 {
            let f = &ALL[random(ALL.len() as u64) as usize].overloads[0];
            let mut given = |index: usize| {
                let bits = if index == 1 && random(2) == 0 { 6 } else { random(64) };
                let a = ((random(1 << 31) << 33 | random(1 << 31) << 2 | random(4)) & ((1 << bits) - 1)) as i64;
                let a = if random(3) == 0 { -a } else { a };
                let reach = |more: u64| if more == 0 { 0 } else { (1_i64 << (more % 60)) - 1 };
                let (low, high) = (a.saturating_sub(reach(random(20))), a.saturating_add(reach(random(20))));
                (Value::Int(a), Bounds::new(low as f64, high as f64).filter(|_| random(5) > 0))
            };
            let (arguments, bounds): (Vec<_>, Vec<_>) = (0..f.takes.len()).map(&mut given).unzip();
            if let (Some(Value::Int(result)), Some(b)) = ((f.of)(&arguments), (f.bounds)(&bounds)) {
                assert!(b.low <= result as f64 && result as f64 <= b.high, "{result} outside {b:?} of {bounds:?}");
            }
        }
    }

    #[test]
    fn bounds_are_useful() {
        let of = |name: &str, b: &[(f64, f64)]| {
            let known: Vec<_> = b.iter().map(|(low, high)| Bounds::new(*low, *high)).collect();
            (ALL.iter().find(|f| f.name == name).unwrap().overloads[0].bounds)(&known).map(|x| (x.low, x.high))
        };
        assert_eq!(of("bitwise_and", &[(-5.0, 5.0), (3.0, 7.0)]), Some((0.0, 7.0)));
        assert_eq!(of("bitwise_or", &[(1.0, 5.0), (3.0, 9.0)]), Some((3.0, 15.0)));
        assert_eq!(of("bitwise_not", &[(0.0, 7.0)]), Some((-8.0, -1.0)));
        assert_eq!(of("shift_left", &[(-1.0, 3.0), (1.0, 2.0)]), Some((-4.0, 12.0)));
        assert_eq!(of("shift_left", &[(0.0, 3.0), (0.0, 60.0)]), None);
        assert_eq!(of("shift_right", &[(-7.0, 9.0), (1.0, 2.0)]), Some((-4.0, 4.0)));
        assert_eq!(of("bit_count", &[(0.0, 100.0)]), Some((0.0, 7.0)));
    }
}
