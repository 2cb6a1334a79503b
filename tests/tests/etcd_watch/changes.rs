//! What is told of keys, ranges and channels.

use crate::site::Site;
use etcd_client::DeleteOptions;
use kv_core::Event;
use kv_tests::{
    patience::until,
    watching::{channels, delete, keys, message, next, next_is, nothing_but, put, ranges},
};
use tokio::task::JoinSet;

#[tokio::test]
async fn keys_and_ranges_tell_strings_with_their_values() {
    let site = Site::start().await;
    for watch in [keys(["k", "\0k"]), ranges(["k", "\0"]), ranges([""])] {
        site.other.set("k", "before").await.unwrap();
        let mut events = site.kv.watch(watch).await.unwrap();
        site.other.set("j", "other").await.unwrap();
        site.other.set("k", "1").await.unwrap();
        assert_eq!(told(&mut events).await, put("k", Some("1")));
        site.other.delete("k").await.unwrap();
        assert_eq!(told(&mut events).await, delete("k"));
        site.other.set("\0k", "2").await.unwrap();
        assert_eq!(told(&mut events).await, put("\0k", Some("2")));
        site.other.delete("\0k").await.unwrap();
        assert_eq!(told(&mut events).await, delete("\0k"));
        // What comes while nobody reads is told as one.
        for round in 0..50 {
            site.other.set("k", round.to_string()).await.unwrap();
        }
        next_is(&mut events, &put("k", Some("49"))).await;
    }
}

/// The next event that is not of a key which only some of them watch.
async fn told(events: &mut kv_core::Events) -> Event {
    loop {
        let event = next(events).await;
        if event != put("j", Some("other")) {
            return event;
        }
    }
}

/// Watchers of one store may be on several runtimes, as those of some web servers are.
#[tokio::test]
async fn the_first_watcher_may_end_with_its_runtime() {
    let site = Site::start().await;
    let kv = site.kv.clone();
    let (stop, stopped) = std::sync::mpsc::channel();
    let (told_live, live) = tokio::sync::oneshot::channel();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let _events = kv.watch(keys(["first"])).await.unwrap();
            told_live.send(()).unwrap();
            // All of it stands still, and then ends.
            stopped.recv().unwrap();
        });
    });
    live.await.unwrap();
    let mut events = site.kv.watch(keys(["second"])).await.unwrap();
    site.other.set("second", "1").await.unwrap();
    assert_eq!(told(&mut events).await, put("second", Some("1")));
    stop.send(()).unwrap();
    elsewhere.join().unwrap();
    site.other.set("second", "2").await.unwrap();
    assert_eq!(told(&mut events).await, put("second", Some("2")));
}

#[tokio::test]
async fn a_structure_tells_without_a_value_and_ends_with_its_last_element() {
    let site = Site::start().await;
    let mut key = site.kv.watch(keys(["h"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["h"])).await.unwrap();
    for events in [&mut key, &mut range] {
        let there = put("h", None);
        site.write_field("h", "f").await;
        // The second watcher may have the end of the first round before it.
        next_is(events, &there).await;
        site.write_field("h", "g").await;
        assert_eq!(next_is(events, &there).await, []);
        site.delete_field("h", "f").await;
        next_is(events, &there).await;
        site.delete_field("h", "g").await;
        let before = next_is(events, &delete("h")).await;
        assert!(before.iter().all(|it| *it == there), "{before:?}");
        nothing_but(events, &site.other, "h").await;
        site.other.delete("h").await.unwrap();
        assert_eq!(next(events).await, delete("h"));
    }
}

#[tokio::test]
async fn a_structure_comes_to_light_when_the_string_above_it_is_deleted() {
    let site = Site::start().await;
    site.write_field("k", "f").await;
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["k"])).await.unwrap();
    let mut raw = site.raw.clone();
    raw.put("k", "v", None).await.unwrap();
    for events in [&mut key, &mut range] {
        assert_eq!(next(events).await, put("k", Some("v")));
    }
    raw.delete("k", None).await.unwrap();
    for events in [&mut key, &mut range] {
        assert_eq!(next(events).await, put("k", None));
    }
    // All of it at once.
    let all = DeleteOptions::new().with_range([0xff]);
    raw.delete([0], Some(all)).await.unwrap();
    for events in [&mut key, &mut range] {
        assert_eq!(next(events).await, delete("k"));
    }
}

#[tokio::test]
async fn messages_come_all_and_in_order() {
    let site = Site::start().await;
    let mut one = site.kv.watch(channels(["{g}c"])).await.unwrap();
    let mut both = site.kv.watch(channels(["{g}c", "{g}d"])).await.unwrap();
    site.other.notify("{g}d", "first").await.unwrap();
    for number in 0..200 {
        let text = number.to_string();
        site.other.notify("{g}c", text).await.unwrap();
    }
    assert_eq!(next(&mut both).await, message("{g}d", "first"));
    for number in 0..200 {
        let wanted = message("{g}c", &number.to_string());
        assert_eq!(next(&mut one).await, wanted);
        assert_eq!(next(&mut both).await, wanted);
    }
    // A channel is no key, and a message that is collected is no message.
    assert!(!site.other.exists("{g}c").await.unwrap());
    let everything = DeleteOptions::new().with_range([1]);
    let collected = site.raw.clone().delete([0], Some(everything)).await;
    assert_eq!(collected.unwrap().deleted(), 2);
    site.other.notify("{g}c", "last").await.unwrap();
    assert_eq!(next(&mut one).await, message("{g}c", "last"));
}

/// A watch on the server that begins while others write is behind those that began before.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_group_come_in_order_whoever_else_writes() {
    let site = Site::start().await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let kv = site.other.clone();
        writers.spawn(async move {
            loop {
                kv.set(format!("busy:{writer}"), "v").await.unwrap();
            }
        });
    }
    let _one = site.kv.watch(channels(["{g}a"])).await.unwrap();
    for _ in 0..50 {
        let mut several = site
            .kv
            .watch(channels(["{g}a", "{g}b", "{g}c", "elsewhere"]))
            .await
            .unwrap();
        for channel in ["{g}c", "{g}none", "{g}b", "{g}a", "{h}a"] {
            site.other.notify(channel, "v").await.unwrap();
        }
        for channel in ["{g}c", "{g}b", "{g}a"] {
            assert_eq!(next(&mut several).await, message(channel, "v"));
        }
        site.other.notify("elsewhere", "v").await.unwrap();
        assert_eq!(next(&mut several).await, message("elsewhere", "v"));
    }
    writers.abort_all();
}

#[tokio::test]
async fn who_does_not_read_is_told_to_read_again() {
    let site = Site::start().await;
    let mut range = site.kv.watch(ranges(["r:"])).await.unwrap();
    let mut channel = site.kv.watch(channels(["c"])).await.unwrap();
    let mut other = site.kv.watch(ranges([""])).await.unwrap();
    for number in 0..1500 {
        site.other.set(format!("r:{number}"), "v").await.unwrap();
        site.other.notify("c", number.to_string()).await.unwrap();
    }
    // What comes last has been told to everybody when it has been told to one.
    site.other.set("last", "v").await.unwrap();
    next_is(&mut other, &put("last", Some("v"))).await;
    assert_eq!(next(&mut range).await, Event::Resync);
    let mut expected = 0;
    loop {
        match next(&mut channel).await {
            Event::Resync => break,
            event => assert_eq!(event, message("c", &expected.to_string())),
        }
        expected += 1;
    }
    assert!((1000..1500).contains(&expected), "{expected}");
}

#[tokio::test]
async fn one_stream_serves_all_and_what_nobody_watches_is_freed() {
    let site = Site::start().await;
    assert_eq!((site.watches().await, site.streams().await), (0, 0));
    let one = site.kv.watch(keys(["k"])).await.unwrap();
    let same = site.kv.watch(keys(["k"])).await.unwrap();
    assert_eq!((site.watches().await, site.streams().await), (3, 1));
    let range = site.kv.watch(ranges(["k"])).await.unwrap();
    let channel = site.kv.watch(channels(["k"])).await.unwrap();
    assert_eq!((site.watches().await, site.streams().await), (7, 1));
    drop(one);
    let mut same = same;
    nothing_but(&mut same, &site.other, "k").await;
    assert_eq!(site.watches().await, 7);
    drop(same);
    until("the key is freed", async || site.watches().await == 4).await;
    drop(range);
    until("the range is freed", async || site.watches().await == 1).await;
    drop(channel);
    until("the stream is freed", async || site.streams().await == 0).await;
    assert_eq!(site.watches().await, 0);
    // And opened again.
    let mut again = site.kv.watch(keys(["k"])).await.unwrap();
    nothing_but(&mut again, &site.other, "k").await;
    site.kv.close().await;
    assert!(next_fails(&mut again).await);
    until("all is freed", async || site.streams().await == 0).await;
}

async fn next_fails(events: &mut kv_core::Events) -> bool {
    futures_util::StreamExt::next(events)
        .await
        .is_some_and(|it| it.is_err())
}
