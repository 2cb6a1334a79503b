//! The cache's level in this process against moka, cached and foyer: hits, and names that nobody asked for before,
//! whose values are there at once. moka's and cached's entries end some day, as ours do; foyer's do not. None of
//! them keeps tenants apart, and cached loads by a function, not by a future.

use cached::ShardedLruTtlCache;
use foyer_memory::{Cache as Foyer, CacheBuilder, CacheProperties};
use kv_cache::{Cache, LoadContext, Near, Policy};
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use std::{
    collections::hash_map::RandomState, convert::Infallible, hint::black_box, process::ExitCode,
    sync::Arc, time::Duration,
};
use tokio::runtime::{Builder, Runtime};

const TURN: Size = Size::Span(Duration::from_millis(100));
const DAY: Duration = Duration::from_secs(24 * 3600);
const NAMES: u64 = 1_000;
/// As many entries have room, ours by what one of them weighs, roughly.
const ROOM: u64 = 10_000;
const WEIGHT: u64 = 400;

fn main() -> Outcome<ExitCode> {
    let mut suite = Suite::begin()?;
    let names: Vec<String> = (0..NAMES).map(name).collect();
    let peers: [(&str, Pair); 3] = [("moka", moka), ("cached", cached), ("foyer", foyer)];
    for (peer, sides) in peers {
        let hit = match peer {
            // 1.15 times its time.
            "moka" => Claim::ratio("cache/moka/hit", 1.0 / 1.15),
            _ => Claim::ratio(format!("cache/{peer}/hit"), 0.0).told(),
        };
        suite.hold(&[hit], || contest(our_hit(&names)?, sides(&names)?.hit));
        let load = Claim::ratio(format!("cache/{peer}/load"), 0.0).told();
        suite.hold(&[load], || contest(our_load()?, sides(&names)?.load));
    }
    Ok(suite.end())
}

/// A peer's sides, whose cache has all names.
type Pair = fn(&[String]) -> Outcome<Sides<'_>>;

struct Sides<'a> {
    hit: Side<'a>,
    load: Side<'a>,
}

fn contest<'a>(ours: Side<'a>, reference: Side<'a>) -> Outcome<Contest<'a>> {
    Ok(Contest {
        ours,
        reference,
        size: TURN,
        meter: None,
    })
}

fn ours() -> Outcome<Cache<str, String>> {
    Ok(Cache::builder("products")
        .near(Near::bytes(ROOM * WEIGHT))
        .policy(Policy::ttl(DAY))
        .build()?)
}

async fn load(_: LoadContext<String>) -> Result<String, Infallible> {
    Ok(value())
}

fn our_hit(names: &[String]) -> Outcome<Side<'_>> {
    let (runtime, cache) = (runtime()?, ours()?);
    for name in names {
        runtime.block_on(cache.set(name, value()))?;
    }
    Ok(Side::new(move |ops| {
        runtime.block_on(async {
            for name in names.iter().cycle().take(ops as usize) {
                black_box(cache.get_or_load(name.as_str(), load).await?);
            }
            Ok(())
        })
    }))
}

fn our_load() -> Outcome<Side<'static>> {
    let (runtime, cache) = (runtime()?, ours()?);
    let mut last = NAMES;
    Ok(Side::new(move |ops| {
        runtime.block_on(async {
            for number in last..last + ops {
                black_box(cache.get_or_load(&*name(number), load).await?);
            }
            last += ops;
            Ok(())
        })
    }))
}

fn moka(names: &[String]) -> Outcome<Sides<'_>> {
    let runtime = Arc::new(runtime()?);
    let cache = moka::future::Cache::builder()
        .max_capacity(ROOM)
        .time_to_live(DAY)
        .build();
    for name in names {
        runtime.block_on(cache.insert(name.clone(), Arc::new(value())));
    }
    let (own, loading) = (runtime.clone(), cache.clone());
    let mut last = NAMES;
    Ok(Sides {
        hit: Side::new(move |ops| {
            own.block_on(async {
                for name in names.iter().cycle().take(ops as usize) {
                    black_box(cache.get(name).await).ok_or("a name is missing")?;
                }
                Ok(())
            })
        }),
        load: Side::new(move |ops| {
            runtime.block_on(async {
                for number in last..last + ops {
                    let load = async { Arc::new(value()) };
                    black_box(loading.get_with(name(number), load).await);
                }
                last += ops;
                Ok(())
            })
        }),
    })
}

fn cached(names: &[String]) -> Outcome<Sides<'_>> {
    let cache = Arc::new(ShardedLruTtlCache::new(ROOM as usize, DAY));
    for name in names {
        cache.set(name.clone(), Arc::new(value()));
    }
    let hits = cache.clone();
    let mut last = NAMES;
    Ok(Sides {
        hit: Side::new(move |ops| {
            for name in names.iter().cycle().take(ops as usize) {
                black_box(hits.get(name.as_str())).ok_or("a name is missing")?;
            }
            Ok(())
        }),
        load: Side::new(move |ops| {
            for number in last..last + ops {
                black_box(cache.get_or_set_with(name(number), || Arc::new(value())));
            }
            last += ops;
            Ok(())
        }),
    })
}

fn foyer(names: &[String]) -> Outcome<Sides<'_>> {
    let runtime = runtime()?;
    let cache: Foyer<String, String, RandomState, CacheProperties> =
        CacheBuilder::new(ROOM as usize)
            .with_hash_builder(RandomState::new())
            .build();
    for name in names {
        cache.insert(name.clone(), value());
    }
    let loading = cache.clone();
    let mut last = NAMES;
    Ok(Sides {
        hit: Side::new(move |ops| {
            for name in names.iter().cycle().take(ops as usize) {
                black_box(cache.get(name.as_str())).ok_or("a name is missing")?;
            }
            Ok(())
        }),
        load: Side::new(move |ops| {
            runtime.block_on(async {
                for number in last..last + ops {
                    let load = || async { Ok::<_, Infallible>(value()) };
                    black_box(loading.get_or_fetch(name(number).as_str(), load).await?);
                }
                last += ops;
                Ok(())
            })
        }),
    })
}

fn name(number: u64) -> String {
    format!("key:{number:012}")
}

fn value() -> String {
    "v".repeat(100)
}

/// Loads have a time limit.
fn runtime() -> Outcome<Runtime> {
    Ok(Builder::new_current_thread().enable_time().build()?)
}
