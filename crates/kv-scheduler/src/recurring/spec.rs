//! What is stored of a schedule.

use super::{
    policy::{Misfire, Overlap},
    timing::Timing,
};
use crate::{
    envelope::Envelope,
    stored::{self, Unreadable, VERSION},
};
use kv_core::{Mark, Result, Timestamp, Value};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is stored of a schedule: all that any worker of whatever program needs to make a task of it,
/// the payload unread.
///
/// On the store: one byte [`VERSION`], then MessagePack with the short names below. Fields may be added
/// as they may to an [`Envelope`]; whatever an older reader must not pass over raises the version, and it
/// then leaves the schedule to others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    #[serde(rename = "w")]
    pub(crate) timing: Timing,
    /// What the tasks are made of.
    #[serde(rename = "e")]
    pub(crate) envelope: Envelope,
    #[serde(rename = "m", default)]
    pub(crate) misfire: Misfire,
    #[serde(rename = "o", default)]
    pub(crate) overlap: Overlap,
    /// In microseconds.
    #[serde(rename = "j", default)]
    jitter: u64,
    /// Microseconds since the epoch.
    #[serde(rename = "s", default)]
    start: Option<i64>,
    #[serde(rename = "u", default)]
    until: Option<i64>,
}

/// Of which schedule a task is, and of which tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tick {
    #[serde(rename = "n")]
    pub(crate) schedule: String,
    /// Microseconds since the epoch.
    #[serde(rename = "t")]
    at: i64,
    /// The next tick is so many microseconds after the end.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    delay: Option<u64>,
}

impl Tick {
    pub(crate) fn new(schedule: &str, at: Timestamp, delay: Option<Duration>) -> Self {
        Self {
            schedule: schedule.to_owned(),
            at: at.as_micros(),
            delay: delay.map(micros),
        }
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.at)
    }

    pub(crate) fn delay(&self) -> Option<Duration> {
        self.delay.map(Duration::from_micros)
    }
}

impl Spec {
    pub(crate) fn new(timing: Timing, envelope: Envelope) -> Self {
        Self {
            timing,
            envelope,
            misfire: Misfire::default(),
            overlap: Overlap::default(),
            jitter: 0,
            start: None,
            until: None,
        }
    }

    pub(crate) fn with_jitter(mut self, jitter: Duration) -> Self {
        self.jitter = micros(jitter);
        self
    }

    pub(crate) fn between(mut self, start: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        self.start = start.map(Timestamp::as_micros);
        self.until = until.map(Timestamp::as_micros);
        self
    }

    pub(crate) fn jitter(&self) -> Duration {
        Duration::from_micros(self.jitter)
    }

    pub(crate) fn start(&self) -> Option<Timestamp> {
        self.start.map(Timestamp::from_micros)
    }

    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.until.map(Timestamp::from_micros)
    }

    pub(crate) fn encode(&self) -> Result<Value> {
        Ok(stored::encode(self)?.into())
    }

    pub(crate) fn decode(value: &Value) -> Result<Self, Unreadable> {
        stored::decode(value)
    }

    /// The same for the same spec: its version, and a name-based UUID (RFC 9562, version 5). The trace of
    /// who wrote it is another each time, and does not count.
    pub(crate) fn print(&self) -> Result<Mark> {
        let mut lasting = self.clone();
        lasting.envelope.trace = None;
        let bytes = stored::encode(&lasting)?;
        let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &bytes);
        Ok(format!("{VERSION}:{}", hash.simple()).into())
    }
}

/// Whether a fingerprint is of a version that this program does not know.
pub(crate) fn is_later(print: &Mark) -> bool {
    let version = print.to_str().ok().and_then(|it| it.split_once(':'));
    version.is_some_and(|(it, _)| it.parse::<u8>().is_ok_and(|it| it > VERSION))
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{Spec, is_later};
    use crate::{
        Misfire, Overlap, envelope::Envelope, recurring::timing::Timing, stored::Unreadable,
    };
    use kv_core::Timestamp;
    use std::time::Duration;

    fn spec() -> Spec {
        let at = Timestamp::from_micros(0);
        let envelope = Envelope::new("mail", "{}".into(), at);
        Spec {
            misfire: Misfire::Skip {
                grace: Duration::from_secs(1),
            },
            overlap: Overlap::QueueOne,
            ..Spec::new(Timing::Rate(7), envelope)
        }
        .with_jitter(Duration::from_secs(1))
        .between(Some(at), None)
    }

    /// The bytes of version 1: an older and a newer reader must find the same in them, and the
    /// fingerprint must not change, else every schedule would count as changed.
    #[test]
    fn the_stored_form_stays() {
        let bytes = spec().encode().unwrap();
        assert_eq!(Spec::decode(&bytes).unwrap(), spec());
        let golden = concat!(
            r"\x01\x87\xa1w\x81\xa1r\x07\xa1e\x83\xa1k\xa4mail\xa1b\xc4\x02{}\xa1t\x00",
            r"\xa1m\x81\xa1s\x81\xa1g\x82\xa4secs\x01\xa5nanos\x00\xa1o\xa1q",
            r"\xa1j\xce\x00\x0fB@\xa1s\x00\xa1u\xc0",
        );
        assert_eq!(bytes.as_bytes().escape_ascii().to_string(), golden);
        let print = spec().print().unwrap();
        assert_eq!(
            print.to_str().unwrap(),
            "1:de57703a9a605f5585b32d08be4a6863"
        );
    }

    #[test]
    fn a_trace_is_no_change_and_all_else_is() {
        let mut traced = spec();
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        traced.envelope.trace = Some(trace.parse().unwrap());
        assert_eq!(traced.print().unwrap(), spec().print().unwrap());
        for other in [
            Spec::new(Timing::Rate(7), spec().envelope),
            spec().with_jitter(Duration::ZERO),
            spec().between(None, None),
        ] {
            assert_ne!(other.print().unwrap(), spec().print().unwrap());
        }
    }

    #[test]
    fn a_later_version_is_told_from_ours() {
        let mut bytes = spec().encode().unwrap().as_bytes().to_vec();
        bytes[0] = 2;
        assert_eq!(Spec::decode(&bytes.into()), Err(Unreadable::Later));
        assert!(is_later(&"2:x".into()));
        for known in ["1:x", "", "x"] {
            assert!(!is_later(&known.into()));
        }
    }
}
