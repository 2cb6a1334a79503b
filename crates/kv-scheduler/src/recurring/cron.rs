//! Ticks by the calendar.

use super::{Recurring, timing::Timing};
use crate::{Scheduler, Task};
use croner::parser::{CronParser, Seconds, Year};
use jiff::{
    Zoned,
    tz::{TimeZone, TimeZoneDatabase},
};
use kv_core::{Error, ErrorKind, Result, Timestamp};
use std::fmt;

/// A day before which no clock matters: whether an expression has ticks at all is tried from here on.
const LONG_AGO: Timestamp = Timestamp::from_micros(946_684_800_000_000);

/// Ticks by the calendar and the clock on the wall: a cron expression in a time zone.
///
/// An expression has six fields, second, minute, hour, day of the month, month and day of the week, or
/// five, without the second. Besides `*`, lists, ranges and steps there are `L` for the last day (of the
/// month, or `5L` the last Friday), `15W` for the next working day, `1#2` for the second Monday, names
/// (`MON`, `JAN`) and `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`: the Open Cron Pattern
/// Specification. If both days are given, either will do.
///
/// When clocks are changed, an expression that gives one second, one minute and one hour, each by a
/// number,
///
/// - has its tick right after the gap where the clock leaves that time out,
/// - and one tick where that time comes twice: the first time.
///
/// Any other, such as `*/15 * * * *` or `0 2,14 * * *`, goes by real time: it has no tick at a time that
/// is left out, and one each time that the clock shows it where it comes twice. So two fixed times of a
/// day are better two schedules.
///
/// The database of zones is that of the program, so that all programs of one build agree.
///
/// ```
/// use kv_scheduler::Cron;
///
/// # fn main() -> kv_core::Result<()> {
/// let nightly = Cron::parse("0 30 2 * * *")?.time_zone("Europe/Berlin")?;
/// assert_eq!(nightly.to_string(), "0 30 2 * * * Europe/Berlin");
/// # let error = Cron::parse("0 0 30 2 *").unwrap_err();
/// # assert!(error.to_string().contains("never"), "{error}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cron {
    expression: String,
    parsed: Box<croner::Cron>,
    zone: TimeZone,
}

impl Cron {
    /// Parses an expression; the zone is UTC if no other is given.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it is none, or one that has no tick ever, such
    /// as on the 30th of February.
    pub fn parse(expression: &str) -> Result<Self> {
        let cron = Self::read(expression)?;
        match cron.next(LONG_AGO) {
            Some(_) => Ok(cron),
            None => {
                let message =
                    "the cron expression never has a tick: no such day is in the calendar";
                Err(refused(expression, message))
            }
        }
    }

    /// The same with an expression that was parsed before.
    pub(super) fn read(expression: &str) -> Result<Self> {
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed)
            .build();
        let parsed = parser.parse(expression).map_err(|error| {
            let message = "not a cron expression; give second, minute, hour, day of the month, month \
                           and day of the week, as in `0 30 2 * * *`, or leave the second out";
            refused(expression, message).with_context("reason", error)
        })?;
        let words: Vec<_> = expression.split_whitespace().collect();
        Ok(Self {
            expression: words.join(" "),
            parsed: Box::new(parsed),
            zone: TimeZone::UTC,
        })
    }

    /// By the clocks of this zone, by its name in the IANA database: `Europe/Berlin`.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if there is no such zone.
    pub fn time_zone(mut self, name: &str) -> Result<Self> {
        self.zone = match name {
            "UTC" => TimeZone::UTC,
            _ => TimeZoneDatabase::bundled().get(name).map_err(|_| {
                let message = "no such time zone; give its name in the IANA database, such as \
                               `Europe/Berlin`";
                Error::new(ErrorKind::InvalidArgument, message)
                    .with_context("zone", name.escape_debug())
            })?,
        };
        Ok(self)
    }

    /// The first tick after an instant, say to show the next few to somebody.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // Ticks are whole seconds.
        let second = after.as_micros().div_euclid(1_000_000);
        let instant = jiff::Timestamp::from_second(second).ok()?;
        let after = Zoned::new(instant, self.zone.clone());
        let next = self.parsed.find_next_occurrence(&after, false).ok()?;
        let micros = next.timestamp().as_second().checked_mul(1_000_000)?;
        Some(Timestamp::from_micros(micros))
    }

    fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

impl From<Cron> for Timing {
    fn from(cron: Cron) -> Self {
        Self::Cron {
            zone: cron.zone_name().to_owned(),
            expression: cron.expression,
        }
    }
}

impl Scheduler {
    /// A task that comes by the calendar. `name` is that of the schedule, unique for its tenant and
    /// queue. Nothing happens before [`Recurring::upsert`].
    ///
    /// ```
    /// use kv_scheduler::{Cron, Scheduler, Task};
    /// # use serde::{Serialize, Deserialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Report;
    ///
    /// impl Task for Report {
    ///     const KIND: &'static str = "report";
    ///     type Output = ();
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> kv_core::Result<()> {
    /// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
    /// # let scheduler = Scheduler::new(&kv)?;
    /// let half_past_two = Cron::parse("0 30 2 * * *")?.time_zone("Europe/Berlin")?;
    /// scheduler.cron("nightly", half_past_two, Report).upsert().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cron<T: Task>(&self, name: impl Into<String>, cron: Cron, task: T) -> Recurring<T> {
        Recurring::new(self.clone(), name.into(), cron.into(), task)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.expression, self.zone_name())
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({self})")
    }
}

fn refused(expression: &str, message: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
        .with_context("expression", expression.escape_debug())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::Cron;
    use kv_core::{ErrorKind, Timestamp};

    /// The next ticks after an instant, as a clock in the zone shows them.
    fn ticks(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::parse(expression).unwrap().time_zone(zone).unwrap();
        let after: jiff::Timestamp = after.parse().unwrap();
        let mut tick = Timestamp::from_micros(after.as_microsecond());
        (0..count)
            .map(|_| {
                tick = cron.next(tick).unwrap();
                let tick = jiff::Timestamp::from_microsecond(tick.as_micros()).unwrap();
                let local = tick.to_zoned(cron.zone.clone());
                local.strftime("%d %H:%M%:z").to_string()
            })
            .collect()
    }

    #[test]
    fn a_fixed_time_in_the_gap_is_right_after_it() {
        let found = ticks("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
        assert_eq!(
            found,
            ["28 02:30+01:00", "29 03:00+02:00", "30 02:30+02:00"]
        );
    }

    #[test]
    fn a_fixed_time_that_comes_twice_is_once() {
        let found = ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3);
        assert_eq!(
            found,
            ["24 02:30+02:00", "25 02:30+02:00", "26 02:30+01:00"]
        );
    }

    #[test]
    fn an_interval_goes_by_real_time() {
        let spring = ticks("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 4);
        let gap = [
            "29 01:30+01:00",
            "29 03:00+02:00",
            "29 03:30+02:00",
            "29 04:00+02:00",
        ];
        assert_eq!(spring, gap);
        let autumn = ticks("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 5);
        let twice = [
            "25 02:00+02:00",
            "25 02:30+02:00",
            "25 02:00+01:00",
            "25 02:30+01:00",
            "25 03:00+01:00",
        ];
        assert_eq!(autumn, twice);
    }

    #[test]
    fn what_is_none_is_refused_with_a_remedy() {
        for (bad, remedy) in [
            ("", "not a cron expression"),
            ("* * * *", "not a cron expression"),
            ("* * * * * * *", "not a cron expression"),
            ("61 * * * *", "not a cron expression"),
            ("often", "not a cron expression"),
            ("0 0 30 2 *", "never"),
        ] {
            let error = Cron::parse(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
            assert!(error.to_string().contains(remedy), "{bad}: {error}");
        }
        let berlin = Cron::parse("@daily").unwrap().time_zone("Europe/Bärlin");
        assert!(berlin.unwrap_err().to_string().contains("IANA"));
    }
}
