//! Waiting for one key: subscribe, read, then follow the changes.

mod keys;

use super::Scope;
use crate::{
    Error, ErrorKind, Key, Mark, Outcome, Result, Stopwatch, Value, Watch, clock::within,
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
        let events = self.kv.watch(Watch::Keys(vec![key.clone()])).await?;
        let mut events = events.ready_chunks(BURST);
        loop {
            // What an event tells may be old by now; this tells what is.
            if let Some(found) = self.look(key, wanted).await? {
                return Ok(found);
            }
            *looked = true;
            let burst = events.next().await.ok_or_else(ended)?;
            burst.into_iter().try_for_each(|event| event.map(drop))?;
        }
    }

    async fn look(&self, key: &Key, wanted: &Wanted) -> Result<Option<Value>> {
        match wanted {
            Wanted::Anything => self.kv.get(key).await,
            Wanted::Exactly(mark) => {
                // Unlike `get` this takes a structure for nothing.
                let found = self.kv.get_many([key]).await?.pop().flatten();
                Ok(found.filter(|it| it.as_bytes() == mark.as_bytes()))
            }
        }
    }
}

/// What a key must hold.
enum Wanted {
    Anything,
    Exactly(Mark),
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
