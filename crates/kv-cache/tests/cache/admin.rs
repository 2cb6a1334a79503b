//! What operators see of a cache, and do to it.

use crate::{SECOND, fleet::Fleet, settle, ttl};
use kv_cache::{
    Cache, CacheAdmin, CacheSettings, EntryState, EnvelopeFault, EnvelopeInfo, StoredEntry,
    TagState, Tier,
};
use kv_core::{Kv, VirtualClock};
use std::{convert::Infallible, sync::Arc, time::Duration};

/// A store whose time is moved by hand, a cache on it, and what operators see.
struct Site {
    clock: VirtualClock,
    kv: Kv,
    cache: Cache<str, u32>,
    admin: CacheAdmin,
}

impl Site {
    async fn new() -> Self {
        let fleet = Fleet::new();
        let kv = fleet.kv().await;
        let policy = ttl(10).stale(SECOND * 20).negative(SECOND * 5);
        let cache = Cache::builder("a:b").far(&kv).policy(policy);
        let cache = cache.clock(Arc::new(fleet.clock.clone())).build();
        Self {
            clock: fleet.clock,
            cache: cache.unwrap(),
            admin: admin("a:b", &kv),
            kv,
        }
    }

    async fn stored(&self, key: &str) -> StoredEntry {
        let entry = self.admin.inspect(key).await.unwrap().unwrap();
        entry.stored.unwrap()
    }

    async fn envelope(&self, key: &str) -> EnvelopeInfo {
        self.stored(key).await.envelope.unwrap()
    }
}

/// With all the time that a busy machine takes.
fn admin(name: &str, kv: &Kv) -> CacheAdmin {
    let mut settings = CacheSettings::default();
    settings.deadline = SECOND * 60;
    CacheAdmin::new(name, kv, &settings).unwrap()
}

#[tokio::test]
async fn an_entry_is_told_as_it_lies_there() {
    let site = Site::new().await;
    assert_eq!(site.admin.inspect("k").await.unwrap(), None);
    site.cache.set("k", 42).await.unwrap();
    site.clock.advance(SECOND * 4);
    let seen = site.admin.inspect("k").await.unwrap().unwrap();
    assert_eq!((&seen.key[..], seen.loading), (&b"k"[..], None));
    assert_eq!(site.stored("k").await.left, Some(SECOND * 26));
    let first = site.envelope("k").await;
    assert_eq!(
        (first.age, first.state, first.fresh_for),
        (SECOND * 4, EntryState::Fresh, SECOND * 6)
    );
    assert_eq!(first.payload.as_deref(), Some(&b"42"[..]));
    assert!(!format!("{first:?}").contains("42"));

    site.clock.advance(SECOND * 6);
    let stale = site.envelope("k").await;
    assert_eq!(
        (stale.state, stale.fresh_for),
        (EntryState::Stale, Duration::ZERO)
    );
    site.cache.set("k", 43).await.unwrap();
    assert!(site.envelope("k").await.version > first.version);
    site.clock.advance(SECOND * 30);
    assert_eq!(site.admin.inspect("k").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_is_remembered_not_to_be() {
    let site = Site::new().await;
    let nothing = async |_| Ok::<_, Infallible>(None::<u32>);
    let found = site.cache.find_or_load("k", nothing).await;
    assert_eq!(found.unwrap(), None);
    site.cache.idle().await;
    assert_eq!(site.stored("k").await.left, Some(SECOND * 5));
    assert_eq!(site.envelope("k").await.payload, None);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_the_reason() {
    let site = Site::new().await;
    for (bytes, fault) in [
        (&b"junk"[..], EnvelopeFault::Damaged),
        (b"\xca\x02", EnvelopeFault::Newer),
    ] {
        site.kv.set("{cache:a%3Ab:k}:data", bytes).await.unwrap();
        let stored = site.stored("k").await;
        assert_eq!((stored.envelope, stored.left), (Err(fault), None));
    }
    // The store's word of one.
    let wrong = "{cache:a%3Ab:wrong}:data";
    site.kv.hset(wrong, "f", "1").await.unwrap();
    assert!(site.admin.inspect("wrong").await.is_err());
}

#[tokio::test]
async fn what_has_become_of_its_tags_is_told_of_each() {
    let site = Site::new().await;
    let tagged = site.cache.tagged(["a", "b", "c"]).unwrap();
    tagged.set("k", 1).await.unwrap();
    // It listens.
    settle().await;
    let (holds, expired, removed) = (TagState::Holds, TagState::Expired, TagState::Removed);
    let told = async || {
        let envelope = site.envelope("k").await;
        let tags: Vec<_> = envelope.tags.iter().map(|it| it.state).collect();
        (envelope.state, envelope.of_all, tags)
    };
    let fresh = (EntryState::Fresh, holds, vec![holds; 3]);
    assert_eq!(told().await, fresh);
    site.cache.expire_tag("b").await.unwrap();
    let stale = (EntryState::Stale, holds, vec![holds, expired, holds]);
    assert_eq!(told().await, stale);
    site.admin.remove_tag("c").await.unwrap();
    let gone = (EntryState::Removed, holds, vec![holds, expired, removed]);
    assert_eq!(told().await, gone);

    // Until it has heard of it a program writes by what it knew.
    settle().await;
    tagged.set("k", 2).await.unwrap();
    assert_eq!(told().await, fresh);
    site.admin.expire_all().await.unwrap();
    assert_eq!(told().await, (EntryState::Stale, expired, vec![holds; 3]));
    site.cache.clear().await.unwrap();
    assert_eq!(told().await, (EntryState::Removed, removed, vec![holds; 3]));
}

/// It stays stale for as long as it can be there, whatever policy its programs have.
#[tokio::test]
async fn what_is_expired_stays_so() {
    let site = Site::new().await;
    let day = SECOND * 24 * 3600;
    site.cache.set_for("k", 1, day * 20).await.unwrap();
    site.admin.expire("k").await.unwrap();
    site.clock.advance(day * 19);
    assert_eq!(site.envelope("k").await.state, EntryState::Stale);
}

#[tokio::test]
async fn entries_are_listed_once_by_the_names_that_callers_write() {
    let site = Site::new().await;
    let first = site.admin.list(500, None).await.unwrap();
    assert!(first.entries.is_empty() && first.next.is_none());
    let bytes: Cache<[u8], u32> = Cache::builder("a:b").far(&site.kv).build().unwrap();
    let mut names = [
        &b"plain"[..],
        b"x}:y%7D",
        b"\xff{",
        b"",
        b"7:data",
        b"being loaded",
    ];
    for name in &names[..5] {
        bytes.set(name, 1).await.unwrap();
    }
    // Of other caches.
    for other in ["a", "a:b:plain", "a:bc"] {
        let other: Cache<str, u32> = Cache::builder(other).far(&site.kv).build().unwrap();
        other.set("other", 1).await.unwrap();
    }
    // With a mark, with a record of versions alone, and being loaded, also anew.
    site.admin.expire("plain").await.unwrap();
    site.admin.remove("gone").await.unwrap();
    for loading in ["7:data", "being loaded"] {
        let lease = format!("{{cache:a%3Ab:{loading}}}:lease");
        site.kv.set(lease, "x").await.unwrap();
    }
    let wrong = "{cache:a%3Ab:wrong}:data";
    site.kv.hset(wrong, "f", "1").await.unwrap();
    // Page by page.
    let (mut found, mut wrong, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = site.admin.list(1, after.as_ref()).await.unwrap();
        assert!(page.entries.len() + page.unreadable.len() <= 1);
        found.extend(page.entries.into_iter().map(|it| it.key.to_vec()));
        wrong.extend(page.unreadable.into_iter().map(|it| it.key.to_vec()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.sort_unstable();
    names.sort_unstable();
    assert_eq!(found, names);
    assert_eq!(wrong, [b"wrong"]);
}

#[tokio::test]
async fn other_processes_are_told() {
    let fleet = Fleet::new();
    let other = fleet.process(ttl(600).stale(SECOND * 600)).await;
    other.set("k", 1).await.unwrap();
    // It listens.
    settle().await;
    let admin = admin("c", &fleet.kv().await);
    admin.expire("k").await.unwrap();
    settle().await;
    let entry = other.get_entry("k").await.unwrap().unwrap();
    assert_eq!(entry.tier(), Tier::Near);
    assert_eq!(entry.freshness(), kv_cache::Freshness::Stale);
    admin.remove("k").await.unwrap();
    settle().await;
    assert_eq!((other.stats().heard, other.near_size().0), (2, 0));
}
