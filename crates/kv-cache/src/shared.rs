//! What all handles on a cache share.

use crate::{
    across::{Across, Channel},
    again::Again,
    entry::Kept,
    envelope::{Content, Envelope, Unreadable},
    events::Teller,
    far::{
        FarCaller, FarLevel,
        transitions::{Found, Marked},
    },
    flights::Flights,
    freshness::{Look, Terms, Ticket, Times},
    glance::Outlook,
    near::{NearLevel, weight},
    place::Place,
    policy::Policy,
    stats::Counts,
    tags::{Change, Known, Scope, Sight, TagName, Tags, Verdict},
};
use kv_core::{Clock, Codec, Error, Kv, Result, Value};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What can be kept.
pub trait CacheValue: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<V: Serialize + DeserializeOwned + Send + Sync + 'static> CacheValue for V {}

pub(crate) struct Shared<V> {
    pub(crate) name: Arc<str>,
    pub(crate) place: Place,
    pub(crate) near: Option<NearLevel<V>>,
    pub(crate) far: Option<FarLevel>,
    /// With a store.
    pub(crate) across: Option<Across>,
    /// For how long what is here holds without asking the store.
    pub(crate) sure: Duration,
    /// For how long what was read of a tag does.
    pub(crate) sure_of_tags: Duration,
    pub(crate) tags: Tags,
    /// The same on the second store, whose versions are others.
    pub(crate) second_tags: Tags,
    /// A key that callers have apart if their entries are.
    pub(crate) tag_base: Box<[u8]>,
    pub(crate) policy: Policy,
    pub(crate) codec: Codec,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) outlook: Outlook,
    pub(crate) counts: Counts,
    pub(crate) events: Teller,
    /// What the store has not taken.
    pub(crate) again: Again,
    /// Of entries that no store has numbered.
    pub(crate) last_version: AtomicU64,
}

/// Why what is on the store is no entry here.
pub(crate) enum NotRead {
    /// A newer program wrote it.
    Newer,
    /// It is damaged, or something else.
    Damaged,
    /// One of its tags has been removed since.
    Removed,
    /// The store does not say what has become of its tags.
    Failed(Error),
}

impl<V: CacheValue> Shared<V> {
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) fn next_version(&self) -> u64 {
        self.last_version.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes of a key as callers have it the one that entries of this process are kept by.
    pub(crate) fn resolve_in(&self, key: &mut Vec<u8>) -> Result<()> {
        match &self.far {
            Some(far) => far.resolve_in(key),
            None => self.place.put_below_caller(key),
        }
    }

    /// What is done for who asks for this entry now.
    pub(crate) fn look(&self, kept: &Kept<V>, now: Duration) -> Look {
        // The logarithm of zero is none.
        let is_covered = || match (&self.across, kept.heard) {
            (Some(across), Some(number)) => across.covers(number, kept.since, now),
            _ => false,
        };
        let random = || 1.0 - fastrand::f64();
        kept.times.look(now, self.policy.early, is_covered, random)
    }

    /// What is here of an entry, as its tags leave it.
    pub(crate) fn here(&self, key: &[u8]) -> Option<Arc<Kept<V>>> {
        let near = self.near.as_ref()?;
        let kept = near.get(key)?;
        match kept.marks.look() {
            Verdict::Holds => Some(kept),
            Verdict::Expired => Some(Arc::new(kept.expire(self.now()))),
            Verdict::Removed => {
                near.discard(key, &kept);
                None
            }
        }
    }

    /// The tags of who calls now.
    pub(crate) fn scope(&self) -> Result<Arc<Scope>> {
        self.scope_of(|key| self.resolve_in(key))
    }

    /// Those of whom a key is resolved for.
    pub(crate) fn scope_of(
        &self,
        resolve: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<Arc<Scope>> {
        let mut base = self.tag_base.to_vec();
        resolve(&mut base)?;
        Ok(self.tags.scope(&base))
    }

    /// The channel of this caller.
    pub(crate) fn channel(self: &Arc<Self>, kv: Kv, deadline: Duration) -> Option<Arc<Channel>> {
        let across = self.across.as_ref();
        across.map(|it| it.channel(self, kv, deadline))
    }

    /// Whether what was read of a tag still counts.
    pub(crate) fn trusts(&self, known: &Known, now: Duration) -> bool {
        let is_covered = match (&self.across, known.heard) {
            (Some(across), Some(number)) => across.covers(number, known.read, now),
            _ => false,
        };
        // What is kept by it is to hold for a while as well.
        is_covered || now < known.read.saturating_add(self.sure_of_tags / 2)
    }

    /// Lets nobody have from this process what had this tag before; or what was there at all, for `None`.
    pub(crate) fn change_tag(&self, scope: &Arc<Scope>, tag: Option<&TagName>, change: Change) {
        scope.change(tag, change);
        if self.far.as_ref().is_some_and(FarLevel::has_second) {
            self.second_tags.same(scope).change(tag, change);
        }
        // Nobody knows what tags they will have.
        self.flights.detach_all(scope);
    }

    /// To be taken before anything is read or loaded that is to be kept.
    pub(crate) fn ticket(&self, key: &[u8]) -> Ticket {
        self.near.as_ref().map_or(Ticket(0), |it| it.ticket(key))
    }

    pub(crate) fn keep(&self, ticket: Ticket, key: &[u8], kept: Kept<V>) {
        let Some(near) = &self.near else {
            return;
        };
        let is_gone = kept.marks.look() == Verdict::Removed;
        if is_gone || !near.keep(ticket, key, kept) {
            self.counts.refused_fills.add();
        }
    }

    /// Lets nobody have from this process what was there before.
    pub(crate) fn forget(&self, key: &[u8]) -> Ticket {
        let ticket = self.near.as_ref().map_or(Ticket(0), |it| it.touch(key));
        self.flights.detach(key);
        ticket
    }

    /// Nobody gets from this process as fresh what was there before.
    pub(crate) fn make_stale(&self, key: &[u8]) {
        if let Some(near) = &self.near {
            near.expire(key, self.now());
        }
        self.flights.detach(key);
    }

    /// What the store has, as an entry here. `asked` is from before the question; `known` is what was here.
    pub(crate) async fn read(
        &self,
        key: &[u8],
        found: Found,
        asked: Duration,
        known: Option<&Kept<V>>,
        (far, sight): (&FarCaller, &mut Sight),
    ) -> Result<Kept<V>, NotRead> {
        let (envelope, payload) = Envelope::open(found.value).map_err(|reason| {
            self.tell_unreadable(&reason);
            match reason {
                Unreadable::Newer => NotRead::Newer,
                Unreadable::Damaged => NotRead::Damaged,
            }
        })?;
        let tags = &envelope.tags;
        for (tag, _) in &tags.named {
            sight.see(tag, |it| self.trusts(it, asked));
        }
        far.see(sight).await.map_err(NotRead::Failed)?;
        let mut verdict = sight.verdict(tags);
        let is_other = verdict.is_some_and(|(it, read)| it != Verdict::Holds && read < asked);
        if is_other && !sight.is_ahead(tags) {
            // Others may have begun the tag anew, after a loss.
            sight.doubt(asked);
            far.see(sight).await.map_err(NotRead::Failed)?;
            verdict = sight.verdict(tags);
        }
        let (is_expired, since) = match verdict {
            Some((Verdict::Holds, since)) => (false, since),
            Some((Verdict::Expired, since)) => (true, since),
            Some((Verdict::Removed, _)) | None => return Err(NotRead::Removed),
        };
        let since = since.min(asked);
        let value = match (envelope.content, known) {
            (Content::Missing, _) => None,
            // The same one again: it need not be made of bytes anew.
            (Content::Value, Some(known))
                // What the store has not taken has the version of what was there.
                if known.version == envelope.version && known.heard.is_some() =>
            {
                known.value.clone()
            }
            (Content::Value, _) => {
                let value = self.codec.decode(&Value::from(payload.clone()));
                let value = value.map_err(|error| {
                    self.tell_unreadable(&error);
                    NotRead::Damaged
                })?;
                Some(Arc::new(value))
            }
        };
        let age = envelope.age(found.now);
        let times = self.times(envelope.terms, age, asked, since);
        let marks = sight.marks(tags.named.iter().map(|(tag, _)| tag));
        Ok(Kept {
            value,
            version: envelope.version,
            weight: weight(key, payload.len(), &marks),
            times: match found.marked == Marked::Expired || is_expired {
                true => times.expire(asked),
                false => times,
            },
            heard: far.heard(),
            since,
            marks,
        })
    }

    /// `since` is when what it goes by was read.
    pub(crate) fn times(
        &self,
        terms: Terms,
        age: Duration,
        now: Duration,
        since: Duration,
    ) -> Times {
        let sure = self.sure.saturating_sub(now.saturating_sub(since));
        Times::new(terms, age, now, self.policy.early, sure)
    }

    pub(crate) fn tell_unreadable(&self, reason: &dyn std::fmt::Debug) {
        self.counts.unreadable.add();
        tracing::debug!(target: kv_core::telemetry::TARGET, cache = %self.name, ?reason, "an entry cannot be read");
    }

    /// Tells of a store in trouble, for which no caller is to suffer.
    pub(crate) fn trouble(&self, store: &FarCaller, error: &Error, doing: &'static str) {
        if store.life().is_some() {
            self.counts.fallback_errors.add();
            tracing::debug!(target: kv_core::telemetry::TARGET, cache = %self.name, %error, doing, "the cache goes on without its fallback");
            return;
        }
        self.counts.far_errors.add();
        self.tell_trouble(error, doing);
        tracing::debug!(target: kv_core::telemetry::TARGET, cache = %self.name, %error, doing, "the cache goes on without its store");
    }
}
