//! Waiting for one key: look; if it is not there subscribe, look again, then follow the changes.

mod keys;

use super::Scope;
use crate::{
    Error, ErrorKind, Event, Key, Mark, Outcome, Result, Stopwatch, Value, Watch, clock::within,
    command::Arg,
};
use futures_util::StreamExt;
use std::time::Duration;

pub use self::keys::WaitForKeys;

/// How many events are looked at together: a burst of changes costs one read.
const BURST: usize = 256;

impl Scope {
    /// Waits until something is at the key, and returns it.
    ///
    /// The time covers all of the wait: the subscription and the first look too.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] after this time, naming the key; [`ErrorKind::WrongType`] if what is
    /// there, or comes, is a structure, which has no value to return;
    /// [`ErrorKind::Unsupported`] where the store cannot watch; else the store's.
    pub async fn wait_for_key(&self, key: impl Arg<Key>, timeout: Duration) -> Result<Value> {
        self.wait_for_one("wait_for_key", key, &Wanted::Anything, timeout)
            .await
    }

    /// Waits until the string at the key has exactly these bytes, and returns them. A structure is
    /// another value.
    ///
    /// The time covers all of the wait: the subscription and the first look too.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] after this time, naming the key; [`ErrorKind::Unsupported`] where the
    /// store cannot watch; else the store's.
    pub async fn wait_for_value(
        &self,
        key: impl Arg<Key>,
        expected: impl Into<Mark>,
        timeout: Duration,
    ) -> Result<Value> {
        let wanted = Wanted::Exactly(expected.into());
        self.wait_for_one("wait_for_value", key, &wanted, timeout)
            .await
    }

    async fn wait_for_one(
        &self,
        operation: &'static str,
        key: impl Arg<Key>,
        wanted: &Wanted,
        timeout: Duration,
    ) -> Result<Value> {
        let key = self.key(key);
        let key = key.map_err(|error| error.with_operation(operation))?;
        let watch = Stopwatch::start();
        let mut looked = false;
        let found = within(timeout, self.follow(&key, wanted, &mut looked)).await;
        let result = found.unwrap_or_else(|| {
            let what = match (looked, wanted) {
                (false, _) => NEVER_LOOKED,
                (true, Wanted::Anything) => "nothing came to the key",
                (true, Wanted::Exactly(_)) => "the key did not get the value",
            };
            Err(timed_out(what, timeout, watch))
        });
        result.map_err(|error| error.with_operation(operation).with_key(&key))
    }

    async fn follow(&self, key: &Key, wanted: &Wanted, looked: &mut bool) -> Result<Value> {
        // What is there needs no subscription.
        if let Some(found) = self.look(key, wanted).await? {
            return Ok(found);
        }
        *looked = true;
        let events = self.kv.watch(Watch::Keys(vec![key.clone()])).await?;
        let mut events = events.ready_chunks(BURST);
        let mut news = News::Untold;
        loop {
            let found = match news {
                News::Untold => self.look(key, wanted).await?,
                News::Written(value) => Some(value).filter(|it| wanted.is(it)),
                News::Gone => None,
            };
            if let Some(found) = found {
                return Ok(found);
            }
            news = News::of(events.next().await.ok_or_else(ended)?)?;
        }
    }

    async fn look(&self, key: &Key, wanted: &Wanted) -> Result<Option<Value>> {
        match wanted {
            Wanted::Anything => self.strict().get(key).await,
            Wanted::Exactly(_) => {
                // Unlike `get` this takes a structure for nothing.
                let found = self.strict().get_many([key]).await?.pop().flatten();
                Ok(found.filter(|it| wanted.is(it)))
            }
        }
    }
}

/// What a key must hold.
enum Wanted {
    Anything,
    Exactly(Mark),
}

impl Wanted {
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Anything => true,
            Self::Exactly(mark) => value.as_bytes() == mark.as_bytes(),
        }
    }
}

/// What the last of some events tells of a key.
enum News {
    Written(Value),
    Gone,
    /// The store has to be asked.
    Untold,
}

impl News {
    fn of(burst: Vec<Result<Event>>) -> Result<Self> {
        let mut news = Self::Untold;
        for event in burst {
            news = match event? {
                Event::Put {
                    value: Some(value), ..
                } => Self::Written(value),
                Event::Delete { .. } => Self::Gone,
                Event::Put { value: None, .. } | Event::Resync | Event::Message { .. } => {
                    Self::Untold
                }
            };
        }
        Ok(news)
    }
}

/// What is said where the store was too slow for even one look.
const NEVER_LOOKED: &str = "the store had not been read once";

/// What a wait reports when its time is up. It wrote nothing, and may be repeated.
fn timed_out(what: &str, timeout: Duration, watch: Stopwatch) -> Error {
    let message = format!("{what} within {timeout:?}");
    let elapsed = watch.elapsed();
    Error::new(ErrorKind::Timeout, message)
        .with_outcome(Outcome::NotApplied)
        .with_context("elapsed", format_args!("{elapsed:.1?}"))
}

/// A subscription that ends without a word is never a reason to look again and again.
fn ended() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the store ended the subscription; open it again",
    )
}
