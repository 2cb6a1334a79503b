//! All that is stored of a task.

use crate::transitions::Found;
use crate::{
    PayloadCodec, Retry, Status, TaskId, TraceContext, envelope::Envelope, record::Record,
};
use bytes::Bytes;
use kv_core::{Member, Result, Timestamp, Value};
use serde::de::DeserializeOwned;
use std::{fmt, time::Duration};

/// All that is stored of a task: [`Handle::details`](crate::Handle::details) reads it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Details {
    /// Its id.
    pub id: TaskId,
    /// Its tenant.
    pub tenant: Option<Vec<u8>>,
    /// Its user.
    pub user: Option<Vec<u8>>,
    /// How it is.
    pub status: Status,
    /// How often it was claimed, and of these how often the attempt failed and how often it was none:
    /// released, snoozed, or before the task was taken back from the dead.
    pub claims: Claims,
    /// How often it is tried, and how long it waits in between.
    pub retry: Retry,
    /// When it is given up, by the store's clock.
    pub deadline: Option<Timestamp>,
    /// How long an attempt may take; `None` is for ever.
    pub timeout: Option<Duration>,
    /// How long it is kept after it has succeeded.
    pub retention: Option<Duration>,
    /// Its unique key.
    pub unique: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
    /// In which form payload and result are stored.
    pub codec: PayloadCodec,
    /// The payload as it is stored.
    pub payload: Bytes,
    /// The result as it is stored.
    pub result: Option<Bytes>,
}

/// How often a task was claimed, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// In all.
    pub all: u32,
    /// Attempts that ended with an error.
    pub failed: u32,
    /// What counts as no attempt.
    pub refunded: u32,
}

impl Details {
    pub(crate) fn new(member: &Member, found: &Found, envelope: Envelope) -> Result<Self> {
        let (id, tenant) = TaskId::parse_member(member)?;
        let record = Record::decode(found.record.as_ref(), found.tally);
        let context = envelope.context();
        let user = context.as_ref().and_then(|it| it.user_id());
        Ok(Self {
            id,
            tenant,
            user: user.map(<[u8]>::to_vec),
            status: Status::new(found, &envelope),
            claims: Claims {
                all: u32::try_from(found.tally.max(0)).unwrap_or(u32::MAX),
                failed: record.failures,
                refunded: record.refunds,
            },
            retry: envelope.retry,
            deadline: envelope.deadline(),
            timeout: envelope.timeout(),
            retention: envelope.retention.done(),
            unique: envelope.unique,
            trace: envelope.trace,
            codec: envelope.codec,
            payload: envelope.payload,
            result: found.result.clone().map(Value::into_bytes),
        })
    }

    /// The payload as this type, or as `serde_json::Value` where the type is not known.
    ///
    /// # Errors
    /// [`Codec`](kv_core::ErrorKind::Codec) if it is of another type.
    pub fn payload_as<P: DeserializeOwned>(&self) -> Result<P> {
        self.codec.decode(&self.payload.clone().into())
    }

    /// The result in the same way; `None` if there is none (yet).
    ///
    /// # Errors
    /// As [`payload_as`](Self::payload_as).
    pub fn result_as<R: DeserializeOwned>(&self) -> Result<Option<R>> {
        let result = self.result.clone();
        result.map(|it| self.codec.decode(&it.into())).transpose()
    }
}

/// Shows neither payload, result nor unique key.
impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Details")
            .field("id", &self.id)
            .field("kind", &self.status.kind)
            .field("state", &self.status.state)
            .field("claims", &self.claims)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}
