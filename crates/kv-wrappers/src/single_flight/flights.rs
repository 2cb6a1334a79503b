//! The reads under way, and who may join them.
//!
//! A flight is a future that all who joined it poll: whoever is dropped leaves it to the others. The
//! table holds it weakly, so the last one takes it along, and an answer that came while nobody listened
//! is given to nobody.
//!
//! Writes are stamped when they end, in stripes of keys; a flight notes the last stamp when it begins.
//! It may be joined while no key of it bears a later one.

use super::meters::Meters;
use crate::{telemetry::StoreName, touched::Touched};
use foldhash::fast::RandomState;
use futures_util::{
    FutureExt,
    future::{Shared, WeakShared},
};
use kv_core::{BoxFuture, Command, Context, Error, ErrorKind, Field, Key, Reply, Request, Result};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::BuildHasher,
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const SHARDS: usize = 64;
/// So many stripes: one write keeps about one of as many other reads from being joined.
const STRIPES: usize = 1024;

/// What a read asks, and for whom. Two that are equal get the same answer at the same time.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Ask {
    context: Option<Context>,
    what: What,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum What {
    Get(Key),
    GetMany(Vec<Key>),
    Exists(Vec<Key>),
    HGet(Key, Field),
    HGetMany(Key, Vec<Field>),
    HGetAll(Key),
}

impl Ask {
    /// None for what is not shared.
    pub(super) fn of(request: &Request) -> Option<Self> {
        // What forbids attempts or caches must not get what others were content with.
        let options = &request.options;
        if !options.allow_retry() || !options.allow_near_cache() {
            return None;
        }
        let what = match &request.command {
            Command::Get { key } => What::Get(key.clone()),
            Command::GetMany { keys } => What::GetMany(keys.clone()),
            Command::Exists { keys } => What::Exists(keys.clone()),
            Command::HGet { key, field } => What::HGet(key.clone(), field.clone()),
            Command::HGetMany { key, fields } => What::HGetMany(key.clone(), fields.clone()),
            Command::HGetAll { key } => What::HGetAll(key.clone()),
            _ => return None,
        };
        let context = request.context.clone();
        Some(Self { context, what })
    }

    fn keys(&self) -> &[Key] {
        match &self.what {
            What::GetMany(keys) | What::Exists(keys) => keys,
            What::Get(key) | What::HGet(key, _) | What::HGetMany(key, _) | What::HGetAll(key) => {
                slice::from_ref(key)
            }
        }
    }
}

/// An answer for each of those who wait.
pub(super) struct Answer(pub(super) Result<Reply>);

impl Clone for Answer {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Ok(reply) => duplicate(reply),
            Err(error) => Err(error.duplicate()),
        })
    }
}

/// The replies of what is shared; batches of writes answer errors, which cannot be cloned.
fn duplicate(reply: &Reply) -> Result<Reply> {
    Ok(match reply {
        Reply::Get(it) => Reply::Get(it.clone()),
        Reply::GetMany(it) => Reply::GetMany(it.clone()),
        Reply::Exists(it) => Reply::Exists(*it),
        Reply::HGet(it) => Reply::HGet(it.clone()),
        Reply::HGetMany(it) => Reply::HGetMany(it.clone()),
        Reply::HGetAll(it) => Reply::HGetAll(it.clone()),
        _ => {
            return Err(Error::new(
                ErrorKind::Unexpected,
                "a layer answered with another command's reply",
            ));
        }
    })
}

type Call = BoxFuture<'static, Answer>;

struct Flight {
    /// Tells it from a later one of the same ask.
    number: u64,
    /// The last stamp when it began.
    stamp: u64,
    began: Duration,
    call: WeakShared<Call>,
}

pub(super) struct Flights {
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<Ask, Flight, RandomState>>]>,
    numbers: AtomicU64,
    stamps: AtomicU64,
    /// The stamp of the last write in each stripe of keys.
    written: Box<[AtomicU64]>,
    /// The same of the last one that may have changed any key.
    cleared: AtomicU64,
    join_within: Duration,
    meters: Meters,
}

impl Flights {
    pub(super) fn new(join_within: Duration, store: &StoreName) -> Self {
        Self {
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            numbers: AtomicU64::default(),
            stamps: AtomicU64::default(),
            written: (0..STRIPES).map(|_| AtomicU64::default()).collect(),
            cleared: AtomicU64::default(),
            join_within,
            meters: Meters::new(store),
        }
    }

    /// The flight of this ask that is under way, or a new one.
    pub(super) fn board<F>(
        self: &Arc<Self>,
        ask: Ask,
        now: Duration,
        call: impl FnOnce() -> F,
    ) -> Shared<Call>
    where
        F: Future<Output = Result<Reply>> + Send + 'static,
    {
        let mut shard = self.shard(&ask).lock();
        let known = shard.get(&ask).filter(|it| self.may_join(&ask, it, now));
        // Last of all, and out with it: were it dropped here as the last one, it would take itself off
        // the table, whose lock we hold.
        if let Some(call) = known.and_then(|it| it.call.upgrade()) {
            self.meters.joined();
            return call;
        }
        self.meters.asked();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let stamp = self.stamps.load(Ordering::SeqCst);
        let landing = Landing {
            flights: Arc::clone(self),
            ask: ask.clone(),
            number,
        };
        let call = call();
        let call: Call = Box::pin(async move {
            let answer = call.await;
            // Whoever comes now asks anew.
            drop(landing);
            Answer(answer)
        });
        let call = call.shared();
        if let Some(weak) = call.downgrade() {
            let flight = Flight {
                number,
                stamp,
                began: now,
                call: weak,
            };
            shard.insert(ask, flight);
        }
        call
    }

    /// Sees to it that nobody joins what began before and may not know of a change.
    pub(super) fn seal(&self, touched: &Touched) {
        if *touched == Touched::Nothing {
            return;
        }
        let stamp = self.stamps.fetch_add(1, Ordering::SeqCst) + 1;
        let seal = |it: &AtomicU64| it.fetch_max(stamp, Ordering::SeqCst);
        match touched {
            Touched::Nothing => {}
            Touched::One(key) => {
                seal(self.written(key));
            }
            Touched::Many(keys) => {
                for key in keys {
                    seal(self.written(key));
                }
            }
            Touched::Everything => {
                seal(&self.cleared);
            }
        }
    }

    fn may_join(&self, ask: &Ask, flight: &Flight, now: Duration) -> bool {
        let knows = |it: &AtomicU64| it.load(Ordering::SeqCst) <= flight.stamp;
        now.saturating_sub(flight.began) <= self.join_within
            && knows(&self.cleared)
            && ask.keys().iter().all(|key| knows(self.written(key)))
    }

    fn written(&self, key: &Key) -> &AtomicU64 {
        &self.written[self.hasher.hash_one(key) as usize % STRIPES]
    }

    fn shard(&self, ask: &Ask) -> &Mutex<HashMap<Ask, Flight, RandomState>> {
        // Not the bits that the map in the shard goes by.
        &self.shards[(self.hasher.hash_one(ask) >> 32) as usize % SHARDS]
    }
}

/// Takes a flight off the table when it has ended, or was given up by all.
struct Landing {
    flights: Arc<Flights>,
    ask: Ask,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut shard = self.flights.shard(&self.ask).lock();
        let own = shard.get(&self.ask);
        // A later flight of the same ask may have taken the place.
        if own.is_some_and(|it| it.number == self.number) {
            shard.remove(&self.ask);
        }
    }
}
