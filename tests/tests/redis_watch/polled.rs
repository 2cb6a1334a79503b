//! A user whom the server does not permit to have changes pushed.

use crate::site::Site;
use futures_util::StreamExt;
use kv_core::{
    Capability, ErrorKind, Event, Events, Kv, Lifetime, SetOptions, Stopwatch, Timestamp, Ttl,
};
use kv_tests::{
    patience::{PATIENCE, pause, until},
    watching::{channels, delete, keys, message, next, next_is, nothing_but, put, ranges},
};
use std::{collections::HashMap, time::Duration};
use tokio::time::timeout;

pub(crate) const RULES: &str = "~* &* +@all -client|tracking";

pub(crate) fn ttl(millis: u64) -> SetOptions {
    Ttl::In(Lifetime::new(Duration::from_millis(millis)).unwrap()).into()
}

#[tokio::test]
async fn a_user_without_tracking_polls() {
    let site = Site::start().await;
    let kv = site.user("~* &open +@all -client|tracking").await;
    assert!(site.kv.capabilities().has(Capability::PushedChanges));
    assert!(!kv.capabilities().has(Capability::PushedChanges));
    assert!(kv.capabilities().has(Capability::Watch));

    let mut events = kv.watch(keys(["k", "h"])).await.unwrap();
    let events = &mut events;
    site.other.set("k", "a").await.unwrap();
    assert_eq!(next(events).await, put("k", Some("a")));
    site.other.set("k", "b").await.unwrap();
    assert_eq!(next(events).await, put("k", Some("b")));
    site.other.hset("h", "f", "1").await.unwrap();
    assert_eq!(next(events).await, put("h", None));
    site.other.hset("h", "f", "2").await.unwrap();
    assert_eq!(next(events).await, put("h", None));
    site.other.delete("k").await.unwrap();
    assert_eq!(next(events).await, delete("k"));
    let ttl = Ttl::In(Lifetime::new(Duration::from_secs(3)).unwrap());
    site.other
        .set_with("k", "c", SetOptions::from(ttl))
        .await
        .unwrap();
    assert_eq!(next(events).await, put("k", Some("c")));
    assert_eq!(next(events).await, delete("k"));
    nothing_but(events, &site.other, "k").await;

    // Channels do not need tracking, but a permission.
    let mut open = kv.watch(channels(["open"])).await.unwrap();
    site.other.notify("open", "m").await.unwrap();
    assert_eq!(next(&mut open).await, message("open", "m"));
    let denied = kv.watch(channels(["shut"])).await.err().unwrap();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    nothing_but(events, &site.other, "k").await;
    drop(open);
    until("the channel is left", async || {
        let told: (String, u64) = site.ask("PUBSUB NUMSUB open").await;
        told.1 == 0
    })
    .await;
}

#[tokio::test]
async fn a_range_is_polled() {
    let site = Site::start().await;
    site.other.set("r:old", "v").await.unwrap();
    let kv = site.user(RULES).await;
    assert!(!kv.capabilities().has(Capability::PushedChanges));
    let mut events = joined(&kv, ["r:"]).await;
    let events = &mut events;
    let other = &site.other;
    for sibling in ["r", "ra:1", "b:r:", "{r:x}"] {
        other.set(sibling, "v").await.unwrap();
    }
    other.set("r:1", "v").await.unwrap();
    assert_eq!(next(events).await, put("r:1", None));
    other.set("r:1", "w").await.unwrap();
    assert_eq!(next(events).await, put("r:1", None));
    other.set("r:old", "w").await.unwrap();
    assert_eq!(next(events).await, put("r:old", None));
    for key in ["r:1", "r:old"] {
        other.delete(key).await.unwrap();
        assert_eq!(next(events).await, delete(key));
    }
    // It comes again, as it was.
    other.set("r:1", "w").await.unwrap();
    assert_eq!(next(events).await, put("r:1", None));
    other.delete("r:1").await.unwrap();
    assert_eq!(next(events).await, delete("r:1"));
    other.hset("r:h", "f", "1").await.unwrap();
    assert_eq!(next(events).await, put("r:h", None));
    other.hset("r:h", "f", "2").await.unwrap();
    assert_eq!(next(events).await, put("r:h", None));
    other.zadd("r:z", [("m", 1)]).await.unwrap();
    assert_eq!(next(events).await, put("r:z", None));
    other.zadd("r:z", [("m", 2)]).await.unwrap();
    assert_eq!(next(events).await, put("r:z", None));
    other
        .expire("r:z", Lifetime::new(Duration::from_secs(3600)).unwrap())
        .await
        .unwrap();
    assert_eq!(next(events).await, put("r:z", None));
    other.hdel("r:h", ["f"]).await.unwrap();
    assert_eq!(next(events).await, delete("r:h"));
    nothing_but(events, other, "r:").await;
}

/// Longer than any machine is busy; a round of looks takes a second or so.
const LATE: Duration = Duration::from_secs(20);

/// Looks at a key all the time; when it was gone, and how long a look took at most.
async fn seen_to_end(kv: &Kv, key: &str) -> (Timestamp, Duration) {
    let mut slowest = Duration::ZERO;
    loop {
        let look = Stopwatch::start();
        let there = kv.exists(key).await.unwrap();
        let now = kv.now().await.unwrap();
        pause(Duration::from_millis(5)).await;
        slowest = slowest.max(look.elapsed());
        if !there {
            return (now, slowest);
        }
    }
}

#[tokio::test]
async fn the_end_of_a_key_in_a_polled_range_is_told_in_time() {
    let site = Site::start().await;
    let kv = site.user(RULES).await;
    let begun = site.other.now().await.unwrap();
    site.other
        .set_with("r:before", "v", ttl(4000))
        .await
        .unwrap();
    let mut events = joined(&kv, ["r:"]).await;
    // On a slow machine it can have ended before it was looked at.
    let life = Duration::from_secs(4);
    if site.other.now().await.unwrap() < begun.saturating_add(life) {
        assert_eq!(next(&mut events).await, delete("r:before"));
    }
    for _ in 0..3 {
        site.other.set_with("r:k", "v", ttl(4000)).await.unwrap();
        let written = site.other.now().await.unwrap();
        next_is(&mut events, &put("r:k", None)).await;
        let told = async {
            assert_eq!(next(&mut events).await, delete("r:k"));
            site.other.now().await.unwrap()
        };
        let (told, (gone, slowest)) = tokio::join!(told, seen_to_end(&site.other, "r:k"));
        let span = told.saturating_since(written);
        assert!(span >= Duration::from_millis(3990), "{span:?}: early");
        // Beside somebody who looks all the time on the same machine.
        let late = told.saturating_since(gone);
        println!("told {span:?} after a write for 4 s, late by {late:?}; a look took {slowest:?}");
        assert!(late < LATE, "{late:?}: late");
    }
    nothing_but(&mut events, &site.other, "r:k").await;
}

#[tokio::test]
async fn polled_ranges_may_overlap_come_and_go() {
    let site = Site::start().await;
    let kv = site.user(RULES).await;
    for key in ["a:b:1", "a:1", "c:1", "[*]1", "*"] {
        site.other.set(key, "v").await.unwrap();
    }
    let mut inner = joined(&kv, ["a:b:"]).await;
    let mut odd = joined(&kv, ["[*]"]).await;
    nothing_but(&mut inner, &site.other, "a:b:1").await;
    nothing_but(&mut odd, &site.other, "[*]1").await;
    let mut outer = joined(&kv, ["a:", "c:"]).await;
    assert_eq!(next(&mut inner).await, Event::Resync);
    assert_eq!(next(&mut odd).await, Event::Resync);
    nothing_but(&mut outer, &site.other, "a:1").await;
    nothing_but(&mut outer, &site.other, "c:1").await;
    site.other.delete("a:b:1").await.unwrap();
    assert_eq!(next(&mut outer).await, delete("a:b:1"));
    assert_eq!(next(&mut inner).await, delete("a:b:1"));
    drop(outer);
    assert_eq!(next(&mut inner).await, Event::Resync);
    nothing_but(&mut inner, &site.other, "a:b:2").await;
    // The whole store.
    let mut all = joined(&kv, [""]).await;
    nothing_but(&mut all, &site.other, "anything").await;
    site.other.delete("c:1").await.unwrap();
    assert_eq!(next(&mut all).await, delete("c:1"));
}

#[tokio::test]
async fn a_mirror_of_a_polled_range_ends_equal() {
    let site = Site::start().await;
    let kv = site.user(RULES).await;
    let mut events = joined(&kv, ["m:"]).await;
    let write = async {
        for step in 0..3000 {
            let key = format!("m:{}", fastrand::u32(..50));
            match step % 3 {
                0 => drop(site.other.delete(&key).await.unwrap()),
                _ => site.other.set(&key, step.to_string()).await.unwrap(),
            }
            if step % 100 == 0 {
                pause(Duration::from_millis(30)).await;
            }
        }
    };
    let mut mirror = HashMap::new();
    let mut apply = |event| match event {
        Event::Put { key, .. } => drop(mirror.insert(key, true)),
        Event::Delete { key } => drop(mirror.insert(key, false)),
        event => panic!("{event:?}"),
    };
    tokio::pin!(write);
    loop {
        tokio::select! {
            () = &mut write => break,
            event = events.next() => apply(event.unwrap().unwrap()),
        }
    }
    // A round that began behind the last write tells this.
    for end in ["m:end", "m:end of the next round"] {
        site.other.set(end, "v").await.unwrap();
        let told = async {
            loop {
                let event = next(&mut events).await;
                let is_end = event == put(end, None);
                apply(event);
                if is_end {
                    break;
                }
            }
        };
        timeout(PATIENCE, told).await.unwrap();
    }
    assert!(mirror.len() > 40);
    for (key, there) in mirror {
        assert_eq!(site.other.exists(&key).await.unwrap(), there, "{key}");
    }
}

#[tokio::test]
async fn five_thousand_keys_are_polled_gently() {
    let site = Site::start().await;
    let kv = site.user(RULES).await;
    fill(&site.other, 5000, "v").await;
    let mut events = joined(&kv, ["r:"]).await;
    let (commands, cpu) = (site.commands().await, site.cpu().await);
    pause(Duration::from_secs(4)).await;
    let (in_4_s, cpu) = (site.commands().await - commands, site.cpu().await - cpu);
    println!(
        "5,000 idle keys: {} commands and {:.1} % of a core",
        in_4_s / 4,
        cpu / 4.0 * 100.0
    );
    // On a loaded machine the rest behind the first round may be longer than that.
    until("another round", async || {
        site.commands().await - commands > 10_000
    })
    .await;
    nothing_but(&mut events, &site.other, "r:4321").await;
    site.other.delete("r:1234").await.unwrap();
    assert_eq!(next(&mut events).await, delete("r:1234"));
    nothing_but(&mut events, &site.other, "r:1").await;
    // More changes than wait for a receiver.
    fill(&site.other, 5000, "w").await;
    let mut told = 0;
    loop {
        match next(&mut events).await {
            Event::Put { .. } => told += 1,
            Event::Resync => break,
            event => panic!("{event:?}"),
        }
        if told == 5000 {
            break;
        }
    }
    site.other.set("r:end", "v").await.unwrap();
    next_is(&mut events, &put("r:end", None)).await;
}

/// Watches ranges, until all that is in them is known.
pub(crate) async fn joined<const N: usize>(kv: &Kv, names: [&str; N]) -> Events {
    let mut events = kv.watch(ranges(names)).await.unwrap();
    assert_eq!(next(&mut events).await, Event::Resync);
    events
}

/// Why a stream ends.
async fn end(events: &mut Events) -> ErrorKind {
    let ended = async {
        loop {
            if let Err(error) = events.next().await.unwrap() {
                return error.kind();
            }
        }
    };
    timeout(PATIENCE, ended).await.unwrap()
}

pub(crate) async fn fill(kv: &Kv, count: u32, value: &'static str) {
    let items = (0..count).map(|it| (format!("r:{it}"), value));
    kv.set_many(items).await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_of_a_polled_range_says_resync() {
    let site = Site::start().await;
    let kv = site.user(RULES).await;
    let mut events = joined(&kv, ["r:"]).await;
    let _: u64 = site.ask("CLIENT KILL USER ann").await;
    // Once when it is restored, and once when all keys were looked at.
    assert_eq!(next(&mut events).await, Event::Resync);
    assert_eq!(next(&mut events).await, Event::Resync);
    nothing_but(&mut events, &site.other, "r:1").await;
}

#[tokio::test]
async fn who_may_not_list_keys_is_refused_ranges_and_told_when_it_comes_to_that() {
    let site = Site::start().await;
    let kv = site.user(RULES).await;
    let mut events = kv.watch(ranges(["r:"])).await.unwrap();
    let mut key = kv.watch(keys(["k"])).await.unwrap();
    let () = site.ask("ACL SETUSER ann -scan").await;
    assert_eq!(end(&mut events).await, ErrorKind::Denied);
    let denied = kv.watch(ranges(["r:", "s:"])).await.err().unwrap();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    // Nobody else is concerned, and what is permitted again works.
    nothing_but(&mut key, &site.other, "k").await;
    let () = site.ask("ACL SETUSER ann +scan").await;
    let mut again = joined(&kv, ["s:"]).await;
    nothing_but(&mut again, &site.other, "s:1").await;
    // So for a key.
    let () = site.ask("ACL SETUSER ann resetkeys ~s:*").await;
    assert_eq!(end(&mut key).await, ErrorKind::Denied);
    nothing_but(&mut again, &site.other, "s:2").await;
}
