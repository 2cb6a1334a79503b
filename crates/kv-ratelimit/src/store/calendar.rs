//! Windows of the calendar: a counter for each, which ends with it.
//!
//! Which window it is, the store's clock says. A request names the window by what is known of that clock here;
//! the reply tells what it showed, and where that is another window the request is made again.

use super::{Ask, Store, no_answer, no_reserve, part, window::Window};
use crate::CalendarPeriod;
use jiff::tz::TimeZone;
use kv_core::{
    Error, ErrorKind, Guard, Key, LimitState, Mark, Op, Outcome, Read, Result, ThrottleMode,
    Timestamp, Ttl, Txn,
};
use std::num::ParseIntError;

/// The first is in vain if nothing is known of the store's clock, or a window ends meanwhile.
const TRIES: usize = 4;
/// How often others may be faster than somebody who gives back.
const GIVE_BACK_TRIES: usize = 32;

pub(super) struct Calendar<'a> {
    store: &'a Store,
    key: &'a Key,
    /// Below 2^53.
    limit: i64,
    period: CalendarPeriod,
    zone: &'a TimeZone,
}

impl<'a> Calendar<'a> {
    pub(super) fn new(
        store: &'a Store,
        key: &'a Key,
        limit: u64,
        period: CalendarPeriod,
        zone: &'a TimeZone,
    ) -> Self {
        Self {
            store,
            key,
            limit: counted(limit),
            period,
            zone,
        }
    }

    /// The number is the window's start.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<(LimitState, u64)> {
        let cost = counted(ask.cost);
        match ask.mode {
            ThrottleMode::Debit => self.debit(cost).await,
            ThrottleMode::Peek => self.peek(cost).await,
            ThrottleMode::Refund => {
                let key = self.place(ask.number.cast_signed())?;
                let used = self.give_back(&key, cost).await?;
                let remaining = self.remaining(used);
                Ok((LimitState::new(true, remaining, 0, 0), ask.number))
            }
            _ => Err(no_reserve()),
        }
    }

    /// Deletes the counter of the window that it is.
    pub(super) async fn reset(&self) -> Result<()> {
        for _ in 0..TRIES {
            let (window, key) = self.window()?;
            let txn = Txn::new().then(Op::Delete { key }).then(Read::Now);
            let reply = self.store.kv.commit_one(txn).await?;
            if self.is_now(window, reply.now)?.is_some() {
                return Ok(());
            }
        }
        Err(no_window())
    }

    async fn debit(&self, cost: i64) -> Result<(LimitState, u64)> {
        for _ in 0..TRIES {
            let (window, key) = self.window()?;
            let txn = self.take(&key, window, cost);
            let mut reply = self.store.kv.commit_one(txn).await?;
            if let Some(now) = self.is_now(window, reply.now)? {
                let used = match reply.applied {
                    true => reply.integer(0)?,
                    false => number(reply.mark(0)?)?,
                };
                return Ok(self.state(window, now, used, reply.applied));
            }
            if reply.applied {
                self.give_back(&key, cost).await?;
            }
        }
        Err(no_window())
    }

    async fn peek(&self, cost: i64) -> Result<(LimitState, u64)> {
        for _ in 0..TRIES {
            let (window, key) = self.window()?;
            let txn = Txn::new().then(Read::GetMark { key }).then(Read::Now);
            let mut reply = self.store.kv.commit_one(txn).await?;
            if let Some(now) = self.is_now(window, reply.now)? {
                let used = number(reply.mark(0)?)?;
                return Ok(self.state(window, now, used, used <= self.limit - cost));
            }
        }
        Err(no_window())
    }

    fn take(&self, key: &Key, window: Window, cost: i64) -> Txn {
        Txn::new()
            .when(Guard::at_most(key, self.limit - cost))
            .then(Op::Increment {
                key: key.clone(),
                by: cost,
                ttl_if_created: Ttl::At(window.end()),
            })
            .then(Read::Now)
            .otherwise(Read::GetMark { key: key.clone() })
            .otherwise(Read::Now)
    }

    /// So many fewer are counted then, never fewer than none, and none where nothing is; tells how many are left.
    async fn give_back(&self, key: &Key, cost: i64) -> Result<i64> {
        let mut used = 0;
        for _ in 0..GIVE_BACK_TRIES {
            // No guard says "at least", so it is the number that was seen.
            let txn = match used > cost {
                true => Txn::new()
                    .when(Guard::value_is(key, Mark::from(used.to_string())))
                    .then(Op::Increment {
                        key: key.clone(),
                        by: -cost,
                        ttl_if_created: Ttl::Keep,
                    }),
                false => Txn::new()
                    .when(Guard::at_most(key, cost))
                    .then(Op::Delete { key: key.clone() }),
            };
            let txn = txn.otherwise(Read::GetMark { key: key.clone() });
            let mut reply = self.store.kv.commit_one(txn).await?;
            if reply.applied {
                return Ok((used - cost).max(0));
            }
            used = number(reply.mark(0)?)?;
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "others were faster all the while; nothing was given back",
        )
        .with_outcome(Outcome::NotApplied)
        .with_key(key))
    }

    /// The window that it is, as far as is known here, and its counter.
    fn window(&self) -> Result<(Window, Key)> {
        let window = Window::around(self.period, self.zone, self.store.time())?;
        Ok((window, self.place(window.start)?))
    }

    /// Windows of different lengths can begin together, and end at different times.
    fn place(&self, start: i64) -> Result<Key> {
        part(self.key, &format!(":{}:{start}", self.period.name()))
    }

    /// The store's time, if it is in this window.
    fn is_now(&self, window: Window, now: Option<Timestamp>) -> Result<Option<Timestamp>> {
        let now = now.ok_or_else(no_answer)?;
        self.store.told(now);
        Ok(window.contains(now).then_some(now))
    }

    fn state(&self, window: Window, now: Timestamp, used: i64, allowed: bool) -> (LimitState, u64) {
        let left = window.end().saturating_since(now).as_micros() as u64;
        let retry_after = if allowed { 0 } else { left };
        let reset_after = if used > 0 { left } else { 0 };
        let remaining = self.remaining(used);
        let state = LimitState::new(allowed, remaining, retry_after, reset_after);
        (state, window.start.cast_unsigned())
    }

    fn remaining(&self, used: i64) -> u64 {
        u64::try_from(self.limit - used).unwrap_or(0)
    }
}

/// What is counted is below 2^53.
fn counted(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A counter's; a missing one says 0.
fn number(mark: Option<Mark>) -> Result<i64> {
    let Some(mark) = mark else {
        return Ok(0);
    };
    mark.to_str()?.parse().map_err(|source: ParseIntError| {
        let text = "what a rate limit has counted on the store is no number";
        Error::new(ErrorKind::Codec, text).with_source(source)
    })
}

fn no_window() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the store's clock was in another window of the calendar each time that it was asked",
    )
    .with_outcome(Outcome::NotApplied)
}
