//! The server, and both clients on both kinds of runtime.

use crate::{load::Load, reference};
use kv_core::{Context, Kv};
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::{
    bench::{Meter, Outcome, Reading},
    server::Redis,
};
use kv_wrappers::{DefaultTtl, KeyResolver, KeySettings};
use redis::{Commands, aio::ConnectionManager};
use std::{cell::RefCell, env, time::Duration};
use tokio::runtime::{Builder, Runtime};

pub(crate) struct Stage {
    pub(crate) threads: Clients,
    pub(crate) current: Clients,
    control: RefCell<redis::Connection>,
    server: Redis,
}

/// Both clients, on one runtime.
pub(crate) struct Clients {
    pub(crate) runtime: Runtime,
    pub(crate) bare: Kv,
    pub(crate) wrapped: Kv,
    pub(crate) raw: ConnectionManager,
}

impl Stage {
    /// Starts a server and connects; writes the keys of the load below the prefix and without it.
    pub(crate) fn open(load: &Load) -> Outcome<Self> {
        if env::var_os("KV_REDIS_SERVER").is_none() {
            return Err(
                "KV_REDIS_SERVER must name a redis-server; `cargo xtask bench` finds one".into(),
            );
        }
        let server = Redis::start();
        let url = server.url();
        let threads = Clients::connect(
            Builder::new_multi_thread().worker_threads(2).enable_all(),
            &url,
        )?;
        let current = Clients::connect(Builder::new_current_thread().enable_all(), &url)?;
        threads.runtime.block_on(async {
            let items = || load.keys().iter().map(|key| (key, load.value().clone()));
            threads.bare.set_many(items()).await?;
            threads.wrapped.set_many(items()).await
        })?;
        let control = redis::Client::open(url)?.get_connection()?;
        Ok(Self {
            threads,
            current,
            control: RefCell::new(control),
            server,
        })
    }

    /// The server's address.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// A queue of exactly so many members.
    pub(crate) fn fill_queue(&self, members: u64) -> Outcome {
        let mut control = self.control.borrow_mut();
        let () = control.unlink("queue")?;
        for first in (0..members).step_by(1000) {
            let chunk: Vec<(u32, String)> = (first..members.min(first + 1000))
                .map(|it| (fastrand::u32(..), format!("job:{it:09}")))
                .collect();
            let () = control.zadd_multiple("queue", &chunk)?;
        }
        Ok(())
    }

    /// So many jobs in a sorted set and in all that is known about them.
    pub(crate) fn fill_jobs(&self, set: &str, jobs: u64) -> Outcome {
        let mut control = self.control.borrow_mut();
        let tables = ["{q}:tries", "{q}:body", "{q}:notes"];
        let () = control.unlink(&["{q}:ready", "{q}:lease", "{q}:stats"])?;
        let () = control.unlink(&tables)?;
        for first in (0..jobs).step_by(1000) {
            let jobs: Vec<(u64, String)> = (first..jobs.min(first + 1000))
                .map(|it| (it, format!("job:{it:09}")))
                .collect();
            let () = control.zadd_multiple(set, &jobs)?;
            let with = |text: &str| -> Vec<(String, String)> {
                jobs.iter()
                    .map(|(_, job)| (job.clone(), text.to_owned()))
                    .collect()
            };
            // Those who claim jobs count themselves.
            if set == "{q}:lease" {
                let () = control.hset_multiple(tables[0], &with("1"))?;
            }
            let () = control.hset_multiple(tables[1], &with(&"b".repeat(120)))?;
            let () = control.hset_multiple(tables[2], &with("note"))?;
        }
        Ok(())
    }

    /// Deletes keys.
    pub(crate) fn unlink(&self, keys: &[&str]) -> Outcome {
        let () = self.control.borrow_mut().unlink(keys)?;
        Ok(())
    }

    /// Every key of the load.
    pub(crate) fn fill_keys(&self, load: &Load) -> Outcome {
        let mut control = self.control.borrow_mut();
        for keys in load.keys().chunks(1000) {
            let items: Vec<(&String, &[u8])> =
                keys.iter().map(|key| (key, &**load.value())).collect();
            let () = control.mset(&items)?;
        }
        Ok(())
    }
}

impl Clients {
    fn connect(runtime: &mut Builder, url: &str) -> Outcome<Self> {
        let runtime = runtime.build()?;
        let store = || RedisStore::new(RedisConfig::from_url(url));
        let (bare, wrapped, raw) = runtime.block_on(async {
            let bare = Kv::builder(store()?).connect().await?;
            let wrapped = Kv::builder(store()?)
                .layer(DefaultTtl::new(Duration::from_secs(3600))?)
                .layer(KeyResolver::new(KeySettings::default())?)
                .connect()
                .await?
                .bind(Context::tenant("tenant-123"));
            Outcome::Ok((bare, wrapped, reference::connect(url).await?))
        })?;
        Ok(Self {
            runtime,
            bare,
            wrapped,
            raw,
        })
    }
}

impl Meter for &Stage {
    fn read(&self) -> Outcome<Reading> {
        let info: String = redis::cmd("INFO")
            .arg("commandstats")
            .arg("cpu")
            .query(&mut *self.control.borrow_mut())?;
        let mut reading = Reading::default();
        for line in info.lines() {
            let Some((name, facts)) = line.split_once(':') else {
                continue;
            };
            match name.strip_prefix("cmdstat_") {
                // Our own question.
                Some("info") => {}
                Some(_) => reading.calls += calls(facts)?,
                None if matches!(name, "used_cpu_sys" | "used_cpu_user") => {
                    reading.cpu += Duration::from_secs_f64(facts.trim().parse()?);
                }
                None => {}
            }
        }
        Ok(reading)
    }
}

/// The number in `calls=21,usec=175,…`.
fn calls(facts: &str) -> Outcome<u64> {
    let calls = facts.split(',').find_map(|it| it.strip_prefix("calls="));
    Ok(calls.ok_or("the server does not tell its calls")?.parse()?)
}
