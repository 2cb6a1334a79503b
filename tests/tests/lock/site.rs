//! A store, and programs that lock on it.

use kv_conformance::faults::{Fault, FaultSwitch, FaultsLayer, Odds, Plan};
use kv_core::{Kv, KvBuilder, layer_fn};
use kv_lock::LockManager;
use kv_tests::{patience, stores::Site as Stores};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// For how long a test waits for what must happen.
pub(crate) const LONG: Duration = patience::PATIENCE;

pub(crate) struct Site {
    pub(crate) kv: Kv,
    pub(crate) locks: LockManager,
    /// Of each three transactions one is done and not answered while this is on.
    pub(crate) lost_answers: FaultSwitch,
    server: Stores,
}

impl Site {
    pub(crate) async fn memory() -> Self {
        Self::at(Stores::memory()).await
    }

    /// The layers that a service has, and those that change what is stored.
    pub(crate) async fn layered() -> Self {
        Self::at(Stores::layered()).await
    }

    pub(crate) async fn redis() -> Self {
        Self::at(Stores::redis()).await
    }

    pub(crate) async fn etcd() -> Self {
        Self::at(Stores::etcd()).await
    }

    async fn at(server: Stores) -> Self {
        let odds = Odds::none().and(Fault::ApplyThenFail, 0.33).unwrap();
        let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "commit");
        let lost_answers = faults.switch();
        lost_answers.off();
        let kv = server.builder().layer(faults).connect().await.unwrap();
        Self {
            locks: LockManager::new(&kv).unwrap(),
            kv,
            lost_answers,
            server,
        }
    }

    /// The locks of another process: nothing is shared but the store.
    pub(crate) async fn another(&self) -> LockManager {
        LockManager::new(&self.builder().connect().await.unwrap()).unwrap()
    }

    /// A connection of another process.
    pub(crate) fn builder(&self) -> KvBuilder {
        self.server.builder()
    }
}

/// A process that can be made to die: no call of it arrives any more.
pub(crate) struct Mortal {
    pub(crate) locks: LockManager,
    pub(crate) dies: FaultSwitch,
}

/// How many calls with transactions a process has made.
pub(crate) struct Counted(Arc<AtomicU64>);

impl Counted {
    pub(crate) fn commits(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Site {
    pub(crate) async fn mortal(&self) -> Mortal {
        let always = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
        let faults = FaultsLayer::new(Plan::random(7, always));
        let dies = faults.switch();
        dies.off();
        let kv = self.server.builder().layer(faults).connect().await.unwrap();
        let locks = LockManager::new(&kv).unwrap();
        Mortal { locks, dies }
    }

    pub(crate) async fn counted(&self) -> (LockManager, Counted) {
        let calls = Arc::<AtomicU64>::default();
        let count = calls.clone();
        let layer = layer_fn("count", move |request, next| {
            if request.command.spec().name == "commit" {
                count.fetch_add(1, Ordering::Relaxed);
            }
            next.call(request)
        });
        let kv = self.server.builder().layer(layer).connect().await.unwrap();
        (LockManager::new(&kv).unwrap(), Counted(calls))
    }
}

/// What another process held when it died: nobody renews or releases it. Forget it in the end.
pub(crate) async fn died_holding<T, F, W>(site: &Site, hold: W) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
    W: FnOnce(LockManager) -> F + Send + 'static,
{
    let builder = site.server.builder();
    let process = move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let locks = LockManager::new(&builder.connect().await.unwrap()).unwrap();
            hold(locks).await
        })
    };
    tokio::task::spawn_blocking(process).await.unwrap()
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

/// Makes each `async fn<S: Backend>()` a test per server.
#[macro_export]
macro_rules! on_each_server {
    ($($name:ident)*) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name::<kv_tests::server::Redis>().await;
            })*
        }

        mod etcd {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name::<kv_tests::server::Etcd>().await;
            })*
        }
    };
}
