//! Waiting for several keys that match a pattern.

use super::{BURST, NEVER_LOOKED, ended, timed_out};
use crate::{
    BoxFuture, Capability, Error, ErrorKind, Event, Events, Key, Mark, Result, ScanFrom, Scope,
    Stopwatch, Value, Watch, clock::within, command::Arg, scope::pattern::Pattern,
};
use futures_util::{StreamExt, TryStreamExt};
use std::{
    collections::{BTreeMap, BTreeSet},
    future,
    time::Duration,
};

/// How long a wait lasts unless told otherwise: an hour.
const USUAL_TIMEOUT: Duration = Duration::from_secs(3600);

/// How many keys are read in one command.
const PAGE: usize = 500;

/// How many missing candidates an error names.
const NAMED: usize = 8;

/// A wait for several keys, made by [`Scope::wait_for_keys`]; awaiting it starts it.
#[derive(Debug)]
#[must_use = "nothing waits until this is awaited"]
pub struct WaitForKeys<'a> {
    scope: &'a Scope,
    pattern: Result<Key>,
    count: usize,
    value: Mark,
    timeout: Duration,
    candidates: Result<BTreeSet<Key>>,
}

impl Scope {
    /// Waits until at least `count` keys that match the pattern have the value `1` at the same time,
    /// or another one given with [`value`](WaitForKeys::value); returns all that do, in the order of
    /// their bytes. `*` in the pattern stands for any bytes, also none; everything else for itself.
    /// A key that changes away again before the others are there no longer counts.
    ///
    /// "At the same time" goes as far as one read does: up to 500 keys, on stores that read several
    /// keys in one step.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when the time is up, naming the pattern, how many keys were wanted and
    /// found, and which candidates were missing; [`ErrorKind::InvalidArgument`] if the store cannot
    /// list keys and the candidates do not suffice; [`ErrorKind::Unsupported`] where it cannot watch;
    /// else the store's.
    pub fn wait_for_keys(&self, pattern: impl Arg<Key>, count: usize) -> WaitForKeys<'_> {
        WaitForKeys {
            scope: self,
            pattern: pattern.into_arg(),
            count,
            value: Mark::from("1"),
            timeout: USUAL_TIMEOUT,
            candidates: Ok(BTreeSet::new()),
        }
    }
}

impl<'a> WaitForKeys<'a> {
    /// The value that the keys must have.
    pub fn value(mut self, value: impl Into<Mark>) -> Self {
        self.value = value.into();
        self
    }

    /// How long to wait at most, the subscription and the first look included; an hour unless told.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The keys that are expected to match: an error then names those that are missing. A store that
    /// cannot list keys looks at these only. Those that the pattern does not match are passed over.
    pub fn candidates<I>(mut self, keys: I) -> Self
    where
        I: IntoIterator<Item: Arg<Key>>,
    {
        self.candidates = keys.into_iter().map(Arg::into_arg).collect();
        self
    }

    async fn run(self) -> Result<Vec<Key>> {
        let name = |error: Error| error.with_operation("wait_for_keys");
        let pattern = self.pattern.map_err(name)?;
        let mut candidates = self.candidates.map_err(name)?;
        if self.count == 0 {
            return Ok(Vec::new());
        }
        let matcher = Pattern::new(pattern.as_bytes());
        candidates.retain(|key| matcher.matches(key.as_bytes()));
        let wait = Wait {
            scope: self.scope,
            pattern: matcher,
            count: self.count,
            value: self.value,
            candidates,
        };
        let mut seen = Seen::default();
        let watch = Stopwatch::start();
        match within(self.timeout, wait.run(&mut seen)).await {
            Some(Ok(())) => Ok(seen.found.into_iter().collect()),
            Some(Err(error)) => Err(name(error).with_context("pattern", pattern)),
            None => Err(name(wait.missed(&pattern, &seen, self.timeout, watch))),
        }
    }
}

impl<'a> IntoFuture for WaitForKeys<'a> {
    type Output = Result<Vec<Key>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

struct Wait<'a> {
    scope: &'a Scope,
    pattern: Pattern,
    count: usize,
    value: Mark,
    candidates: BTreeSet<Key>,
}

/// What is known of the store, at any time: a wait can end in the middle of a read.
#[derive(Default)]
struct Seen {
    looked: bool,
    found: BTreeSet<Key>,
}

/// How far a look went.
enum Looked {
    AtAll,
    /// Other keys that match can have the value, too.
    AtSome,
}

impl Wait<'_> {
    /// Ends when enough keys are found.
    async fn run(&self, seen: &mut Seen) -> Result<()> {
        let looked = self.glance(seen).await?;
        if seen.found.len() >= self.count {
            if let Looked::AtSome = looked {
                self.read_all(seen).await?;
            }
            if seen.found.len() >= self.count {
                return Ok(());
            }
        }
        let events = self.subscribe().await?;
        let mut events = events.ready_chunks(BURST);
        self.read_all(seen).await?;
        while seen.found.len() < self.count {
            let burst = events.next().await.ok_or_else(ended)?;
            self.apply(burst, seen).await?;
            if seen.found.len() >= self.count {
                // The events came one by one; only one more look tells what is there at once.
                self.look_at(seen.found.clone(), seen).await?;
            }
        }
        Ok(())
    }

    fn lists(&self) -> bool {
        self.scope.kv.capabilities().has(Capability::Scan)
    }

    async fn subscribe(&self) -> Result<Events> {
        let watch = if self.lists() {
            Watch::Prefixes(self.scope.ranges(self.pattern.literal_prefix()))
        } else if self.candidates.len() >= self.count {
            Watch::Keys(self.physical(&self.candidates))
        } else {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "this store cannot list keys; name as many candidates as are wanted",
            )
            .with_context("wanted", self.count)
            .with_context("candidates that match", self.candidates.len()));
        };
        self.scope.kv.watch(watch).await
    }

    /// Reads the first page of what is listed, or the candidates where nothing is: if enough have the
    /// value already, that needs no subscription.
    async fn glance(&self, seen: &mut Seen) -> Result<Looked> {
        let (keys, looked) = match self.lists() {
            true => {
                let ranges = self.scope.ranges(self.pattern.literal_prefix());
                let from = ScanFrom::Start;
                let page = self.scope.kv.scan_page(ranges, from, PAGE as u32).await?;
                let looked = match page.next {
                    Some(_) => Looked::AtSome,
                    None => Looked::AtAll,
                };
                let own = page.keys.iter().filter_map(|key| self.own(key));
                (own.collect(), looked)
            }
            false if self.candidates.len() >= self.count => {
                (self.candidates.clone(), Looked::AtAll)
            }
            // The subscription tells what is wrong.
            false => return Ok(Looked::AtSome),
        };
        self.look_at(keys, seen).await?;
        seen.looked = true;
        Ok(looked)
    }

    /// Reads all keys that could count, and those that did.
    async fn read_all(&self, seen: &mut Seen) -> Result<()> {
        let mut keys = match self.lists() {
            true => self.list().await?,
            false => self.candidates.clone(),
        };
        keys.extend(seen.found.iter().cloned());
        self.look_at(keys, seen).await?;
        seen.looked = true;
        Ok(())
    }

    async fn list(&self) -> Result<BTreeSet<Key>> {
        let ranges = self.scope.ranges(self.pattern.literal_prefix());
        let keys = self.scope.kv.scan(ranges);
        let own = keys.try_filter_map(|key| future::ready(Ok(self.own(&key))));
        own.try_collect().await
    }

    /// The key as the scope names it, if the pattern matches.
    fn own(&self, key: &Key) -> Option<Key> {
        let own = self.scope.own(key);
        own.filter(|it| self.pattern.matches(it.as_bytes()))
    }

    async fn apply(&self, burst: Vec<Result<Event>>, seen: &mut Seen) -> Result<()> {
        // The last word on each key: known, or to be read.
        let mut news: BTreeMap<Key, Option<bool>> = BTreeMap::new();
        let mut missed_some = false;
        for event in burst {
            let (key, known) = match event? {
                Event::Put { key, value } => (key, value.map(|it| self.is_wanted(&it))),
                Event::Delete { key } => (key, Some(false)),
                Event::Resync => {
                    missed_some = true;
                    continue;
                }
                Event::Message { .. } => continue,
            };
            if let Some(own) = self.own(&key) {
                news.insert(own, known);
            }
        }
        if missed_some {
            return self.read_all(seen).await;
        }
        let mut unknown = BTreeSet::new();
        for (key, known) in news {
            match known {
                Some(true) => {
                    seen.found.insert(key);
                }
                Some(false) => {
                    seen.found.remove(&key);
                }
                None => {
                    unknown.insert(key);
                }
            }
        }
        self.look_at(unknown, seen).await
    }

    /// Reads these keys and notes which of them count.
    async fn look_at(&self, keys: BTreeSet<Key>, seen: &mut Seen) -> Result<()> {
        let keys: Vec<Key> = keys.into_iter().collect();
        for page in keys.chunks(PAGE) {
            let values = self.scope.strict().get_many(self.physical(page)).await?;
            for (key, value) in page.iter().zip(values) {
                match value.is_some_and(|it| self.is_wanted(&it)) {
                    true => seen.found.insert(key.clone()),
                    false => seen.found.remove(key),
                };
            }
        }
        Ok(())
    }

    fn is_wanted(&self, value: &Value) -> bool {
        value.as_bytes() == self.value.as_bytes()
    }

    fn physical<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Vec<Key> {
        let keys = keys.into_iter();
        keys.map(|key| key.prefixed(&self.scope.prefix)).collect()
    }

    fn missed(&self, pattern: &Key, seen: &Seen, timeout: Duration, watch: Stopwatch) -> Error {
        let found = seen.found.len();
        let what = match seen.looked {
            true => format!("{found} of {} wanted keys had the value", self.count),
            false => NEVER_LOOKED.to_owned(),
        };
        let error = timed_out(&what, timeout, watch)
            .with_context("pattern", pattern)
            .with_context("wanted", self.count)
            .with_context("found", found);
        let missing = || self.candidates.difference(&seen.found);
        let mut names: Vec<_> = missing().take(NAMED).map(Key::to_string).collect();
        if names.is_empty() {
            return error;
        }
        let more = missing().count() - names.len();
        if more > 0 {
            names.push(format!("and {more} more"));
        }
        error.with_context("missing", names.join(", "))
    }
}
