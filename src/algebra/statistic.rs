//! Variances, covariances and regressions, from a count and means.
//!
//! With d(x) = x - (the middle of x's bounds), all follow from the number of rows n and the means of d(x), d(y), d(x)^2, d(y)^2 and
//! d(x) d(y): the variance is mean(d(x)^2) - mean(d(x))^2, the covariance mean(d(x) d(y)) - mean(d(x)) mean(d(y)). Moments about the
//! middle need far less noise than those about zero. The definitions are those of SQL:2016, 10.9; where the noise leaves no variance
//! at all, a correlation and a slope are 0.

/// Numbers from `low` to `high`, which may be infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    pub low: f64,
    pub high: f64,
}

impl Range {
    pub const ALL: Range = Range { low: f64::NEG_INFINITY, high: f64::INFINITY };

    pub fn point(value: f64) -> Range {
        Range { low: value, high: value }
    }

    fn of(ends: [f64; 4]) -> Range {
        // Nothing times infinity is nothing here.
        let ends = ends.map(|end| if end.is_nan() { 0.0 } else { end });
        Range {
            low: ends.into_iter().fold(f64::INFINITY, f64::min),
            high: ends.into_iter().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    pub fn plus(self, by: f64) -> Range {
        Range { low: self.low + by, high: self.high + by }
    }

    fn minus(self, other: Range) -> Range {
        Range { low: self.low - other.high, high: self.high - other.low }
    }

    fn times(self, other: Range) -> Range {
        let (a, b) = (self, other);
        Range::of([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high])
    }

    fn squared(self) -> Range {
        let high = self.low.abs().max(self.high.abs());
        let low = if self.low <= 0.0 && self.high >= 0.0 { 0.0 } else { self.low.abs().min(self.high.abs()) };
        Range { low: low * low, high: high * high }
    }

    fn root(self) -> Range {
        Range { low: self.low.sqrt(), high: self.high.sqrt() }
    }

    /// None where the divisor may be zero; it is never below.
    fn over(self, divisor: Range) -> Option<Range> {
        let (a, b) = (self, divisor);
        (b.low > 0.0).then(|| Range::of([a.low / b.low, a.low / b.high, a.high / b.low, a.high / b.high]))
    }

    pub fn clamp(self, low: f64, high: f64) -> Range {
        Range { low: self.low.clamp(low, high), high: self.high.clamp(low, high) }
    }
}

/// What a mean is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    X,
    Y,
    XX,
    YY,
    XY,
}

/// What follows from moments. Regressions are of y on x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
    /// n times the variance.
    SumOfSquares,
    CovarPop,
    CovarSamp,
    /// n times the covariance.
    SumOfProducts,
    Corr,
    Slope,
    Intercept,
    /// The squared correlation.
    R2,
}

/// A count and the means about the middles of bounds, each within a range.
pub struct Moments<F: Fn(Moment) -> Range> {
    pub count: Range,
    pub mean: F,
    /// Middles of the bounds of x and y.
    pub middles: (f64, f64),
}

impl Statistic {
    /// The means that it follows from, beside the count.
    pub fn moments(self) -> &'static [Moment] {
        use Moment::{X, XX, XY, Y, YY};
        match self {
            Statistic::VarPop
            | Statistic::VarSamp
            | Statistic::StddevPop
            | Statistic::StddevSamp
            | Statistic::SumOfSquares => &[X, XX],
            Statistic::CovarPop | Statistic::CovarSamp | Statistic::SumOfProducts => &[X, Y, XY],
            Statistic::Corr | Statistic::R2 => &[X, Y, XX, YY, XY],
            Statistic::Slope | Statistic::Intercept => &[X, Y, XX, XY],
        }
    }

    /// Whether it is of two expressions.
    pub fn of_two(self) -> bool {
        self.moments().contains(&Moment::Y)
    }

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Statistic::VarPop => "var_pop",
            Statistic::VarSamp => "var_samp",
            Statistic::StddevPop => "stddev_pop",
            Statistic::StddevSamp => "stddev_samp",
            Statistic::SumOfSquares => "regr_sxx",
            Statistic::CovarPop => "covar_pop",
            Statistic::CovarSamp => "covar_samp",
            Statistic::SumOfProducts => "regr_sxy",
            Statistic::Corr => "corr",
            Statistic::Slope => "regr_slope",
            Statistic::Intercept => "regr_intercept",
            Statistic::R2 => "regr_r2",
        }
    }

    /// Its value where each moment is known.
    pub fn value(self, moments: &Moments<impl Fn(Moment) -> Range>) -> f64 {
        match (self.within(moments), self) {
            (Some(range), _) => range.low,
            (None, Statistic::Intercept) => moments.middles.1 + (moments.mean)(Moment::Y).low,
            (None, _) => 0.0,
        }
    }

    /// Holds its value wherever in their ranges the moments are.
    pub fn range(self, moments: &Moments<impl Fn(Moment) -> Range>) -> Range {
        let range = self.within(moments).unwrap_or(Range::ALL);
        match self {
            Statistic::Corr => range.clamp(-1.0, 1.0),
            Statistic::R2 => range.clamp(0.0, 1.0),
            _ => range,
        }
    }

    /// None where a variance that it divides by may be zero.
    fn within(self, moments: &Moments<impl Fn(Moment) -> Range>) -> Option<Range> {
        let Moments { count, mean, middles } = moments;
        let variance = |of, squared| mean(squared).minus(mean(of).squared()).clamp(0.0, f64::INFINITY);
        let covariance = || mean(Moment::XY).minus(mean(Moment::X).times(mean(Moment::Y)));
        let x = || variance(Moment::X, Moment::XX);
        // n / (n - 1) falls with n.
        let of_sample = |range: Range| {
            let Range { low, high } = count.clamp(2.0, f64::MAX);
            range.times(Range { low: high / (high - 1.0), high: low / (low - 1.0) })
        };
        let of_rows = |range: Range| range.times(count.clamp(0.0, f64::MAX));
        let correlation = || {
            let both = x().times(variance(Moment::Y, Moment::YY)).root();
            covariance().over(both).map(|r| r.clamp(-1.0, 1.0))
        };
        let slope = || covariance().over(x());
        Some(match self {
            Statistic::VarPop => x(),
            Statistic::VarSamp => of_sample(x()),
            Statistic::StddevPop => x().root(),
            Statistic::StddevSamp => of_sample(x()).root(),
            Statistic::SumOfSquares => of_rows(x()),
            Statistic::CovarPop => covariance(),
            Statistic::CovarSamp => of_sample(covariance()),
            Statistic::SumOfProducts => of_rows(covariance()),
            Statistic::Corr => correlation()?,
            Statistic::R2 => correlation()?.squared(),
            Statistic::Slope => slope()?,
            Statistic::Intercept => {
                mean(Moment::Y).plus(middles.1).minus(slope()?.times(mean(Moment::X).plus(middles.0)))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Statistic; 12] = [
        Statistic::VarPop,
        Statistic::VarSamp,
        Statistic::StddevPop,
        Statistic::StddevSamp,
        Statistic::SumOfSquares,
        Statistic::CovarPop,
        Statistic::CovarSamp,
        Statistic::SumOfProducts,
        Statistic::Corr,
        Statistic::Slope,
        Statistic::Intercept,
        Statistic::R2,
    ];

    fn mean_of(rows: &[(f64, f64)], middles: (f64, f64), moment: Moment) -> f64 {
        let of = |(x, y): &(f64, f64)| {
            let (x, y) = (x - middles.0, y - middles.1);
            match moment {
                Moment::X => x,
                Moment::Y => y,
                Moment::XX => x * x,
                Moment::YY => y * y,
                Moment::XY => x * y,
            }
        };
        rows.iter().map(of).sum::<f64>() / rows.len() as f64
    }

    #[test]
    fn values_are_those_of_the_definitions() {
        // Worked out by hand: x 1, 2, 4, 5 and y 2, 3, 3, 6.
        let rows = [(1.0, 2.0), (2.0, 3.0), (4.0, 3.0), (5.0, 6.0)];
        let middles = (10.0, -3.0);
        let count = Range::point(4.0);
        let moments = Moments { count, mean: |m| Range::point(mean_of(&rows, middles, m)), middles };
        let r = 2.0 / (2.5f64 * 2.25).sqrt();
        let expected =
            [2.5, 10.0 / 3.0, 2.5f64.sqrt(), (10.0f64 / 3.0).sqrt(), 10.0, 2.0, 8.0 / 3.0, 8.0, r, 0.8, 1.1, r * r];
        for (statistic, expected) in ALL.into_iter().zip(expected) {
            let got = statistic.value(&moments);
            assert!((got - expected).abs() < 1e-12, "{}: {got} {expected}", statistic.name());
        }
    }

    #[test]
    fn nothing_varies_nothing_correlates() {
        let flat = Moments { count: Range::point(0.0), mean: |_| Range::point(0.0), middles: (1.0, 7.0) };
        for statistic in ALL {
            let expected = if statistic == Statistic::Intercept { 7.0 } else { 0.0 };
            assert_eq!(statistic.value(&flat), expected, "{}", statistic.name());
            let range = statistic.range(&flat);
            assert!(range.low <= expected && expected <= range.high, "{}: {range:?}", statistic.name());
        }
    }

    #[test]
    fn ranges_hold_all_that_is_within_their_moments() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        for _ in 0..3000 {
            let middles = (4.0 * random() - 2.0, 4.0 * random() - 2.0);
            let mut ranges = std::collections::HashMap::new();
            let mut inner = std::collections::HashMap::new();
            for moment in [Moment::X, Moment::Y, Moment::XX, Moment::YY, Moment::XY] {
                let squared = matches!(moment, Moment::XX | Moment::YY);
                let low = if squared { 2.0 * random() } else { 2.0 * random() - 1.0 };
                let width = random() * 0.3;
                ranges.insert(format!("{moment:?}"), Range { low, high: low + width });
                inner.insert(format!("{moment:?}"), low + width * random());
            }
            let few = 20.0 * random() - 3.0;
            let count = Range { low: few, high: few + 5.0 };
            let wide = Moments { count, mean: |m: Moment| ranges[&format!("{m:?}")], middles };
            let point = few + 5.0 * random();
            let exact = Moments {
                count: Range::point(point),
                mean: |m: Moment| Range::point(inner[&format!("{m:?}")]),
                middles,
            };
            for statistic in ALL {
                let (range, value) = (statistic.range(&wide), statistic.value(&exact));
                let slack = 1e-9 * value.abs().max(1.0);
                assert!(
                    range.low - slack <= value && value <= range.high + slack,
                    "{}: {value} outside of {range:?}",
                    statistic.name()
                );
            }
        }
    }
}
