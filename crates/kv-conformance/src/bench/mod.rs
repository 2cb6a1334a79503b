//! What a case works with: handles, keys of its own, and waiting that is never a guess.

mod check;
mod listen;
mod wait;

use crate::{
    failure::{Verdict, ensure},
    fixture::{Handles, Opener, Settings},
};
use futures_util::{StreamExt, TryStreamExt};
use kv_core::{Capability, Clock, Key, KeyGroup, Kv, Prefix, Prefixes, SystemClock, Timestamp};
use parking_lot::Mutex;
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

pub use self::wait::{Written, together};
pub(crate) use self::{
    listen::{Listener, Told},
    wait::pause,
};

/// What a case works with. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Bench {
    /// The handle under test.
    pub kv: Kv,
    shared: Arc<Shared>,
}

struct Shared {
    root: String,
    opener: Opener,
    handles: Handles,
    settings: Settings,
    opened: Mutex<Vec<Kv>>,
    notes: Mutex<Vec<String>>,
}

impl Bench {
    pub(crate) fn new(
        kv: Kv,
        root: String,
        opener: Opener,
        handles: Handles,
        settings: Settings,
    ) -> Self {
        Self {
            kv,
            shared: Arc::new(Shared {
                root,
                opener,
                handles,
                settings,
                opened: Mutex::default(),
                notes: Mutex::default(),
            }),
        }
    }

    /// A key below the case's root, by any bytes.
    pub fn key(&self, name: impl AsRef<[u8]>) -> Key {
        let bytes = [self.shared.root.as_bytes(), name.as_ref()].concat();
        Key::new(bytes).expect("a root is never empty")
    }

    /// Keys `PREFIX0`, `PREFIX1` and so on.
    pub fn keys(&self, prefix: &str, count: usize) -> Vec<Key> {
        (0..count)
            .map(|at| self.key(format!("{prefix}{at}")))
            .collect()
    }

    /// A key of the group `{ROOT + tag}`.
    ///
    /// # Panics
    /// If the tag holds a `}`.
    pub fn grouped(&self, tag: &str, suffix: &str) -> Key {
        let group = KeyGroup::new(format!("{}{tag}", self.shared.root));
        group.expect("a root is never empty").key(suffix)
    }

    /// The range of the keys whose names start with this.
    pub fn prefix(&self, name: impl AsRef<[u8]>) -> Prefix {
        Prefix::new([self.shared.root.as_bytes(), name.as_ref()].concat())
    }

    /// The ranges of all keys of the case, grouped ones too.
    pub fn everything(&self) -> Prefixes {
        let grouped = format!("{{{}", self.shared.root);
        [self.prefix(""), Prefix::from(grouped)]
            .into_iter()
            .collect()
    }

    /// What all keys of the case start with.
    pub fn root(&self) -> &str {
        &self.shared.root
    }

    /// What the suite was told about the stack.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Whether the store claims a capability.
    pub fn has(&self, capability: Capability) -> bool {
        self.kv.capabilities().has(capability)
    }

    /// Whether [`open`](Self::open) gives a handle with a life of its own.
    pub fn opens_independent_handles(&self) -> bool {
        self.shared.handles == Handles::Independent
    }

    /// One more handle on the same backend.
    ///
    /// # Errors
    /// A failure if it cannot be opened.
    pub async fn open(&self) -> Verdict<Kv> {
        if self.shared.handles == Handles::Clones {
            return Ok(self.kv.clone());
        }
        let kv = (self.shared.opener)().await?;
        self.shared.opened.lock().push(kv.clone());
        Ok(kv)
    }

    /// Puts a remark in the report: what could not be tried here, and why.
    pub fn note(&self, text: impl Into<String>) {
        self.shared.notes.lock().push(text.into());
    }

    /// The store's time; the machine's where the store tells none.
    ///
    /// # Errors
    /// A failure if the store's clock cannot be read.
    pub async fn now(&self) -> Verdict<Timestamp> {
        match self.has(Capability::StoreTime) {
            true => Ok(self.kv.now().await?),
            false => Ok(SystemClock.now()),
        }
    }

    /// The step in which the store keeps deadlines.
    pub fn granularity(&self) -> Duration {
        self.kv.capabilities().ttl_granularity
    }

    /// All keys in some ranges, each once.
    ///
    /// # Errors
    /// The scan's, as a failure.
    pub async fn scan(&self, prefixes: impl Into<Prefixes>) -> Verdict<BTreeSet<Key>> {
        /// More than any case writes: a scan that goes round in circles is stopped here.
        const MOST: usize = 500_000;
        let listed: Vec<Key> = self.kv.scan(prefixes).take(MOST).try_collect().await?;
        ensure!(
            listed.len() < MOST,
            "the scan has not ended after {MOST} keys"
        );
        Ok(listed.into_iter().collect())
    }

    pub(crate) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.notes.lock())
    }

    /// Removes what the case left and closes its handles.
    pub(crate) async fn clean(&self) -> Verdict {
        let cleared = match self.has(Capability::Scan) {
            true => self.kv.clear_prefixes(self.everything()).await,
            false => Ok(0),
        };
        let opened = std::mem::take(&mut *self.shared.opened.lock());
        for kv in opened.iter().chain([&self.kv]) {
            kv.close().await;
        }
        cleared?;
        Ok(())
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench")
            .field("kv", &self.kv)
            .field("root", &self.shared.root)
            .finish_non_exhaustive()
    }
}
