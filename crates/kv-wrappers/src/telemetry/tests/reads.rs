//! What the layers tell that spare the store reads.

use crate::{
    NearCache, NearCacheConfig, NearCacheDeadlines, NearCacheInvalidation, SingleFlight,
    SingleFlightConfig,
    capture::counted,
    script::{Script, Step, poll},
};
use kv_core::Kv;
use std::time::Duration;

const SLOW: Step = Step::After(Duration::from_millis(5));

/// A read for the store, one for memory, one that a write gets ahead of; two that share. The cache lives
/// on in what is returned.
pub(super) fn every_read() -> Kv {
    let config = NearCacheConfig {
        invalidate: NearCacheInvalidation::OwnWrites,
        deadlines: NearCacheDeadlines::Bounded,
        ..NearCacheConfig::default()
    };
    let script = Script::new([Step::Answer, Step::Answer, SLOW]);
    let near = NearCache::new(config).unwrap().clock(script.clock());
    let kept = script.under(near.store("a"));
    script.run(kept.get("a")).unwrap();
    script.run(kept.get("a")).unwrap();
    script.run(kept.set("a", "forgets")).unwrap();
    let mut slow = Box::pin(kept.get("a"));
    assert!(poll(&mut slow).is_pending());
    script.run(kept.set("a", "gets ahead")).unwrap();
    script.run(slow).unwrap();

    let script = Script::new([SLOW]);
    let shared = SingleFlight::new(SingleFlightConfig::default()).unwrap();
    let kv = script.under(shared.clock(script.clock()).store("a"));
    let (mut first, mut second) = (Box::pin(kv.get("a")), Box::pin(kv.get("a")));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    script.run(first).unwrap();
    script.run(second).unwrap();
    assert_eq!(script.calls(), 1);
    kept
}

#[test]
fn every_read_is_counted_once() {
    let (kept, counted) = counted(every_read);
    let told = |name: &str, labels: &[&str]| counted.of(&format!("kv_{name}"), labels);
    assert_eq!(told("near_cache_lookups_total", &["result=hit"]), 1.0);
    assert_eq!(told("near_cache_lookups_total", &["result=miss"]), 2.0);
    assert_eq!(told("near_cache_refused_total", &["store=a"]), 1.0);
    assert_eq!(told("near_cache_removed_total", &["reason=touched"]), 1.0);
    assert_eq!(told("near_cache_removed_total", &[]), 1.0);
    assert_eq!(told("near_cache_live", &["store=a"]), 1.0);
    assert_eq!(told("single_flight_reads_total", &["role=asked"]), 1.0);
    assert_eq!(told("single_flight_reads_total", &["role=joined"]), 1.0);
    drop(kept);
}

fn of_own_writes(script: &Script) -> Kv {
    let config = NearCacheConfig {
        negative_ttl: Duration::from_secs(10),
        invalidate: NearCacheInvalidation::OwnWrites,
        deadlines: NearCacheDeadlines::Bounded,
        ..NearCacheConfig::default()
    };
    let near = NearCache::new(config).unwrap().clock(script.clock());
    script.under(near.store("a"))
}

#[test]
fn what_goes_with_all_others_was_not_touched() {
    let ((), counted) = counted(|| {
        let script = Script::default();
        let kv = of_own_writes(&script);
        for name in ["a", "b", "c"] {
            script.run(kv.get(name)).unwrap();
        }
        script.run(kv.set("a", "touches")).unwrap();
        // Has the cache do what it puts off.
        kv.native::<crate::NearCacheStats>().unwrap();
        script.run(kv.close());
        let stats = kv.native::<crate::NearCacheStats>().unwrap();
        assert_eq!(stats.entries, 0);
    });
    let removed = |reason| counted.of("kv_near_cache_removed_total", &[reason]);
    assert_eq!(removed("reason=touched"), 1.0);
    assert_eq!(removed("reason=cleared"), 2.0);
}

#[test]
fn a_cache_without_a_handle_is_not_live() {
    for (is_dropped, live) in [(false, 1.0), (true, 0.0)] {
        let (_kept, counted) = counted(|| {
            let script = Script::default();
            let kv = of_own_writes(&script);
            script.run(kv.get("a")).unwrap();
            (!is_dropped).then_some(kv)
        });
        assert_eq!(counted.of("kv_near_cache_live", &["store=a"]), live);
    }
}

#[test]
fn a_closed_cache_is_not_live_and_says_what_went_for_want_of_room() {
    let ((), counted) = counted(|| {
        let config = NearCacheConfig {
            max_bytes: 1000,
            negative_ttl: Duration::from_secs(10),
            invalidate: NearCacheInvalidation::OwnWrites,
            deadlines: NearCacheDeadlines::Bounded,
            ..NearCacheConfig::default()
        };
        let script = Script::default();
        let near = NearCache::new(config).unwrap().clock(script.clock());
        let kv = script.under(near.store("a"));
        for name in 0..100 {
            script.run(kv.get(format!("key:{name}"))).unwrap();
        }
        let stats = kv.native::<crate::NearCacheStats>().unwrap();
        assert!(stats.evictions > 80, "{stats:?}");
        script.run(kv.close());
    });
    let room = counted.of("kv_near_cache_removed_total", &["reason=room"]);
    assert!(room > 80.0, "{room}");
    assert_eq!(counted.of("kv_near_cache_live", &[]), 0.0);
}
