//! Deadlines of keys that are there.
//!
//! The elements of a structure that ends are on the lease of its record, so that they do not outlive
//! it for long. Before a structure may live longer than that lease, its elements move to another, and
//! in such an order that a crash in between loses nothing early: first the record gets the new lease
//! and keeps its end, which turns away all who write by the old one; then the elements follow, some at
//! a time; last the record gets the new end.

use crate::{
    error::Answer,
    layout::{Kind, Range, Record, header, header::End, range::successor},
    optimistic::{Optimist, Planned, Seen, View, What},
    place::{Ending, Found},
};
use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use kv_core::{Expiry, Key, TimeToLive};
use std::time::Duration;

/// How many elements move to another lease in one transaction.
const CHUNK: usize = 100;
/// How many elements a structure has that gets its deadline in one step.
const FEW: u64 = 40;
/// How many elements move along with a transaction of the caller's; of more, those that have no lease
/// stay until something is made anew at the key.
const MOST: u64 = 3_000;

/// Gives a key a deadline; whether it is there.
pub(crate) async fn expire(store: &Optimist, key: &Key, expiry: Expiry) -> Answer<bool> {
    let plan = |view: &mut View<'_>| match view.is_large(key)? {
        true => Ok(None),
        false => Ok(Some(view.expire(key, expiry)?)),
    };
    match store.run(key.as_bytes(), plan).await?.0 {
        Some(done) => Ok(done),
        None => relocate(store, key, Some(expiry)).await,
    }
}

/// Takes the deadline off a key; whether it had one.
pub(crate) async fn persist(store: &Optimist, key: &Key) -> Answer<bool> {
    let plan = |view: &mut View<'_>| match view.is_large(key)? {
        true => Ok(None),
        false => Ok(Some(view.persist(key)?)),
    };
    match store.run(key.as_bytes(), plan).await?.0 {
        Some(done) => Ok(done),
        None => relocate(store, key, None).await,
    }
}

/// How long a key will live.
pub(crate) async fn time_to_live(store: &Optimist, key: &Key) -> Answer<TimeToLive> {
    let plan = |view: &mut View<'_>| view.time_to_live(key);
    Ok(store.run(key.as_bytes(), plan).await?.0)
}

impl View<'_> {
    /// Gives a key a deadline; whether it is there.
    pub(crate) fn expire(&mut self, key: &Key, expiry: Expiry) -> Planned<bool> {
        let found = self.look_inside(key)?;
        if let Found::Nothing = found {
            return Ok(false);
        }
        match self.expiring(expiry)? {
            Some(ending) => self.end_with(key, found, ending)?,
            None => drop(self.discard(key)?),
        }
        Ok(true)
    }

    /// Takes the deadline off a key; whether it had one.
    pub(crate) fn persist(&mut self, key: &Key) -> Planned<bool> {
        let found = self.look_inside(key)?;
        let end = match &found {
            Found::Nothing => return Ok(false),
            Found::String(content, _) => content.end,
            Found::Structure(record, _) => record.end,
        };
        if end == End::Never {
            return Ok(false);
        }
        self.end_with(key, found, Ending::NEVER)?;
        Ok(true)
    }

    /// How long a key will live.
    pub(crate) fn time_to_live(&mut self, key: &Key) -> Planned<TimeToLive> {
        let (end, lease) = match self.look_inside(key)? {
            Found::Nothing => return Ok(TimeToLive::Missing),
            Found::String(content, seen) => (content.end, seen.lease),
            Found::Structure(record, seen) => (record.end, seen.lease),
        };
        Ok(match end {
            End::Never => TimeToLive::NoExpiry,
            End::At(deadline) => {
                let left = deadline
                    .saturating_since(self.now)
                    .as_micros()
                    .div_ceil(1000);
                TimeToLive::In(Duration::from_millis(left.try_into().unwrap_or(u64::MAX)))
            }
            End::Lease => TimeToLive::In(self.lease_left(lease)?.unwrap_or_default()),
        })
    }

    fn end_with(&mut self, key: &Key, found: Found, ending: Ending) -> Planned<()> {
        match found {
            Found::Nothing => Ok(()),
            Found::String(content, _) => {
                let raw = header::encode(&content.value, ending.end);
                self.put(self.layout.string(key.as_bytes()), raw, ending.lease)?;
                match ending.end {
                    End::Never => Ok(()),
                    _ => self.hide_nothing(key),
                }
            }
            Found::Structure(record, seen) => self.end_structure_with(key, record, &seen, ending),
        }
    }

    fn end_structure_with(
        &mut self,
        key: &Key,
        record: Record,
        seen: &Seen,
        ending: Ending,
    ) -> Planned<()> {
        let raw = self.layout.record(key.as_bytes());
        let kind = record.kind;
        if ends_sooner(record.end, ending.end) {
            // The lease lasts long enough.
            let record = Record {
                kind,
                end: ending.end,
            };
            return self.put(raw, record.encode(), seen.lease);
        }
        let elements = self.layout.elements(key.as_bytes());
        // Those of a structure that never ends have no lease, and just stay longer than they need.
        let limit = match record.end {
            End::Never => MOST,
            _ => 0,
        };
        let listed = self.list(&elements, limit, What::Keys)?;
        if listed.entries.len() as u64 == listed.count {
            self.rely_unwritten(elements);
            for (raw, _) in &listed.entries {
                self.attach(raw.clone(), ending.lease)?;
            }
        }
        let record = Record {
            kind,
            end: ending.end,
        };
        self.put(raw, record.encode(), ending.lease)
    }

    /// Whether there is a structure at a key with too many elements to move in one transaction.
    fn is_large(&mut self, key: &Key) -> Planned<bool> {
        let Found::Structure(..) = self.look(key)? else {
            return Ok(false);
        };
        let elements = self.layout.elements(key.as_bytes());
        Ok(self.count(&elements)? > FEW)
    }
}

/// Gives a large structure another end, or none; whether it is there, and had one if it is to have
/// none.
async fn relocate(store: &Optimist, key: &Key, expiry: Option<Expiry>) -> Answer<bool> {
    let raw = store.layout.record(key.as_bytes());
    let begin = |view: &mut View<'_>| view.begin_to_end(key, expiry);
    let (begun, done) = store.run(key.as_bytes(), begin).await?;
    let (kind, ending) = match begun {
        Begun::Done(answer) => return Ok(answer),
        Begun::Followed(lease) => {
            // Those that do not follow stay longer than they need, and that is all.
            move_elements(store, key, done.revision, lease).await.ok();
            return Ok(true);
        }
        Begun::Leased(kind, ending) => (kind, ending),
    };
    if !move_elements(store, key, done.revision, ending.lease).await? {
        // Somebody else gave it another end since.
        return Ok(true);
    }
    let last = |view: &mut View<'_>| {
        let same = view
            .point(&raw)?
            .is_some_and(|seen| seen.revision == done.revision);
        if same {
            let end = ending.end;
            view.put(raw.clone(), Record { kind, end }.encode(), ending.lease)?;
        }
        Ok(())
    };
    store.run(key.as_bytes(), last).await?;
    Ok(true)
}

/// What was done in the first step of giving a large structure another end.
enum Begun {
    /// All; this is the answer.
    Done(bool),
    /// The record has its new end; the elements are to follow to this lease.
    Followed(i64),
    /// The record is on its new lease; its end waits for the elements.
    Leased(Kind, Ending),
}

impl View<'_> {
    fn begin_to_end(&mut self, key: &Key, expiry: Option<Expiry>) -> Planned<Begun> {
        let found = self.look_inside(key)?;
        let Found::Structure(record, seen) = found else {
            let done = match expiry {
                Some(expiry) => self.expire(key, expiry)?,
                None => self.persist(key)?,
            };
            return Ok(Begun::Done(done));
        };
        let ending = match expiry.map(|expiry| self.expiring(expiry)) {
            Some(ending) => ending?,
            None if record.end == End::Never => return Ok(Begun::Done(false)),
            None => Some(Ending::NEVER),
        };
        let Some(Ending { end, lease }) = ending else {
            return Ok(Begun::Done(self.discard(key)?));
        };
        let raw = self.layout.record(key.as_bytes());
        let kind = record.kind;
        if ends_sooner(record.end, end) {
            // The lease lasts long enough.
            self.put(raw, Record { kind, end }.encode(), seen.lease)?;
            return Ok(Begun::Done(true));
        }
        // On a lease that ends before the structure does, the record must say so from the start.
        let by_lease = match expiry {
            Some(Expiry::Held(span)) => End::At(self.now.saturating_add(span.as_duration())),
            _ => end,
        };
        if end != End::Never && (record.end == End::Never || ends_sooner(record.end, by_lease)) {
            self.put(raw, Record { kind, end }.encode(), lease)?;
            return Ok(Begun::Followed(lease));
        }
        self.put(raw, record.encode(), lease)?;
        Ok(Begun::Leased(kind, Ending { end, lease }))
    }
}

/// Moves all elements to a lease while the record stays as it is; whether it did.
async fn move_elements(store: &Optimist, key: &Key, record: i64, lease: i64) -> Answer<bool> {
    let raw = store.layout.record(key.as_bytes());
    let all = store.layout.elements(key.as_bytes());
    let mut rest = all.clone();
    loop {
        let options = GetOptions::new().with_keys_only().with_limit(CHUNK as i64);
        let mut found = store.link.list(&rest, options).await?;
        let (keys, more) = (found.take_kvs(), found.more());
        let Some(last) = keys.last().map(|it| it.key().to_vec()) else {
            return Ok(true);
        };
        let stale = keys
            .iter()
            .filter(|it| it.lease() != lease)
            .map(|it| it.key());
        let stale: Vec<_> = stale.map(<[u8]>::to_vec).collect();
        if !stale.is_empty() {
            let unchanged = Compare::mod_revision(raw.clone(), CompareOp::Equal, record);
            let there = stale
                .iter()
                .map(|key| Compare::version(key.clone(), CompareOp::Greater, 0));
            let compares: Vec<_> = std::iter::once(unchanged.clone()).chain(there).collect();
            let attach = stale.iter().map(|key| {
                let options = PutOptions::new().with_ignore_value().with_lease(lease);
                TxnOp::put(key.clone(), Vec::new(), Some(options))
            });
            let ops: Vec<_> = attach.collect();
            let response = store
                .link
                .txn(Txn::new().when(compares).and_then(ops))
                .await?;
            if !response.succeeded() {
                // An element went meanwhile, or the record changed: then this is not ours any more.
                let now = store.link.get(raw.clone(), None).await?;
                if now
                    .kvs()
                    .first()
                    .is_none_or(|it| it.mod_revision() != record)
                {
                    return Ok(false);
                }
                continue;
            }
        }
        if !more {
            return Ok(true);
        }
        rest = Range {
            from_key: successor(&last),
            to_key: all.to_key.clone(),
        };
    }
}

/// Whether a lease that lasts until one end lasts until another.
fn ends_sooner(before: End, after: End) -> bool {
    matches!((before, after), (End::At(before), End::At(after)) if after <= before)
}
