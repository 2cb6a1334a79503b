//! Locks on Redis: a cycle against two scripts written by hand; what waiting and renewing cost, against
//! what it is to reach.

mod cycle;
mod hand_over;
mod quiet;

use crate::Bench;
use kv_core::Kv;
use kv_lock::LockManager;
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::{
    bench::{Outcome, Suite},
    server::Redis,
};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The rows.
pub(crate) fn rows(bench: &Bench, suite: &mut Suite) {
    cycle::rows(bench, suite);
    hand_over::rows(suite);
    quiet::rows(suite);
}

/// A server, and managers that share nothing but it, as those of processes do.
struct Site {
    runtime: Runtime,
    managers: Vec<LockManager>,
    server: Redis,
}

impl Site {
    fn open(managers: u64, lease: Duration) -> Outcome<Self> {
        let server = Redis::start();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let mut all = Vec::new();
        for _ in 0..managers {
            let store = RedisStore::new(RedisConfig::from_url(server.url()))?;
            let kv = runtime.block_on(Kv::builder(store).connect())?;
            all.push(LockManager::builder(&kv).lease(lease).build()?);
        }
        Ok(Self {
            runtime,
            managers: all,
            server,
        })
    }

    /// How many scripts the server was asked to run until now.
    fn scripts(&self) -> Outcome<u64> {
        let mut control = redis::Client::open(self.server.url())?.get_connection()?;
        let info: String = redis::cmd("INFO").arg("commandstats").query(&mut control)?;
        let of = |line: &str| -> Option<u64> {
            let (name, facts) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            if !matches!(name, "eval" | "evalsha") {
                return None;
            }
            let mut facts = facts.split(',');
            facts.find_map(|it| it.strip_prefix("calls="))?.parse().ok()
        };
        Ok(info.lines().filter_map(of).sum())
    }
}
