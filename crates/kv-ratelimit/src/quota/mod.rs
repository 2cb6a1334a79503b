//! How much may pass, and by which algorithm.

mod parse;
#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;
use kv_core::Rule;
use std::{error, fmt, time::Duration};

/// The most that an exact log remembers: what it costs grows with it.
pub(crate) const LONGEST_LOG: u64 = 1_000;
/// The most that a window of the calendar or a budget counts to: beyond it numbers in Redis' scripts are
/// not exact.
pub(crate) const LARGEST_COUNT: u64 = 1 << 53;
/// How long a slot is kept for a holder that does not say otherwise.
const SLOT_LEASE: Duration = Duration::from_secs(10);

/// How much may pass, and by which algorithm; text such as `100/min burst 20` parses into one.
///
/// | text | meaning |
/// |---|---|
/// | `100/min` | GCRA: 100 a minute on average, up to 100 at once |
/// | `100/min burst 20` | GCRA: 100 a minute on average, up to 20 at once |
/// | `100/min fixed` | at most 100 in each minute of the store's clock; around its edge 200 |
/// | `1000/1h sliding` | at most 1000 in any hour, estimated from two windows |
/// | `50/10s exact` | at most 50 in any 10 seconds, from a log of them; at most 1000 |
/// | `10000/month calendar Europe/Berlin` | at most 10000 in a month of that time zone; UTC without one |
/// | `10 concurrent lease 30s` | at most 10 at the same time; who dies gives back after the lease |
///
/// `per` stands for `/` as well: `100 per 5 minutes`.
///
/// ```
/// use kv_ratelimit::Quota;
/// use std::time::Duration;
///
/// let parsed: Quota = "100/minute burst 20".parse()?;
/// assert_eq!(parsed, Quota::gcra(100, Duration::from_secs(60), 20)?);
/// assert_eq!(parsed.to_string(), "100/1m burst 20");
/// # Ok::<(), kv_ratelimit::QuotaError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Quota(Kind);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What the stores themselves know.
    Rule(Rule),
    Log {
        count: u64,
        window: Duration,
    },
    Calendar {
        count: u64,
        period: CalendarPeriod,
        zone: TimeZone,
    },
    Concurrent {
        slots: u64,
        lease: Duration,
    },
}

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CalendarPeriod {
    /// From the full hour.
    Hour,
    /// From midnight.
    Day,
    /// From Monday's midnight, as ISO 8601 has it.
    Week,
    /// From the first.
    Month,
    /// From the first of January.
    Year,
}

impl Quota {
    /// The generic cell rate algorithm: `count` per `period` on average, and up to `burst` at once. In any
    /// span of time at most `burst` pass and what the average allows in it.
    ///
    /// # Errors
    /// [`QuotaError`] if a number is zero, or too large to be counted exactly.
    pub fn gcra(count: u64, period: Duration, burst: u64) -> Result<Self, QuotaError> {
        Self::of_rule(Rule::gcra(count, period, burst))
    }

    /// So many a second on average, and as many at once; see [`gcra`](Self::gcra).
    ///
    /// # Errors
    /// As [`gcra`](Self::gcra).
    pub fn per_second(count: u64) -> Result<Self, QuotaError> {
        Self::gcra(count, Duration::from_secs(1), count)
    }

    /// So many a minute on average, and as many at once; see [`gcra`](Self::gcra).
    ///
    /// # Errors
    /// As [`gcra`](Self::gcra).
    pub fn per_minute(count: u64) -> Result<Self, QuotaError> {
        Self::gcra(count, Duration::from_secs(60), count)
    }

    /// So many an hour on average, and as many at once; see [`gcra`](Self::gcra).
    ///
    /// # Errors
    /// As [`gcra`](Self::gcra).
    pub fn per_hour(count: u64) -> Result<Self, QuotaError> {
        Self::gcra(count, Duration::from_secs(3600), count)
    }

    /// The same with another burst.
    ///
    /// # Errors
    /// [`QuotaError`] if this is no GCRA, or the burst is zero or too large.
    pub fn burst(self, burst: u64) -> Result<Self, QuotaError> {
        match self.0 {
            Kind::Rule(Rule::Gcra(it)) => {
                Self::gcra(it.count(), Duration::from_micros(it.period()), burst)
            }
            _ => Err(QuotaError::new("only a GCRA quota has a burst")),
        }
    }

    /// At most `count` in each window of this length, which begin and end by the store's clock; around
    /// an edge twice as many can pass.
    ///
    /// # Errors
    /// As [`gcra`](Self::gcra).
    pub fn fixed(count: u64, window: Duration) -> Result<Self, QuotaError> {
        Self::of_rule(Rule::fixed(count, window))
    }

    /// At most `count` in any window of this length, estimated from the counts of this window and of
    /// the last one, as if the last one's had come evenly.
    ///
    /// # Errors
    /// As [`gcra`](Self::gcra).
    pub fn sliding(count: u64, window: Duration) -> Result<Self, QuotaError> {
        Self::of_rule(Rule::sliding_counter(count, window))
    }

    /// At most `count` in any window of this length, exactly: the store remembers each request. For
    /// counts up to 1000, since what that takes grows with them.
    ///
    /// # Errors
    /// [`QuotaError`] if the count is zero or above 1000, or the window is shorter than 1 ms or longer than 10 years.
    pub fn exact(count: u64, window: Duration) -> Result<Self, QuotaError> {
        positive(count)?;
        if count > LONGEST_LOG {
            return Err(QuotaError::new(
                "an exact quota remembers each request, so it must be at most 1000; \
                 use `sliding` or a burst for more",
            ));
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(3650 * 86_400)).contains(&window) {
            return Err(QuotaError::new(
                "the window of an exact quota must be 1 ms to 10 years",
            ));
        }
        Ok(Self(Kind::Log { count, window }))
    }

    /// At most `count` in each period of the calendar of a time zone.
    ///
    /// # Errors
    /// [`QuotaError`] if the count is zero or 2^53 and more.
    pub fn calendar(
        count: u64,
        period: CalendarPeriod,
        zone: TimeZone,
    ) -> Result<Self, QuotaError> {
        positive(count)?;
        if count >= LARGEST_COUNT {
            return Err(QuotaError::new(
                "the count of a calendar quota must be below 2^53",
            ));
        }
        Ok(Self(Kind::Calendar {
            count,
            period,
            zone,
        }))
    }

    /// At most so many at the same time. Each holds a slot under a lease, so that one that dies gives it back.
    ///
    /// # Errors
    /// [`QuotaError`] if there are no slots, or the lease is not 100 ms to a day.
    pub fn concurrent(slots: u64, lease: Duration) -> Result<Self, QuotaError> {
        positive(slots)?;
        if !(Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(&lease) {
            return Err(QuotaError::new("a lease must be 100ms to 1day"));
        }
        Ok(Self(Kind::Concurrent { slots, lease }))
    }

    /// How much passes in a period, or at the same time.
    pub fn limit(&self) -> u64 {
        match &self.0 {
            Kind::Rule(Rule::Gcra(it)) => it.count(),
            Kind::Rule(Rule::Fixed(it) | Rule::SlidingCounter(it)) => it.count(),
            Kind::Rule(_) => u64::MAX,
            Kind::Log { count, .. } | Kind::Calendar { count, .. } => *count,
            Kind::Concurrent { slots, .. } => *slots,
        }
    }

    /// The most that one request can cost.
    pub fn max_cost(&self) -> u64 {
        match &self.0 {
            Kind::Rule(rule) => rule.max_cost(),
            // So many members a transaction writes on every store.
            Kind::Log { count, .. } => (*count).min(LARGEST_LOGGED_COST),
            Kind::Calendar { count, .. } => *count,
            Kind::Concurrent { slots, .. } => *slots,
        }
    }

    /// The period, as far as it has a length; months have not.
    pub fn period(&self) -> Option<Duration> {
        match &self.0 {
            Kind::Rule(Rule::Gcra(it)) => Some(Duration::from_micros(it.period())),
            Kind::Rule(Rule::Fixed(it) | Rule::SlidingCounter(it)) => {
                Some(Duration::from_micros(it.length()))
            }
            Kind::Rule(_) => None,
            Kind::Log { window, .. } => Some(*window),
            Kind::Calendar { period, .. } => period.nominal(),
            Kind::Concurrent { .. } => None,
        }
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.0
    }

    /// How long it takes from used up to unused.
    pub(crate) fn full_time(&self) -> Duration {
        let micros = match &self.0 {
            Kind::Rule(Rule::Gcra(it)) => (it.burst() * it.period()).div_ceil(it.count()),
            Kind::Rule(Rule::Fixed(it)) => it.length(),
            Kind::Rule(Rule::SlidingCounter(it)) => 2 * it.length(),
            _ => return self.period().unwrap_or_default(),
        };
        Duration::from_micros(micros)
    }

    /// The rule of GCRA, if it is one.
    pub(crate) fn as_gcra(&self) -> Option<&kv_core::Gcra> {
        match &self.0 {
            Kind::Rule(Rule::Gcra(it)) => Some(it),
            _ => None,
        }
    }

    fn of_rule(rule: kv_core::Result<Rule>) -> Result<Self, QuotaError> {
        match rule {
            Ok(rule) => Ok(Self(Kind::Rule(rule))),
            Err(error) => Err(QuotaError::new(error.to_string())),
        }
    }
}

/// The most one request can cost an exact log: a transaction of etcd writes so many members and what
/// goes with them.
pub(crate) const LARGEST_LOGGED_COST: u64 = 30;

impl CalendarPeriod {
    pub(crate) const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Its length where clocks are not changed.
    fn nominal(self) -> Option<Duration> {
        let hours = match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month | Self::Year => return None,
        };
        Some(Duration::from_secs(hours * 3600))
    }
}

/// As [`FromStr`](std::str::FromStr) takes it.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |micros| humantime::format_duration(Duration::from_micros(micros));
        match &self.0 {
            Kind::Rule(Rule::Gcra(it)) => {
                write!(
                    f,
                    "{}/{} burst {}",
                    it.count(),
                    span(it.period()),
                    it.burst()
                )
            }
            Kind::Rule(Rule::Fixed(it)) => write!(f, "{}/{} fixed", it.count(), span(it.length())),
            Kind::Rule(Rule::SlidingCounter(it)) => {
                write!(f, "{}/{} sliding", it.count(), span(it.length()))
            }
            Kind::Rule(other) => write!(f, "{other:?}"),
            Kind::Log { count, window } => {
                write!(f, "{count}/{} exact", humantime::format_duration(*window))
            }
            Kind::Calendar {
                count,
                period,
                zone,
            } => {
                let zone = zone.iana_name().unwrap_or("UTC");
                write!(f, "{count}/{} calendar {zone}", period.name())
            }
            Kind::Concurrent { slots, lease } => {
                let lease = humantime::format_duration(*lease);
                write!(f, "{slots} concurrent lease {lease}")
            }
        }
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quota({self})")
    }
}

/// Why something is no quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaError {
    text: Option<String>,
    reason: String,
}

impl QuotaError {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            text: None,
            reason: reason.into(),
        }
    }

    fn in_text(mut self, text: &str) -> Self {
        self.text = Some(text.chars().take(80).collect());
        self
    }

    /// The text that was to be parsed, if it was one; its beginning if it is long.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// What is wrong with it, and what would be right.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "`{}` is no quota: {}", text.escape_debug(), self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl error::Error for QuotaError {}

fn positive(count: u64) -> Result<(), QuotaError> {
    match count {
        0 => Err(QuotaError::new(
            "the count of a quota must not be zero; a policy with an empty allow-list and 1 a year comes nearest to forbidding all",
        )),
        _ => Ok(()),
    }
}
