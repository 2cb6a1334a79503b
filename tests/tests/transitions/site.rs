//! A store to run transitions on, which counts.

use futures_util::StreamExt;
use kv_core::{
    Event, Events, Key, Kv, Result, Throttle, Throttled, Txn, TxnReply, Watch, ZMove, ZMoved,
    layer_fn,
};
use kv_memory::MemoryStore;
use kv_redis::redis;
use kv_tests::{
    patience,
    server::{Etcd, Redis},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A row of the table: a transition with made-up arguments.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) step: Step,
}

/// The one command that a transition is.
#[derive(Clone)]
pub(crate) enum Step {
    Commit(Vec<Txn>),
    Move(ZMove),
    Throttle(Throttle),
    Read(Vec<Key>),
}

/// Names a transition and says what it is.
pub(crate) fn row(name: &'static str, step: impl Into<Step>) -> Row {
    let step = step.into();
    Row { name, step }
}

pub(crate) struct Site {
    pub(crate) kv: Kv,
    calls: Arc<AtomicUsize>,
    server: Server,
}

/// What the store needs to live as long.
enum Server {
    None,
    /// Counts what it reads from clients.
    Redis(#[expect(dead_code, reason = "kept alive")] Redis),
    Etcd(#[expect(dead_code, reason = "kept alive")] Etcd),
}

impl Site {
    pub(crate) async fn memory() -> Self {
        Self::at(Kv::builder(MemoryStore::default()), Server::None).await
    }

    pub(crate) async fn redis() -> Self {
        let server = Redis::start();
        let store = patience::redis(&server.url());
        Self::at(Kv::builder(store), Server::Redis(server)).await
    }

    pub(crate) async fn etcd() -> Self {
        let server = Etcd::start();
        let store = patience::etcd(&server.url());
        Self::at(Kv::builder(store), Server::Etcd(server)).await
    }

    async fn at(builder: kv_core::KvBuilder, server: Server) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let counting = layer_fn("counting", move |request, next| {
            counter.fetch_add(1, Ordering::Relaxed);
            next.call(request)
        });
        let kv = builder.layer(counting).connect().await.unwrap();
        Self { kv, calls, server }
    }

    /// Executes one transaction and expects that it can be done.
    pub(crate) async fn commit(&self, txn: Txn) -> TxnReply {
        self.kv.commit_one(txn).await.unwrap()
    }

    /// Executes several in one call and expects that all can be done.
    pub(crate) async fn commit_all<const N: usize>(&self, txns: [Txn; N]) -> [TxnReply; N] {
        let replies = self.kv.commit(txns).await.unwrap();
        let replies: Result<Vec<TxnReply>> = replies.into_iter().collect();
        replies.unwrap().try_into().unwrap()
    }

    pub(crate) async fn zmove(&self, step: ZMove) -> ZMoved {
        self.kv.zmove(step).await.unwrap()
    }

    pub(crate) async fn throttle(&self, request: Throttle) -> Throttled {
        self.kv.throttle(request).await.unwrap()
    }

    pub(crate) async fn run(&self, step: Step) -> Result<()> {
        match step {
            Step::Commit(txns) => {
                let replies = self.kv.commit(txns).await?;
                replies.into_iter().try_for_each(|it| it.map(drop))
            }
            Step::Move(step) => self.kv.zmove(step).await.map(drop),
            Step::Throttle(request) => self.kv.throttle(request).await.map(drop),
            Step::Read(keys) => self.kv.get_many(keys).await.map(drop),
        }
    }

    /// Does it; tells how many calls passed the seam and, on Redis, how many times the server had to
    /// read from a client for it.
    pub(crate) async fn counted<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> (T, usize, Option<u64>) {
        let (calls, reads) = (self.calls.load(Ordering::Relaxed), self.reads().await);
        let result = work.await;
        let calls = self.calls.load(Ordering::Relaxed) - calls;
        // The question itself is one.
        let trips = match (reads, self.reads().await) {
            (Some(before), Some(after)) => Some(after - before - 1),
            _ => None,
        };
        (result, calls, trips)
    }

    async fn reads(&self) -> Option<u64> {
        let Server::Redis(_) = &self.server else {
            return None;
        };
        let mut driver: redis::aio::ConnectionManager = self.kv.native().unwrap();
        let command = redis::cmd("INFO").arg("stats").to_owned();
        let stats: String = command.query_async(&mut driver).await.unwrap();
        let reads = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_reads_processed:"));
        Some(reads.unwrap().trim().parse().unwrap())
    }

    pub(crate) async fn listen(&self, channel: Key) -> Events {
        self.kv.watch(Watch::Channels(vec![channel])).await.unwrap()
    }
}

/// The payload of the next message.
pub(crate) async fn heard(events: &mut Events) -> String {
    let next = tokio::time::timeout(patience::PATIENCE, events.next()).await;
    match next.expect("a message").expect("the stream goes on") {
        Ok(Event::Message { payload, .. }) => payload.to_str().unwrap().to_owned(),
        other => panic!("not a message: {other:?}"),
    }
}

impl From<Txn> for Step {
    fn from(txn: Txn) -> Self {
        Self::Commit(vec![txn])
    }
}

impl<const N: usize> From<[Txn; N]> for Step {
    fn from(txns: [Txn; N]) -> Self {
        Self::Commit(txns.into())
    }
}

impl From<ZMove> for Step {
    fn from(step: ZMove) -> Self {
        Self::Move(step)
    }
}

impl From<Throttle> for Step {
    fn from(request: Throttle) -> Self {
        Self::Throttle(request)
    }
}

impl<const N: usize> From<[Key; N]> for Step {
    fn from(keys: [Key; N]) -> Self {
        Self::Read(keys.into())
    }
}

/// Makes each `async fn(Site)` a test per store.
#[macro_export]
macro_rules! on_each_store {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::site::Site::memory().await).await;
            })*
        }

        mod redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::site::Site::redis().await).await;
            })*
        }

        mod etcd {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::site::Site::etcd().await).await;
            })*
        }
    };
}
