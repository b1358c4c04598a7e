//! Windows of grants: the calendar of UTC, in seconds since 1970.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};

/// How often a grant is there anew. The promise of a grant with a window is for each window by itself; what was lost in all stays on display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    Daily,
    /// From Monday on.
    Weekly,
    Monthly,
    Quarterly,
    Yearly,
}

impl Window {
    pub const ALL: [Window; 5] = [Window::Daily, Window::Weekly, Window::Monthly, Window::Quarterly, Window::Yearly];

    pub fn name(self) -> &'static str {
        match self {
            Window::Daily => "daily",
            Window::Weekly => "weekly",
            Window::Monthly => "monthly",
            Window::Quarterly => "quarterly",
            Window::Yearly => "yearly",
        }
    }

    pub fn of_name(name: &str) -> Option<Window> {
        Window::ALL.into_iter().find(|window| window.name() == name)
    }

    /// When the window that this moment is in began.
    pub fn start(self, at: i64) -> i64 {
        let Some(day) = DateTime::from_timestamp(at, 0).map(|at| at.date_naive()) else { return at };
        let first_of = |month: u32| NaiveDate::from_ymd_opt(day.year(), month, 1);
        let first = match self {
            Window::Daily => Some(day),
            Window::Weekly => day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday()))),
            Window::Monthly => first_of(day.month()),
            Window::Quarterly => first_of(day.month0() / 3 * 3 + 1),
            Window::Yearly => first_of(1),
        };
        first.map_or(at, |first| first.and_time(NaiveTime::MIN).and_utc().timestamp())
    }

    /// When the next one begins.
    pub fn next(self, at: i64) -> i64 {
        let start = self.start(at);
        // The least that is surely in the next one, and not beyond it.
        let days = match self {
            Window::Daily => 1,
            Window::Weekly => 7,
            Window::Monthly => 31,
            Window::Quarterly => 92,
            Window::Yearly => 366,
        };
        self.start(start + days * 86_400)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    #[test]
    fn windows_follow_the_calendar() {
        let moment = at("2028-02-29T23:59:59Z");
        for (window, start, next) in [
            (Window::Daily, "2028-02-29", "2028-03-01"),
            (Window::Weekly, "2028-02-28", "2028-03-06"),
            (Window::Monthly, "2028-02-01", "2028-03-01"),
            (Window::Quarterly, "2028-01-01", "2028-04-01"),
            (Window::Yearly, "2028-01-01", "2029-01-01"),
        ] {
            assert_eq!(window.start(moment), at(&format!("{start}T00:00:00Z")), "{window:?}");
            assert_eq!(window.next(moment), at(&format!("{next}T00:00:00Z")), "{window:?}");
        }
    }

    #[test]
    fn windows_have_no_gaps() {
        for window in Window::ALL {
            let mut start = window.start(at("2023-01-01T00:00:00Z"));
            for _ in 0..400 {
                let next = window.next(start);
                assert!(next > start);
                assert_eq!([window.start(next - 1), window.start(next), window.next(next - 1)], [start, next, next]);
                start = next;
            }
        }
    }
}
