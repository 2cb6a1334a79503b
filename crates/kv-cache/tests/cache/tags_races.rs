//! What comes in between where tags are asked for or changed, and messages that are lost.

use crate::{
    SECOND,
    fleet::{Fleet, Products, SURE, record},
    settle, ttl,
};
use kv_cache::LoadError;
use kv_core::{Op, Ttl, Txn, layer_fn};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::{sync::Notify, task::JoinHandle};

/// Holds a transaction up until it is let go.
#[derive(Clone, Default)]
struct Hold(Arc<Mutex<Option<Held>>>);

struct Held {
    /// So many go through before.
    skip: usize,
    at: Point,
    gate: Arc<Notify>,
}

#[derive(Clone, Copy)]
enum Point {
    Request,
    Answer,
}

impl Hold {
    fn next(&self, skip: usize, at: Point) -> Arc<Notify> {
        let gate = Arc::new(Notify::new());
        let held = Held {
            skip,
            at,
            gate: gate.clone(),
        };
        *self.0.lock() = Some(held);
        gate
    }

    fn take(&self) -> Option<Held> {
        let mut held = self.0.lock();
        if let Some(it) = held.as_mut()
            && it.skip > 0
        {
            it.skip -= 1;
            return None;
        }
        held.take()
    }

    async fn process(&self, fleet: &Fleet) -> Products {
        let hold = self.clone();
        let layer = layer_fn("hold", move |request, next| {
            let is_commit = request.command.spec().name == "commit";
            let held = is_commit.then(|| hold.take()).flatten();
            Box::pin(async move {
                let Some(Held { at, gate, .. }) = held else {
                    return next.call(request).await;
                };
                match at {
                    Point::Request => {
                        gate.notified().await;
                        next.call(request).await
                    }
                    Point::Answer => {
                        let answer = next.call(request).await;
                        gate.notified().await;
                        answer
                    }
                }
            })
        });
        let kv = fleet.builder().layer(layer).connect().await.unwrap();
        fleet.on(&kv, ttl(6000))
    }
}

async fn load(cache: &Products, key: &str, value: u32) -> u32 {
    let load = cache.tagged(["red"]).unwrap();
    let load = load.get_or_load(key, move |_| async move { Ok::<_, ()>(value) });
    let seen = *load.await.unwrap();
    cache.idle().await;
    seen
}

async fn see(cache: &Products, key: &str) -> Option<u32> {
    cache.get(key).await.unwrap().map(|it| *it)
}

/// A load that names its tag once it has read.
fn ask_late(cache: &Products, gate: &Arc<Notify>) -> JoinHandle<Result<Arc<u32>, LoadError<()>>> {
    let (cache, gate) = (cache.clone(), gate.clone());
    tokio::spawn(async move {
        cache
            .get_or_load("k", move |context| async move {
                gate.notified().await;
                context.tag("red");
                Ok::<_, ()>(1)
            })
            .await
    })
}

#[tokio::test]
async fn what_is_read_while_a_tag_is_being_removed_is_gone_afterwards() {
    let fleet = Fleet::new();
    let hold = Hold::default();
    let one = hold.process(&fleet).await;
    load(&one, "a", 1).await;
    let gate = hold.next(0, Point::Request);
    let removing = one.clone();
    let removing = tokio::spawn(async move { removing.remove_tag("red").await });
    settle().await;
    assert_eq!(see(&one, "a").await, Some(1));
    gate.notify_one();
    removing.await.unwrap().unwrap();
    assert_eq!(see(&one, "a").await, None);
}

#[tokio::test]
async fn an_answer_from_before_a_removal_is_not_remembered() {
    let fleet = Fleet::new();
    let hold = Hold::default();
    let one = hold.process(&fleet).await;
    let other = fleet.process(ttl(6000)).await;
    load(&other, "a", 1).await;
    load(&other, "b", 1).await;
    // The entry, and then its tag, which is seen for the first time.
    let gate = hold.next(1, Point::Answer);
    let reading = one.clone();
    let reading = tokio::spawn(async move { see(&reading, "a").await });
    settle().await;
    one.remove_tag("red").await.unwrap();
    gate.notify_one();
    reading.await.unwrap();
    assert_eq!(see(&one, "b").await, None);
    assert_eq!(see(&one, "a").await, None);
}

#[tokio::test]
async fn a_tag_that_is_named_late_is_held_against_the_store() {
    let fleet = Fleet::new();
    let one = fleet.deaf(ttl(6000)).await;
    let other = fleet.process(ttl(6000)).await;
    let gate = Arc::new(Notify::new());
    let loading = ask_late(&one, &gate);
    settle().await;
    other.remove_tag("red").await.unwrap();
    gate.notify_one();
    loading.await.unwrap().unwrap();
    one.idle().await;
    assert_eq!(see(&other, "k").await, None);
    assert_eq!(one.stats().refused_fills, 1);
}

#[tokio::test]
async fn a_tag_that_others_have_begun_meanwhile_may_have_been_removed() {
    let fleet = Fleet::new();
    let hold = Hold::default();
    let one = hold.process(&fleet).await;
    let other = fleet.process(ttl(6000)).await;
    let gate = Arc::new(Notify::new());
    let loading = ask_late(&one, &gate);
    settle().await;
    let held = hold.next(0, Point::Answer);
    gate.notify_one();
    settle().await;
    load(&other, "other", 1).await;
    other.remove_tag("red").await.unwrap();
    held.notify_one();
    loading.await.unwrap().unwrap();
    one.idle().await;
    assert_eq!(see(&other, "k").await, None);
}

/// K5.
#[tokio::test]
async fn what_is_known_of_a_tag_is_trusted_for_no_longer_than_copies() {
    let fleet = Fleet::new();
    let one = fleet.deaf(ttl(6000)).await;
    let other = fleet.process(ttl(6000)).await;
    load(&one, "a", 1).await;
    load(&other, "b", 1).await;
    load(&other, "c", 1).await;
    other.remove_tag("red").await.unwrap();
    // It may be had, ...
    fleet.pass(SURE * 2 / 5).await;
    assert_eq!(see(&one, "b").await, Some(1));
    // ... but not for longer because it was read late.
    fleet.pass(SURE * 3 / 5).await;
    assert_eq!(see(&one, "c").await, None);
    assert_eq!(see(&one, "b").await, None);
}

/// What was known when something may have been missed is no surer for having been used since.
#[tokio::test]
async fn what_is_known_of_a_tag_from_before_a_doubt_is_in_doubt() {
    let fleet = Fleet::new();
    let one = fleet.process(ttl(6000)).await;
    let other = fleet.process(ttl(6000)).await;
    load(&one, "a", 1).await;
    load(&other, "b", 1).await;
    // A removal of which nothing is told, ...
    let kv = fleet.kv().await;
    let removal = Op::NextToken {
        key: record(":removed:red"),
        ttl: Ttl::Never,
    };
    kv.commit_one(Txn::new().then(removal)).await.unwrap();
    fleet.pass(SECOND / 10).await;
    // ... and what nobody understands.
    kv.notify("{cache:c}:news", "?").await.unwrap();
    fleet.pass(SECOND * 9 / 10).await;
    assert_eq!(see(&one, "b").await, Some(1));
    fleet.pass(SURE).await;
    assert_eq!(see(&one, "b").await, None);
}

/// Others have begun it anew, and told nobody.
#[tokio::test]
async fn a_tag_that_seems_to_be_another_is_looked_at_again() {
    let fleet = Fleet::new();
    let one = fleet.process(ttl(6000)).await;
    load(&one, "a", 1).await;
    let kv = fleet.kv().await;
    assert!(kv.delete(record(":removed:red")).await.unwrap());
    let other = fleet.process(ttl(6000)).await;
    load(&other, "b", 2).await;
    fleet.pass(SECOND / 10).await;
    assert_eq!(see(&one, "b").await, Some(2));
}

/// As if nobody had been there: whoever asked for it is gone.
#[tokio::test]
async fn a_removal_of_a_tag_that_is_dropped_on_its_way_is_done() {
    let fleet = Fleet::new();
    let hold = Hold::default();
    let one = hold.process(&fleet).await;
    let other = fleet.process(ttl(6000)).await;
    load(&one, "a", 1).await;
    let _gate = hold.next(0, Point::Request);
    let removing = one.clone();
    let removing = tokio::spawn(async move { removing.remove_tag("red").await });
    settle().await;
    removing.abort();
    removing.await.unwrap_err();
    assert_eq!(see(&one, "a").await, Some(1));
    fleet.pass(SECOND * 15).await;
    assert_eq!(see(&one, "a").await, None);
    assert_eq!(see(&other, "a").await, None);
}
