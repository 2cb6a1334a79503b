#![allow(clippy::unwrap_used, reason = "a test")]

use super::{CalendarPeriod, Quota};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use proptest::prelude::*;
use std::time::Duration;

fn parse(text: &str) -> Quota {
    text.parse().unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn texts_that_people_write_are_read() {
    let minute = Quota::per_minute(100).unwrap();
    for text in [
        "100/min",
        "100/minute",
        "100 / minute",
        "100 per minute",
        "100/1m",
        "100/60s",
        "1_00/min",
        "100/1 minute",
        " 100/minutes burst 100 ",
    ] {
        assert_eq!(parse(text), minute, "{text}");
    }
    let burst = minute.burst(20).unwrap();
    assert_eq!(parse("100/min burst 20"), burst);
    assert_eq!(
        parse("7 per 5 minutes"),
        Quota::gcra(7, 5 * MINUTE, 7).unwrap()
    );
    assert_eq!(parse("3/s"), Quota::per_second(3).unwrap());
    assert_eq!(parse("3/hour"), Quota::per_hour(3).unwrap());
    assert_eq!(parse("2/1h30m"), Quota::gcra(2, 90 * MINUTE, 2).unwrap());
    assert_eq!(parse("5/min fixed"), Quota::fixed(5, MINUTE).unwrap());
    assert_eq!(parse("5/min sliding"), Quota::sliding(5, MINUTE).unwrap());
    assert_eq!(parse("5/min exact"), Quota::exact(5, MINUTE).unwrap());
    let berlin = TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
    let calendar = Quota::calendar(5, CalendarPeriod::Month, berlin).unwrap();
    assert_eq!(parse("5/month calendar Europe/Berlin"), calendar);
    let day = Quota::calendar(5, CalendarPeriod::Day, TimeZone::UTC).unwrap();
    assert_eq!(parse("5 per day calendar"), day);
    let slots = |seconds| Quota::concurrent(4, Duration::from_secs(seconds)).unwrap();
    assert_eq!(parse("4 concurrent"), slots(10));
    assert_eq!(parse("4 concurrent lease 30s"), slots(30));
}

#[test]
fn what_is_no_quota_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "a number is missing"),
        ("min", "a number is missing"),
        ("100", "no period"),
        ("100/", "no period"),
        ("0/min", "must not be zero"),
        ("-1/min", "a number is missing"),
        ("100/min burst", "a number is missing"),
        ("100/min burst 0", "must not be zero"),
        ("100/fortnight", "`fortnight` is no period"),
        ("100/month", "`calendar`"),
        ("100/2 years", "`calendar`"),
        ("100/min fixed 3", "`3` is too much"),
        ("1001/min exact", "at most 1000"),
        ("5/minute calendar", "`minute` is no period of a calendar"),
        ("5/day calendar Mars/Base", "`Mars/Base` is no time zone"),
        ("5 concurrent for 30s", "`for 30s` is too much"),
        ("5 concurrent lease 1ms", "100ms to 1day"),
        ("99999999999999999999/min", "is no number"),
        ("9007199254740992/day calendar", "below 2^53"),
        ("1000000000/365days", "too large to be counted exactly"),
    ] {
        let error = text.parse::<Quota>().unwrap_err();
        assert!(error.reason().contains(reason), "{text}: {error}");
        assert_eq!(error.text(), Some(text));
    }
}

proptest! {
    #[test]
    fn what_is_shown_is_read_again(
        count in 1_u64..1000,
        millis in 1_u64..100_000_000,
        burst in 1_u64..1000,
        kind in 0..6,
    ) {
        let span = Duration::from_millis(millis);
        let quota = match kind {
            0 => Quota::gcra(count, span, burst),
            1 => Quota::fixed(count, span),
            2 => Quota::sliding(count, span),
            3 => Quota::exact(count, span),
            4 => Quota::calendar(count, CalendarPeriod::Week, TimeZone::UTC),
            _ => Quota::concurrent(count, span.clamp(Duration::from_secs(1), Duration::from_secs(86_400))),
        };
        let quota = quota.unwrap();
        prop_assert_eq!(parse(&quota.to_string()), quota);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,40}") {
        let _ = text.parse::<Quota>();
    }
}
