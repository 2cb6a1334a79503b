//! The windows of a calendar: each begins where the last one ends, whatever is done to the clocks.

use crate::CalendarPeriod;
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use kv_core::{Error, ErrorKind, Timestamp};

const HOUR: i64 = 3600;

/// A window, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: i64,
    /// It does not belong to it.
    end: i64,
}

impl Window {
    /// The one that holds this instant.
    pub(super) fn around(
        period: CalendarPeriod,
        zone: &TimeZone,
        instant: Timestamp,
    ) -> Result<Self, Error> {
        let window =
            jiff::Timestamp::from_microsecond(instant.as_micros()).and_then(
                |instant| match period {
                    CalendarPeriod::Hour => Self::hour(zone, instant),
                    _ => Self::days(period, zone, instant),
                },
            );
        window.map_err(|source| {
            let text = "the clock shows a time that no calendar has";
            Error::new(ErrorKind::Unexpected, text).with_source(source)
        })
    }

    pub(super) fn contains(self, instant: Timestamp) -> bool {
        (self.start..self.end).contains(&instant.as_micros().div_euclid(1_000_000))
    }

    pub(super) fn end(self) -> Timestamp {
        Timestamp::from_micros(self.end.saturating_mul(1_000_000))
    }

    /// An hour of the wall's clock; it ends early where that is set by a part of an hour.
    fn hour(zone: &TimeZone, instant: jiff::Timestamp) -> Result<Self, jiff::Error> {
        let offset = i64::from(zone.to_offset(instant).seconds());
        let now = instant.as_microsecond().div_euclid(1_000_000);
        let start = (now + offset).div_euclid(HOUR) * HOUR - offset;
        // Those before an instant, so the next second's.
        let next_second = jiff::Timestamp::from_second(now + 1)?;
        let set_before = zone.preceding(next_second).next();
        let set_after = zone.following(instant).next();
        let set_before = set_before.map_or(i64::MIN, |it| it.timestamp().as_second());
        let set_after = set_after.map_or(i64::MAX, |it| it.timestamp().as_second());
        Ok(Self {
            start: start.max(set_before),
            end: (start + HOUR).min(set_after),
        })
    }

    /// From midnight to midnight; a day can have 23 or 25 hours.
    fn days(
        period: CalendarPeriod,
        zone: &TimeZone,
        instant: jiff::Timestamp,
    ) -> Result<Self, jiff::Error> {
        let today = zone.to_datetime(instant).date();
        let since_monday = i64::from(today.weekday().to_monday_zero_offset());
        let (first, next) = match period {
            CalendarPeriod::Hour | CalendarPeriod::Day => (today, today.tomorrow()?),
            CalendarPeriod::Week => {
                let monday = today.checked_sub(since_monday.days())?;
                (monday, monday.checked_add(1.week())?)
            }
            CalendarPeriod::Month => (today.first_of_month(), today.last_of_month().tomorrow()?),
            CalendarPeriod::Year => (today.first_of_year(), today.last_of_year().tomorrow()?),
        };
        Ok(Self {
            start: midnight(first, zone)?,
            end: midnight(next, zone)?,
        })
    }
}

/// The first moment of a day: where midnight is left out what follows it, of two the first.
fn midnight(day: Date, zone: &TimeZone) -> Result<i64, jiff::Error> {
    Ok(day.to_zoned(zone.clone())?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::Window;
    use crate::CalendarPeriod;
    use jiff::tz::{TimeZone, TimeZoneDatabase};
    use kv_core::Timestamp;
    use proptest::prelude::*;

    const ZONES: [&str; 9] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        // At midnight, and by half an hour.
        "Africa/Cairo",
        "America/Santiago",
        "Australia/Lord_Howe",
        "America/Caracas",
        "Asia/Kathmandu",
        "Pacific/Apia",
    ];

    fn zone(name: &str) -> TimeZone {
        TimeZoneDatabase::bundled().get(name).unwrap()
    }

    fn second(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    }

    fn around(period: CalendarPeriod, zone: &TimeZone, second: i64) -> Window {
        let instant = Timestamp::from_micros(second * 1_000_000);
        Window::around(period, zone, instant).unwrap()
    }

    #[test]
    fn windows_are_those_of_the_zone() {
        use CalendarPeriod::{Day, Hour, Month, Week, Year};
        for (period, name, within, start, end) in [
            (
                Day,
                "UTC",
                "2025-06-11T12:30:00Z",
                "2025-06-11T00:00:00Z",
                "2025-06-12T00:00:00Z",
            ),
            (
                Week,
                "UTC",
                "2025-06-15T23:59:59Z",
                "2025-06-09T00:00:00Z",
                "2025-06-16T00:00:00Z",
            ),
            (
                Week,
                "UTC",
                "2025-06-16T00:00:00Z",
                "2025-06-16T00:00:00Z",
                "2025-06-23T00:00:00Z",
            ),
            (
                Month,
                "Europe/Berlin",
                "2025-01-31T23:00:00Z",
                "2025-01-31T23:00:00Z",
                "2025-02-28T23:00:00Z",
            ),
            (
                Month,
                "Europe/Berlin",
                "2024-03-05T00:00:00Z",
                "2024-02-29T23:00:00Z",
                "2024-03-31T22:00:00Z",
            ),
            (
                Year,
                "America/New_York",
                "2025-01-01T04:59:59Z",
                "2024-01-01T05:00:00Z",
                "2025-01-01T05:00:00Z",
            ),
            // 23 hours, and 25.
            (
                Day,
                "Europe/Berlin",
                "2025-03-30T12:00:00Z",
                "2025-03-29T23:00:00Z",
                "2025-03-30T22:00:00Z",
            ),
            (
                Day,
                "Europe/Berlin",
                "2025-10-26T12:00:00Z",
                "2025-10-25T22:00:00Z",
                "2025-10-26T23:00:00Z",
            ),
            // Midnight is left out.
            (
                Day,
                "Africa/Cairo",
                "2025-04-25T12:00:00Z",
                "2025-04-24T22:00:00Z",
                "2025-04-25T21:00:00Z",
            ),
            // Two hours of the same name, none of a name that is left out.
            (
                Hour,
                "Europe/Berlin",
                "2025-10-26T00:30:00Z",
                "2025-10-26T00:00:00Z",
                "2025-10-26T01:00:00Z",
            ),
            (
                Hour,
                "Europe/Berlin",
                "2025-10-26T01:30:00Z",
                "2025-10-26T01:00:00Z",
                "2025-10-26T02:00:00Z",
            ),
            (
                Hour,
                "Europe/Berlin",
                "2025-03-30T01:30:00Z",
                "2025-03-30T01:00:00Z",
                "2025-03-30T02:00:00Z",
            ),
            (
                Hour,
                "Asia/Kathmandu",
                "2025-03-30T01:30:00Z",
                "2025-03-30T01:15:00Z",
                "2025-03-30T02:15:00Z",
            ),
            // Back by half an hour at 2:00, and forth again.
            (
                Hour,
                "Australia/Lord_Howe",
                "2025-04-05T14:59:59Z",
                "2025-04-05T14:00:00Z",
                "2025-04-05T15:00:00Z",
            ),
            (
                Hour,
                "Australia/Lord_Howe",
                "2025-04-05T15:00:00Z",
                "2025-04-05T15:00:00Z",
                "2025-04-05T15:30:00Z",
            ),
            (
                Hour,
                "Australia/Lord_Howe",
                "2025-10-04T15:30:00Z",
                "2025-10-04T15:30:00Z",
                "2025-10-04T16:00:00Z",
            ),
            // Forth by half an hour at 2:30.
            (
                Hour,
                "America/Caracas",
                "2016-05-01T06:59:59Z",
                "2016-05-01T06:30:00Z",
                "2016-05-01T07:00:00Z",
            ),
        ] {
            let window = around(period, &zone(name), second(within));
            let expected = Window {
                start: second(start),
                end: second(end),
            };
            assert_eq!(window, expected, "{period:?} {name} {within}");
        }
    }

    proptest! {
        #[test]
        fn each_instant_is_in_one_window(
            // 2015 to 2045.
            at in 1_420_070_400_000_000_i64..2_366_841_600_000_000,
            zone in prop::sample::select(&ZONES[..]),
            period in prop::sample::select(&CalendarPeriod::ALL[..]),
        ) {
            let instant = Timestamp::from_micros(at);
            let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
            let window = Window::around(period, &zone, instant).unwrap();
            prop_assert!(window.contains(instant));
            prop_assert_eq!(around(period, &zone, window.start), window);
            prop_assert_eq!(around(period, &zone, window.end - 1), window);
            prop_assert_eq!(around(period, &zone, window.end).start, window.end);
            prop_assert_eq!(around(period, &zone, window.start - 1).end, window.start);
        }
    }
}
