//! Fields and starts of dates and times in the proleptic Gregorian calendar, for every value of their types. The one definition that
//! finite sets of keys and execution share.

/// Microseconds of a day. A timestamp is microseconds since 1970-01-01T00:00:00; so is a date, where the two meet.
pub const DAY: i64 = 86_400_000_000;

/// A field of a timestamp, as a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatePart {
    Year,
    Quarter,
    Month,
    /// Of ISO 8601, 1 to 53.
    Week,
    Day,
    /// 0 is Sunday.
    DayOfWeek,
    /// 1 is Monday, 7 is Sunday.
    IsoDayOfWeek,
    DayOfYear,
    Hour,
    Minute,
    Second,
}

/// A unit whose start a timestamp is taken back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateUnit {
    Year,
    Quarter,
    Month,
    /// From Monday.
    Week,
    Day,
    Hour,
    Minute,
    Second,
    /// Steps of any length from an origin on, both in microseconds; the length is above 0.
    Steps {
        length: i64,
        origin: i64,
    },
}

/// (year, month, day) of a number of days since 1970-01-01. Source: Hinnant, chrono-Compatible Low-Level Date Algorithms.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`]; months beyond December are of the next year.
pub fn days(year: i64, month: i64) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let shifted = year - i64::from(month <= 2);
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

/// Days since Monday.
pub fn weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

impl DatePart {
    /// The field's name in SQL, in any case.
    pub fn parse(name: &str) -> Option<DatePart> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => DatePart::Year,
            "quarter" => DatePart::Quarter,
            "month" => DatePart::Month,
            "week" => DatePart::Week,
            "day" => DatePart::Day,
            "dow" => DatePart::DayOfWeek,
            "isodow" => DatePart::IsoDayOfWeek,
            "doy" => DatePart::DayOfYear,
            "hour" => DatePart::Hour,
            "minute" => DatePart::Minute,
            "second" => DatePart::Second,
            _ => return None,
        })
    }

    pub fn of(self, micros: i64) -> i64 {
        let (date, time) = (micros.div_euclid(DAY), micros.rem_euclid(DAY) / 1_000_000);
        let (year, month, day) = civil(date);
        let day_of_year = |date: i64| date - days(civil(date).0, 1) + 1;
        match self {
            DatePart::Year => year,
            DatePart::Quarter => (month + 2) / 3,
            DatePart::Month => month,
            // The week is that of its Thursday.
            DatePart::Week => (day_of_year(date - weekday(date) + 3) - 1) / 7 + 1,
            DatePart::Day => day,
            DatePart::DayOfWeek => (weekday(date) + 1) % 7,
            DatePart::IsoDayOfWeek => weekday(date) + 1,
            DatePart::DayOfYear => day_of_year(date),
            DatePart::Hour => time / 3_600,
            DatePart::Minute => time / 60 % 60,
            DatePart::Second => time % 60,
        }
    }

    /// Least and greatest value; None for years, which go on.
    pub fn range(self) -> Option<(i64, i64)> {
        Some(match self {
            DatePart::Year => return None,
            DatePart::Quarter => (1, 4),
            DatePart::Month => (1, 12),
            DatePart::Week => (1, 53),
            DatePart::Day => (1, 31),
            DatePart::DayOfWeek => (0, 6),
            DatePart::IsoDayOfWeek => (1, 7),
            DatePart::DayOfYear => (1, 366),
            DatePart::Hour => (0, 23),
            DatePart::Minute | DatePart::Second => (0, 59),
        })
    }
}

impl DateUnit {
    /// The unit's name in SQL, in any case.
    pub fn parse(name: &str) -> Option<DateUnit> {
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => DateUnit::Year,
            "quarter" => DateUnit::Quarter,
            "month" => DateUnit::Month,
            "week" => DateUnit::Week,
            "day" => DateUnit::Day,
            "hour" => DateUnit::Hour,
            "minute" => DateUnit::Minute,
            "second" => DateUnit::Second,
            _ => return None,
        })
    }

    /// The start of the unit that holds this moment; None where it is before every timestamp.
    pub fn start(self, micros: i64) -> Option<i64> {
        self.start_after(micros, 0)
    }

    /// The start of the next unit.
    pub fn next(self, micros: i64) -> Option<i64> {
        self.start_after(micros, 1)
    }

    fn start_after(self, micros: i64, units: i64) -> Option<i64> {
        let date = micros.div_euclid(DAY);
        let (year, month, _) = civil(date);
        let (first, length) = match self {
            DateUnit::Year => (days(year + units, 1), DAY),
            DateUnit::Quarter => (days(year, (month - 1) / 3 * 3 + 1 + 3 * units), DAY),
            DateUnit::Month => (days(year, month + units), DAY),
            DateUnit::Week => (date - weekday(date) + 7 * units, DAY),
            DateUnit::Day => (date + units, DAY),
            DateUnit::Hour => (micros.div_euclid(3_600_000_000) + units, 3_600_000_000),
            DateUnit::Minute => (micros.div_euclid(60_000_000) + units, 60_000_000),
            DateUnit::Second => (micros.div_euclid(1_000_000) + units, 1_000_000),
            DateUnit::Steps { length, origin } => {
                let (length, origin) = (i128::from(length), i128::from(origin));
                let steps = (i128::from(micros) - origin).div_euclid(length) + i128::from(units);
                return i64::try_from(origin + steps * length).ok();
            }
        };
        first.checked_mul(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i64, month: i64, day: i64, second: i64) -> i64 {
        (days(year, month) + day - 1) * DAY + second * 1_000_000
    }

    #[test]
    fn fields_are_those_of_the_calendar() {
        use DatePart::*;
        let check = |micros, wanted: [i64; 10]| {
            let parts = [Year, Quarter, Month, Week, Day, DayOfWeek, DayOfYear, Hour, Minute, Second];
            assert_eq!(parts.map(|part| part.of(micros)), wanted);
        };
        check(0, [1970, 1, 1, 1, 1, 4, 1, 0, 0, 0]);
        check(-1, [1969, 4, 12, 1, 31, 3, 365, 23, 59, 59]);
        check(at(2024, 2, 29, 3_661), [2024, 1, 2, 9, 29, 4, 60, 1, 1, 1]);
        // ISO weeks at the turn of years: 2020 has 53, and 2027-01-01 is still of the last one.
        check(at(2020, 12, 31, 0), [2020, 4, 12, 53, 31, 4, 366, 0, 0, 0]);
        check(at(2027, 1, 1, 0), [2027, 1, 1, 53, 1, 5, 1, 0, 0, 0]);
        check(at(1600, 3, 1, 0), [1600, 1, 3, 9, 1, 3, 61, 0, 0, 0]);
    }

    #[test]
    fn every_day_is_its_own_inverse_and_fields_are_in_range() {
        for day in (-800_000..800_000).step_by(13).chain([i64::MIN / DAY, i64::MAX / DAY]) {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month) + of_month - 1, day);
            for part in [DatePart::Month, DatePart::Week, DatePart::Day, DatePart::DayOfWeek, DatePart::DayOfYear] {
                let (low, high) = part.range().unwrap();
                assert!((low..=high).contains(&part.of(day.saturating_mul(DAY))), "{part:?} {day}");
            }
        }
    }

    #[test]
    fn units_start_and_follow_each_other() {
        let moment = at(2024, 11, 20, 45_296);
        for (unit, start, next) in [
            (DateUnit::Year, at(2024, 1, 1, 0), at(2025, 1, 1, 0)),
            (DateUnit::Quarter, at(2024, 10, 1, 0), at(2025, 1, 1, 0)),
            (DateUnit::Month, at(2024, 11, 1, 0), at(2024, 12, 1, 0)),
            (DateUnit::Week, at(2024, 11, 18, 0), at(2024, 11, 25, 0)),
            (DateUnit::Day, at(2024, 11, 20, 0), at(2024, 11, 21, 0)),
            (DateUnit::Hour, at(2024, 11, 20, 43_200), at(2024, 11, 20, 46_800)),
            (DateUnit::Minute, at(2024, 11, 20, 45_240), at(2024, 11, 20, 45_300)),
            (DateUnit::Second, moment, moment + 1_000_000),
            (
                DateUnit::Steps { length: 10 * DAY, origin: at(2024, 11, 25, 0) },
                at(2024, 11, 15, 0),
                at(2024, 11, 25, 0),
            ),
        ] {
            assert_eq!((unit.start(moment), unit.next(moment)), (Some(start), Some(next)), "{unit:?}");
            // The ends of what a timestamp can hold.
            assert_eq!(unit.start(i64::MIN), None);
            assert!(unit.start(i64::MAX).is_some() && unit.next(i64::MAX).is_none());
        }
    }
}
