//! A store, and a kind of task that does what it is told.

use futures_util::TryStreamExt;
use kv_conformance::faults::{Fault, FaultSwitch, FaultsLayer, Odds, Plan};
use kv_core::{Clock, Kv, KvBuilder, SystemClock};
use kv_memory::MemoryStore;
use kv_scheduler::{Ctx, Data, Retention, Scheduler, Task, TaskError, TaskOptions, Worker};
use kv_tests::{
    patience,
    server::{Etcd, Redis},
};
use kv_wrappers::{
    Compress, CompressConfig, DefaultTtl, Encrypt, EncryptConfig, EncryptionKey, KeyResolver,
    KeySettings, Observe, ObserveConfig, Retry, RetryConfig, Timeout, TimeoutConfig,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Does what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Do {
    Succeed(u32),
    Fail(String),
    FailAfter(Duration),
    Snooze(Duration),
    Die(String),
    Cancel,
    Panic,
    Sleep(Duration),
    /// Until its token is cancelled.
    WaitForToken,
}

impl Task for Do {
    const KIND: &'static str = "do";
    type Output = u32;

    fn options() -> TaskOptions {
        TaskOptions::new().retention(Retention::keep(HOUR))
    }
}

/// What was done, in order.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<Do>>);

impl Log {
    pub(crate) fn take(&self) -> Vec<Do> {
        std::mem::take(&mut self.0.lock())
    }
}

pub(crate) async fn obey(task: Do, ctx: Ctx, log: Data<Log>) -> Result<u32, TaskError> {
    log.0.lock().push(task.clone());
    match task {
        Do::Succeed(number) => Ok(number),
        Do::Fail(why) => Err(why.into()),
        Do::FailAfter(delay) => Err(TaskError::retry_after(delay, "not now")),
        Do::Snooze(delay) => Err(TaskError::snooze(delay)),
        Do::Die(why) => Err(TaskError::dead(why)),
        Do::Cancel => Err(TaskError::cancel()),
        Do::Panic => panic!("as told"),
        Do::Sleep(span) => {
            SystemClock.sleep(span).await;
            Ok(0)
        }
        Do::WaitForToken => {
            ctx.token().cancelled().await;
            Err("told to stop".into())
        }
    }
}

pub(crate) struct Site {
    pub(crate) kv: Kv,
    pub(crate) scheduler: Scheduler,
    pub(crate) log: Arc<Log>,
    /// Of each three transactions one is done and not answered while this is on.
    pub(crate) lost_answers: FaultSwitch,
    server: Server,
}

/// What the store needs to live as long.
enum Server {
    None,
    Redis(Redis),
    Etcd(Etcd),
}

impl Site {
    pub(crate) async fn memory() -> Self {
        Self::at(Kv::builder(MemoryStore::default()), Server::None).await
    }

    /// The layers that a service has, and those that change what is stored.
    pub(crate) async fn layered() -> Self {
        let keys = EncryptConfig::new("2026", EncryptionKey::new([7; 32]));
        let prefix = KeyResolver::new(KeySettings {
            namespace: "app".to_owned(),
            ..KeySettings::default()
        })
        .unwrap();
        let builder = Kv::builder(MemoryStore::default())
            .layer(Timeout::new(TimeoutConfig::new(HOUR)).unwrap())
            .layer(Retry::new(RetryConfig::default()).unwrap())
            .layer(Encrypt::new(keys).unwrap())
            .layer(Compress::new(CompressConfig::default()).unwrap())
            .layer(DefaultTtl::new(Duration::from_millis(1)).unwrap())
            .layer(prefix)
            .layer(Observe::new(ObserveConfig::default()).unwrap());
        Self::at(builder, Server::None).await
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

    async fn at(builder: KvBuilder, server: Server) -> Self {
        let odds = Odds::none().and(Fault::ApplyThenFail, 0.33).unwrap();
        let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "commit");
        let lost_answers = faults.switch();
        lost_answers.off();
        let kv = builder.layer(faults).connect().await.unwrap();
        Self {
            scheduler: Scheduler::new(&kv).unwrap(),
            kv,
            log: Arc::default(),
            lost_answers,
            server,
        }
    }

    /// A scheduler with a connection of its own. A store in memory is the same one.
    pub(crate) async fn another(&self) -> Scheduler {
        let kv = match &self.server {
            Server::None => return self.scheduler.clone(),
            Server::Redis(server) => Kv::builder(patience::redis(&server.url())),
            Server::Etcd(server) => Kv::builder(patience::etcd(&server.url())),
        };
        Scheduler::new(&kv.connect().await.unwrap()).unwrap()
    }

    pub(crate) fn worker(&self) -> Worker {
        Worker::new(&self.scheduler)
            .data(self.log.clone())
            .handle(obey)
    }

    /// All keys that are on the store but for the list of queues, which stays.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let keys: Vec<_> = self.kv.scan("").try_collect().await.unwrap();
        let keys = keys.iter().map(ToString::to_string);
        keys.filter(|it| it != "{tasks}:queues").collect()
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

        mod layered {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::site::Site::layered().await).await;
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
