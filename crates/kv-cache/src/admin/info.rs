//! What operators are told of entries.

use crate::{
    envelope::{Content, Envelope, Unreadable},
    place::Entry,
    tags::{Sight, TagName, TagVersions, Verdict, Versions},
};
use bytes::Bytes;
use kv_core::{Cursor, Error, Read, Result, TimeToLive, Timestamp, Txn, TxnReply};
use std::{fmt, time::Duration};

/// An entry, as the store had it a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The name, as [`CacheKey`](crate::CacheKey) writes it.
    pub key: Bytes,
    /// What lies there, if anything.
    pub stored: Option<StoredEntry>,
    /// Whether somebody loads it, or writes it.
    pub loading: Option<LoadInfo>,
}

/// Some of a cache's entries.
#[derive(Debug)]
#[non_exhaustive]
pub struct EntryPage {
    /// The entries, in no order and with payloads that are empty; perhaps none although more follow.
    pub entries: Vec<EntryInfo>,
    /// Those that the store, or a layer on it, could not read.
    pub unreadable: Vec<UnreadableEntry>,
    /// Where to go on; `None` at the end. It is good for the store and the caller that it was told for.
    pub next: Option<Cursor>,
}

/// An entry that could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnreadableEntry {
    /// The name, as [`CacheKey`](crate::CacheKey) writes it.
    pub key: Bytes,
    /// Why.
    pub error: Error,
}

/// What lies on the store of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredEntry {
    /// How long it is, with its envelope.
    pub bytes: usize,
    /// What is left of its life; `None` if it has no end.
    pub left: Option<Duration>,
    /// What its envelope says; for programs of this version it is as if it were not there if that cannot be read.
    pub envelope: std::result::Result<EnvelopeInfo, EnvelopeFault>,
}

/// Why an envelope cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeFault {
    /// A newer program wrote it.
    Newer,
    /// It is damaged, or something else.
    Damaged,
}

/// What an envelope says, and what has become of it. The value is not part of its `Debug`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvelopeInfo {
    /// Of two the newer one has the higher version.
    pub version: u64,
    /// The time since its load began, or less where the store cannot tell.
    pub age: Duration,
    /// What who asks would find.
    pub state: EntryState,
    /// For how long it is fresh yet.
    pub fresh_for: Duration,
    /// How long its load took.
    pub took: Duration,
    /// What has become of all entries since it was loaded: whether they were cleared, or expired.
    pub of_all: TagState,
    /// Its tags, in order of their names.
    pub tags: Vec<TagInfo>,
    /// What the codec of its programs wrote; `None` if what is remembered is that there is nothing.
    pub payload: Option<Bytes>,
}

/// What an entry is to who asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryState {
    /// Within its time.
    Fresh,
    /// Past its time, or expired since, alone or with a tag.
    Stale,
    /// As if it were not there: a tag of it has been removed, or the cache cleared.
    Removed,
}

/// A tag of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagInfo {
    /// The name, as [`CacheKey`](crate::CacheKey) writes it.
    pub name: Bytes,
    /// What has become of the tag since the entry was loaded.
    pub state: TagState,
}

/// What a tag leaves of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TagState {
    /// It is as it was.
    Holds,
    /// It has been expired since.
    Expired,
    /// It has been removed since, or its record is lost.
    Removed,
}

/// A load, or a write, that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadInfo {
    /// For how long its lease lasts at most; `None` if it has no end.
    pub left: Option<Duration>,
}

impl fmt::Debug for EnvelopeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeInfo")
            .field("version", &self.version)
            .field("age", &self.age)
            .field("state", &self.state)
            .field("fresh_for", &self.fresh_for)
            .field("took", &self.took)
            .field("of_all", &self.of_all)
            .field("tags", &self.tags)
            .field("payload", &self.payload.as_ref().map(Bytes::len))
            .finish()
    }
}

/// All that the entry's own keys tell, at one moment.
pub(super) struct Found {
    stored: Option<Stored>,
    loading: Option<LoadInfo>,
}

struct Stored {
    bytes: usize,
    left: Option<Duration>,
    now: Timestamp,
    is_expired: bool,
    opened: std::result::Result<(Envelope, Bytes), Unreadable>,
}

/// Asks for what [`Found::new`] is made of.
pub(super) fn look(entry: &Entry) -> Txn {
    let (data, lease) = (entry.data(), entry.lease());
    Txn::new()
        .then(Read::Get { key: data.clone() })
        .then(Read::Ttl { key: data })
        .then(Read::Get {
            key: entry.expired(),
        })
        .then(Read::Ttl { key: lease })
        .then(Read::Now)
}

impl Found {
    pub(super) fn new(mut reply: TxnReply) -> Result<Self> {
        let (value, left) = (reply.value(0)?, left(reply.ttl(1)?));
        let is_expired = reply.value(2)?.is_some();
        let now = reply.time(4)?;
        // Without a life left it ended between the two.
        let stored = value.zip(left).map(|(value, left)| Stored {
            bytes: value.as_bytes().len(),
            left,
            now,
            is_expired,
            opened: Envelope::open(value),
        });
        let loading = self::left(reply.ttl(3)?).map(|left| LoadInfo { left });
        Ok(Self { stored, loading })
    }

    pub(super) fn is_any(&self) -> bool {
        self.stored.is_some() || self.loading.is_some()
    }

    /// The tags that it is to be judged by.
    pub(super) fn tags(&self) -> impl Iterator<Item = &TagName> {
        let opened = self.stored.iter().filter_map(|it| it.opened.as_ref().ok());
        opened.flat_map(|(envelope, _)| envelope.tags.named.iter().map(|(tag, _)| tag))
    }

    /// By the tags as they are now.
    pub(super) fn told(self, key: Bytes, sight: &Sight) -> EntryInfo {
        let stored = self.stored.map(|stored| StoredEntry {
            bytes: stored.bytes,
            left: stored.left,
            envelope: match stored.opened {
                Ok((envelope, payload)) => {
                    let (now, is_expired) = (stored.now, stored.is_expired);
                    Ok(EnvelopeInfo::new(envelope, payload, now, is_expired, sight))
                }
                Err(Unreadable::Newer) => Err(EnvelopeFault::Newer),
                Err(Unreadable::Damaged) => Err(EnvelopeFault::Damaged),
            },
        });
        EntryInfo {
            key,
            stored,
            loading: self.loading,
        }
    }
}

impl EntryInfo {
    /// Pages of entries are not to be as large as all that is in them.
    pub(super) fn without_payload(mut self) -> Self {
        let envelope = self
            .stored
            .as_mut()
            .and_then(|it| it.envelope.as_mut().ok());
        if let Some(payload) = envelope.and_then(|it| it.payload.as_mut()) {
            *payload = Bytes::new();
        }
        self
    }
}

impl EnvelopeInfo {
    fn new(
        envelope: Envelope,
        payload: Bytes,
        now: Timestamp,
        is_expired: bool,
        sight: &Sight,
    ) -> Self {
        let age = envelope.age(now);
        let Envelope {
            version,
            since: _,
            terms,
            content,
            tags: TagVersions { all, named },
        } = envelope;
        let verdict = |tag: Option<&TagName>, then: Versions| {
            let now = sight.known(tag);
            // Nothing is given out by a tag of which nothing is known.
            now.map_or(Verdict::Removed, |now| then.verdict(now))
        };
        let of_all = verdict(None, all);
        let mut worst = match is_expired {
            true => of_all.max(Verdict::Expired),
            false => of_all,
        };
        let mut tags = Vec::with_capacity(named.len());
        for (tag, then) in named {
            let verdict = verdict(Some(&tag), then);
            worst = worst.max(verdict);
            tags.push(TagInfo {
                name: Bytes::copy_from_slice(&tag),
                state: verdict.into(),
            });
        }
        let fresh_for = match worst {
            Verdict::Holds => terms.fresh.saturating_sub(age),
            Verdict::Expired | Verdict::Removed => Duration::ZERO,
        };
        Self {
            version,
            age,
            state: match worst {
                Verdict::Removed => EntryState::Removed,
                _ if fresh_for.is_zero() => EntryState::Stale,
                _ => EntryState::Fresh,
            },
            fresh_for,
            took: terms.took,
            of_all: of_all.into(),
            tags,
            payload: match content {
                Content::Value => Some(payload),
                Content::Missing => None,
            },
        }
    }
}

impl From<Verdict> for TagState {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Holds => Self::Holds,
            Verdict::Expired => Self::Expired,
            Verdict::Removed => Self::Removed,
        }
    }
}

/// `None` if there is nothing; what is there may have no end.
fn left(ttl: TimeToLive) -> Option<Option<Duration>> {
    match ttl {
        TimeToLive::In(left) => Some(Some(left)),
        TimeToLive::NoExpiry => Some(None),
        TimeToLive::Missing => None,
    }
}
