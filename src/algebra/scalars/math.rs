//! Arithmetic: signs, rounding, roots, powers, logarithms, angles and whole numbers.
//!
//! Bounds of functions of floating-point numbers come from their ends. The mathematical library is right to a few units in the last place and
//! need not be monotone within these, so the bounds are moved outward by [`SLACK`]; those of exact functions are not.

use super::{Bounds, Overload, Scalar, Type, Value, number, unknown};
use std::f64::consts::{FRAC_PI_2, LN_2, PI};

type Known = Option<Bounds>;

/// Far more than the error of any function here (relative), far less than matters.
const SLACK: f64 = 1.0 / (1_u64 << 48) as f64;
/// Whole numbers up to here are exact as floating-point numbers.
const EXACT: f64 = (1_u64 << 53) as f64;
/// The least number above zero.
const LEAST: f64 = f64::from_bits(1);
const ALL_NUMBERS: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

// What is computed.

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// 10 to the power of `digits`, which is 0 to 308; exact up to 22.
fn ten(digits: i64) -> f64 {
    10_f64.powi(digits as i32)
}

/// `x` in units of the last digit to keep.
fn scaled(x: f64, digits: i64) -> f64 {
    if digits >= 0 { x * ten(digits) } else { x / ten(-digits) }
}

fn unscaled(units: f64, digits: i64) -> f64 {
    if digits >= 0 { units / ten(digits) } else { units * ten(-digits) }
}

/// Applies `whole` to the units of the last digit to keep. A number whose own digits end before stays as it is.
fn at_digit(x: f64, digits: i64, whole: impl Fn(f64) -> f64) -> f64 {
    match digits {
        ..-308 if x.is_finite() => 0.0,
        -308..=308 => match scaled(x, digits) {
            units if units.abs() < EXACT / 2.0 => unscaled(whole(units), digits),
            _ => x,
        },
        _ => x,
    }
}

fn round_digits(x: f64, digits: i64) -> f64 {
    at_digit(x, digits, f64::round)
}

/// The last number of so many digits on the way from zero to `x`. The nearest is tried first: 0.29 has two digits and stays, though 100 times
/// that is a little below 29.
fn trunc_digits(x: f64, digits: i64) -> f64 {
    at_digit(x, digits, |units| {
        let nearest = units.round();
        if unscaled(nearest, digits).abs() <= x.abs() { nearest } else { nearest - nearest.signum() }
    })
}

/// A whole number without its last `-digits` digits; halves go away from zero, or all toward it.
fn whole_digits(a: i64, digits: i64, to_nearest: bool) -> i128 {
    match digits {
        0.. => a.into(),
        -20..=-1 => {
            let unit = 10_i128.pow(-digits as u32);
            let half = if to_nearest { unit / 2 * i128::from(a.signum()) } else { 0 };
            (i128::from(a) + half) / unit * unit
        }
        _ => 0,
    }
}

fn round_whole(a: i64, digits: i64) -> Option<i64> {
    whole_digits(a, digits, true).try_into().ok()
}

fn trunc_whole(a: i64, digits: i64) -> Option<i64> {
    whole_digits(a, digits, false).try_into().ok()
}

/// NaN, hence NULL, for base 0, whose quotient would be finite.
fn log(base: f64, x: f64) -> f64 {
    match base {
        0.0 => f64::NAN,
        2.0 => x.log2(),
        10.0 => x.log10(),
        _ => x.ln() / base.ln(),
    }
}

fn cot(x: f64) -> f64 {
    1.0 / x.tan()
}

// The inverse hyperbolic functions of the standard library overflow for large numbers, and lose digits of acosh near 1 and of atanh near -1.

fn asinh(x: f64) -> f64 {
    if x.abs() > 1e150 { (x.abs().ln() + LN_2).copysign(x) } else { x.asinh() }
}

fn acosh(x: f64) -> f64 {
    let above = x - 1.0;
    if x < 1.0 {
        f64::NAN
    } else if x > 1e150 {
        x.ln() + LN_2
    } else {
        (above + (above * (above + 2.0)).sqrt()).ln_1p()
    }
}

fn atanh(x: f64) -> f64 {
    let size = x.abs();
    (0.5 * (2.0 * size / (1.0 - size)).ln_1p()).copysign(x)
}

fn gcd(a: i64, b: i64) -> u64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn lcm(a: i64, b: i64) -> Option<i64> {
    match gcd(a, b) {
        0 => Some(0),
        common => (a.unsigned_abs() / common).checked_mul(b.unsigned_abs())?.try_into().ok(),
    }
}

fn factorial(a: i64) -> Option<i64> {
    (0..=20).contains(&a).then(|| (1..=a).product())
}

// Bounds.

fn argument(b: &[Known], index: usize) -> Known {
    b.get(index).copied().flatten()
}

/// The first argument as far as the function has results; all of that where unknown.
fn inside(b: &[Known], (low, high): (f64, f64)) -> Known {
    let x = argument(b, 0).unwrap_or(Bounds { low, high });
    Bounds::new(x.low.max(low), x.high.min(high))
}

/// With room for rounding. A low end of zero stays, since no function here goes below zero there; a high one may come of underflow.
fn outward(low: f64, high: f64) -> Known {
    let slack = |end: f64| end.abs() * SLACK + f64::MIN_POSITIVE;
    Bounds::new(if low == 0.0 { low } else { low - slack(low) }, high + slack(high))
}

fn exact(x: Bounds, of: fn(f64) -> f64) -> Known {
    Bounds::new(of(x.low), of(x.high))
}

fn rising(b: &[Known], domain: (f64, f64), of: fn(f64) -> f64) -> Known {
    let x = inside(b, domain)?;
    outward(of(x.low), of(x.high))
}

fn falling(b: &[Known], domain: (f64, f64), of: fn(f64) -> f64) -> Known {
    let x = inside(b, domain)?;
    outward(of(x.high), of(x.low))
}

fn sign_bounds(b: &[Known]) -> Known {
    exact(argument(b, 0).or(Bounds::new(-1.0, 1.0))?, sign)
}

fn size(x: Bounds) -> Bounds {
    let (low, high) = (x.low.abs(), x.high.abs());
    Bounds { low: if x.low <= 0.0 && x.high >= 0.0 { 0.0 } else { low.min(high) }, high: low.max(high) }
}

/// No larger than `limit`, and zero or of the sign of `x`.
fn toward_zero(x: Known, limit: f64) -> Known {
    let negative = x.is_none_or(|x| x.low < 0.0);
    let positive = x.is_none_or(|x| x.high > 0.0);
    Bounds::new(if negative { -limit } else { 0.0 }, if positive { limit } else { 0.0 })
}

/// Least and largest of a function that is monotone in each argument.
fn corners(x: Bounds, y: Bounds, of: fn(f64, f64) -> f64) -> Option<(f64, f64)> {
    let all = [of(x.low, y.low), of(x.low, y.high), of(x.high, y.low), of(x.high, y.high)];
    // f64::min and max would skip a NaN.
    let ends = (all.into_iter().fold(f64::INFINITY, f64::min), all.into_iter().fold(f64::NEG_INFINITY, f64::max));
    all.iter().all(|end| !end.is_nan()).then_some(ends)
}

/// Rounding doubles a number at most (5 becomes 10), whatever the digits; truncation does not.
fn digits_bounds(b: &[Known], of: fn(f64, i64) -> f64, growth: f64) -> Known {
    let x = argument(b, 0)?;
    match argument(b, 1) {
        Some(digits) if digits.low == digits.high => {
            let digits = digits.low as i64;
            // Steps below this are so far apart that arithmetic on them is monotone.
            let coarse = size(x).high == 0.0 || digits <= 308 && scaled(size(x).high, digits.max(-308)) < EXACT / 16.0;
            let (low, high) = (of(x.low, digits), of(x.high, digits));
            if coarse { Bounds::new(low, high) } else { outward(low, high) }
        }
        _ => outward((x.low * growth).min(0.0), (x.high * growth).max(0.0)),
    }
}

fn whole_digits_bounds(b: &[Known], to_nearest: bool) -> Known {
    let x = argument(b, 0)?;
    match argument(b, 1) {
        Some(digits) if digits.low >= 0.0 => Some(x),
        Some(digits) if digits.low == digits.high && size(x).high < EXACT => {
            let end = |end: f64| whole_digits(end as i64, digits.low as i64, to_nearest) as f64;
            Bounds::new(end(x.low.ceil()), end(x.high.floor()))
        }
        _ => outward((x.low * 2.0).min(0.0), (x.high * 2.0).max(0.0)),
    }
}

fn log_bounds(b: &[Known]) -> Known {
    let (base, x) = (argument(b, 0)?, inside(b.get(1..)?, (LEAST, f64::INFINITY))?);
    let one_side = base.low > 1.0 || base.low > 0.0 && base.high < 1.0;
    let (low, high) = corners(base, x, log).filter(|_| one_side)?;
    outward(low, high)
}

fn power_bounds(b: &[Known]) -> Known {
    let (x, y) = (argument(b, 0)?, argument(b, 1)?);
    let parity = (y.low == y.high).then_some(y.low % 2.0);
    if x.low >= 0.0 {
        let (low, high) = corners(x, y, f64::powf)?;
        return outward(low, high);
    }
    // Of numbers below zero there are only whole powers. These may be zero by underflow, so zero is no end.
    let (low, high) = corners(size(x), y, f64::powf).filter(|_| y.low >= 0.0)?;
    match parity {
        Some(0.0) => outward(low, high),
        Some(1.0) => outward(x.low.powf(y.low).min(-f64::MIN_POSITIVE), x.high.powf(y.low)),
        _ => outward((-high).min(-f64::MIN_POSITIVE), high),
    }
}

fn div_bounds(b: &[Known]) -> Known {
    let a = argument(b, 0)?;
    match argument(b, 1) {
        // Below this the rounded quotient is not whole unless the true one is.
        Some(by) if by.low >= 1.0 && size(a).high < EXACT / 4.0 && by.high < EXACT / 4.0 => {
            let (low, high) = corners(a, by, |a, by| (a / by).trunc())?;
            Bounds::new(low, high)
        }
        _ => Bounds::new(-size(a).high, size(a).high),
    }
}

fn mod_bounds(b: &[Known]) -> Known {
    let (a, by) = (argument(b, 0), argument(b, 1));
    let limit = [a, by].into_iter().flatten().map(|x| size(x).high).reduce(f64::min)?;
    toward_zero(a, limit)
}

fn gcd_bounds(b: &[Known]) -> Known {
    // The common divisor of 0 and another number is the other.
    Bounds::new(0.0, size(argument(b, 0)?).high.max(size(argument(b, 1)?).high))
}

fn lcm_bounds(b: &[Known]) -> Known {
    let high = size(argument(b, 0)?).high * size(argument(b, 1)?).high;
    if high < EXACT { Bounds::new(0.0, high) } else { outward(0.0, high) }
}

fn factorial_bounds(b: &[Known]) -> Known {
    let a = inside(b, (0.0, 20.0))?;
    Bounds::new(factorial(a.low.ceil() as i64)? as f64, factorial(a.high.floor() as i64)? as f64)
}

fn either(b: &[Known]) -> Known {
    Some(argument(b, 0)?.hull(argument(b, 1)?))
}

// The table.

/// An overload that takes `$argument`s and gives what `$result` makes of them.
macro_rules! overload {
    (($($argument:ident: $takes:ident),*) -> $gives:ident, $result:expr, $bounds:expr) => {
        Overload {
            takes: &[$(Type::$takes),*],
            gives: Type::$gives,
            of: |arguments| match *arguments {
                [$(Value::$takes($argument)),*] => $result,
                _ => None,
            },
            bounds: $bounds,
        }
    };
}

/// Of floating-point numbers.
macro_rules! float {
    (|$($x:ident),+| $result:expr, $bounds:expr) => {
        overload!(($($x: Float),+) -> Float, number($result, &[$($x),+]), $bounds)
    };
}

/// Of whole numbers; the result is an `Option<i64>`.
macro_rules! whole {
    (|$($a:ident),+| $result:expr, $bounds:expr) => {
        overload!(($($a: Int),+) -> Int, $result.map(Value::Int), $bounds)
    };
}

const fn scalar(
    name: &'static str,
    aliases: &'static [&'static str],
    form: &'static str,
    overloads: &'static [Overload],
    about: &'static str,
) -> Scalar {
    Scalar { name, aliases, overloads, about, form }
}

/// A whole number is rounded as it is.
const WHOLE: Overload = whole!(|a| Some(a), |b| argument(b, 0));

#[rustfmt::skip]
pub const ALL: &[Scalar] = &[
    scalar("abs", &[], "abs(x)", &[
        whole!(|a| a.checked_abs(), |b| argument(b, 0).map(size)),
        float!(|x| x.abs(), |b| argument(b, 0).map(size)),
    ], "Absolute value. NULL where it does not fit a whole number."),
    scalar("sign", &["signum"], "sign(x)", &[
        whole!(|a| Some(a.signum()), sign_bounds),
        float!(|x| sign(x), sign_bounds),
    ], "-1, 0 or 1: the sign of x."),
    scalar("floor", &[], "floor(x)", &[WHOLE, float!(|x| x.floor(), |b| exact(argument(b, 0)?, f64::floor))],
        "The largest whole number that is not above x."),
    scalar("ceil", &["ceiling"], "ceil(x)", &[WHOLE, float!(|x| x.ceil(), |b| exact(argument(b, 0)?, f64::ceil))],
        "The least whole number that is not below x."),
    scalar("round", &[], "round(x [, digits])", &[
        WHOLE,
        float!(|x| x.round(), |b| exact(argument(b, 0)?, f64::round)),
        whole!(|a, digits| round_whole(a, digits), |b| whole_digits_bounds(b, true)),
        overload!((x: Float, digits: Int) -> Float, number(round_digits(x, digits), &[x]), |b| digits_bounds(b, round_digits, 2.0)),
    ], "The nearest number with so many decimal digits, or the nearest whole number; halves go away from zero. Negative digits round to tens, hundreds and so on. NULL where the result is too large."),
    scalar("trunc", &["truncate"], "trunc(x [, digits])", &[
        WHOLE,
        float!(|x| x.trunc(), |b| exact(argument(b, 0)?, f64::trunc)),
        whole!(|a, digits| trunc_whole(a, digits), |b| whole_digits_bounds(b, false)),
        overload!((x: Float, digits: Int) -> Float, number(trunc_digits(x, digits), &[x]), |b| digits_bounds(b, trunc_digits, 1.0)),
    ], "x without what follows so many decimal digits, or without its fraction. Negative digits cut to tens, hundreds and so on."),
    scalar("sqrt", &[], "sqrt(x)", &[float!(|x| x.sqrt(), |b| exact(inside(b, (0.0, f64::INFINITY))?, f64::sqrt))],
        "Square root. NULL for x below zero."),
    scalar("cbrt", &[], "cbrt(x)", &[float!(|x| x.cbrt(), |b| rising(b, ALL_NUMBERS, f64::cbrt))], "Cube root."),
    scalar("exp", &[], "exp(x)", &[float!(|x| x.exp(), |b| rising(b, ALL_NUMBERS, f64::exp))],
        "e to the power of x. NULL where it is too large."),
    scalar("ln", &[], "ln(x)", &[float!(|x| x.ln(), |b| rising(b, (LEAST, f64::INFINITY), f64::ln))],
        "Natural logarithm. NULL for x of zero or below."),
    scalar("log10", &[], "log10(x)", &[float!(|x| x.log10(), |b| rising(b, (LEAST, f64::INFINITY), f64::log10))],
        "Logarithm to base 10. NULL for x of zero or below."),
    scalar("log2", &[], "log2(x)", &[float!(|x| x.log2(), |b| rising(b, (LEAST, f64::INFINITY), f64::log2))],
        "Logarithm to base 2. NULL for x of zero or below."),
    scalar("log", &[], "log([base,] x)", &[
        float!(|x| x.log10(), |b| rising(b, (LEAST, f64::INFINITY), f64::log10)),
        float!(|base, x| log(base, x), log_bounds),
    ], "Logarithm to that base, or to base 10. NULL for x or base of zero or below, and for base 1."),
    scalar("power", &["pow"], "power(x, y)", &[float!(|x, y| x.powf(y), power_bounds)],
        "x to the power of y. NULL where there is no such real number or it is too large."),
    scalar("sin", &[], "sin(x)", &[float!(|x| x.sin(), |_| Bounds::new(-1.0, 1.0))], "Sine of an angle in radians."),
    scalar("cos", &[], "cos(x)", &[float!(|x| x.cos(), |_| Bounds::new(-1.0, 1.0))], "Cosine of an angle in radians."),
    scalar("tan", &[], "tan(x)", &[
        float!(|x| x.tan(), |b| argument(b, 0).filter(|x| size(*x).high <= FRAC_PI_2).and_then(|_| rising(b, ALL_NUMBERS, f64::tan))),
    ], "Tangent of an angle in radians."),
    scalar("cot", &[], "cot(x)", &[float!(|x| cot(x), unknown)], "Cotangent of an angle in radians. NULL where it is infinite."),
    scalar("asin", &[], "asin(x)", &[float!(|x| x.asin(), |b| rising(b, (-1.0, 1.0), f64::asin))],
        "Angle in radians whose sine is x. NULL for x outside -1 to 1."),
    scalar("acos", &[], "acos(x)", &[float!(|x| x.acos(), |b| falling(b, (-1.0, 1.0), f64::acos))],
        "Angle in radians whose cosine is x. NULL for x outside -1 to 1."),
    scalar("atan", &[], "atan(x)", &[float!(|x| x.atan(), |b| rising(b, ALL_NUMBERS, f64::atan).or(outward(-FRAC_PI_2, FRAC_PI_2)))],
        "Angle in radians whose tangent is x."),
    scalar("atan2", &[], "atan2(y, x)", &[float!(|y, x| y.atan2(x), |_| outward(-PI, PI))],
        "Angle in radians of the point (x, y), from -pi to pi."),
    scalar("sinh", &[], "sinh(x)", &[float!(|x| x.sinh(), |b| rising(b, ALL_NUMBERS, f64::sinh))],
        "Hyperbolic sine. NULL where it is too large."),
    scalar("cosh", &[], "cosh(x)", &[float!(|x| x.cosh(), |b| rising(&[argument(b, 0).map(size)], ALL_NUMBERS, f64::cosh))],
        "Hyperbolic cosine. NULL where it is too large."),
    scalar("tanh", &[], "tanh(x)", &[float!(|x| x.tanh(), |b| rising(b, ALL_NUMBERS, f64::tanh).or(outward(-1.0, 1.0)))], "Hyperbolic tangent."),
    scalar("asinh", &[], "asinh(x)", &[float!(|x| asinh(x), |b| rising(b, ALL_NUMBERS, asinh))], "Inverse hyperbolic sine."),
    scalar("acosh", &[], "acosh(x)", &[float!(|x| acosh(x), |b| rising(b, (1.0, f64::INFINITY), acosh))],
        "Inverse hyperbolic cosine. NULL for x below 1."),
    scalar("atanh", &[], "atanh(x)", &[
        float!(|x| atanh(x), |b| rising(b, ((-1_f64).next_up(), 1_f64.next_down()), atanh)),
    ], "Inverse hyperbolic tangent. NULL for x outside -1 to 1, and for these two."),
    scalar("degrees", &[], "degrees(x)", &[float!(|x| x.to_degrees(), |b| rising(b, ALL_NUMBERS, f64::to_degrees))],
        "Radians in degrees. NULL where it is too large."),
    scalar("radians", &[], "radians(x)", &[float!(|x| x.to_radians(), |b| rising(b, ALL_NUMBERS, f64::to_radians))], "Degrees in radians."),
    scalar("pi", &[], "pi()", &[overload!(() -> Float, Some(Value::Float(PI)), |_| Bounds::new(PI, PI))], "The number pi."),
    scalar("gcd", &[], "gcd(a, b)", &[whole!(|a, b| gcd(a, b).try_into().ok(), gcd_bounds)],
        "Greatest common divisor; 0 of two zeros. NULL where it does not fit a whole number."),
    scalar("lcm", &[], "lcm(a, b)", &[whole!(|a, b| lcm(a, b), lcm_bounds)],
        "Least common multiple; 0 where one is 0. NULL where it does not fit a whole number."),
    scalar("factorial", &[], "factorial(a)", &[whole!(|a| factorial(a), factorial_bounds)],
        "Product of the whole numbers from 1 to a. NULL for a below 0 or above 20."),
    scalar("mod", &[], "mod(a, b)", &[
        whole!(|a, b| (b != 0).then(|| a.wrapping_rem(b)), mod_bounds),
        overload!((a: Float, b: Float) -> Float, if b == 0.0 { None } else { number(a % b, &[a, b]) }, mod_bounds),
    ], "Remainder of a divided by b, with the sign of a. NULL for b of zero."),
    scalar("div", &[], "div(a, b)", &[whole!(|a, b| a.checked_div(b), div_bounds)],
        "Quotient of a and b without its fraction. NULL for b of zero, and where it does not fit a whole number."),
    scalar("isnan", &[], "isnan(x)", &[overload!((x: Float) -> Bool, Some(Value::Bool(x.is_nan())), unknown)], "Whether x is NaN (not a number)."),
    scalar("isinf", &[], "isinf(x)", &[overload!((x: Float) -> Bool, Some(Value::Bool(x.is_infinite())), unknown)],
        "Whether x is infinity or minus infinity."),
    scalar("iszero", &[], "iszero(x)", &[
        overload!((a: Int) -> Bool, Some(Value::Bool(a == 0)), unknown),
        overload!((x: Float) -> Bool, Some(Value::Bool(x == 0.0)), unknown),
    ], "Whether x is zero."),
    scalar("nanvl", &[], "nanvl(x, y)", &[float!(|x, y| if x.is_nan() { y } else { x }, either)], "x, or y where x is NaN (not a number)."),
];

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;
    const INF: f64 = f64::INFINITY;

    fn named(name: &str) -> &'static Scalar {
        ALL.iter().find(|f| f.name == name || f.aliases.contains(&name)).unwrap()
    }

    fn of(name: &str, arguments: &[Value]) -> Option<Value<'static>> {
        let types: Vec<_> =
            arguments.iter().map(|a| if matches!(a, Value::Int(_)) { Type::Int } else { Type::Float }).collect();
        (named(name).overloads.iter().find(|f| f.takes == types).unwrap().of)(arguments)
    }

    fn floats(name: &str, arguments: &[f64]) -> Option<f64> {
        match of(name, &arguments.iter().map(|x| Value::Float(*x)).collect::<Vec<_>>())? {
            Value::Float(x) => Some(x),
            _ => panic!("{name} gives no number"),
        }
    }

    #[test]
    fn known_floats() {
        #[rustfmt::skip]
        let cases = [
            ("abs", &[-1.5][..], Some(1.5)), ("signum", &[-0.0], Some(0.0)), ("sign", &[NAN], Some(NAN)),
            ("sign", &[-INF], Some(-1.0)), ("floor", &[-1.5], Some(-2.0)), ("ceiling", &[1.2], Some(2.0)),
            ("round", &[-2.5], Some(-3.0)), ("truncate", &[-2.9], Some(-2.0)), ("sqrt", &[9.0], Some(3.0)),
            ("sqrt", &[-1.0], None), ("sqrt", &[INF], Some(INF)), ("cbrt", &[-27.0], Some(-3.0)),
            ("exp", &[0.0], Some(1.0)), ("exp", &[710.0], None), ("exp", &[-INF], Some(0.0)), ("ln", &[0.0], None),
            ("ln", &[-1.0], None), ("ln", &[INF], Some(INF)), ("log10", &[1000.0], Some(3.0)),
            ("log2", &[8.0], Some(3.0)), ("log", &[100.0], Some(2.0)), ("log", &[2.0, 64.0], Some(6.0)),
            ("log", &[3.0, 9.0], Some(2.0)), ("log", &[0.0, 8.0], None), ("log", &[1.0, 8.0], None),
            ("pow", &[2.0, 10.0], Some(1024.0)), ("power", &[0.0, -1.0], None), ("power", &[-8.0, 0.5], None),
            ("power", &[0.0, 0.0], Some(1.0)), ("power", &[10.0, 309.0], None), ("sin", &[0.0], Some(0.0)),
            ("cos", &[0.0], Some(1.0)), ("tan", &[0.0], Some(0.0)), ("sin", &[INF], Some(NAN)), ("cot", &[0.0], None),
            ("cot", &[PI / 4.0], Some(1.0)), ("asin", &[1.0], Some(FRAC_PI_2)), ("acos", &[-1.0], Some(PI)),
            ("acos", &[1.1], None), ("atan", &[INF], Some(FRAC_PI_2)), ("atan2", &[1.0, 0.0], Some(FRAC_PI_2)),
            ("sinh", &[-1000.0], None), ("cosh", &[0.0], Some(1.0)), ("tanh", &[1e308], Some(1.0)),
            ("asinh", &[-1e308], Some(-709.889355822726)), ("acosh", &[1e308], Some(709.889355822726)),
            ("acosh", &[1.0 + f64::EPSILON], Some(2.107342425544702e-8)), ("acosh", &[-1e100], None),
            ("atanh", &[-0.999999999999], Some(-14.162095209226402)), ("atanh", &[1.0], None),
            ("degrees", &[PI], Some(180.0)), ("radians", &[180.0], Some(PI)), ("pi", &[], Some(PI)),
            ("mod", &[-7.5, 2.0], Some(-1.5)), ("mod", &[1.0, 0.0], None), ("mod", &[5.0, -INF], Some(5.0)),
            ("nanvl", &[NAN, 2.0], Some(2.0)), ("nanvl", &[1.0, NAN], Some(1.0)),
        ];
        for (name, arguments, expected) in cases {
            let near = match (floats(name, arguments), expected) {
                (Some(x), Some(y)) => x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= 1e-15 * y.abs(),
                (x, y) => x == y,
            };
            assert!(near, "{name} of {arguments:?}");
        }
    }

    #[test]
    fn known_whole_numbers() {
        let (min, max) = (i64::MIN, i64::MAX);
        #[rustfmt::skip]
        let cases = [
            ("abs", &[min][..], None), ("sign", &[min], Some(-1)), ("floor", &[max], Some(max)),
            ("round", &[15, -1], Some(20)), ("round", &[-15, -1], Some(-20)), ("round", &[14, 3], Some(14)),
            ("round", &[max, -1], None), ("round", &[max, -2], Some(9223372036854775800)), ("round", &[max, -19], None),
            ("round", &[max, -20], Some(0)), ("round", &[max, min], Some(0)), ("trunc", &[-19, -1], Some(-10)),
            ("trunc", &[min, -18], Some(-9_000_000_000_000_000_000)), ("gcd", &[12, -18], Some(6)),
            ("gcd", &[min, 0], None), ("lcm", &[4, -6], Some(12)), ("lcm", &[0, 0], Some(0)),
            ("lcm", &[max, max - 1], None), ("factorial", &[20], Some(2432902008176640000)),
            ("factorial", &[0], Some(1)), ("factorial", &[21], None), ("factorial", &[-1], None),
            ("mod", &[-7, 3], Some(-1)), ("mod", &[min, -1], Some(0)), ("mod", &[1, 0], None),
            ("div", &[-7, 2], Some(-3)), ("div", &[min, -1], None), ("div", &[1, 0], None),
        ];
        for (name, arguments, expected) in cases {
            let given: Vec<_> = arguments.iter().map(|a| Value::Int(*a)).collect();
            assert!(of(name, &given) == expected.map(Value::Int), "{name} of {arguments:?}");
        }
        assert!(of("isnan", &[Value::Float(NAN)]) == Some(Value::Bool(true)), "isnan");
        assert!(of("isinf", &[Value::Float(-INF)]) == Some(Value::Bool(true)), "isinf");
        assert!(of("iszero", &[Value::Float(-0.0)]) == Some(Value::Bool(true)), "iszero");
        assert!(of("iszero", &[Value::Int(1)]) == Some(Value::Bool(false)), "iszero");
    }

    #[test]
    fn digits() {
        #[rustfmt::skip]
        let cases = [
            ("round", 2.345, 1, Some(2.3)), ("round", -0.25, 1, Some(-0.3)), ("round", 1250.0, -2, Some(1300.0)),
            ("round", 123456.789, 15, Some(123456.789)), ("round", 1e-300, 299, Some(0.0)),
            ("round", 1.5, i64::MAX, Some(1.5)), ("round", 1e308, i64::MIN, Some(0.0)), ("round", 1.7e308, -308, None),
            ("round", INF, -400, Some(INF)), ("trunc", 0.29, 2, Some(0.29)), ("trunc", -1.999, 2, Some(-1.99)),
            ("trunc", 1999.0, -3, Some(1000.0)),
        ];
        for (name, x, digits, expected) in cases {
            assert!(
                of(name, &[Value::Float(x), Value::Int(digits)]) == expected.map(Value::Float),
                "{name}({x}, {digits})"
            );
        }
    }

    fn random(state: &mut u64, below: u64) -> u64 {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*state >> 33) % below
    }

    fn random_number(state: &mut u64) -> f64 {
        let special = [0.0, -0.0, 1.0, -1.0, 2.0, 10.0, 0.5, 1e308, -1e308, f64::MAX, FRAC_PI_2, LEAST, EXACT, 9e18];
        match random(state, 8) {
            0 => special[random(state, special.len() as u64) as usize],
            1 => f64::from_bits(random(state, 1 << 31) << 33 | random(state, 1 << 31) << 2),
            2 => (random(state, 1 << 31) as f64 - 2_f64.powi(30)) * 2_f64.powi(random(state, 40) as i32 - 10),
            3 => random(state, 41) as f64 - 20.0,
            _ => (random(state, 20_001) as f64 - 10_000.0) / 10_f64.powi(random(state, 7) as i32),
        }
    }

    /// A number that is in the bounds, most often near an end of theirs.
    fn random_argument(state: &mut u64, kind: Type) -> (Value<'static>, Known) {
        let (a, b) = (random_number(state), random_number(state));
        let (a, b) = if kind == Type::Int { ((a as i64) as f64, (b as i64) as f64) } else { (a, b) };
        let (low, high) = if random(state, 4) == 0 { (a, a) } else { (a.min(b), a.max(b)) };
        let x = match random(state, 8) {
            0 => low,
            1 => low.next_up(),
            2 => low.next_up().next_up(),
            3 => high,
            4 => high.next_down(),
            5 => high.next_down().next_down(),
            _ => low + (high - low) * random(state, 1 << 31) as f64 / 2_f64.powi(31),
        };
        let x = if low <= x && x <= high { x } else { high };
        // Large whole numbers are rounded, and may be out of the bounds by that.
        let whole = (x as i64).saturating_add(if x.abs() > EXACT { random(state, 3) as i64 - 1 } else { 0 });
        let (value, x) = if kind == Type::Int { (Value::Int(whole), whole as f64) } else { (Value::Float(x), x) };
        (value, Bounds::new(low, high).filter(|b| b.low <= x && x <= b.high && random(state, 8) > 0))
    }

    #[test]
    fn bounds_contain_results() {
        let overloads: Vec<_> = ALL.iter().flat_map(|f| f.overloads.iter().map(move |o| (f.name, o))).collect();
        let (mut state, mut known) = (1, 0);
        for _ in 0..1_000_000 {
            let (name, f) = overloads[random(&mut state, overloads.len() as u64) as usize];
            let (arguments, bounds): (Vec<_>, Vec<_>) =
                f.takes.iter().map(|kind| random_argument(&mut state, *kind)).unzip();
            let finite = arguments.iter().all(|a| !matches!(a, Value::Float(x) if !x.is_finite()));
            let result = match (f.of)(&arguments) {
                Some(Value::Float(x)) => x,
                Some(Value::Int(a)) => a as f64,
                _ => continue,
            };
            assert!(result.is_finite() || !finite, "{name}: {result} of finite numbers");
            if let (true, Some(b)) = (finite, (f.bounds)(&bounds)) {
                known += 1;
                assert!(b.low <= result && result <= b.high, "{name}: {result:e} outside {b:?} of {bounds:?}");
            }
        }
        assert!(known > 400_000, "{known}");
    }

    #[test]
    fn bounds_are_useful() {
        for (name, index, arguments, low, high) in [
            ("abs", 1, &[(-3.0, 2.0)][..], 0.0, 3.0),
            ("sqrt", 0, &[(-5.0, 9.0)], 0.0, 3.0),
            ("ln", 0, &[(1.0, 1.0)], 0.0, 0.0),
            ("exp", 0, &[(0.0, 1.0)], 1.0, std::f64::consts::E),
            ("acos", 0, &[(-9.0, 9.0)], 0.0, PI),
            ("cosh", 0, &[(-1.0, 0.5)], 1.0, 1.5430806348152437),
            ("round", 3, &[(0.126, 100.0), (2.0, 2.0)], 0.13, 100.0),
            ("round", 2, &[(14.0, 86.0), (-1.0, -1.0)], 10.0, 90.0),
            ("trunc", 3, &[(-0.5, 9.9), (0.0, 3.0)], -0.5, 9.9),
            ("power", 0, &[(-2.0, 3.0), (2.0, 2.0)], 0.0, 9.0),
            ("power", 0, &[(-2.0, 3.0), (3.0, 3.0)], -8.0, 27.0),
            ("power", 0, &[(1.0, 2.0), (-1.0, 3.0)], 0.5, 8.0),
            ("log", 1, &[(2.0, 2.0), (1.0, 8.0)], 0.0, 3.0),
            ("mod", 0, &[(0.0, 1e6), (-7.0, 7.0)], 0.0, 7.0),
            ("div", 0, &[(10.0, 21.0), (2.0, 5.0)], 2.0, 10.0),
            ("factorial", 0, &[(-4.0, 4.0)], 1.0, 24.0),
            ("nanvl", 0, &[(0.0, 1.0), (-1.0, -1.0)], -1.0, 1.0),
        ] {
            let bounds: Vec<_> = arguments.iter().map(|(low, high)| Bounds::new(*low, *high)).collect();
            let got = (named(name).overloads[index].bounds)(&bounds);
            assert!(
                got.is_some_and(|b| (b.low - low).abs() < 1e-12 && (b.high - high).abs() < 1e-12),
                "{name}: {got:?}"
            );
        }
    }
}
