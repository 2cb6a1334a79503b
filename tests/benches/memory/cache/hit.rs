//! A hit in this process against moka's own, of the same keys and values.

use super::{VALUE, builder};
use crate::block_on;
use kv_cache::Cache;
use kv_core::{Context, Kv};
use kv_memory::MemoryStore;
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use kv_wrappers::{KeyResolver, KeySettings};
use std::{hint::black_box, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};

const ROOM: u64 = 4 << 30;

pub(super) fn rows(suite: &mut Suite) {
    for (size, keys) in [("1k", 1_000), ("100k", suite.amount(100_000))] {
        let names: Vec<String> = (0..keys).map(|it| format!("key:{it:012}")).collect();
        for levels in [Levels::Near, Levels::Both, Levels::BothForTenant] {
            let name = format!("cache/hit/{}/{size}", levels.name());
            let claim = match levels {
                // 1.15 times its time.
                Levels::Near | Levels::Both => Claim::ratio(name, 1.0 / 1.15),
                Levels::BothForTenant => Claim::ratio(name, 0.0).told(),
            };
            suite.hold(&[claim], || {
                Ok(Contest {
                    ours: Home::open(levels, &names)?.side(&names),
                    reference: moka(&names),
                    size: Size::Span(Duration::from_millis(100)),
                    meter: None,
                })
            });
        }
    }
}

#[derive(Clone, Copy)]
enum Levels {
    Near,
    /// Before a store.
    Both,
    /// Before a store that keeps tenants apart, for one of them.
    BothForTenant,
}

impl Levels {
    fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Both => "both",
            Self::BothForTenant => "tenant",
        }
    }
}

/// A cache that has all names, and the runtime that its tasks live in.
struct Home {
    cache: Cache<str, String>,
    _runtime: Runtime,
}

impl Home {
    fn open(levels: Levels, names: &[String]) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let cache = runtime.block_on(async {
            let store = Kv::builder(MemoryStore::default());
            let builder = builder(ROOM);
            let cache = match levels {
                Levels::Near => builder.build()?,
                Levels::Both => builder.far(&store.connect().await?).build()?,
                Levels::BothForTenant => {
                    let resolver = KeyResolver::new(KeySettings::default())?;
                    let kv = store.layer(resolver).connect().await?;
                    let kv = kv.bind(Context::tenant("tenant-123"));
                    builder.far(&kv).build()?
                }
            };
            for name in names {
                cache.set(name, VALUE.to_owned()).await?;
            }
            Outcome::Ok(cache)
        })?;
        Ok(Self {
            cache,
            _runtime: runtime,
        })
    }

    fn side(self, names: &[String]) -> Side<'_> {
        Side::new(move |ops| {
            let cache = &self.cache;
            block_on(async {
                for name in names.iter().cycle().take(ops as usize) {
                    let found = cache.get_or_load(name.as_str(), missing);
                    black_box(found.await.map_err(|_| "a key is missing")?);
                }
                Ok(())
            })?
        })
    }
}

async fn missing(_: kv_cache::LoadContext<String>) -> Result<String, ()> {
    Err(())
}

fn moka(names: &[String]) -> Side<'_> {
    let cache = moka::sync::Cache::new(2 * names.len() as u64);
    for name in names {
        cache.insert(name.clone(), Arc::new(VALUE.to_owned()));
    }
    Side::new(move |ops| {
        for name in names.iter().cycle().take(ops as usize) {
            black_box(cache.get(name)).ok_or("a key is missing")?;
        }
        Ok(())
    })
}
