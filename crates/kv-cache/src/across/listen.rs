//! The side that hears.

use super::{
    Channel, Number,
    hearing::Hearing,
    message::{Message, What},
};
use crate::{
    events::By,
    shared::{CacheValue, Shared},
    tags::{Change, Scope},
};
use futures_util::{
    StreamExt,
    future::{Either, select},
};
use kv_core::{Context, Event, Events, Watch, telemetry::TARGET};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// How long to wait at first with a store that cannot be listened to, ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// ... and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Listener<V> {
    /// It must not live for the sake of this.
    shared: Weak<Shared<V>>,
    channel: Arc<Channel>,
    number: Number,
    caller: Option<Context>,
}

/// What is next.
enum Next {
    /// The stream is at its end, or broken.
    Again,
    /// Nobody is left who would want to know.
    Over,
}

/// Also with the runtime.
impl<V> Drop for Listener<V> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        if let Some(across) = &shared.across {
            let now = shared.clock.monotonic();
            across.gone(&self.channel, self.number, &self.caller, now);
        }
    }
}

impl<V: CacheValue> Listener<V> {
    pub(super) fn new(
        shared: &Arc<Shared<V>>,
        channel: Arc<Channel>,
        number: Number,
        caller: Option<Context>,
    ) -> Self {
        Self {
            shared: Arc::downgrade(shared),
            channel,
            number,
            caller,
        }
    }

    /// Ends with the cache, or when the channel is no longer used.
    pub(super) async fn listen(self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let watch = Watch::Channels(vec![self.channel.key.clone()]);
            match self.channel.kv.watch(watch).await {
                Ok(events) => {
                    pause = SHORTEST_PAUSE;
                    if matches!(self.follow(events).await, Next::Over) {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(target: TARGET, %error, "other processes cannot be heard");
                }
            }
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            let now = shared.now();
            self.stands(&shared, None, now);
            if self.is_left(&shared, now) {
                return;
            }
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            let sleep = shared.clock.sleep(jittered);
            drop(shared);
            sleep.await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn follow(&self, mut events: Events) -> Next {
        let Some(shared) = self.shared.upgrade() else {
            return Next::Over;
        };
        let Some(across) = &shared.across else {
            return Next::Over;
        };
        let (clock, beat) = (shared.clock.clone(), across.beat);
        let mut hearing = Hearing::new(across.patience());
        let mut now = clock.monotonic();
        hearing.listens(now);
        drop(shared);
        let mut next_beat = now;
        let mut sound = None;
        loop {
            let Some(shared) = self.shared.upgrade() else {
                return Next::Over;
            };
            if now >= next_beat {
                if self.is_left(&shared, now) {
                    return Next::Over;
                }
                self.channel.beat(now);
                next_beat = now.saturating_add(beat);
            }
            let since = hearing.sound_since(now);
            if sound.is_some() && since != sound {
                shared.counts.doubts.add();
                shared.tell_doubt();
            }
            sound = since;
            self.stands(&shared, since, now);
            drop(shared);
            let tick = clock.sleep(next_beat.saturating_sub(now));
            let event = match select(events.next(), tick).await {
                Either::Left((event, _)) => Some(event),
                Either::Right(_) => None,
            };
            now = clock.monotonic();
            match event {
                None => {}
                Some(Some(Ok(Event::Message { payload, .. }))) => {
                    let Some(shared) = self.shared.upgrade() else {
                        return Next::Over;
                    };
                    self.hear(&shared, &mut hearing, payload.as_bytes(), now);
                }
                Some(Some(Ok(_))) => hearing.listens(now),
                Some(Some(Err(error))) => {
                    tracing::debug!(target: TARGET, %error, "other processes are heard no more");
                    return Next::Again;
                }
                Some(None) => return Next::Again,
            }
        }
    }

    fn hear(&self, shared: &Shared<V>, hearing: &mut Hearing, bytes: &[u8], now: Duration) {
        let Some(message) = Message::decode(bytes) else {
            // Another program's, or a later one's, which may have told anything.
            hearing.listens(now);
            return;
        };
        let Message { boot, number, what } = message;
        if boot == self.channel.boot {
            if let What::Beat(sent) = what {
                hearing.echo(Duration::from_nanos(sent));
            }
            return;
        }
        // First what it is about: then it may count as heard.
        let applied = match what {
            What::Removed(key) => self.physical(key).map(|key| {
                shared.forget(&key);
                shared.tell_changed(&key, Change::Removed, By::Others);
            }),
            What::Expired(key) => self.physical(key).map(|key| {
                shared.make_stale(&key);
                shared.tell_changed(&key, Change::Expired, By::Others);
            }),
            What::Tag(tag, change) => self.scope(shared).map(|scope| {
                shared.change_tag(&scope, tag.as_ref(), change);
                shared.tell_tag(tag.as_ref(), change, By::Others);
            }),
            What::Nothing => Ok(()),
            What::Beat(_) => return hearing.beat(boot, number, now),
        };
        shared.counts.heard.add();
        match applied {
            Ok(()) => hearing.heard(boot, number, now),
            Err(error) => {
                tracing::debug!(target: TARGET, %error, "what others have removed has no name here");
                hearing.listens(now);
            }
        }
    }

    fn physical(&self, mut key: Vec<u8>) -> kv_core::Result<Vec<u8>> {
        self.channel.kv.resolve_in(&mut key)?;
        Ok(key)
    }

    /// The tags of those whose channel it is.
    fn scope(&self, shared: &Shared<V>) -> kv_core::Result<Arc<Scope>> {
        shared.scope_of(|key| self.channel.kv.resolve_in(key))
    }

    fn stands(&self, shared: &Shared<V>, since: Option<Duration>, now: Duration) {
        if let Some(across) = &shared.across {
            across.stands(self.number, since, now);
        }
    }

    /// Whether the channel is of no use any more.
    fn is_left(&self, shared: &Shared<V>, now: Duration) -> bool {
        let across = shared.across.as_ref();
        across.is_none_or(|it| it.leave(&self.channel, self.number, &self.caller, now))
    }
}
