//! The task that hears of changes, and makes up for it when it cannot.

use super::{NearCacheState, entries::Entries};
use crate::touched::Touched;
use futures_util::StreamExt;
use kv_core::{Clock, Events, Prefixes, Service, Watch};
use parking_lot::Mutex;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{runtime::Handle, task::JoinHandle};

/// How long after a watch ended, or could not begin, the next one begins; doubled each time it fails.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Keeps one watch for one layer: begun by the first read that would be kept, begun again when it
/// ends, and ended with the layer.
pub(super) struct Keeper {
    task: Mutex<Task>,
    /// Where the store was connected: whoever reads first may do so on a runtime that ends sooner.
    home: OnceLock<Handle>,
}

enum Task {
    None,
    Running(JoinHandle<()>),
    Closed,
}

/// What the task works with.
pub(super) struct Post {
    pub(super) entries: Arc<Entries>,
    pub(super) inner: Arc<dyn Service>,
    pub(super) ranges: Prefixes,
    pub(super) clock: Arc<dyn Clock>,
}

impl Keeper {
    pub(super) fn new() -> Self {
        Self {
            task: Mutex::new(Task::None),
            home: OnceLock::new(),
        }
    }

    /// To be called when the store is connected.
    pub(super) fn settle(&self) {
        if let Ok(home) = Handle::try_current() {
            let _ = self.home.set(home);
        }
    }

    /// Sees to it that the task runs. Without a runtime it cannot, and nothing is kept.
    pub(super) fn begin(&self, post: impl FnOnce() -> Post) {
        let Some(home) = self
            .home
            .get()
            .cloned()
            .or_else(|| Handle::try_current().ok())
        else {
            return;
        };
        let mut task = self.task.lock();
        let is_needed = match &*task {
            Task::None => true,
            // It ends by itself only with its runtime.
            Task::Running(task) => task.is_finished(),
            Task::Closed => false,
        };
        if is_needed {
            *task = Task::Running(home.spawn(keep(post())));
        }
    }

    /// Ends the task for good.
    pub(super) async fn close(&self) {
        let task = std::mem::replace(&mut *self.task.lock(), Task::Closed);
        if let Task::Running(task) = task {
            task.abort();
            // An error tells that it was aborted.
            let _ = task.await;
        }
    }

    pub(super) fn state(&self, entries: &Entries) -> NearCacheState {
        match &*self.task.lock() {
            Task::Closed => NearCacheState::Closed,
            _ if entries.is_live() => NearCacheState::Live,
            Task::Running(_) => NearCacheState::Connecting,
            Task::None => NearCacheState::Idle,
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Task::Running(task) = self.task.get_mut() {
            task.abort();
        }
    }
}

async fn keep(post: Post) {
    let live = Live(&post.entries);
    let mut pause = SHORTEST;
    loop {
        let watch = Watch::Prefixes(post.ranges.clone());
        // Below the layer that puts tenants into keys, so for nobody in particular.
        if let Ok(events) = post.inner.watch(watch, None).await {
            pause = SHORTEST;
            live.0.begin();
            follow(events, live.0).await;
            live.0.end();
        }
        post.clock.sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Ends with the stream, or with its first error.
async fn follow(mut events: Events, entries: &Entries) {
    while let Some(Ok(event)) = events.next().await {
        entries.forget(&Touched::told(&event));
    }
}

/// Nothing is kept once the task is gone, also if it is dropped with its runtime.
struct Live<'a>(&'a Entries);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
