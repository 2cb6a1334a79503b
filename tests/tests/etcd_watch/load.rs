//! Many watchers.

use crate::site::Site;
use futures_util::{StreamExt, stream};
use kv_core::{Event, Stopwatch, Watch};
use kv_tests::{
    patience::until,
    watching::{key, keys, next, put},
};
use std::time::Duration;

const WATCHERS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watchers_share_one_stream() {
    let site = Site::start().await;
    let open = Stopwatch::start();
    let names = (0..WATCHERS).map(|number| format!("w:{number}"));
    let kv = &site.kv;
    let watching = stream::iter(names).map(|name| async move {
        let watch = Watch::Keys(vec![key(&name)]);
        (key(&name), kv.watch(watch).await.unwrap())
    });
    let mut watchers: Vec<_> = watching.buffer_unordered(256).collect().await;
    println!("{WATCHERS} watchers opened in {:?}", open.elapsed());
    assert_eq!(site.streams().await, 1);
    assert_eq!(site.watches().await, 3 * WATCHERS as u64);

    let told = Stopwatch::start();
    let other = &site.other;
    let writes = watchers
        .iter()
        .map(|(key, _)| other.set(key, key.as_bytes().to_vec()));
    let written: Vec<_> = stream::iter(writes).buffer_unordered(64).collect().await;
    assert!(written.iter().all(Result::is_ok));
    for (key, events) in &mut watchers {
        let value = Some(key.as_bytes().to_vec().into());
        let wanted = Event::Put {
            key: key.clone(),
            value,
        };
        assert_eq!(next(events).await, wanted);
    }
    println!("all were written and told in {:?}", told.elapsed());
    drop(watchers);
    until("the server frees them", async || site.watches().await == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_told_at_once() {
    let site = Site::start().await;
    let mut events = site.kv.watch(keys(["k"])).await.unwrap();
    let mut spans = Vec::new();
    for number in 0..500 {
        let value = number.to_string();
        let began = Stopwatch::start();
        let (written, event) = tokio::join!(site.other.set("k", &*value), next(&mut events));
        written.unwrap();
        assert_eq!(event, put("k", Some(&value)));
        spans.push(began.elapsed());
    }
    spans.sort_unstable();
    let at = |share: usize| spans[spans.len() * share / 100];
    println!(
        "from before the put to its event and answer: p50 {:?}, p90 {:?}, p99 {:?}",
        at(50),
        at(90),
        at(99)
    );
    // Nobody looks now and then. A busy machine is late often, not each time.
    assert!(at(0) < Duration::from_millis(20), "{:?}", at(0));
}
