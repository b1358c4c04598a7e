//! Functions of dates and timestamps, in the proleptic Gregorian calendar.
//!
//! Dates and timestamps that they give are of the years 1 to 9999, or NULL; arguments may be all that their types can hold.
//! Semantics are PostgreSQL's; `date_diff` is DuckDB's, with weeks that begin on Monday as before its version 1.1 (since then
//! it counts them in steps of seven days). The fields of formats, such as `%Y`, are those of C.

use super::{Bounds, Overload, Scalar, Type, Value, short, unknown};
use crate::algebra::calendar::{DAY, DatePart, DateUnit, civil, days, weekday};
use std::ops::RangeInclusive;

type Of = fn(&[Value]) -> Option<Value<'static>>;

const HOUR: i64 = 60 * MINUTE;
const MINUTE: i64 = 60 * SECOND;
const SECOND: i64 = 1_000_000;
const YEARS: RangeInclusive<i64> = 1..=9999;
/// The days of these years.
const DAYS: RangeInclusive<i64> = -719_162..=2_932_896;
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
#[rustfmt::skip]
const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
];

/// Name, aliases, form, meaning and overloads. An argument in the body of an overload is a reference. In brackets is how
/// the results follow each argument, if so always, or `=` and their bounds.
macro_rules! scalar {
    ($name:literal $(or $alias:literal)*, $form:literal, $about:literal,
     $(($($argument:ident: $kind:ident),*) -> $gives:ident $([$($bounds:tt)+])? { $result:expr })*) => {
        Scalar {
            name: $name,
            aliases: &[$($alias),*],
            overloads: &[$({
                const OF: Of = |arguments| match arguments {
                    [$(Value::$kind($argument)),*] => $result,
                    _ => None,
                };
                Overload {
                    takes: &[$(Type::$kind),*],
                    gives: Type::$gives,
                    of: OF,
                    bounds: bounds!(OF, $($kind)* $(=> $($bounds)+)?),
                }
            }),*],
            about: $about,
            form: $form,
        }
    };
}

macro_rules! bounds {
    ($of:expr, $($kind:ident)*) => {
        unknown
    };
    ($of:expr, $($kind:ident)* => = $bounds:expr) => {
        $bounds
    };
    ($of:expr, $($kind:ident)* => $($slope:ident),*) => {
        |bounds| at_ends($of, &[$((Type::$kind, Slope::$slope)),*], bounds)
    };
}

pub const ALL: &[Scalar] = &[
    scalar!("make_date", "make_date(year, month, day)", "The date. NULL where there is no such day.",
        (year: Int, month: Int, day: Int) -> Date [= |bounds| years(bounds, 0)] { date(day_of(*year, *month, *day)?) }),
    scalar!("make_timestamp", "make_timestamp(year, month, day, hour, minute, second)",
        "The timestamp; `second` is below 60 and rounded to microseconds, and 24:00:00 is the end of the day. NULL where \
         there is no such moment.",
        (year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Float) -> Timestamp
        [= |bounds| years(bounds, DAY)] { make_timestamp(day_of(*year, *month, *day)?, *hour, *minute, *second) }),
    scalar!("last_day", "last_day(moment)", "The last day of the month. NULL outside the years 1 to 9999.",
        (moment: Date) -> Date [Rises] { last_day(moment) }
        (moment: Timestamp) -> Date [Rises] { last_day(moment) }),
    scalar!("day_name" or "dayname", "day_name(moment)", "The day of the week in English, such as `Monday`.",
        (moment: Date) -> Text { day_name(moment) }
        (moment: Timestamp) -> Text { day_name(moment) }),
    scalar!("month_name" or "monthname", "month_name(moment)", "The month in English, such as `January`.",
        (moment: Date) -> Text { month_name(moment) }
        (moment: Timestamp) -> Text { month_name(moment) }),
    scalar!("to_unixtime", "to_unixtime(moment)", "Whole seconds since 1970-01-01 00:00:00, rounded down.",
        (moment: Date) -> Int [Rises] { units(DateUnit::Second, moment).map(Value::Int) }
        (moment: Timestamp) -> Int [Rises] { units(DateUnit::Second, moment).map(Value::Int) }),
    scalar!("to_unixmicros" or "epoch_us", "to_unixmicros(timestamp)", "Microseconds since 1970-01-01 00:00:00.",
        (moment: Timestamp) -> Int [Rises] { Some(Value::Int(*moment)) }),
    scalar!("from_unixtime" or "to_timestamp_seconds", "from_unixtime(seconds)",
        "The timestamp so many seconds after 1970-01-01 00:00:00. NULL outside the years 1 to 9999.",
        (seconds: Int) -> Timestamp [Rises] { timestamp(seconds.checked_mul(SECOND)?) }),
    scalar!("to_timestamp_millis", "to_timestamp_millis(milliseconds)",
        "The timestamp so many milliseconds after 1970-01-01 00:00:00. NULL outside the years 1 to 9999.",
        (milliseconds: Int) -> Timestamp [Rises] { timestamp(milliseconds.checked_mul(1_000)?) }),
    scalar!("to_timestamp_micros", "to_timestamp_micros(microseconds)",
        "The timestamp so many microseconds after 1970-01-01 00:00:00. NULL outside the years 1 to 9999.",
        (microseconds: Int) -> Timestamp [Rises] { timestamp(*microseconds) }),
    // Bounds for the shortest unit would hold for all, but be far too wide for most.
    scalar!("date_diff" or "datediff", "date_diff(unit, start, end)",
        "How many times a new year, quarter, month, week (on Monday), day, hour, minute or second begins after `start` and \
         up to `end`; negative if `end` is the earlier one. NULL for any other unit.",
        (unit: Text, start: Date, end: Date) -> Int { date_diff(unit, start, end) }
        (unit: Text, start: Timestamp, end: Timestamp) -> Int { date_diff(unit, start, end) }),
    scalar!("days_between", "end - start", "How many days the date `end` is after the date `start`.",
        (end: Date, start: Date) -> Int [Rises, Falls] { Some(Value::Int(i64::from(*end) - i64::from(*start))) }),
    scalar!("age_in_years", "age_in_years(birth, at)",
        "The age in whole years on the day `at`; who was born on 29 February is a year older on 1 March if there is no \
         such day. Before `birth` it is the negative of what it is with the two exchanged.",
        (birth: Date, at: Date) -> Int [Falls, Rises] { age_in_years(birth, at) }),
    scalar!("add_months", "moment + INTERVAL 'n months'",
        "The moment `n` months later, on the last day of the month where it has no such day. NULL outside the years 1 to \
         9999.",
        (moment: Date, n: Int) -> Date [Rises, Rises] { add_months(moment, *n) }
        (moment: Timestamp, n: Int) -> Timestamp [= months_later] { add_months(moment, *n) }),
    scalar!("add_days", "moment + INTERVAL 'n days'", "The moment `n` days later. NULL outside the years 1 to 9999.",
        (moment: Date, n: Int) -> Date [Rises, Rises] { moment.on_day(moment.split().0.checked_add(*n)?) }
        (moment: Timestamp, n: Int) -> Timestamp [Rises, Rises] { moment.on_day(moment.split().0.checked_add(*n)?) }),
    scalar!("add_micros", "moment + INTERVAL 'n microseconds'",
        "The moment `n` microseconds later. NULL outside the years 1 to 9999.",
        (moment: Timestamp, n: Int) -> Timestamp [Rises, Rises] { timestamp(moment.checked_add(*n)?) }),
    scalar!("is_leap_year", "is_leap_year(year)", "Whether the year has a 29 February.",
        (year: Int) -> Bool { Some(Value::Bool(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))) }),
    scalar!("days_in_month", "days_in_month(moment)", "How many days the month has.",
        (moment: Date) -> Int [= |_| Bounds::new(28.0, 31.0)] { days_in_month(moment) }
        (moment: Timestamp) -> Int [= |_| Bounds::new(28.0, 31.0)] { days_in_month(moment) }),
    scalar!("to_char" or "date_format" or "strftime", "to_char(moment, format)",
        "The format with these fields replaced: `%Y` `%m` `%d` `%H` `%M` `%S`, `%f` microseconds, `%y` year of the century, \
         `%j` day of the year, `%b` `%B` month and `%a` `%A` day of the week in English, short and long, `%u` day of the \
         week with Monday as 1, `%w` with Sunday as 0, `%V` `%G` ISO week and its year, `%F` for `%Y-%m-%d`, `%T` for \
         `%H:%M:%S`, `%%`. NULL for any other field, outside the years 1 to 9999, and where that is too long a text.",
        (moment: Date, format: Text) -> Text { short(written(moment, format)?) }
        (moment: Timestamp, format: Text) -> Text { short(written(moment, format)?) }),
    scalar!("date_text", "CAST(date AS VARCHAR)", "The date as `YYYY-MM-DD`. NULL outside the years 1 to 9999.",
        (date: Date) -> Text { short(written(date, "%F")?) }),
    scalar!("timestamp_text", "CAST(timestamp AS VARCHAR)",
        "The timestamp as `YYYY-MM-DD HH:MM:SS`, with a fraction of the second if it is not 0. NULL outside the years 1 to \
         9999.",
        (timestamp: Timestamp) -> Text { timestamp_text(timestamp) }),
    scalar!("to_date", "to_date(text, format)", "The day of the timestamp that `strptime` gives. NULL where that is.",
        (text: Text, format: Text) -> Date { date(read(text, format)?.div_euclid(DAY)) }),
    scalar!("strptime", "strptime(text, format)",
        "The timestamp written in this format: `%Y` (four digits), `%m` `%d` `%H` `%M` `%S` (one or two), `%f` fraction of \
         the second (up to six), `%y` year from 1970 to 2069 (one or two), `%b` `%B` month in English, short and long, `%%`; \
         anything else stands for itself. Without month or day it is the first, without a time midnight. NULL where the \
         text is not so written, has no year, or there is no such moment.",
        (text: Text, format: Text) -> Timestamp { timestamp(read(text, format)?) }),
];

fn date(day: i64) -> Option<Value<'static>> {
    DAYS.contains(&day).then_some(Value::Date(day as i32))
}

fn timestamp(micros: i64) -> Option<Value<'static>> {
    DAYS.contains(&micros.div_euclid(DAY)).then_some(Value::Timestamp(micros))
}

fn day_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let real = YEARS.contains(&year) && (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    real.then(|| days(year, month) + day - 1)
}

fn month_length(year: i64, month: i64) -> i64 {
    days(year, month + 1) - days(year, month)
}

/// A date or a timestamp.
trait Moment {
    /// Its day, and the microseconds since that began.
    fn split(&self) -> (i64, i64);
    /// The same on another day.
    fn on_day(&self, day: i64) -> Option<Value<'static>>;
}

impl Moment for i32 {
    fn split(&self) -> (i64, i64) {
        (i64::from(*self), 0)
    }

    fn on_day(&self, day: i64) -> Option<Value<'static>> {
        date(day)
    }
}

impl Moment for i64 {
    fn split(&self) -> (i64, i64) {
        (self.div_euclid(DAY), self.rem_euclid(DAY))
    }

    fn on_day(&self, day: i64) -> Option<Value<'static>> {
        timestamp(day.checked_mul(DAY)?.checked_add(self.split().1)?)
    }
}

fn make_timestamp(day: i64, hour: i64, minute: i64, second: f64) -> Option<Value<'static>> {
    let real = (0..=24).contains(&hour) && (0..60).contains(&minute) && (0.0..60.0).contains(&second);
    let time = real.then(|| hour * HOUR + minute * MINUTE + (second * SECOND as f64).round_ties_even() as i64)?;
    if time <= DAY { timestamp(day * DAY + time) } else { None }
}

fn last_day(moment: &impl Moment) -> Option<Value<'static>> {
    let (year, month, _) = civil(moment.split().0);
    date(days(year, month + 1) - 1)
}

fn days_in_month(moment: &impl Moment) -> Option<Value<'static>> {
    let (year, month, _) = civil(moment.split().0);
    Some(Value::Int(month_length(year, month)))
}

fn day_name(moment: &impl Moment) -> Option<Value<'static>> {
    short(WEEKDAYS[weekday(moment.split().0) as usize].to_owned())
}

fn month_name(moment: &impl Moment) -> Option<Value<'static>> {
    short(MONTHS[civil(moment.split().0).1 as usize - 1].to_owned())
}

fn date_diff(unit: &str, start: &impl Moment, end: &impl Moment) -> Option<Value<'static>> {
    let unit = DateUnit::parse(unit)?;
    Some(Value::Int(units(unit, end)? - units(unit, start)?))
}

/// The number of the unit that holds the moment, in their order.
fn units(unit: DateUnit, moment: &impl Moment) -> Option<i64> {
    let (day, time) = moment.split();
    let (year, month, _) = civil(day);
    let within_days = |length: i64| day * (DAY / length) + time / length;
    Some(match unit {
        DateUnit::Year => year,
        DateUnit::Quarter => year * 4 + (month - 1) / 3,
        DateUnit::Month => year * 12 + month,
        DateUnit::Week => (day - weekday(day)).div_euclid(7),
        DateUnit::Day => day,
        DateUnit::Hour => within_days(HOUR),
        DateUnit::Minute => within_days(MINUTE),
        DateUnit::Second => within_days(SECOND),
        DateUnit::Steps { .. } => return None,
    })
}

/// As if every month had 31 days: that changes no anniversary, and makes all years equally long.
fn age_in_years(birth: &i32, at: &i32) -> Option<Value<'static>> {
    let place = |date: &i32| {
        let (year, month, day) = civil(i64::from(*date));
        (year * 12 + month) * 31 + day
    };
    Some(Value::Int((place(at) - place(birth)) / (12 * 31)))
}

fn add_months(moment: &impl Moment, n: i64) -> Option<Value<'static>> {
    let (year, month, day) = civil(moment.split().0);
    let months = (year * 12 + month - 1).checked_add(n)?;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let day = YEARS.contains(&year).then(|| day.min(month_length(year, month)))?;
    moment.on_day(day_of(year, month, day)?)
}

fn timestamp_text(timestamp: &i64) -> Option<Value<'static>> {
    short(written(timestamp, "%F %T.%f")?.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn written(moment: &impl Moment, format: &str) -> Option<String> {
    let (day, time) = moment.split();
    if !DAYS.contains(&day) {
        return None;
    }
    let (year, month, of_month) = civil(day);
    let (month_name, day_name) = (MONTHS[month as usize - 1], WEEKDAYS[weekday(day) as usize]);
    let part = |part: DatePart| part.of(day * DAY + time);
    let mut text = String::new();
    let mut format = format.chars();
    while let Some(character) = format.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        text += &match format.next()? {
            'Y' => format!("{year:04}"),
            'y' => format!("{:02}", year % 100),
            'm' => format!("{month:02}"),
            'd' => format!("{of_month:02}"),
            'H' => format!("{:02}", part(DatePart::Hour)),
            'M' => format!("{:02}", part(DatePart::Minute)),
            'S' => format!("{:02}", part(DatePart::Second)),
            'f' => format!("{:06}", time % SECOND),
            'j' => format!("{:03}", part(DatePart::DayOfYear)),
            'b' => month_name[..3].to_owned(),
            'B' => month_name.to_owned(),
            'a' => day_name[..3].to_owned(),
            'A' => day_name.to_owned(),
            'u' => (weekday(day) + 1).to_string(),
            'w' => part(DatePart::DayOfWeek).to_string(),
            'V' => format!("{:02}", part(DatePart::Week)),
            // The year of the week's Thursday.
            'G' => format!("{:04}", civil(day - weekday(day) + 3).0),
            'F' => written(moment, "%Y-%m-%d")?,
            'T' => written(moment, "%H:%M:%S")?,
            '%' => "%".to_owned(),
            _ => return None,
        };
    }
    Some(text)
}

/// Whether the format of a function that writes or reads moments has fields, and knows all of them: then it tells moments apart, and
/// reads what it writes.
pub fn is_format(function: &str, format: &str) -> bool {
    let moments = [981_173_106_789_012i64, 1_385_573_929_123_456];
    let [first, second] = moments.map(|moment| written(&moment, format));
    let reads = matches!(function, "to_date" | "strptime");
    first != second && first.is_some_and(|text| !reads || read(&text, format).is_some())
}

/// Microseconds since 1970. A field that is there twice has to say the same.
fn read(mut text: &str, format: &str) -> Option<i64> {
    let mut fields = [None; 7];
    let mut format = format.chars();
    while let Some(character) = format.next() {
        if character != '%' {
            text = text.strip_prefix(character)?;
            continue;
        }
        let (field, value) = match format.next()? {
            '%' => {
                text = text.strip_prefix('%')?;
                continue;
            }
            'Y' => (0, number(digits(&mut text, 4..=4)?)?),
            'y' => (0, 1970 + (number(digits(&mut text, 1..=2)?)? + 30) % 100),
            'm' => (1, number(digits(&mut text, 1..=2)?)?),
            'b' => (1, month(&mut text, 3)?),
            'B' => (1, month(&mut text, usize::MAX)?),
            'd' => (2, number(digits(&mut text, 1..=2)?)?),
            'H' => (3, number(digits(&mut text, 1..=2)?)?),
            'M' => (4, number(digits(&mut text, 1..=2)?)?),
            'S' => (5, number(digits(&mut text, 1..=2)?)?),
            'f' => (6, number(&format!("{:0<6}", digits(&mut text, 1..=6)?))?),
            _ => return None,
        };
        if *fields[field].get_or_insert(value) != value {
            return None;
        }
    }
    let [year, month, of_month, hour, minute, second, micros] = fields;
    let [hour, minute, second, micros] = [hour, minute, second, micros].map(|field| field.unwrap_or(0));
    let day = day_of(year?, month.unwrap_or(1), of_month.unwrap_or(1))?;
    let real = text.is_empty() && hour < 24 && minute < 60 && second < 60;
    real.then(|| day * DAY + hour * HOUR + minute * MINUTE + second * SECOND + micros)
}

/// Takes the digits at the start, as many as there are of those wanted.
fn digits<'a>(text: &mut &'a str, wanted: RangeInclusive<usize>) -> Option<&'a str> {
    let count = text.bytes().take(*wanted.end()).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(count);
    *text = rest;
    wanted.contains(&count).then_some(digits)
}

fn number(digits: &str) -> Option<i64> {
    digits.parse().ok()
}

/// Takes the name of a month at the start, in any case, of so many letters at most.
fn month(text: &mut &str, letters: usize) -> Option<i64> {
    let starts = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let mut names = (1..).zip(MONTHS.map(|name| &name[..name.len().min(letters)]));
    let (month, name) = names.find(|(_, name)| starts(name))?;
    *text = &text[name.len()..];
    Some(month)
}

#[derive(Clone, Copy, PartialEq)]
enum Slope {
    Rises,
    Falls,
}

/// The results at the ends, where they rise or fall with each argument. No result there means one beyond the calendar, so
/// that its end is the bound.
fn at_ends(of: Of, takes: &[(Type, Slope)], bounds: &[Option<Bounds>]) -> Option<Bounds> {
    let (mut lowest, mut highest) = (Vec::new(), Vec::new());
    for ((kind, slope), bounds) in takes.iter().zip(bounds) {
        let (low, high) = ends(*kind, (*bounds)?)?;
        let (low, high) = if *slope == Slope::Rises { (low, high) } else { (high, low) };
        lowest.push(low);
        highest.push(high);
    }
    let or = |result: Option<Value>, end: i64| result.map_or(Some(end), |value| measure(&value));
    outwards(or(of(&lowest), DAYS.start() * DAY)?, or(of(&highest), (DAYS.end() + 1) * DAY)?)
}

fn measure(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) | Value::Timestamp(n) => Some(*n),
        Value::Date(day) => i64::from(*day).checked_mul(DAY),
        _ => None,
    }
}

/// The nearest that hold both: beyond 2^53 not all whole numbers are exact.
fn outwards(low: i64, high: i64) -> Option<Bounds> {
    let (near_low, near_high) = (low as f64, high as f64);
    Bounds::new(
        if near_low as i128 > i128::from(low) { near_low.next_down() } else { near_low },
        if (near_high as i128) < i128::from(high) { near_high.next_up() } else { near_high },
    )
}

/// A least and a greatest value that can be within the bounds.
fn ends(kind: Type, bounds: Bounds) -> Option<(Value<'static>, Value<'static>)> {
    let (low, high) = whole(bounds);
    Some(match kind {
        Type::Int => (Value::Int(low), Value::Int(high)),
        Type::Timestamp => (Value::Timestamp(low), Value::Timestamp(high)),
        // Starts of days are exact; only those millions of years away are not, for which is the step up.
        Type::Date => {
            let day = |micros: f64| Value::Date((micros / DAY as f64).floor() as i32);
            (day(bounds.low), day(bounds.high.next_up()))
        }
        _ => return None,
    })
}

/// A least and a greatest whole number that can be within the bounds, be it only once rounded to `f64`.
fn whole(bounds: Bounds) -> (i64, i64) {
    let exact = |end: f64| end.abs() < 2f64.powi(53);
    let low = if exact(bounds.low) { bounds.low } else { bounds.low.next_down() };
    let high = if exact(bounds.high) { bounds.high } else { bounds.high.next_up() };
    (low.floor() as i64, high.ceil() as i64)
}

/// From the first day to the last one of the years that the first argument can be, and so many microseconds more.
fn years(bounds: &[Option<Bounds>], more: i64) -> Option<Bounds> {
    let (low, high) = whole((*bounds.first()?)?);
    let first = |year: i64| days(year.clamp(1, 10_000), 1);
    outwards(first(low) * DAY, (first(high.saturating_add(1)) - 1) * DAY + more)
}

/// Months later, timestamps can be in another order, as days are clipped and times stay; their days cannot.
fn months_later(bounds: &[Option<Bounds>]) -> Option<Bounds> {
    const OF_DAYS: Of = |arguments| match arguments {
        [Value::Date(day), Value::Int(n)] => add_months(day, *n),
        _ => None,
    };
    let [Some(moment), n] = bounds else {
        return None;
    };
    let (low, high) = whole(*moment);
    let day = |micros: i64| micros.div_euclid(DAY) as f64 * DAY as f64;
    let takes = [(Type::Date, Slope::Rises), (Type::Int, Slope::Rises)];
    let days = at_ends(OF_DAYS, &takes, &[Bounds::new(day(low), day(high)), *n])?;
    Bounds::new(days.low, days.high + DAY as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn i(n: i64) -> Value<'static> {
        Value::Int(n)
    }

    fn s(text: &str) -> Value<'static> {
        Value::Text(text.to_owned().into())
    }

    fn d(text: &str) -> Value<'static> {
        date(read(text, "%Y-%m-%d").unwrap() / DAY).unwrap()
    }

    fn t(text: &str) -> Value<'static> {
        timestamp(read(text, "%Y-%m-%d %H:%M:%S.%f").unwrap()).unwrap()
    }

    fn kind(value: &Value) -> Type {
        match value {
            Value::Int(_) => Type::Int,
            Value::Float(_) => Type::Float,
            Value::Text(_) => Type::Text,
            Value::Bool(_) => Type::Bool,
            Value::Date(_) => Type::Date,
            Value::Timestamp(_) => Type::Timestamp,
        }
    }

    /// The result as a text.
    fn call(name: &str, arguments: &[Value]) -> String {
        let scalar = ALL.iter().find(|scalar| scalar.name == name || scalar.aliases.contains(&name)).expect(name);
        let kinds: Vec<Type> = arguments.iter().map(kind).collect();
        let overload = scalar.overloads.iter().find(|overload| overload.takes == kinds).expect(name);
        let result = (overload.of)(arguments);
        assert!(result.iter().all(|value| kind(value) == overload.gives), "{name}");
        match result {
            None => "NULL".to_owned(),
            Some(Value::Int(n)) => n.to_string(),
            Some(Value::Bool(truth)) => truth.to_string(),
            Some(Value::Text(text)) => text.into_owned(),
            Some(Value::Date(day)) => written(&day, "%F").unwrap(),
            Some(Value::Timestamp(micros)) => written(&micros, "%F %T.%f").unwrap(),
            Some(Value::Float(x)) => x.to_string(),
        }
    }

    /// By PostgreSQL 15 and DuckDB, where they have the function.
    #[test]
    fn known_values() {
        let float = Value::Float;
        let (born, leap) = (d("2004-02-29"), d("2024-02-29"));
        let (before, after) = (t("1969-12-31 23:59:59.5"), t("1970-01-01 00:00:00.5"));
        let moment = t("2024-12-30 07:08:09.0012");
        let every = s("%Y %m %d %H %M %S %f %j %y %b %B %a %A %u %w %% %F %T %V %G é");
        for (name, arguments, expected) in [
            ("make_date", vec![i(2024), i(2), i(29)], "2024-02-29"),
            ("make_date", vec![i(2023), i(2), i(29)], "NULL"),
            ("make_date", vec![i(0), i(1), i(1)], "NULL"),
            ("make_date", vec![i(9999), i(12), i(31)], "9999-12-31"),
            ("make_timestamp", vec![i(1), i(1), i(1), i(0), i(0), float(-0.0)], "0001-01-01 00:00:00.000000"),
            (
                "make_timestamp",
                vec![i(2024), i(2), i(29), i(23), i(59), float(59.9999999)],
                "2024-03-01 00:00:00.000000",
            ),
            ("make_timestamp", vec![i(2024), i(2), i(29), i(24), i(0), float(0.0)], "2024-03-01 00:00:00.000000"),
            ("make_timestamp", vec![i(2024), i(2), i(29), i(24), i(0), float(1e-6)], "NULL"),
            ("make_timestamp", vec![i(2024), i(2), i(29), i(1), i(2), float(3.4567894)], "2024-02-29 01:02:03.456789"),
            ("make_timestamp", vec![i(2024), i(2), i(29), i(1), i(2), float(60.0)], "NULL"),
            ("make_timestamp", vec![i(2024), i(2), i(29), i(1), i(2), float(f64::NAN)], "NULL"),
            ("make_timestamp", vec![i(9999), i(12), i(31), i(24), i(0), float(0.0)], "NULL"),
            ("last_day", vec![d("2023-02-03")], "2023-02-28"),
            ("last_day", vec![moment.clone()], "2024-12-31"),
            ("day_name", vec![leap.clone()], "Thursday"),
            ("dayname", vec![before.clone()], "Wednesday"),
            ("month_name", vec![before.clone()], "December"),
            ("to_unixtime", vec![before.clone()], "-1"),
            ("to_unixtime", vec![d("1970-01-03")], "172800"),
            ("from_unixtime", vec![i(-1)], "1969-12-31 23:59:59.000000"),
            ("from_unixtime", vec![i(253_402_300_800)], "NULL"),
            ("to_timestamp_millis", vec![i(1_500)], "1970-01-01 00:00:01.500000"),
            ("to_timestamp_micros", vec![i(-1)], "1969-12-31 23:59:59.999999"),
            ("date_diff", vec![s("Week"), d("1970-01-04"), d("1970-01-05")], "1"),
            ("date_diff", vec![s("week"), d("2024-11-20"), d("2024-11-10")], "-2"),
            ("date_diff", vec![s("quarter"), d("2023-12-31"), d("2024-11-10")], "4"),
            ("date_diff", vec![s("month"), d("2024-01-31"), d("2024-02-01")], "1"),
            ("date_diff", vec![s("hour"), d("2024-01-31"), d("2024-02-01")], "24"),
            ("date_diff", vec![s("YEAR"), before.clone(), after.clone()], "1"),
            ("date_diff", vec![s("minute"), before.clone(), after.clone()], "1"),
            ("date_diff", vec![s("second"), after, before], "-1"),
            ("date_diff", vec![s("dow"), leap.clone(), leap.clone()], "NULL"),
            ("days_between", vec![d("2024-03-01"), leap.clone()], "1"),
            ("age_in_years", vec![born.clone(), d("2005-02-28")], "0"),
            ("age_in_years", vec![born.clone(), d("2005-03-01")], "1"),
            ("age_in_years", vec![leap.clone(), born], "-20"),
            ("age_in_years", vec![d("2024-01-01"), d("2023-12-31")], "0"),
            ("add_months", vec![d("2024-01-31"), i(1)], "2024-02-29"),
            ("add_months", vec![d("2024-01-31"), i(-2)], "2023-11-30"),
            ("add_months", vec![d("2024-01-31"), i(12 * 7_975 + 11)], "9999-12-31"),
            ("add_months", vec![d("2024-01-31"), i(12 * 7_975 + 12)], "NULL"),
            ("add_months", vec![moment.clone(), i(2)], "2025-02-28 07:08:09.001200"),
            ("add_days", vec![leap.clone(), i(-60)], "2023-12-31"),
            ("add_days", vec![moment.clone(), i(2)], "2025-01-01 07:08:09.001200"),
            ("add_micros", vec![moment.clone(), i(-1_200)], "2024-12-30 07:08:09.000000"),
            ("is_leap_year", vec![i(1900)], "false"),
            ("is_leap_year", vec![i(2000)], "true"),
            ("days_in_month", vec![leap.clone()], "29"),
            (
                "to_char",
                vec![moment.clone(), every],
                "2024 12 30 07 08 09 001200 365 24 Dec December Mon Monday 1 1 % 2024-12-30 07:08:09 01 2025 é",
            ),
            ("strftime", vec![leap.clone(), s("%q")], "NULL"),
            ("date_format", vec![leap.clone(), s("%")], "NULL"),
            ("to_char", vec![leap.clone(), s(&"%F".repeat(103))], "NULL"),
            ("date_text", vec![leap], "2024-02-29"),
            ("timestamp_text", vec![moment], "2024-12-30 07:08:09.0012"),
            ("timestamp_text", vec![t("0800-01-01 10:00:00.0")], "0800-01-01 10:00:00"),
            ("to_date", vec![s("29/2/24 100% é"), s("%d/%m/%y 100%% é")], "2024-02-29"),
            ("to_date", vec![s("20240229"), s("%Y%m%d")], "2024-02-29"),
            ("to_date", vec![s("20230229"), s("%Y%m%d")], "NULL"),
            ("to_date", vec![s("2024"), s("%Y")], "2024-01-01"),
            ("to_date", vec![s("2024 "), s("%Y")], "NULL"),
            ("to_date", vec![s("+024"), s("%Y")], "NULL"),
            ("to_date", vec![s("02"), s("%m")], "NULL"),
            ("to_date", vec![s("2024 23"), s("%Y %y")], "NULL"),
            ("strptime", vec![s("mAY 5 69, 7:08:9.05"), s("%b %d %y, %H:%M:%S.%f")], "2069-05-05 07:08:09.050000"),
            ("strptime", vec![s("1970 September"), s("%Y %B")], "1970-09-01 00:00:00.000000"),
            ("strptime", vec![s("1970 24"), s("%Y %H")], "NULL"),
        ] {
            assert_eq!(call(name, &arguments), expected, "{name}, expected {expected}");
        }
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % end
        }

        /// Of any size.
        fn whole(&mut self) -> i64 {
            let bits = (self.below(1 << 31) << 33 | self.below(1 << 31) << 2) as i64;
            [0, 1, -1, i64::MIN, i64::MAX, bits >> self.below(64), bits >> self.below(64)][self.below(7) as usize]
        }

        fn value(&mut self, kind: Type) -> Value<'static> {
            let days = [self.below(3_652_059) as i64 - 719_162, self.below(30_000) as i64, self.whole()];
            let day = days[self.below(3) as usize];
            match kind {
                Type::Int => i([self.whole(), self.below(32) as i64, self.below(9_999) as i64][self.below(3) as usize]),
                Type::Float => Value::Float(self.whole() as f64 / 4.0),
                Type::Date => Value::Date(day.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32),
                Type::Timestamp => Value::Timestamp(day.saturating_mul(DAY).saturating_add(self.whole() % DAY)),
                _ => s(["", "day", "%Y-%m-%d %%", "2024-01-31 %", "\u{10FFFF}%", "%B%f%"][self.below(6) as usize]),
            }
        }
    }

    fn size(value: &Value) -> f64 {
        match value {
            Value::Int(n) | Value::Timestamp(n) => *n as f64,
            Value::Date(day) => f64::from(*day) * DAY as f64,
            Value::Float(x) => *x,
            _ => f64::NAN,
        }
    }

    #[test]
    fn all_are_total_and_within_their_bounds() {
        let mut random = Random(1);
        for (scalar, overload) in ALL.iter().flat_map(|scalar| scalar.overloads.iter().map(move |one| (scalar, one))) {
            let mut bounded = 0;
            for _ in 0..4_000 {
                let mut draw = || -> Vec<Value> { overload.takes.iter().map(|kind| random.value(*kind)).collect() };
                let (a, b, mut c) = (draw(), draw(), draw());
                let within = |(a, b): (&Value, &Value)| Bounds::new(size(a).min(size(b)), size(a).max(size(b)));
                let bounds: Vec<_> = a.iter().zip(&b).map(within).collect();
                for (at, value) in c.iter_mut().enumerate() {
                    if bounds[at].is_some_and(|bounds| !(bounds.low..=bounds.high).contains(&size(value))) {
                        *value = [&a, &b][random.below(2) as usize][at].clone();
                    }
                }
                let results = (overload.bounds)(&bounds);
                for arguments in [&a, &b, &c] {
                    let result = (overload.of)(arguments);
                    let (Some(value), Some(results)) = (&result, results) else {
                        continue;
                    };
                    bounded += 1;
                    assert!((results.low..=results.high).contains(&size(value)), "{}", scalar.name);
                    let calendar = (-62_135_596_800e6, 253_402_300_800e6);
                    let moment = matches!(overload.gives, Type::Date | Type::Timestamp);
                    assert!(!moment || calendar.0 <= size(value) && size(value) <= calendar.1, "{}", scalar.name);
                }
            }
            let numbers = overload.gives != Type::Text && overload.takes.iter().all(|kind| *kind != Type::Text);
            assert!(bounded > 10 || !numbers || overload.gives == Type::Bool, "{} {bounded}", scalar.name);
        }
    }

    #[test]
    fn long_formats_and_texts() {
        let long = "\u{10FFFF}".repeat(256);
        assert!(call("to_char", &[d("2024-02-29"), s(&long)]) == long);
        assert!(call("to_date", &[s(&long), s(&long)]) == "NULL");
        assert!(call("to_date", &[s(&format!("{long}2024")), s(&format!("{long}%Y"))]) == "2024-01-01");
        assert!(call("date_diff", &[s(&long), d("2024-02-29"), d("2024-02-29")]) == "NULL");
    }
}
