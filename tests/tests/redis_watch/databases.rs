//! Tracking knows no database: a change in another one makes us look, and what is told is what is
//! in ours.

use crate::site::Site;
use kv_core::Event;
use kv_tests::watching::{delete, keys, next, next_is, nothing_but, put, ranges};

#[tokio::test]
async fn a_change_in_another_database_tells_what_is_in_ours() {
    let site = Site::start().await;
    let another = site.another_database().await;
    site.other.set("k", "ours").await.unwrap();
    site.other.set("r:k", "ours").await.unwrap();
    let mut key = site.kv.watch(keys(["k", "none"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["r:"])).await.unwrap();
    for round in 0..3 {
        another.set("k", "theirs").await.unwrap();
        assert_eq!(next(&mut key).await, put("k", Some("ours")), "{round}");
        // A key is not told to be gone that is there, ...
        another.delete("k").await.unwrap();
        assert_eq!(next(&mut key).await, put("k", Some("ours")), "{round}");
        // ... nor one to be there that is not.
        another.set("none", "theirs").await.unwrap();
        assert_eq!(next(&mut key).await, delete("none"), "{round}");
        another.set("r:k", "theirs").await.unwrap();
        assert_eq!(next(&mut range).await, put("r:k", None), "{round}");
        another.delete("r:k").await.unwrap();
        assert_eq!(next(&mut range).await, put("r:k", None), "{round}");
        another.set("r:none", "theirs").await.unwrap();
        assert_eq!(next(&mut range).await, delete("r:none"), "{round}");
        // The push of the other database took none of ours away.
        nothing_but(&mut key, &site.other, "k").await;
        site.other.set("k", "ours").await.unwrap();
        next_is(&mut key, &put("k", Some("ours"))).await;
        nothing_but(&mut key, &site.other, "none").await;
        site.other.delete("none").await.unwrap();
        assert_eq!(next(&mut key).await, delete("none"));
        nothing_but(&mut range, &site.other, "r:none").await;
        site.other.delete("r:none").await.unwrap();
        assert_eq!(next(&mut range).await, delete("r:none"));
    }
}

#[tokio::test]
async fn a_polled_key_is_that_of_our_database() {
    let site = Site::start().await;
    let kv = site.user("~* +@all -client|tracking").await;
    let another = site.another_database().await;
    site.other.set("k", "ours").await.unwrap();
    let mut key = kv.watch(keys(["k"])).await.unwrap();
    let mut range = kv.watch(ranges(["k"])).await.unwrap();
    assert_eq!(next(&mut range).await, Event::Resync);
    another.set("k", "theirs").await.unwrap();
    another.set("kk", "theirs").await.unwrap();
    nothing_but(&mut key, &site.other, "k").await;
    assert_eq!(next(&mut range).await, put("k", None));
    nothing_but(&mut range, &site.other, "k").await;
}

/// The server's table holds a key that nobody watches any more until it changes.
#[tokio::test]
async fn a_push_for_a_stream_that_is_gone_tells_nothing() {
    let site = Site::start().await;
    let mut stays = site.kv.watch(keys(["stays"])).await.unwrap();
    drop(site.kv.watch(keys(["k"])).await.unwrap());
    assert_eq!(site.tracked().await, 2);
    site.other.set("k", "v").await.unwrap();
    nothing_but(&mut stays, &site.other, "stays").await;
    assert_eq!(site.tracked().await, 1);
}
