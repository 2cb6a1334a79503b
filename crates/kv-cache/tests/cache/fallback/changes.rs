//! What is removed, expired and written, on two stores.

use super::pair::{Mode, Pair, Process};
use crate::{
    SECOND,
    fleet::{Products, SURE, ask, get},
    settle, ttl,
};
use futures_util::FutureExt;
use kv_cache::Freshness;
use kv_core::Result;
use std::sync::Arc;
use tokio::sync::Notify;

/// All that takes away what was there.
#[derive(Clone, Copy, Debug)]
enum Change {
    Remove,
    RemoveTag,
    Clear,
    Set,
    Expire,
    ExpireTag,
    ExpireAll,
}

const ALL: [Change; 7] = [
    Change::Remove,
    Change::RemoveTag,
    Change::Clear,
    Change::Set,
    Change::Expire,
    Change::ExpireTag,
    Change::ExpireAll,
];

impl Change {
    async fn make(self, cache: &Products) -> Result<()> {
        match self {
            Self::Remove => cache.remove("k").await,
            Self::RemoveTag => cache.remove_tag("t").await,
            Self::Clear => cache.clear().await,
            Self::Set => cache.set("k", 9).await,
            Self::Expire => cache.expire("k").await,
            Self::ExpireTag => cache.expire_tag("t").await,
            Self::ExpireAll => cache.expire_all().await,
        }
    }

    fn leaves_stale(self) -> bool {
        matches!(self, Self::Expire | Self::ExpireTag | Self::ExpireAll)
    }
}

/// What a process has that has not asked before, and cannot ask its first store.
async fn there(pair: &Pair) -> Option<Freshness> {
    let other = pair.cut(ttl(600)).await;
    let entry = other.cache.get_entry("k").await;
    entry.ok().flatten().map(|it| it.freshness())
}

/// Processes that could not reach their first store, one of which has loaded.
async fn loaded(pair: &Pair) -> [Process; 2] {
    let [one, other] = [pair.cut(ttl(600)).await, pair.cut(ttl(600)).await];
    get(&one.cache.tagged(["t"]).unwrap(), 1).await;
    one.cache.idle().await;
    assert_eq!(there(pair).await, Some(Freshness::Fresh));
    [one, other]
}

#[tokio::test]
async fn every_change_is_made_on_both() {
    for change in ALL {
        for mode in [Mode::Passes, Mode::Fails, Mode::Loses] {
            let pair = Pair::new();
            let [_one, other] = loaded(&pair).await;
            other.first.set(mode);
            let made = change.make(&other.cache).await;
            // It is the first that answers.
            assert_eq!(made.is_ok(), mode == Mode::Passes, "{change:?} {mode:?}");
            let left = change.leaves_stale().then_some(Freshness::Stale);
            assert_eq!(there(&pair).await, left, "{change:?} {mode:?}");
        }
    }
}

/// Nobody is told; it ends soon.
#[tokio::test]
async fn a_second_that_fails_fails_no_change() {
    for change in ALL {
        let pair = Pair::new();
        let [_one, other] = loaded(&pair).await;
        other.first.set(Mode::Passes);
        other.second.set(Mode::Fails);
        change.make(&other.cache).await.unwrap();
        assert_eq!(other.cache.stats().fallback_errors, 1, "{change:?}");
        assert_eq!(there(&pair).await, Some(Freshness::Fresh), "{change:?}");
    }
}

#[tokio::test]
async fn a_removal_wins_over_a_load_that_began_before() {
    for change in [
        Change::Remove,
        Change::RemoveTag,
        Change::Clear,
        Change::Set,
    ] {
        let pair = Pair::new();
        let [one, other] = [pair.cut(ttl(600)).await, pair.cut(ttl(600)).await];
        let gate = Arc::new(Notify::new());
        let asking = ask(&one.cache.tagged(["t"]).unwrap(), &gate, 1);
        settle().await;
        change.make(&other.cache).await.unwrap_err();
        gate.notify_one();
        assert_eq!(asking.await.unwrap().unwrap(), 1);
        one.cache.idle().await;
        assert_eq!(there(&pair).await, None, "{change:?}");
        assert_eq!(get(&other.cache, 2).await, 2, "{change:?}");
    }
}

/// Also what came from the second store, and though neither has taken it.
#[tokio::test]
async fn nothing_is_left_here_of_what_was_removed_here() {
    for change in ALL {
        let pair = Pair::new();
        let [one, other] = loaded(&pair).await;
        assert_eq!(get(&other.cache, 2).await, 1, "{change:?}");
        for process in [&one, &other] {
            process.second.set(Mode::Fails);
            change.make(&process.cache).await.unwrap_err();
            if change.leaves_stale() {
                let fresh = process.cache.get("k").await;
                assert_eq!(fresh.unwrap(), None, "{change:?}");
                continue;
            }
            assert_eq!(get(&process.cache, 3).await, 3, "{change:?}");
        }
    }
    let pair = Pair::new();
    let [one, _] = loaded(&pair).await;
    one.cache.clear_near().unwrap();
    assert_eq!(get(&one.cache, 2).await, 1);
    assert_eq!(one.cache.stats().fallback_hits, 1, "it is asked for");
}

/// Others have what they have from there for as long as they trust anything.
#[tokio::test]
async fn others_see_a_removal_there_when_they_ask_again() {
    for change in [Change::Remove, Change::RemoveTag, Change::Clear] {
        let pair = Pair::new();
        let [one, other] = loaded(&pair).await;
        assert_eq!(get(&other.cache, 2).await, 1);
        change.make(&one.cache).await.unwrap_err();
        pair.fleet.clock.advance(SURE);
        assert_eq!(get(&other.cache, 2).await, 2, "{change:?}");
    }
}

/// The first may be in trouble for long, so the second is not left for when it answers.
#[tokio::test]
async fn a_change_that_is_dropped_is_made_there_at_once() {
    for change in ALL {
        let pair = Pair::new();
        let [_one, other] = loaded(&pair).await;
        other.first.set(Mode::Hangs);
        other.second.set(Mode::Hangs);
        let made = change.make(&other.cache).now_or_never();
        assert!(made.is_none(), "{change:?}");
        other.second.set(Mode::Passes);
        // The write that was dropped is a removal, and the others what they were.
        settle().await;
        let left = change.leaves_stale().then_some(Freshness::Stale);
        assert_eq!(there(&pair).await, left, "{change:?}");
    }
}

/// Before it is made there.
#[tokio::test]
async fn what_is_read_from_there_meanwhile_goes_as_well() {
    let pair = Pair::new();
    let [_one, other] = loaded(&pair).await;
    for wire in [&other.first, &other.second] {
        wire.set(Mode::Hangs);
    }
    assert!(other.cache.remove("k").now_or_never().is_none());
    other.first.set(Mode::Fails);
    other.second.set(Mode::Passes);
    let read = other.cache.get("k").now_or_never();
    assert_eq!(read.unwrap().unwrap().as_deref(), Some(&1));
    settle().await;
    assert!(other.cache.get("k").await.is_err(), "it is nowhere");
}

/// What the loader confirms is from the first store, with its tags.
#[tokio::test]
async fn what_has_not_changed_has_its_tags_there_too() {
    let pair = Pair::new();
    let [one, other] = [pair.process(ttl(600)).await, pair.cut(ttl(600)).await];
    get(&one.cache.tagged(["t"]).unwrap(), 1).await;
    one.cache.idle().await;
    one.first.set(Mode::Fails);
    pair.fleet.clock.advance(SURE);
    let confirmed = one.cache.get_or_load("k", |context| async move {
        let stale = context.stale().ok_or("nothing is here")?;
        Ok::<_, &str>(stale.not_modified())
    });
    assert_eq!(*confirmed.await.unwrap(), 1);
    one.cache.idle().await;
    assert_eq!(get(&other.cache, 2).await, 1);
    one.cache.remove_tag("t").await.unwrap_err();
    pair.fleet.clock.advance(SURE);
    assert_eq!(get(&other.cache, 2).await, 2);
}

#[tokio::test]
async fn what_is_tried_again_is_tried_on_both() {
    for change in ALL {
        let pair = Pair::new();
        let [_one, other] = loaded(&pair).await;
        other.second.set(Mode::Fails);
        change.make(&other.cache).await.unwrap_err();
        assert_eq!(there(&pair).await, Some(Freshness::Fresh), "{change:?}");
        other.first.set(Mode::Passes);
        other.second.set(Mode::Passes);
        pair.fleet.pass(SECOND).await;
        assert_eq!(other.cache.stats().tried_again, 1);
        let left = change.leaves_stale().then_some(Freshness::Stale);
        assert_eq!(there(&pair).await, left, "{change:?}");
    }
}

/// A loader that says that there is nothing any more.
#[tokio::test]
async fn what_is_gone_is_removed_from_both() {
    for mode in [Mode::Passes, Mode::Fails] {
        let pair = Pair::new();
        let [_one, _other] = loaded(&pair).await;
        let one = pair.process(ttl(600)).await;
        assert_eq!(get(&one.cache, 2).await, 2);
        one.cache.idle().await;
        one.first.set(mode);
        let gone = one
            .cache
            .refresh("k", |_| async { Ok::<_, &'static str>(None::<u32>) });
        assert_eq!(gone.await.unwrap(), None);
        one.cache.idle().await;
        assert_eq!(there(&pair).await, None, "{mode:?}");
        one.first.set(Mode::Passes);
        pair.fleet.pass(SECOND).await;
        let tried = u64::from(mode == Mode::Fails);
        assert_eq!(one.cache.stats().tried_again, tried, "{mode:?}");
        let other = pair.fleet.process(ttl(600)).await;
        assert_eq!(other.get("k").await.unwrap(), None, "{mode:?}");
    }
}
