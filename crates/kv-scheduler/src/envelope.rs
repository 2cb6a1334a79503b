//! What is stored of a task when it is scheduled; it does not change any more.

use crate::{
    Priority, Retention, Retry, TraceContext, codec::PayloadCodec, recurring::Tick, stored,
};
use bytes::Bytes;
use kv_core::{Context, Error, ErrorKind, Result, Timestamp, Value};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest envelope, in bytes.
pub(crate) const MAX_ENVELOPE: usize = 256 << 10;

/// What is stored of a task when it is scheduled.
///
/// On the store: one byte [`VERSION`](stored::VERSION), then MessagePack with the short names below.
/// What is as usual is left out; fields that a reader does not know are passed over, so fields may be
/// added. Whatever an older reader must not pass over, and any new value of a field that it knows, raises
/// the version; it then leaves the task to others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    #[serde(rename = "k")]
    pub(crate) kind: String,
    #[serde(rename = "b")]
    pub(crate) payload: Bytes,
    #[serde(rename = "c", default, skip_serializing_if = "is_usual")]
    pub(crate) codec: PayloadCodec,
    #[serde(rename = "p", default, skip_serializing_if = "is_usual")]
    pub(crate) priority: Priority,
    /// When it was scheduled, by the clock of the process that did: microseconds since the epoch.
    #[serde(rename = "t")]
    scheduled: i64,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique: Option<String>,
    #[serde(rename = "r", default, skip_serializing_if = "is_usual")]
    pub(crate) retry: Retry,
    /// Microseconds since the epoch.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    deadline: Option<i64>,
    /// How long an attempt may take, in milliseconds; 0 is for ever.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    #[serde(rename = "x", default, skip_serializing_if = "is_usual")]
    pub(crate) retention: Retention,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    tenant: Option<Bytes>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    user: Option<Bytes>,
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<TraceContext>,
    /// Where it comes of a schedule.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub(crate) tick: Option<Tick>,
}

/// How long an attempt may take where nothing else is said.
const USUAL_TIMEOUT: Duration = Duration::from_secs(3600);

impl Envelope {
    pub(crate) fn new(kind: &str, payload: Bytes, scheduled: Timestamp) -> Self {
        Self {
            kind: kind.to_owned(),
            payload,
            codec: PayloadCodec::default(),
            priority: Priority::default(),
            scheduled: scheduled.as_micros(),
            unique: None,
            retry: Retry::default(),
            deadline: None,
            timeout: None,
            retention: Retention::default(),
            tenant: None,
            user: None,
            trace: None,
            tick: None,
        }
    }

    /// For this tenant and user: by fields of our own, whatever a context may come to have.
    pub(crate) fn with_context(mut self, context: Option<&Context>) -> Self {
        let copy = |it: Option<&[u8]>| it.map(Bytes::copy_from_slice);
        self.tenant = copy(context.and_then(Context::tenant_id));
        self.user = copy(context.and_then(Context::user_id));
        self
    }

    pub(crate) fn context(&self) -> Option<Context> {
        let context = match (&self.tenant, &self.user) {
            (None, None) => return None,
            (Some(tenant), _) => Context::tenant(tenant.clone()),
            (None, Some(_)) => Context::new(),
        };
        Some(match &self.user {
            None => context,
            Some(user) => context.with_user(user.clone()),
        })
    }

    pub(crate) fn with_deadline(mut self, deadline: Option<Timestamp>) -> Self {
        self.deadline = deadline.map(Timestamp::as_micros);
        self
    }

    /// `None` leaves it at the usual hour, `Some(None)` is for ever.
    pub(crate) fn with_timeout(mut self, timeout: Option<Option<Duration>>) -> Self {
        self.timeout = timeout.map(|it| {
            it.map_or(0, |span| {
                u64::try_from(span.as_millis()).map_or(u64::MAX, |millis| millis.max(1))
            })
        });
        self
    }

    /// The same as a task of its own.
    pub(crate) fn of_tick(&self, tick: Tick, scheduled: Timestamp) -> Self {
        Self {
            scheduled: scheduled.as_micros(),
            tick: Some(tick),
            ..self.clone()
        }
    }

    pub(crate) fn scheduled(&self) -> Timestamp {
        Timestamp::from_micros(self.scheduled)
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.deadline.map(Timestamp::from_micros)
    }

    /// How long an attempt may take; `None` is for ever.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        match self.timeout {
            None => Some(USUAL_TIMEOUT),
            Some(0) => None,
            Some(millis) => Some(Duration::from_millis(millis)),
        }
    }

    pub(crate) fn encode(&self) -> Result<Value> {
        let bytes = stored::encode(self)?;
        if bytes.len() > MAX_ENVELOPE {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "a task with all its options must not be longer than 256 KiB; store the payload \
                 elsewhere and schedule its key",
            )
            .with_context("kind", &self.kind)
            .with_context("bytes", bytes.len()));
        }
        Ok(bytes.into())
    }

    pub(crate) fn decode(value: &Value) -> Result<Self, stored::Unreadable> {
        stored::decode(value)
    }
}

fn is_usual<T: Default + PartialEq>(it: &T) -> bool {
    *it == T::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{Envelope, MAX_ENVELOPE};
    use crate::{Priority, Retention, Retry, stored::Unreadable};
    use kv_core::{Context, ErrorKind, Timestamp};
    use std::time::Duration;

    fn plain(payload: &'static [u8]) -> Envelope {
        Envelope::new("mail", payload.into(), Timestamp::from_micros(7))
    }

    fn full() -> Envelope {
        let second = Duration::from_secs(1);
        Envelope {
            priority: Priority::High,
            unique: Some("ann".into()),
            retry: Retry::exponential(second, second).attempts(3).lapses(1),
            retention: Retention::keep(second),
            trace: Some(
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                    .parse()
                    .unwrap(),
            ),
            ..plain(b"{}")
        }
        .with_context(Some(&Context::tenant("t1")))
        .with_deadline(Some(Timestamp::from_micros(99)))
        .with_timeout(Some(Some(second)))
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        for envelope in [plain(b"{}"), full(), plain(b"").with_timeout(Some(None))] {
            let read = Envelope::decode(&envelope.encode().unwrap()).unwrap();
            assert_eq!(read, envelope);
        }
        assert_eq!(plain(b"").timeout(), Some(Duration::from_secs(3600)));
        assert_eq!(plain(b"").with_timeout(Some(None)).timeout(), None);
    }

    /// The bytes of version 1: an older and a newer reader must find the same in them.
    #[test]
    fn the_stored_form_stays() {
        let bytes = plain(b"{}").encode().unwrap();
        assert_eq!(
            bytes.as_bytes().escape_ascii().to_string(),
            r"\x01\x83\xa1k\xa4mail\xa1b\xc4\x02{}\xa1t\x07"
        );
        let golden = concat!(
            r"\x01\x8b\xa1k\xa4mail\xa1b\xc4\x02{}\xa1p\xa1h\xa1t\x07\xa1u\xa3ann",
            r"\xa1r\x85\xa1n\x03\xa1l\xcd\x03\xe8\xa1m\xcd\x03\xe8\xa1j\xa1f\xa1x\x01",
            r"\xa1dc\xa1o\xcd\x03\xe8\xa1x\x81\xa1k\xcd\x03\xe8\xa1n\xc4\x02t1",
            r"\xa1w\x81\xa1p\xd97",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );
        let bytes = full().encode().unwrap();
        assert_eq!(bytes.as_bytes().escape_ascii().to_string(), golden);
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut bytes = plain(b"{}").encode().unwrap().as_bytes().to_vec();
        bytes[0] = 2;
        let later = Envelope::decode(&bytes.clone().into()).unwrap_err();
        assert!(matches!(later, Unreadable::Later), "{later:?}");
        bytes[0] = 1;
        bytes.pop();
        for bad in [&bytes[..], b"", b"\x00", b"\x01"] {
            let damaged = Envelope::decode(&bad.into()).unwrap_err();
            assert!(
                matches!(damaged, Unreadable::Damaged),
                "{bad:?}: {damaged:?}"
            );
        }
    }

    #[test]
    fn one_that_is_too_long_names_itself() {
        let long = vec![b'x'; MAX_ENVELOPE];
        let error = Envelope::new("mail", long.into(), Timestamp::default())
            .encode()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert!(error.to_string().contains("mail"), "{error}");
    }
}
