//! Messages on channels.

use crate::site::Site;
use kv_core::Event;
use kv_tests::{
    patience::until,
    watching::{channels, message, next},
};

#[tokio::test]
async fn every_message_comes_in_order() {
    let site = Site::start().await;
    let mut one = site.kv.watch(channels(["a"])).await.unwrap();
    let mut two = site.kv.watch(channels(["a", "b", "a"])).await.unwrap();
    for number in 0..500 {
        let text = number.to_string();
        site.other.notify("a", text).await.unwrap();
    }
    site.other.notify("ab", "no").await.unwrap();
    site.kv.notify("b", "end").await.unwrap();
    for number in 0..500 {
        let expected = message("a", &number.to_string());
        assert_eq!(next(&mut one).await, expected);
        assert_eq!(next(&mut two).await, expected);
    }
    assert_eq!(next(&mut two).await, message("b", "end"));
}

#[tokio::test]
async fn one_that_lags_is_told_where_messages_are_missing() {
    let site = Site::start().await;
    let mut slow = site.kv.watch(channels(["a"])).await.unwrap();
    let mut quick = site.kv.watch(channels(["a"])).await.unwrap();
    for number in 0..3000 {
        let text = number.to_string();
        site.other.notify("a", text.clone()).await.unwrap();
        assert_eq!(next(&mut quick).await, message("a", &text));
    }
    let mut told = 0;
    loop {
        match next(&mut slow).await {
            Event::Resync => break,
            event => assert_eq!(event, message("a", &told.to_string())),
        }
        told += 1;
    }
    assert!((1000..3000).contains(&told), "{told}");
    site.other.notify("a", "later").await.unwrap();
    assert_eq!(next(&mut slow).await, message("a", "later"));
}

#[tokio::test]
async fn a_channel_is_left_with_its_last_subscriber() {
    let site = Site::start().await;
    let subscribers = async || {
        let told: (String, u64) = site.ask("PUBSUB NUMSUB a").await;
        told.1
    };
    let one = site.kv.watch(channels(["a"])).await.unwrap();
    let mut two = site.kv.watch(channels(["a", "b"])).await.unwrap();
    assert_eq!(subscribers().await, 1);
    drop(one);
    site.other.notify("a", "1").await.unwrap();
    assert_eq!(next(&mut two).await, message("a", "1"));
    drop(two);
    until("the channel is left", async || subscribers().await == 0).await;
    let mut again = site.kv.watch(channels(["a"])).await.unwrap();
    site.other.notify("a", "2").await.unwrap();
    assert_eq!(next(&mut again).await, message("a", "2"));
}
