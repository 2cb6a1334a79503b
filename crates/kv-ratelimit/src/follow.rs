//! Policies that are changed from outside while they are used.

use crate::{
    LimitError, Policy, PolicyError, PolicySettings, RateLimitSettings, RateLimiter,
    limiter::Shared,
};
use futures_util::StreamExt;
use kv_core::{
    Arg, CallOptions, Clock, Deadline, Error, ErrorKind, Events, Key, Kv, Watch, telemetry::TARGET,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::task::AbortHandle;

/// How long a call to the store may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait at first with a store that failed, ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// ... and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// It is looked this often whatever is told: a store may forget.
const LOOK: Duration = Duration::from_secs(60);

/// Policies are followed until this is dropped; then they stay as they are.
#[derive(Debug)]
#[must_use = "dropped, nothing is followed any more"]
pub struct Following(AbortHandle);

impl RateLimiter {
    /// Follows what a key of the store says: a JSON object of policies by name, as in the configuration, such as
    /// `{"api": "200/min burst 40"}`. They are laid over the policies that are configured, which count
    /// again where the key says nothing, or is deleted. All processes that follow the key change within
    /// moments, without being restarted, as [`set_policies`](Self::set_policies) says.
    ///
    /// What makes no sense is told as an event, and changes nothing. A store that fails is asked again.
    ///
    /// # Errors
    /// [`LimitError::Store`] if the key cannot be watched or read now; [`LimitError::Policy`] if what it says makes
    /// no sense.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    ///
    /// # Cancel safety
    /// Dropped, nothing is followed.
    pub async fn follow_key(&self, key: impl Arg<Key>) -> Result<Following, LimitError> {
        let key = key.into_arg()?;
        let kv = self.0.store.for_caller().kv;
        let events = watch(&kv, &self.0, &key).await?;
        let text = read(&kv, &self.0, &key).await?;
        self.0.policies.lay_over(parse(text.clone())?)?;
        let followed = Followed {
            limiter: Arc::downgrade(&self.0),
            clock: self.0.store.clock.clone(),
            kv,
            key,
        };
        let task = tokio::spawn(followed.follow(events, text));
        Ok(Following(task.abort_handle()))
    }

    /// Follows a file, or whatever `read` reads, which is asked this often: the section of a configuration that was
    /// loaded anew. When it has changed its policies are put in force, as [`set_policies`](Self::set_policies) says.
    ///
    /// What cannot be read or makes no sense is told as an event, and changes nothing.
    ///
    /// ```
    /// # use kv_ratelimit::{RateLimitSettings, RateLimiter};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
    /// # let limiter = RateLimiter::builder(&kv).build()?;
    /// let following = limiter.follow(std::time::Duration::from_secs(5), || {
    ///     let text = std::fs::read_to_string("limits.json")?;
    ///     serde_json::from_str::<RateLimitSettings>(&text).map_err(std::io::Error::other)
    /// });
    /// # drop(following);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of a Tokio runtime, or if the interval is zero.
    pub fn follow<E: Display>(
        &self,
        every: Duration,
        read: impl FnMut() -> Result<RateLimitSettings, E> + Send + 'static,
    ) -> Following {
        assert!(!every.is_zero(), "a file cannot be read all the time");
        let (limiter, clock) = (Arc::downgrade(&self.0), self.0.store.clock.clone());
        let task = tokio::spawn(async move {
            let mut known = None;
            // One that panics is asked again.
            let read = Arc::new(Mutex::new(read));
            loop {
                let reader = read.clone();
                let reading = tokio::task::spawn_blocking(move || {
                    let read = &mut *reader.lock();
                    read().map_err(|error| error.to_string())
                });
                let settings = match reading.await {
                    Ok(settings) => settings,
                    Err(error) if error.is_panic() => {
                        Err("what reads them has panicked".to_owned())
                    }
                    // The runtime ends.
                    Err(_) => return,
                };
                let Some(limiter) = limiter.upgrade() else {
                    return;
                };
                if known.as_ref() != Some(&settings) {
                    let policies = settings
                        .clone()
                        .and_then(|it| it.policies().map_err(|error| error.to_string()));
                    let changed = policies.and_then(|it| {
                        let replaced = limiter.policies.replace(it);
                        replaced.map_err(|error| error.to_string())
                    });
                    limiter.told_change(changed);
                    known = Some(settings);
                }
                drop(limiter);
                clock.sleep(every).await;
            }
        });
        Following(task.abort_handle())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Followed {
    /// It must not live for the sake of this.
    limiter: Weak<Shared>,
    clock: Arc<dyn Clock>,
    kv: Kv,
    key: Key,
}

impl Followed {
    async fn follow(self, events: Events, mut known: Option<Vec<u8>>) {
        let mut events = Some(events);
        let mut pause = SHORTEST_PAUSE;
        loop {
            let heard = match &mut events {
                Some(events) => self.hear(events).await,
                None => false,
            };
            let Some(limiter) = self.limiter.upgrade() else {
                return;
            };
            if !heard {
                events = None;
                let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                self.clock.sleep(jittered).await;
                pause = LONGEST_PAUSE.min(pause * 2);
                match watch(&self.kv, &limiter, &self.key).await {
                    Ok(again) => events = Some(again),
                    Err(error) => {
                        tracing::debug!(target: TARGET, %error, "the key of policies cannot be watched");
                        continue;
                    }
                }
            }
            match read(&self.kv, &limiter, &self.key).await {
                Ok(text) => {
                    pause = SHORTEST_PAUSE;
                    if text == known {
                        continue;
                    }
                    known.clone_from(&text);
                    let changed = parse(text).and_then(|it| limiter.policies.lay_over(it));
                    limiter.told_change(changed.map_err(|error| error.to_string()));
                }
                Err(error) => {
                    tracing::debug!(target: TARGET, %error, "the key of policies cannot be read");
                    events = None;
                }
            }
        }
    }

    /// Ends when it is time to read again; whether anybody still listens.
    async fn hear(&self, events: &mut Events) -> bool {
        tokio::select! {
            event = events.next() => matches!(event, Some(Ok(_))),
            () = self.clock.sleep(LOOK) => true,
        }
    }
}

async fn watch(kv: &Kv, limiter: &Shared, key: &Key) -> kv_core::Result<Events> {
    within(kv, limiter)
        .watch(Watch::Keys(vec![key.clone()]))
        .await
}

async fn read(kv: &Kv, limiter: &Shared, key: &Key) -> kv_core::Result<Option<Vec<u8>>> {
    let value = within(kv, limiter).get(key).await?;
    Ok(value.map(|it| it.as_bytes().to_vec()))
}

fn within(kv: &Kv, limiter: &Shared) -> Kv {
    let deadline = Deadline::on(limiter.store.clock.clone(), PATIENCE);
    kv.with(
        CallOptions::new()
            .with_deadline(deadline)
            .without_near_cache(),
    )
}

fn parse(text: Option<Vec<u8>>) -> Result<BTreeMap<String, Policy>, LimitError> {
    let Some(text) = text else {
        return Ok(BTreeMap::new());
    };
    let policies: BTreeMap<String, PolicySettings> =
        serde_json::from_slice(&text).map_err(|source| {
            let text = format!("the key of policies holds no JSON object of them: {source}");
            Error::new(ErrorKind::Codec, text)
        })?;
    let policies = policies.into_iter();
    let policies = policies.map(|(name, it)| Ok((name.clone(), it.policy(&name)?)));
    policies
        .collect::<Result<_, PolicyError>>()
        .map_err(Into::into)
}
