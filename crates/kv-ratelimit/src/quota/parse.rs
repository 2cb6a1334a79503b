//! Quotas in texts.

use super::{CalendarPeriod, Quota, QuotaError, SLOT_LEASE};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::{str::FromStr, time::Duration};

const EXAMPLES: &str = "write for example `100/min`, `100/min burst 20`, `1000/1h sliding`, \
    `10000/month calendar Europe/Berlin` or `10 concurrent lease 30s`";

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        parse(text).map_err(|error| error.in_text(text))
    }
}

fn parse(text: &str) -> Result<Quota, QuotaError> {
    let text = text.trim();
    let digits = text.find(|it: char| !it.is_ascii_digit() && it != '_');
    let (count, rest) = text.split_at(digits.unwrap_or(text.len()));
    let count = number(count)?;
    let rest = rest.trim_start();
    if let Some(rest) = word(rest, "concurrent") {
        let lease = match word(rest, "lease") {
            Some(lease) => span(lease)?,
            None if rest.is_empty() => SLOT_LEASE,
            None => return Err(unexpected(rest)),
        };
        return Quota::concurrent(count, lease);
    }
    let period = rest.strip_prefix('/').or_else(|| word(rest, "per"));
    let period = period.ok_or_else(|| QuotaError::new(format!("no period; {EXAMPLES}")))?;
    for (keyword, make) in [
        ("burst", burst as fn(u64, &str, &str) -> _),
        ("fixed", fixed),
        ("sliding", sliding),
        ("exact", exact),
        ("calendar", calendar),
    ] {
        if let Some((period, rest)) = split_at_word(period, keyword) {
            return make(count, period, rest);
        }
    }
    Quota::gcra(count, span(period)?, count)
}

fn burst(count: u64, period: &str, rest: &str) -> Result<Quota, QuotaError> {
    for keyword in ["fixed", "sliding", "exact", "calendar"] {
        if split_at_word(rest, keyword).is_some() {
            return Err(QuotaError::new(format!(
                "a quota that is `{keyword}` has no burst; leave one of them out"
            )));
        }
    }
    Quota::gcra(count, span(period)?, number(rest)?)
}

fn fixed(count: u64, period: &str, rest: &str) -> Result<Quota, QuotaError> {
    nothing(rest)?;
    Quota::fixed(count, span(period)?)
}

fn sliding(count: u64, period: &str, rest: &str) -> Result<Quota, QuotaError> {
    nothing(rest)?;
    Quota::sliding(count, span(period)?)
}

fn exact(count: u64, period: &str, rest: &str) -> Result<Quota, QuotaError> {
    nothing(rest)?;
    Quota::exact(count, span(period)?)
}

fn calendar(count: u64, period: &str, rest: &str) -> Result<Quota, QuotaError> {
    let mut all = CalendarPeriod::ALL.into_iter();
    let period = all.find(|it| it.name() == period).ok_or_else(|| {
        QuotaError::new(format!(
            "`{period}` is no period of a calendar; they are hour, day, week, month and year"
        ))
    })?;
    let zone = match rest {
        "" | "UTC" => TimeZone::UTC,
        // The database that is compiled in: the same answer on every machine.
        name => TimeZoneDatabase::bundled().get(name).map_err(|_| {
            QuotaError::new(format!(
                "`{name}` is no time zone; write it as IANA does, for example Europe/Berlin"
            ))
        })?,
    };
    Quota::calendar(count, period, zone)
}

fn number(text: &str) -> Result<u64, QuotaError> {
    let digits = text.trim().replace('_', "");
    if digits.is_empty() {
        return Err(QuotaError::new(format!("a number is missing; {EXAMPLES}")));
    }
    digits.parse().map_err(|_| {
        QuotaError::new(format!(
            "`{}` is no number that can be counted to",
            text.trim()
        ))
    })
}

/// `5 minutes`, `1h30m`; a unit alone means one of it.
fn span(text: &str) -> Result<Duration, QuotaError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(QuotaError::new(format!("no period; {EXAMPLES}")));
    }
    // Humantime takes them for 30.44 and 365.25 days, which hardly anybody means.
    let unit = text.trim_start_matches(|it: char| it.is_ascii_digit() || it.is_whitespace());
    if ["M", "month", "months", "y", "year", "years"].contains(&unit) {
        return Err(QuotaError::new(
            "months and years differ in length; write `calendar` behind them, or a number of days",
        ));
    }
    let spelled = match text.starts_with(|it: char| it.is_ascii_digit()) {
        true => text.to_owned(),
        false => format!("1 {text}"),
    };
    humantime::parse_duration(&spelled).map_err(|_| {
        QuotaError::new(format!(
            "`{text}` is no period; write for example `min`, `10s` or `1h30m`"
        ))
    })
}

fn nothing(rest: &str) -> Result<(), QuotaError> {
    match rest {
        "" => Ok(()),
        _ => Err(unexpected(rest)),
    }
}

fn unexpected(rest: &str) -> QuotaError {
    QuotaError::new(format!("`{rest}` is too much; {EXAMPLES}"))
}

/// What follows a word at the beginning.
fn word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(word)?;
    match rest.chars().next() {
        None => Some(rest),
        Some(it) if it.is_whitespace() => Some(rest.trim()),
        Some(_) => None,
    }
}

/// What stands before a word, and behind it.
fn split_at_word<'a>(text: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let at = text.find(keyword)?;
    let (before, rest) = text.split_at(at);
    let rest = word(rest, keyword)?;
    before
        .ends_with(char::is_whitespace)
        .then(|| (before.trim(), rest))
}
