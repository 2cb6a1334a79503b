//! Case 142 with a real store: what another process writes, and what is told when the connection that
//! tells of it is cut.

use crate::site::{Backend, Site, bounded, on_each_server, recovers};
use kv_conformance::proxy::Mode;
use kv_core::{Kv, Stopwatch, Value};
use kv_tests::patience::{pause, until};
use kv_wrappers::{NearCache, NearCacheConfig, NearCacheState, NearCacheStats};
use std::time::Duration;

on_each_server! {
    case_142_what_another_process_writes_is_read_once_it_was_told
    case_142_a_cut_watch_is_made_up_for
    case_142_while_nothing_is_told_no_answer_is_older_than_max_ttl
}

const HOUR: Duration = Duration::from_secs(3600);

async fn near<S: Backend>(site: &Site<S>, max_ttl: Duration) -> Kv {
    let mut config = NearCacheConfig::default();
    config.max_ttl = max_ttl;
    config.negative_ttl = max_ttl;
    let kv = site.layered(NearCache::new(config).unwrap()).await;
    is_live(&kv).await;
    kv
}

async fn is_live(kv: &Kv) {
    until("the near cache is live", async || {
        let _ = bounded("a first read", kv.get("first")).await;
        stats(kv).state == NearCacheState::Live
    })
    .await;
}

fn stats(kv: &Kv) -> NearCacheStats {
    kv.native().unwrap()
}

/// Reads until the answer comes from memory.
async fn keep(kv: &Kv, key: &str) -> Option<Value> {
    let mut value = None;
    until("the value is kept", async || {
        let before = stats(kv).hits;
        value = kv.get(key).await.unwrap();
        stats(kv).hits > before
    })
    .await;
    value
}

async fn shows(kv: &Kv, key: &str, wanted: Option<&str>) {
    until("the change shows", async || {
        let read = bounded("a read", kv.get(key)).await;
        read.is_ok_and(|it| it == wanted.map(Value::from))
    })
    .await;
}

async fn case_142_what_another_process_writes_is_read_once_it_was_told<S: Backend>() {
    let site = Site::<S>::start().await;
    let near = near(&site, HOUR).await;
    let direct = &site.direct;
    for round in 0..20 {
        let value = format!("value {round}");
        direct.set("a", &value).await.unwrap();
        shows(&near, "a", Some(&value)).await;
        keep(&near, "a").await;
        direct.delete("a").await.unwrap();
        shows(&near, "a", None).await;
        keep(&near, "a").await;
        direct.increment("a", round).await.unwrap();
        shows(&near, "a", Some(&round.to_string())).await;
        keep(&near, "a").await;
        direct.clear_prefixes("a").await.unwrap();
        shows(&near, "a", None).await;
        keep(&near, "a").await;
    }
    // A deadline that somebody else gives, and the end that comes of it.
    direct.set("a", "short").await.unwrap();
    shows(&near, "a", Some("short")).await;
    keep(&near, "a").await;
    let half = Duration::from_millis(500);
    direct.expire("a", half).await.unwrap();
    shows(&near, "a", None).await;
    near.close().await;
}

async fn case_142_a_cut_watch_is_made_up_for<S: Backend>() {
    let site = Site::<S>::start().await;
    let near = near(&site, HOUR).await;
    for round in 0..5 {
        let value = format!("value {round}");
        keep(&near, "a").await;
        let before = site.proxy.counts().reset;
        site.proxy.set(Mode::Reset);
        site.direct.set("a", &value).await.unwrap();
        site.proxy.set(Mode::Pass);
        // Kept for an hour, had nothing been told.
        shows(&near, "a", Some(&value)).await;
        assert!(site.proxy.counts().reset > before);
        recovers(&near).await;
    }
    near.close().await;
}

const MOST: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;

/// Writes under a fault, of which nothing is told then; how often the old value was read after that,
/// always before it was too old.
async fn stale_reads<S: Backend>(
    site: &Site<S>,
    near: &Kv,
    mode: Mode,
    (old, new): (&str, &str),
) -> usize {
    site.direct.set("a", old).await.unwrap();
    shows(near, "a", Some(old)).await;
    keep(near, "a").await;
    site.proxy.set(mode);
    let since = Stopwatch::start();
    site.direct.set("a", new).await.unwrap();
    let written = since.elapsed();
    let mut stale = 0;
    while since.elapsed() < written + MOST + Duration::from_secs(1) {
        let began = since.elapsed();
        let read = bounded("a read", near.get("a")).await;
        if read.is_ok_and(|it| it == Some(old.into())) {
            assert!(
                began <= written + MOST,
                "{mode:?}: the value before {:?} after the write",
                began - written
            );
            stale += 1;
        }
        pause(Duration::from_millis(2)).await;
    }
    site.proxy.set(Mode::Pass);
    shows(near, "a", Some(new)).await;
    recovers(near).await;
    is_live(near).await;
    stale
}

async fn case_142_while_nothing_is_told_no_answer_is_older_than_max_ttl<S: Backend>() {
    let site = Site::<S>::start().await;
    let near = near(&site, MOST).await;
    for mode in [Mode::BlackHole, Mode::HalfOpen, Mode::Refuse] {
        let mut stale = 0;
        for round in 0..ROUNDS {
            let values = (format!("old {round}"), format!("new {round}"));
            stale += stale_reads(&site, &near, mode, (&values.0, &values.1)).await;
            // What told of the old value may come late and have it forgotten before it could be read
            // again. With the connection refused only to those who come anew, the old ones tell.
            if stale > 0 || mode == Mode::Refuse {
                break;
            }
        }
        assert!(stale > 0 || mode == Mode::Refuse, "{mode:?} was no fault");
    }
    near.close().await;
}
