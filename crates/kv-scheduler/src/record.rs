//! What is known of a task's attempts so far; only who has claimed it writes it.

use crate::stored;
use bytes::Bytes;
use kv_core::{Result, Timestamp, Value};
use serde::{Deserialize, Serialize};

/// The longest error text that is kept, in bytes.
const LONGEST_ERROR: usize = 2 << 10;

/// What is known of a task's attempts so far. Each claim ends in a failure, in a refund, or in
/// nothing at all, which is a lapse.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Claims that count as no attempt: released, snoozed, of an unknown kind, or before the task was
    /// taken back from the dead.
    #[serde(rename = "r", default)]
    pub(crate) refunds: u32,
    /// Attempts that ended with an error.
    #[serde(rename = "f", default)]
    pub(crate) failures: u32,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// When that was, by the worker's clock: microseconds since the epoch.
    #[serde(rename = "t", default, skip_serializing_if = "is_zero")]
    at: i64,
    /// What the handler told last of its progress, in JSON.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Bytes>,
}

impl Record {
    pub(crate) fn encode(&self) -> Result<Value> {
        Ok(stored::encode(self)?.into())
    }

    /// Reads the record of a task that was claimed so often. One that cannot be read forgets all claims
    /// before the last: they must not be taken for lapses. Its form may grow, but never change, since
    /// every worker writes it anew.
    pub(crate) fn decode(value: Option<&Value>, tally: i64) -> Self {
        match value.map(stored::decode) {
            None => Self::default(),
            Some(Ok(record)) => record,
            Some(Err(_)) => Self::default().renewed(tally - 1),
        }
    }

    /// The number of the attempt that the claim with this tally is, counted from 1.
    pub(crate) fn attempt(&self, tally: i64) -> u32 {
        self.begun(tally).max(1)
    }

    /// How many attempts were begun.
    pub(crate) fn begun(&self, tally: i64) -> u32 {
        let begun = tally.saturating_sub(self.refunds.into());
        u32::try_from(begun.max(0)).unwrap_or(u32::MAX)
    }

    /// How often a lease has lapsed before the claim with this tally.
    pub(crate) fn lapses(&self, tally: i64) -> u32 {
        let ended = i64::from(self.refunds) + i64::from(self.failures);
        u32::try_from((tally - 1 - ended).max(0)).unwrap_or(u32::MAX)
    }

    pub(crate) fn failed_at(&self) -> Option<Timestamp> {
        (self.at != 0).then(|| Timestamp::from_micros(self.at))
    }

    /// After an attempt that failed.
    #[must_use]
    pub(crate) fn failed(mut self, error: &str, at: Timestamp) -> Self {
        self.failures = self.failures.saturating_add(1);
        self.with_error(error, at)
    }

    /// After a claim that counts as no attempt.
    #[must_use]
    pub(crate) fn refunded(mut self) -> Self {
        self.refunds = self.refunds.saturating_add(1);
        self
    }

    /// All claims so far are forgotten, with what became of them.
    #[must_use]
    pub(crate) fn renewed(mut self, tally: i64) -> Self {
        self.refunds = u32::try_from(tally.max(0)).unwrap_or(u32::MAX);
        self.failures = 0;
        self
    }

    #[must_use]
    pub(crate) fn with_error(mut self, error: &str, at: Timestamp) -> Self {
        let end = error.floor_char_boundary(LONGEST_ERROR);
        self.error = Some(error[..end].to_owned());
        self.at = at.as_micros();
        self
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::Record;
    use kv_core::Timestamp;

    #[test]
    fn what_no_record_tells_of_was_a_lapse() {
        let now = Timestamp::from_micros(1);
        let record = Record::default();
        assert_eq!((record.attempt(1), record.lapses(1)), (1, 0));
        assert_eq!((record.attempt(3), record.lapses(3)), (3, 2));
        // The third claim was released, the fourth failed; the fifth runs.
        let record = record.refunded().failed("no route", now);
        assert_eq!((record.attempt(5), record.lapses(5)), (4, 2));
        let record = record.renewed(5);
        assert_eq!((record.attempt(6), record.lapses(6)), (1, 0));
    }

    #[test]
    fn long_errors_are_cut_between_characters() {
        let record = Record::default().failed(&"ü".repeat(2_000), Timestamp::from_micros(1));
        let read = Record::decode(Some(&record.encode().unwrap()), 1);
        assert_eq!(read, record);
        assert_eq!(read.error.unwrap().len(), 2 << 10);
    }

    #[test]
    fn damage_forgets_the_past_and_nothing_else() {
        assert_eq!(Record::decode(None, 5).lapses(5), 4);
        for damaged in ["?", "", "\x01?"] {
            let record = Record::decode(Some(&damaged.into()), 5);
            assert_eq!((record.attempt(5), record.lapses(5)), (1, 0), "{damaged:?}");
        }
    }
}
