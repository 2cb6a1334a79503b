//! Follows who leads.

use super::{Leader, Place};
use crate::{
    news::{LOOK, News},
    store::{PATIENCE, Store},
    transitions::election,
};
use kv_core::{Result, TimeToLive};
use std::time::Duration;

/// Who comes too early, since clocks differ, or met a failure comes again after this; after twice as long
/// each further time in a row.
const SHORT: Duration = Duration::from_millis(20);

/// The longest of these pauses.
const LATE: Duration = Duration::from_millis(500);

pub(super) struct Observer {
    store: Store,
    place: Place,
    news: News,
    next: Next,
    told: Option<Option<Leader>>,
    pause: Duration,
}

/// When to look again.
enum Next {
    Now,
    /// When something is told, at the latest when what was seen ends by itself.
    After(Duration),
    /// The store could not tell.
    Failed,
}

impl Observer {
    pub(super) fn new(store: Store, place: Place) -> Self {
        Self {
            store,
            place,
            news: News::default(),
            next: Next::Now,
            told: None,
            pause: SHORT,
        }
    }

    /// The next that differs from the last; a failure once.
    pub(super) async fn next(&mut self) -> Result<Option<Leader>> {
        loop {
            let has_failed = match self.next {
                Next::Now => false,
                Next::After(pause) => {
                    self.news.heard(&self.store, 1, pause).await;
                    false
                }
                Next::Failed => {
                    let pause = self.longer_pause();
                    self.store.clock.sleep(pause).await;
                    true
                }
            };
            match self.look().await {
                Ok((leader, left)) => {
                    self.next = Next::After(self.pause_for(left));
                    if self.told.as_ref() != Some(&leader) {
                        self.told = Some(leader.clone());
                        return Ok(leader);
                    }
                }
                Err(error) => {
                    self.next = Next::Failed;
                    self.told = None;
                    if !has_failed {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(Option<Leader>, TimeToLive)> {
        // Also when the lock is freed by somebody who knows nothing of elections.
        let channels = [&self.place.elected, &self.place.lock.free];
        self.news.listen(&self.store, &channels).await?;
        let look = election::look(&self.place);
        election::seen(self.store.commit(look, PATIENCE).await?)
    }

    /// A leader that dies tells nobody.
    fn pause_for(&mut self, left: TimeToLive) -> Duration {
        match left {
            // Its lease has ended, and it is still there: on etcd that can take seconds.
            TimeToLive::In(left) if left < SHORT => left + self.longer_pause(),
            TimeToLive::In(left) => {
                self.pause = SHORT;
                left + self.longer_pause()
            }
            TimeToLive::Missing | TimeToLive::NoExpiry => LOOK,
        }
    }

    /// Not the same for all who observe.
    fn longer_pause(&mut self) -> Duration {
        let pause = self.pause.mul_f64(1.0 + fastrand::f64());
        self.pause = (self.pause * 2).min(LATE);
        pause
    }
}
