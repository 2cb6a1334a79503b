//! All kinds of locks on one server, each on a line of its own that fails.

use super::Backend;
use crate::site::LONG;
use futures_util::{StreamExt, stream::FuturesUnordered};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::Kv;
use kv_lock::{LockManager, Release};
use kv_tests::{kinds::Kind, patience::until};
use std::{fmt, time::Duration};

/// The plain lock has tests of its own.
pub(super) const KINDS: [Kind; 6] = [
    Kind::Fair,
    Kind::Read,
    Kind::Write,
    Kind::Permits,
    Kind::Election,
    Kind::Several,
];

/// Long enough that nobody near loses a lock.
const NEAR: Duration = Duration::from_secs(60);

/// Where a lock of some kind is asked for, on a network that fails in some way.
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) mode: Mode,
    /// So many answers come before it does.
    pub(super) replies: u32,
    pub(super) name: String,
    pub(super) proxy: FaultProxy,
    /// Through the proxy.
    pub(super) far: LockManager,
    pub(super) near: LockManager,
    pub(super) kv: Kv,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} with {:?} after {}",
            self.kind, self.mode, self.replies
        )
    }
}

impl Line {
    pub(super) async fn to<S: Backend>(
        server: &S,
        kind: Kind,
        mode: Mode,
        lease: Duration,
    ) -> Self {
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        let far = S::open(proxy.address()).await;
        let kv = S::open(server.address()).await;
        let on = |kv: &Kv, lease| {
            let locks = LockManager::builder(kv).lease(lease).wait(LONG);
            locks.build().unwrap()
        };
        Self {
            kind,
            mode,
            replies: 0,
            name: format!("{}/{mode:?}", kind.name()),
            far: on(&far, lease),
            near: on(&kv, NEAR),
            proxy,
            kv,
        }
    }

    /// How often the network has failed somebody.
    pub(super) fn losses(&self) -> u64 {
        let counts = self.proxy.counts();
        counts.lost_requests + counts.lost_replies + counts.refused
    }

    /// Whether the network has failed by now, and does not any more.
    pub(super) fn heal(&self) -> bool {
        let has_failed = self.proxy.mode() != Mode::Pass;
        self.proxy.set(Mode::Pass);
        has_failed
    }

    /// Ends when calls come through, and what they need is known to the server.
    pub(super) async fn reach(&self) {
        let probe = format!("{}/probe", self.name);
        until(&format!("{self:?}: the network is there"), async || {
            let held = self.kind.try_acquire(&self.far, &probe).await;
            let Ok(Some(held)) = held else { return false };
            held.release().await == Release::Released
        })
        .await;
    }

    /// How many records of holders there are on the store.
    pub(super) async fn held(&self) -> u64 {
        self.kind.held(&self.kv, &self.name).await.unwrap()
    }

    /// Whether nobody holds it, and nobody waits.
    pub(super) async fn is_free(&self) -> bool {
        let waiting = self.kind.waiting(&self.kv, &self.name).await.unwrap();
        self.held().await + waiting == 0
    }
}

/// The same with each kind and each fault at the same time: most of it is waiting.
pub(super) async fn with_each<S: Backend, F>(
    modes: [Mode; 3],
    replies: std::ops::Range<u32>,
    lease: Duration,
    test: impl Fn(Line) -> F,
) where
    F: Future<Output = ()>,
{
    let server = S::start();
    let mut tests = FuturesUnordered::new();
    for kind in KINDS {
        for mode in modes {
            for replies in replies.clone() {
                let mut line = Line::to(&server, kind, mode, lease).await;
                line.replies = replies;
                line.name = format!("{}/{replies}", line.name);
                tests.push(test(line));
            }
        }
    }
    while tests.next().await.is_some() {}
}
