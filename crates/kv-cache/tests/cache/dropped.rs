//! Futures are dropped wherever they wait: nobody who waits is stuck, nothing is loaded twice at a time, no lease
//! stays, and what is here is what is on the store.

mod slow;

use self::slow::{LAG, Sent, Slow};
use crate::{SECOND, fleet::Fleet, settle, ttl};
use kv_cache::{Cache, Entry, Far, Freshness, Near};
use kv_core::{Clock, Kv, VirtualClock};
use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::task::{JoinHandle, yield_now};

type Numbers = Cache<u32, u32>;

const KEY: u32 = 7;
/// What was there before, what the origin has by now, and what is written.
const OLD: u32 = 1;
const NEW: u32 = 2;
const WRITTEN: u32 = 3;

/// For how long a process trusts what it has: longer than any of this takes, so that nothing is mended by asking.
const SURE: Duration = Duration::from_secs(20);
const LOADING: Duration = Duration::from_millis(100);
/// More polls than any of them takes. Only a broken test gets there.
const MOST: usize = 60;

/// What is done until it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    GetOrLoad,
    FindOrLoad,
    Refresh,
    Get,
    GetEntry,
    GetMany,
    Set,
    SetFor,
    Remove,
    Expire,
}

/// How it is with the entry before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    OnTheStore,
    Here,
    /// Here, and nobody is sure of it any more.
    Unsure,
    Stale,
    /// It is being loaded in this process, and somebody waits for that.
    LoadedHere,
    LoadedElsewhere,
}

const ALL: [Before; 7] = [
    Before::Nothing,
    Before::OnTheStore,
    Before::Here,
    Before::Unsure,
    Before::Stale,
    Before::LoadedHere,
    Before::LoadedElsewhere,
];

/// Where values come from.
#[derive(Clone)]
struct Origin {
    clock: VirtualClock,
    loading: Arc<AtomicU32>,
    /// So many loads were under way at once.
    most: Arc<AtomicU32>,
}

impl Origin {
    async fn load(self) -> Result<u32, Infallible> {
        let others = self.loading.fetch_add(1, Ordering::Relaxed);
        self.most.fetch_max(others + 1, Ordering::Relaxed);
        self.clock.sleep(LOADING).await;
        self.loading.fetch_sub(1, Ordering::Relaxed);
        Ok(NEW)
    }
}

impl Act {
    fn writes(self) -> bool {
        matches!(self, Self::Set | Self::SetFor | Self::Remove | Self::Expire)
    }

    async fn run(self, cache: &Numbers, origin: Origin) {
        match self {
            Self::GetOrLoad => {
                let value = cache.get_or_load(&KEY, move |_| origin.load()).await;
                assert!([OLD, NEW].contains(&*value.unwrap()));
            }
            Self::FindOrLoad => {
                let value = cache.find_or_load(&KEY, move |_| origin.load()).await;
                assert!([OLD, NEW].contains(&*value.unwrap().unwrap()));
            }
            Self::Refresh => {
                let value = cache.refresh(&KEY, move |_| origin.load()).await;
                assert_eq!(*value.unwrap().unwrap(), NEW);
            }
            Self::Get => drop(cache.get(&KEY).await.unwrap()),
            Self::GetEntry => drop(cache.get_entry(&KEY).await.unwrap()),
            Self::GetMany => {
                let keys = [KEY, KEY + 1];
                let values = cache.get_many_or_load(keys, move |keys| {
                    // The other one is nobody else's.
                    let origin = keys.contains(&KEY).then(|| origin.clone());
                    async move {
                        if let Some(origin) = origin {
                            origin.load().await?;
                        }
                        Ok::<_, Infallible>(keys.into_iter().map(|it| (it, NEW)))
                    }
                });
                assert_eq!(values.await.unwrap().len(), 2);
            }
            Self::Set => cache.set(&KEY, WRITTEN).await.unwrap(),
            Self::SetFor => cache.set_for(&KEY, WRITTEN, SECOND * 60).await.unwrap(),
            Self::Remove => cache.remove(&KEY).await.unwrap(),
            Self::Expire => cache.expire(&KEY).await.unwrap(),
        }
    }

    /// What the store must have if it came to its end, where that is certain.
    fn leaves(self) -> Option<Seen> {
        match self {
            Self::Set | Self::SetFor => Some(Some((WRITTEN, Freshness::Fresh))),
            Self::Refresh => Some(Some((NEW, Freshness::Fresh))),
            Self::Remove => Some(None),
            _ => None,
        }
    }
}

/// What a process would be given.
type Seen = Option<(u32, Freshness)>;

fn seen(entry: Option<Entry<u32>>) -> Seen {
    let entry = entry?;
    Some((**entry.value()?, entry.freshness()))
}

/// Two processes that have heard of each other, and time that goes on.
struct Case {
    fleet: Fleet,
    kv: Kv,
    slow: Slow,
    one: Numbers,
    other: Numbers,
    origin: Origin,
    time: JoinHandle<()>,
    waiting: Vec<JoinHandle<u32>>,
}

impl Case {
    async fn new(sent: Sent) -> Self {
        let fleet = Fleet::new();
        let slow = Slow::new(&fleet.clock, sent);
        let bad = fleet.builder().layer(slow.clone()).connect().await.unwrap();
        let kv = fleet.kv().await;
        let (one, other) = (numbers(&fleet, &bad), numbers(&fleet, &kv));
        // What is told is heard from now on, and by both.
        for cache in [&one, &other] {
            cache.get(&0).await.unwrap();
        }
        for _ in 0..30 {
            fleet.clock.advance(SURE / 20);
            settle().await;
        }
        let clock = fleet.clock.clone();
        let time = tokio::spawn(async move {
            loop {
                for _ in 0..12 {
                    yield_now().await;
                }
                clock.advance(LAG / 2);
            }
        });
        let origin = Origin {
            clock: fleet.clock.clone(),
            loading: Arc::default(),
            most: Arc::default(),
        };
        Self {
            fleet,
            kv,
            slow,
            one,
            other,
            origin,
            time,
            waiting: Vec::new(),
        }
    }

    async fn prepare(&mut self, before: Before) {
        match before {
            Before::Nothing => {}
            Before::OnTheStore => self.other.set(&KEY, OLD).await.unwrap(),
            Before::Here => self.one.set(&KEY, OLD).await.unwrap(),
            Before::Unsure => {
                self.one.set(&KEY, OLD).await.unwrap();
                // At once, so that nobody has heard anything.
                self.fleet.clock.advance(SURE * 2);
            }
            Before::Stale => {
                let life = SECOND;
                self.one.set_for(&KEY, OLD, life).await.unwrap();
                self.fleet.clock.sleep(life).await;
            }
            Before::LoadedHere => self.wait(self.one.clone()),
            Before::LoadedElsewhere => self.wait(self.other.clone()),
        }
        settle().await;
    }

    /// Somebody asks.
    fn wait(&mut self, cache: Numbers) {
        let origin = self.origin.clone();
        let waiting = async move {
            let load = cache.get_or_load(&KEY, move |_| origin.load());
            *load.await.unwrap()
        };
        self.waiting.push(tokio::spawn(waiting));
    }

    /// Within what only somebody takes who is stuck.
    async fn all_are_served(&mut self, place: &str) {
        for waiting in self.waiting.drain(..) {
            let late = self.fleet.clock.sleep(SECOND * 60);
            let value = tokio::select! {
                value = waiting => value.unwrap(),
                () = late => panic!("{place}: somebody waits for ever"),
            };
            assert!([OLD, NEW, WRITTEN].contains(&value), "{place}: {value}");
        }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        self.time.abort();
    }
}

fn numbers(fleet: &Fleet, kv: &Kv) -> Numbers {
    let cache = Cache::builder("c")
        .near(Near::megabytes(1).max_stale(SURE))
        .far(Far::new(kv).deadline(SECOND))
        .policy(ttl(600).stale(SECOND * 600).hard_timeout(SECOND * 5))
        .clock(Arc::new(fleet.clock.clone()));
    cache.build().unwrap()
}

/// What it came to, unless it was dropped after so many polls.
async fn within<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Not polled again: it is dropped right here.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drops it after so many polls; whether it had come to its end.
async fn drop_after(polls: usize, act: Act, before: Before, sent: Sent) -> bool {
    let place = format!("{act:?} dropped after {polls}, {before:?}, what is sent {sent:?}");
    let mut case = Case::new(sent).await;
    case.prepare(before).await;
    case.slow.slow_down();
    let acting = act.run(&case.one, case.origin.clone());
    let is_over = within(polls, acting).await.is_some();
    case.slow.hurry();
    let writes = act.writes();
    if is_over && before != Before::LoadedHere && before != Before::LoadedElsewhere {
        case.one.idle().await;
        let there = seen(
            numbers(&case.fleet, &case.kv)
                .get_entry(&KEY)
                .await
                .unwrap(),
        );
        let expected = act.leaves();
        assert!(
            expected.is_none_or(|it| it == there),
            "{place}: the store has {there:?}"
        );
    }
    // They overtake what is under way.
    case.wait(case.one.clone());
    case.wait(case.other.clone());
    case.all_are_served(&place).await;
    // What was under way has come to its end, and what is done again has been.
    case.fleet.clock.sleep(SECOND / 2).await;
    case.one.idle().await;
    case.other.idle().await;
    let there = seen(
        numbers(&case.fleet, &case.kv)
            .get_entry(&KEY)
            .await
            .unwrap(),
    );
    for (name, cache) in [("here", &case.one), ("elsewhere", &case.other)] {
        let here = seen(cache.get_entry(&KEY).await.unwrap());
        let is_as_good = match act {
            // What is loaded anew is no news: the copy elsewhere is as good as before.
            Act::Refresh => name == "elsewhere" && here.is_some() && there.is_some(),
            // What is stale is loaded anew when it is asked for.
            Act::Expire => matches!(here, Some((_, Freshness::Stale))) && there.is_some(),
            _ => false,
        };
        assert!(
            here == there || is_as_good,
            "{place}: {here:?} {name}, and {there:?} on the store"
        );
    }
    let is_leased = case.kv.exists("{cache:c:7}:lease").await.unwrap();
    assert!(!is_leased, "{place}: a lease is left");
    // What was being loaded before a removal is not joined, so then there may be two.
    let most = case.origin.most.load(Ordering::Relaxed);
    assert!(writes || most <= 1, "{place}: {most} loads at once");
    is_over
}

async fn wherever_it_is_dropped(act: Act) {
    for before in ALL {
        for sent in [Sent::GoesOn, Sent::GoesToo] {
            let mut polls = 0;
            while !drop_after(polls, act, before, sent).await {
                polls += 1;
                assert!(polls < MOST, "{act:?} never comes to its end");
            }
            println!("{act:?}, {before:?}, {sent:?}: {polls} places");
        }
    }
}

macro_rules! acts {
    ($($name:ident $act:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            wherever_it_is_dropped(Act::$act).await;
        })*
    };
}

acts! {
    get_or_load GetOrLoad
    find_or_load FindOrLoad
    refresh Refresh
    get Get
    get_entry GetEntry
    get_many_or_load GetMany
    set Set
    set_for SetFor
    remove Remove
    expire Expire
}
