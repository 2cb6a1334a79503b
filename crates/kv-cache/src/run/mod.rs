//! One load, from the question to the store to the fill, in a task of its own.

mod elsewhere;
mod failed;
mod grant;
mod second;
mod tagging;

use self::{
    elsewhere::{Waited, Waiting},
    grant::{Grant, give_back, seized, without_store},
    second::First,
};
use crate::{
    entry::Kept,
    envelope::{Content, Envelope},
    far::{
        FarEntry, Filled,
        transitions::{Answer, Issue, Lease},
    },
    flights::{Held, Lead, Outcome, Stage},
    freshness::{Freshness, Look, Terms, Ticket},
    glance::{Glanced, Hint, glance_if_likely},
    load::{Keeping, LoadContext, Loaded},
    near::weight,
    shared::{CacheValue, NotRead, Shared},
    start::Reason,
    tags::{Sight, TagName, Verdict},
};
use futures_util::{
    FutureExt,
    future::{Either, select},
};
use kv_core::{BoxFuture, ErrorKind, Lifetime, Result};
use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

/// A loader, as it is run.
pub(crate) type Loader<V, E> =
    Box<dyn FnOnce(LoadContext<V>) -> BoxFuture<'static, Result<Loaded<V>, E>> + Send>;

pub(crate) struct Run<V: CacheValue, E: Send + Sync + 'static> {
    pub(crate) shared: Arc<Shared<V>>,
    pub(crate) lead: Lead<V, E>,
    pub(crate) far: Option<FarEntry>,
    /// What is here already.
    pub(crate) known: Option<Kept<V>>,
    pub(crate) wish: Wish,
    pub(crate) hint: Hint,
    pub(crate) reason: Reason,
    pub(crate) ticket: Ticket,
    pub(crate) sight: Sight,
    /// What it has in any case.
    pub(crate) tags: Option<Arc<[TagName]>>,
    /// Until when another process is waited for, once one is.
    pub(crate) waits_until: Option<Duration>,
    /// The first store, once the second has taken its place.
    pub(crate) first: Option<First>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// What the store has will do.
    Get,
    /// A new one, unless somebody has been faster.
    Refresh,
}

/// What the store has let us do.
enum Leave<V> {
    /// Nothing: it has a good one.
    Use(Kept<V>),
    Load(Grant, Option<Kept<V>>),
}

impl<V: CacheValue, E: Send + Sync + 'static> Run<V, E> {
    pub(crate) async fn run(mut self, loader: Loader<V, E>) {
        match self.ask_any().await {
            Leave::Use(kept) => {
                let kept = self.found(kept);
                self.shared.keep(self.ticket, self.lead.key(), kept.clone());
                self.lead.answer(Outcome::Loaded(kept.value), Keeping::Kept);
            }
            Leave::Load(grant, stale) => self.load(grant, stale, loader).await,
        }
        self.settle_first().await;
    }

    /// Finds out whether to load, and waits for another process that does.
    async fn ask(&mut self) -> Leave<V> {
        let Some(far) = self.far.clone() else {
            let version = self.shared.next_version();
            return Leave::Load(Grant::Own(version), self.known.take());
        };
        let shared = self.shared.clone();
        let mut known = self.known.take();
        let mut waiting = Waiting::default();
        let mut wish = self.wish;
        let asking = match &self.first {
            Some(_) => Stage::AskingAnew,
            None => Stage::Asking,
        };
        // The version that is to be replaced.
        let mut outdated = match wish {
            Wish::Refresh => known.as_ref().map(|it| it.version),
            Wish::Get => None,
        };
        let sight = &mut self.sight;
        let tags = known.iter().flat_map(|it| it.marks.tags());
        for tag in tags.chain(self.tags.iter().flat_map(|it| it.iter())) {
            sight.see(tag, |_| true);
        }
        let hint = std::mem::replace(&mut self.hint, Hint::Absent);
        let hint = match (wish, hint) {
            (Wish::Get, Hint::Unseen) => {
                let key = self.lead.key();
                match glance_if_likely(&shared, &far, key, known.as_ref(), sight).await {
                    Glanced::Good(kept) => return Leave::Use(kept),
                    Glanced::Not(hint) => hint,
                }
            }
            (_, hint) => hint,
        };
        let is_unseen = matches!((wish, &hint), (Wish::Get, Hint::Unseen));
        let mut outlook = is_unseen.then_some(&shared.outlook);
        match (wish, hint) {
            (Wish::Get, Hint::Outdated(version)) => {
                wish = Wish::Refresh;
                outdated = Some(version);
            }
            // Nothing was done there.
            (_, Hint::Refused) => return Leave::Load(Grant::None, known),
            (_, Hint::Unseen | Hint::Absent | Hint::Outdated(_)) => {}
        }
        loop {
            let asked = shared.now();
            sight.renew(|it| shared.trusts(it, asked));
            let mut answer = match wish {
                Wish::Get => far.get_or_lease(sight).await,
                Wish::Refresh => far.refresh_lease(sight).await,
            };
            if let Err(error) = &answer
                && error.kind() == ErrorKind::Codec
            {
                // The store is well: it has something that a layer cannot read, which is replaced.
                shared.tell_unreadable(error);
                answer = far.lease_unread(sight).await;
            }
            let Answer { found, lease, .. } = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    return Leave::Load(without_store(&shared, &far, &error, "asking"), known);
                }
            };
            // What the store says counts: what it does not have was removed.
            known = match found {
                None => None,
                Some(found) => {
                    let tags = (&far.caller, &mut *sight);
                    let key = self.lead.key();
                    match shared.read(key, found, asked, known.as_ref(), tags).await {
                        Ok(kept) => Some(kept),
                        Err(NotRead::Damaged | NotRead::Removed) => None,
                        Err(NotRead::Newer) => {
                            give_back(&shared, lease, &far).await;
                            return Leave::Load(Grant::Barred, None);
                        }
                        Err(NotRead::Failed(error)) => {
                            shared.trouble(&far.caller, &error, "asking for tags");
                            // The lease may be ours.
                            return Leave::Load(Grant::Unknown, known);
                        }
                    }
                }
            };
            if let Some(outlook) = outlook.take() {
                match &known {
                    Some(_) => outlook.found(),
                    None => outlook.missed(),
                }
            }
            // Just read, so everybody is sure of it.
            let is_good = |it: &&Kept<V>| it.times.freshness(shared.now()) == Freshness::Fresh;
            let good = known.as_ref().filter(is_good).cloned();
            match (lease, good) {
                (Lease::Granted(issue), good) => {
                    let is_enough = |it: &Kept<V>| {
                        self.wish == Wish::Get || outdated.is_some_and(|old| it.version > old)
                    };
                    let newer = good.filter(is_enough);
                    let Some(newer) = newer else {
                        return Leave::Load(Grant::Leased(issue), known);
                    };
                    // Somebody has been faster.
                    give_back(&shared, lease, &far).await;
                    return Leave::Use(newer);
                }
                (_, Some(good)) if self.wish == Wish::Get => return Leave::Use(good),
                (_, Some(good)) if outdated.is_some_and(|old| good.version > old) => {
                    return Leave::Use(good);
                }
                (Lease::Free, _) => {
                    // What is there is stale, or a tag has removed it: it is leased to who refreshes it.
                    self.lead.tell(asking, value(known.as_ref()));
                    outdated = outdated.or(Some(known.as_ref().map_or(0, |it| it.version)));
                    wish = Wish::Refresh;
                }
                (Lease::Other, _) => {
                    self.lead.tell(Stage::Elsewhere, value(known.as_ref()));
                    outdated = outdated.or(Some(known.as_ref().map_or(0, |it| it.version)));
                    match waiting.wait(&shared, &far, &mut self.waits_until).await {
                        Ok(Waited::AskAgain) => {}
                        // Liveness before thrift: who has waited in vain loads as well.
                        Ok(Waited::InVain) => {
                            return Leave::Load(seized(&shared, &far, sight).await, known);
                        }
                        Err(error) => {
                            shared.trouble(&far.caller, &error, "waiting");
                            return Leave::Load(Grant::None, known);
                        }
                    }
                }
            }
        }
    }

    async fn load(&mut self, grant: Grant, stale: Option<Kept<V>>, loader: Loader<V, E>) {
        let shared = &self.shared.clone();
        self.begin_tags(grant, stale.as_ref()).await;
        let began = shared.now();
        // Nor what a tag has removed while another process was waited for.
        let stale = stale.filter(|it| {
            it.marks.look() != Verdict::Removed && shared.look(it, began) != Look::Ended
        });
        // What the store could not confirm is for the worst case only.
        let is_confirmed = matches!(grant, Grant::Own(_) | Grant::Leased(_)) && !self.is_spare();
        let is_sure = |it: &&Kept<V>| is_confirmed || shared.look(it, began) != Look::Confirm;
        let meanwhile = stale.as_ref().filter(is_sure);
        self.lead.tell(Stage::Loading, value(meanwhile));
        shared.counts.loads.add();
        if stale.is_none() {
            shared.counts.misses.add();
        }
        let context = LoadContext::new(stale.as_ref().and_then(|it| it.value.clone()));
        let wishes = context.wishes();
        let loading = AssertUnwindSafe(async move { loader(context).await }).catch_unwind();
        let limit = shared.clock.sleep(shared.policy.longest_load());
        let loaded = match select(pin!(loading), limit).await {
            Either::Left((Ok(Ok(loaded)), _)) => Ok(loaded),
            Either::Left((Ok(Err(error)), _)) => Err(Outcome::Failed(Arc::new(error))),
            Either::Left((Err(_), _)) => Err(Outcome::Panicked),
            Either::Right(_) => Err(Outcome::TimedOut),
        };
        let took = shared.now().saturating_sub(began);
        let wishes = std::mem::take(&mut *wishes.lock());
        let mut tags = wishes.tags;
        let value = match loaded {
            Ok(Loaded::Value(value)) => Some(Arc::new(value)),
            Ok(Loaded::NotModified(value)) => {
                let old = stale.iter().flat_map(|it| it.marks.tags());
                tags.extend(old.cloned());
                Some(value.0)
            }
            Ok(Loaded::Missing) => None,
            Err(outcome) => return self.fail(grant, stale, outcome).await,
        };
        let terms = match (wishes.keeping, &value) {
            (Keeping::NotKept, _) => None,
            (Keeping::Kept, Some(_)) => {
                let random = fastrand::f64();
                Some(Terms::of_value(&shared.policy, wishes.ttl, took, random))
            }
            (Keeping::Kept, None) => Terms::of_nothing(&shared.policy, took),
        };
        let answer = (Outcome::Loaded(value.clone()), wishes.keeping);
        // Before the fill: nobody waits for the store's answer. Without one it is here first.
        let late = match self.far {
            Some(_) => {
                self.lead.answer(answer.0, answer.1);
                None
            }
            None => Some(answer),
        };
        shared.tell_loaded(self.lead.key());
        match terms {
            Some(terms) => match self.find_tags(grant, tags, began).await {
                Some(tags) => self.fill(grant, value, terms, &tags).await,
                None => self.give_up(grant).await,
            },
            None if value.is_none() && stale.is_some() => self.remove().await,
            None => self.give_up(grant).await,
        }
        if let Some((outcome, keeping)) = late {
            self.lead.answer(outcome, keeping);
        }
    }

    /// Writes what was loaded into the store, and into this process if the store takes it.
    async fn fill(&self, grant: Grant, value: Held<V>, terms: Terms, tags: &[TagName]) {
        let shared = &self.shared;
        let encoded = match &value {
            Some(value) => shared
                .codec
                .encode(&**value)
                .map(kv_core::Value::into_bytes),
            None => Ok(Default::default()),
        };
        let payload = match encoded {
            Ok(payload) => payload,
            Err(error) => {
                tracing::warn!(target: kv_core::telemetry::TARGET, cache = %shared.name, %error, "what was loaded is not kept");
                return self.give_up(grant).await;
            }
        };
        let content = match value {
            Some(_) => Content::Value,
            None => Content::Missing,
        };
        let key = self.lead.key();
        let now = shared.now();
        let terms = match (grant, &self.far) {
            (Grant::Leased(_), Some(far)) => far.within(terms),
            _ => terms,
        };
        // What no store has taken may have been replaced since its load began.
        let began = now.saturating_sub(terms.took);
        let marks = self.sight.marks(tags);
        let kept = |version, heard, since| Kept {
            value,
            version,
            weight: weight(key, payload.len(), &marks),
            times: shared.times(terms, terms.took, now, since),
            heard,
            since,
            marks,
        };
        let Issue { version, at } = match grant {
            Grant::Own(version) => {
                return shared.keep(self.ticket, key, kept(version, None, now));
            }
            Grant::Barred | Grant::None | Grant::Unknown => {
                let kept = kept(shared.version_here(key), None, began);
                shared.keep(self.ticket, key, kept);
                return self.give_up(grant).await;
            }
            Grant::Leased(issue) => issue,
        };
        let Some(far) = &self.far else {
            return;
        };
        let here = self.version_near(version);
        let Some((tags, since)) = self.sight.versions(tags) else {
            // The store has not told them, or has not begun them.
            let kept = kept(here, None, began);
            shared.keep(self.ticket, key, kept);
            return self.give_up(grant).await;
        };
        let since = since.min(now);
        let Ok(life) = Lifetime::new(terms.life.saturating_sub(terms.took)) else {
            // It has ended while it was loaded.
            return self.give_up(grant).await;
        };
        let envelope = Envelope {
            version,
            since: at,
            terms,
            content,
            tags,
        };
        match far.fill(envelope.seal(&payload), life).await {
            Ok(Filled::Taken) => shared.keep(self.ticket, key, kept(here, far.heard(), since)),
            Ok(Filled::Dropped) => shared.counts.dropped_fills.add(),
            Err(error) => {
                // Whether it was taken is unknown; here it holds for no longer than without a store.
                shared.trouble(&far.caller, &error, "filling");
                shared.keep(self.ticket, key, kept(here, None, since.min(began)));
            }
        }
    }

    async fn give_up(&self, grant: Grant) {
        let Some(far) = &self.far else {
            return;
        };
        if matches!(grant, Grant::Own(_) | Grant::Barred | Grant::None) {
            return;
        }
        if let Err(error) = far.give_up().await {
            self.shared
                .trouble(&far.caller, &error, "giving a lease up");
        }
    }
}

fn value<V>(kept: Option<&Kept<V>>) -> Option<Held<V>> {
    kept.map(|it| it.value.clone())
}
