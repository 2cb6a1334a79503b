//! A read that the near cache answers, against the cache that it rests on, and against the same cache
//! in the place of a store: the way through `Kv` is then the same for both.

use crate::{block_on, reference_map::moka};
use bytes::Bytes;
use kv_core::{Capabilities, Capability, CapabilitySet, Key, Kv, Result, Store as Provider, Value};
use kv_memory::MemoryStore;
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use kv_wrappers::{NearCache, NearCacheConfig, NearCacheState, NearCacheStats};
use std::{hint::black_box, time::Duration};
use tokio::runtime::{Builder, Runtime};

pub(crate) fn rows(suite: &mut Suite) {
    let many = suite.amount(1_000_000) as usize;
    for (size, keys) in [("hot", 1_000), ("many", many)] {
        let names: Vec<String> = (0..keys).map(|it| format!("key:{it:012}")).collect();
        let contest = |reference| {
            Ok(Contest {
                ours: Home::near(&names)?.side(&names)?,
                reference,
                size: Size::Span(Duration::from_millis(100)),
                meter: None,
            })
        };
        // The share of moka's speed that is left: 1.3 times its time is 0.77 of its speed.
        let hit = Claim::ratio(format!("near_cache/hit/{size}"), 1.0 / 1.3);
        suite.hold(&[hit], || contest(bare(&names)));
        // What the layer adds to a call through `Kv` that ends in the same cache.
        let layer = Claim::nanos_added(format!("near_cache/layer/{size}"), 60.0);
        suite.hold(&[layer], || contest(Home::way(&names)?.side(&names)?));
    }
}

/// A handle, and the runtime that its tasks live in.
struct Home {
    kv: Kv,
    runtime: Runtime,
}

impl Home {
    fn near(names: &[String]) -> Outcome<Self> {
        let mut config = NearCacheConfig::default();
        config.max_bytes = 4 << 30;
        config.max_ttl = Duration::from_secs(24 * 3600);
        let near = NearCache::new(config)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let kv = runtime.block_on(async {
            let store = MemoryStore::default();
            let bare = Kv::builder(store.clone()).connect().await?;
            for name in names {
                bare.set(name, vec![b'v'; 100]).await?;
            }
            let kv = Kv::builder(store).layer(near).connect().await?;
            let state = || Outcome::Ok(kv.native::<NearCacheStats>()?.state);
            while state()? != NearCacheState::Live {
                kv.get("first").await?;
                tokio::task::yield_now().await;
            }
            Outcome::Ok(kv)
        })?;
        Ok(Self { kv, runtime })
    }

    fn way(names: &[String]) -> Outcome<Self> {
        let cache = moka(names.len() as u64);
        for name in names {
            cache.insert(name.clone(), Bytes::from(vec![b'v'; 100]));
        }
        let runtime = Builder::new_current_thread().build()?;
        let kv = runtime.block_on(Kv::builder(Bare(cache)).connect())?;
        Ok(Self { kv, runtime })
    }

    fn side(self, names: &[String]) -> Outcome<Side<'_>> {
        let keys = names.iter().map(|name| Ok(Key::new(name.clone())?));
        let keys = keys.collect::<Outcome<Vec<_>>>()?;
        let Self { kv, runtime } = self;
        block_on(async {
            for key in &keys {
                kv.get(key).await?;
            }
            Outcome::Ok(())
        })??;
        Ok(Side::new(move |ops| {
            let _home = &runtime;
            block_on(async {
                for key in keys.iter().cycle().take(ops as usize) {
                    black_box(kv.get(key).await?).ok_or("a key is missing")?;
                }
                Ok(())
            })?
        }))
    }
}

fn bare(names: &[String]) -> Side<'_> {
    let cache = moka(names.len() as u64);
    for name in names {
        cache.insert(name.clone(), Bytes::from(vec![b'v'; 100]));
    }
    Side::new(move |ops| {
        for name in names.iter().cycle().take(ops as usize) {
            black_box(cache.get(name)).ok_or("a key is missing")?;
        }
        Ok(())
    })
}

/// A cache as a store: what is left of the ratio if a layer costs nothing.
struct Bare(moka::sync::Cache<String, Bytes>);

impl Provider for Bare {
    fn name(&self) -> &'static str {
        "moka"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(CapabilitySet::NONE.with(Capability::Strings))
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        let name = str::from_utf8(key.as_bytes()).unwrap_or_default();
        Ok(self.0.get(name).map(Value::new))
    }
}
