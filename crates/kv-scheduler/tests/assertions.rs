//! What assertions about scheduled tasks say when they fail.
#![allow(clippy::unwrap_used, reason = "a test")]
#![cfg(feature = "testing")]

use futures_util::FutureExt;
use kv_core::{Clock, Context, Kv};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_scheduler::{
    PayloadCodec, Priority, Task, TaskOptions, assert_not_scheduled, assert_scheduled,
    testing::{TestScheduler, scheduled, scheduled_in},
};
use serde::{Deserialize, Serialize};
use std::{panic::AssertUnwindSafe, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Order {
    Ship { to: String, parcels: u8 },
    Refund(u32),
}

impl Task for Order {
    const KIND: &'static str = "order";
    type Output = ();

    fn options() -> TaskOptions {
        TaskOptions::new()
            .queue("orders")
            .codec(PayloadCodec::MessagePack)
    }
}

async fn test() -> TestScheduler {
    let connect = TestScheduler::connect(|clock| {
        Kv::builder(MemoryStore::with_clock(MemoryConfig::default(), clock))
    });
    connect.await.unwrap()
}

fn ship(to: &str) -> Order {
    let to = to.to_owned();
    Order::Ship { to, parcels: 2 }
}

/// What the assertion said.
async fn failure<T>(assertion: impl Future<Output = T>) -> String {
    let panic = AssertUnwindSafe(assertion).catch_unwind().await.err();
    *panic.unwrap().downcast::<String>().unwrap()
}

#[tokio::test]
async fn a_pattern_a_condition_a_queue_and_a_due_time_are_looked_at() {
    let test = test().await;
    let now = test.clock().now();
    test.schedule_in(HOUR, ship("ann")).await.unwrap();
    let low = test.enqueue(Order::Refund(7)).queue("slow");
    low.priority(Priority::Low).await.unwrap();

    let found = assert_scheduled!(test, Order::Ship { to, .. } if to == "ann");
    assert_eq!(
        (found.task, found.due),
        (ship("ann"), now.saturating_add(HOUR))
    );
    let found = assert_scheduled!(test, Order::Refund(_), queue = "slow", due = now..=now);
    assert_eq!((found.priority, &*found.queue), (Priority::Low, "slow"));
    assert_not_scheduled!(test, Order::Ship { to, .. } if to == "bob");
    assert_not_scheduled!(test, Order::Refund(_));
    assert_not_scheduled!(&test, Order::Ship { .. }, queue = "slow");
    assert_not_scheduled!(*test, Order::Ship { .. }, due = ..now);
    assert_eq!(scheduled::<Order>(&test).await.unwrap().len(), 1);
    assert_eq!(scheduled_in::<Order>(&test, "slow").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_failure_tells_what_there_is() {
    let test = test().await;
    let text = failure(async { assert_scheduled!(test, Order::Refund(8)) }).await;
    assert_eq!(
        text,
        "`Order::Refund(8)` is not scheduled; in the queue `orders` waits: nothing"
    );
    test.schedule_in(HOUR, ship("ann")).await.unwrap();
    test.enqueue(Order::Refund(7)).await.unwrap();
    let text = failure(async { assert_scheduled!(test, Order::Refund(8)) }).await;
    for part in [
        r#"order {"Ship":{"parcels":2,"to":"ann"}}, due in 3600s"#,
        r#"order {"Refund":7}, due now"#,
    ] {
        assert!(text.contains(part), "{text}");
    }
    let text = failure(async {
        assert_not_scheduled!(test, Order::Refund(n) if *n > 6, queue = "orders");
    });
    let text = text.await;
    assert!(
        text.starts_with("`Order::Refund(n) if *n > 6` is scheduled"),
        "{text}"
    );
}

#[tokio::test]
async fn a_tenant_sees_its_own() {
    let test = test().await;
    let (ann, bob) = (Context::tenant("ann"), Context::tenant("bob"));
    let schedule = async |context: &Context, number| {
        let task = test.enqueue(Order::Refund(number)).context(context.clone());
        task.id("same").await.unwrap();
    };
    schedule(&ann, 1).await;
    schedule(&bob, 2).await;
    let seen = ann.scope(async { scheduled::<Order>(&test).await.unwrap() });
    let seen = seen.await;
    assert_eq!((seen.len(), &seen[0].task), (1, &Order::Refund(1)));
    assert_eq!(scheduled::<Order>(&test).await.unwrap().len(), 2);
}
