//! Polled ranges with many keys on a server that is far away.

use crate::{
    polled::{RULES, fill, joined, ttl},
    site::{Site, open},
};
use futures_util::{FutureExt, StreamExt};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::Event;
use kv_tests::watching::{delete, next, next_is, ranges};
use std::time::Duration;

/// To look at all keys takes twice as long as anybody waits to be live: some 100 round trips.
#[tokio::test]
async fn a_range_that_takes_long_to_look_at_is_live_at_once_and_holds_nobody_up() {
    let site = Site::start().await;
    drop(site.user(RULES).await);
    let proxy = FaultProxy::start(site.server.address()).await.unwrap();
    let kv = open(&format!("redis://ann:pw@{}/0", proxy.address())).await;
    fill(&site.other, 20_000, "v").await;
    let ends = ttl(4000);
    site.other.set_with("s:ends", "v", ends).await.unwrap();
    let mut small = joined(&kv, ["s:"]).await;

    proxy.set(Mode::Delay(Duration::from_millis(30)));
    let mut large = kv.watch(ranges(["r:"])).await.unwrap();
    // Before or behind the first look at it, as it happens.
    site.other.delete("r:1234").await.unwrap();
    assert_eq!(next(&mut small).await, delete("s:ends"));
    let told = large.next().now_or_never();
    assert!(told.is_none(), "all was looked at already: {told:?}");
    next_is(&mut large, &Event::Resync).await;
    assert!(small.next().now_or_never().is_none(), "it was known");
}
