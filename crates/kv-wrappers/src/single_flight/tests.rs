use super::{SingleFlight, SingleFlightConfig};
use crate::script::{DOWN, Script, Step, poll};
use futures_util::{FutureExt, StreamExt, future::join_all};
use kv_core::{
    CallOptions, Clock, Context, Deadline, Error, ErrorKind, Event, Key, Kv, Watch, layer_fn,
};
use kv_memory::MemoryStore;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::sync::RwLock;

const SLOW: Step = Step::After(Duration::from_millis(100));

fn layer(clock: Arc<dyn Clock>) -> SingleFlight {
    let config = SingleFlightConfig::default();
    SingleFlight::new(config).unwrap().clock(clock)
}

fn over(script: &Script) -> Kv {
    script.under(layer(script.clock()))
}

#[test]
fn case_143_a_hundred_reads_of_one_missing_key_are_one_call() {
    let script = Script::new([SLOW]);
    let kv = over(&script);
    let reads = script.run(join_all((0..100).map(|_| kv.get("a"))));
    assert!(reads.into_iter().all(|it| it.unwrap().is_none()));
    assert_eq!(script.calls(), 1);
    // Nothing is kept.
    script.run(kv.get("a")).unwrap();
    assert_eq!(script.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn case_143_also_from_many_threads() {
    let calls = Arc::new(AtomicU64::new(0));
    let gate = Arc::new(RwLock::new(()));
    let (counted, held) = (Arc::clone(&calls), Arc::clone(&gate));
    let slow = layer_fn("slow", move |request, next| {
        counted.fetch_add(1, Ordering::Relaxed);
        let held = Arc::clone(&held);
        Box::pin(async move {
            drop(held.read().await);
            next.call(request).await
        })
    });
    let clock = Arc::new(kv_core::VirtualClock::default());
    let builder = Kv::builder(MemoryStore::default())
        .layer(slow)
        .layer(layer(clock));
    let kv = builder.connect().await.unwrap();
    let hold = gate.write().await;
    let arrived = Arc::new(AtomicU64::new(0));
    let reads = (0..100).map(|_| {
        let (kv, arrived) = (kv.clone(), Arc::clone(&arrived));
        tokio::spawn(async move {
            let mut read = Box::pin(kv.get("a"));
            assert!(read.as_mut().now_or_never().is_none());
            arrived.fetch_add(1, Ordering::Relaxed);
            read.await
        })
    });
    let reads: Vec<_> = reads.collect();
    while arrived.load(Ordering::Relaxed) < 100 {
        tokio::task::yield_now().await;
    }
    drop(hold);
    for read in join_all(reads).await {
        assert_eq!(read.unwrap().unwrap(), None);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn case_143_an_error_is_shared_and_not_kept() {
    let failed = Step::FailAfter(
        Duration::from_millis(5),
        ErrorKind::Timeout,
        kv_core::Outcome::Unknown,
    );
    let script = Script::new([failed, DOWN]);
    let kv = over(&script);
    let reads = script.run(join_all((0..10).map(|_| kv.get("a"))));
    let is_timeout = |error: Error| error.kind() == ErrorKind::Timeout;
    assert!(reads.into_iter().all(|it| is_timeout(it.unwrap_err())));
    assert_eq!(script.calls(), 1);
    let error = script.run(kv.get("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(script.run(kv.get("a")).unwrap(), None);
}

#[test]
fn what_asks_something_else_or_for_somebody_else_is_not_shared() {
    let script = Script::new([SLOW; 20]);
    let kv = over(&script);
    let [one, two] = ["t1", "t2"].map(|it| kv.bind(Context::tenant(it)));
    let gets = join_all([kv.get("a"), kv.get("b"), one.get("a"), two.get("a")]);
    let batches = join_all([
        kv.get_many(["a", "b"]),
        kv.get_many(["b", "a"]),
        kv.get_many(["a", "a"]),
        kv.get_many(["a", "b"]),
    ]);
    script.run(futures_util::future::join(gets, batches));
    assert_eq!(script.calls(), 4 + 3);
}

#[test]
fn options_that_forbid_share_with_nobody_and_deadlines_do() {
    let script = Script::new([SLOW; 20]);
    let kv = over(&script);
    let soon = Deadline::on(script.clock(), Duration::from_millis(10));
    let late = Deadline::on(script.clock(), Duration::from_secs(1));
    let plain = CallOptions::new;
    let views = [
        plain(),
        plain().with_deadline(soon),
        plain().with_deadline(late),
        plain().without_retry(),
        plain().without_near_cache(),
        plain().without_near_cache(),
    ];
    let views = views.map(|it| kv.with(it));
    let reads = script.run(join_all(views.iter().map(|kv| kv.get("a"))));
    let mut ended = reads.into_iter().map(|it| it.is_ok());
    assert!(ended.next().unwrap() && !ended.next().unwrap() && ended.all(|it| it));
    assert_eq!(script.calls(), 1 + 1 + 2);
}

#[test]
fn dropping_who_came_first_leaves_the_call_to_the_others_and_the_last_takes_it_along() {
    let script = Script::new([SLOW, Step::Hang, SLOW]);
    let kv = over(&script);
    let mut first = Box::pin(kv.get("a"));
    assert!(poll(&mut first).is_pending());
    let mut second = Box::pin(kv.get("a"));
    assert!(poll(&mut second).is_pending());
    drop(first);
    assert_eq!(script.run(second).unwrap(), None);
    assert_eq!(script.calls(), 1);

    let mut lost = Box::pin(kv.get("a"));
    assert!(poll(&mut lost).is_pending());
    drop(lost);
    // Not that of the one who is gone, which would never end.
    assert_eq!(script.run(kv.get("a")).unwrap(), None);
    assert_eq!(script.calls(), 2);

    // Nobody has ever looked after this one.
    let unpolled = kv.get("a");
    assert_eq!(script.run(kv.get("a")).unwrap(), None);
    drop(unpolled);
}

#[test]
fn an_old_read_is_joined_by_nobody() {
    let script = Script::new([]);
    let kv = over(&script);
    script.then([Step::Hang]);
    let mut forgotten = Box::pin(kv.get("a"));
    assert!(poll(&mut forgotten).is_pending());
    script.clock.advance(Duration::from_millis(250));
    let mut joined = Box::pin(kv.get("a"));
    assert!(poll(&mut joined).is_pending());
    assert_eq!(script.calls(), 1);
    script.clock.advance(Duration::from_millis(1));
    assert!(matches!(
        poll(&mut Box::pin(kv.get("a"))),
        Poll::Ready(Ok(None))
    ));
    assert_eq!(script.calls(), 1);
}

/// A store whose replies to reads wait for the gate.
async fn gated() -> (Kv, Kv, Arc<RwLock<()>>) {
    let gate = Arc::new(RwLock::new(()));
    let held = Arc::clone(&gate);
    let slow = layer_fn("slow", move |request, next| {
        let is_read = request.command.spec().access == kv_core::Access::Read;
        let held = Arc::clone(&held);
        Box::pin(async move {
            let reply = next.call(request).await;
            if is_read {
                drop(held.read().await);
            }
            reply
        })
    });
    let store = MemoryStore::default();
    let clock = Arc::new(kv_core::VirtualClock::default());
    let builder = Kv::builder(store.clone()).layer(slow).layer(layer(clock));
    let other = Kv::builder(store).connect().await.unwrap();
    (builder.connect().await.unwrap(), other, gate)
}

#[tokio::test]
async fn a_read_that_begins_after_an_own_write_joins_none_that_began_before() {
    let (kv, _, gate) = gated().await;
    for (round, at) in (0..6).zip(1..) {
        let hold = gate.write().await;
        let early = [kv.get("a").boxed(), kv.get("a").boxed()];
        let mut early = Box::pin(join_all(early));
        let mut batch = Box::pin(kv.get_many(["b", "a"]));
        assert!(poll(&mut early).is_pending() && poll(&mut batch).is_pending());
        let value = at.to_string();
        match round % 3 {
            0 => kv.set("a", &value).await.unwrap(),
            1 => drop(kv.increment("a", 1).await.unwrap()),
            _ => {
                kv.clear_prefixes("a").await.unwrap();
                kv.set_many([("a", &value)]).await.unwrap();
            }
        }
        let mut late = Box::pin(kv.get("a"));
        let mut late_batch = Box::pin(kv.get_many(["b", "a"]));
        assert!(poll(&mut late).is_pending() && poll(&mut late_batch).is_pending());
        drop(hold);
        let before = (round > 0).then(|| round.to_string().into());
        for read in early.await {
            assert_eq!(read.unwrap(), before);
        }
        assert_eq!(batch.await.unwrap(), [None, before]);
        assert_eq!(late.await.unwrap(), Some(value.as_str().into()));
        assert_eq!(late_batch.await.unwrap(), [None, Some(value.into())]);
    }
}

#[tokio::test]
async fn a_write_that_is_dropped_is_waited_for_by_nobody_and_joins_nothing() {
    let script = Script::new([Step::Hang, Step::Hang]);
    let kv = Kv::from_service(kv_core::Layer::wrap(
        &layer(script.clock()),
        Arc::new(script.clone()),
    ));
    kv.connect().await.unwrap();
    let mut read = Box::pin(kv.get("a"));
    assert!(poll(&mut read).is_pending());
    let mut write = Box::pin(kv.set("a", "value"));
    assert!(poll(&mut write).is_pending());
    drop(write);
    assert_eq!(kv.get("a").await.unwrap(), None);
    assert_eq!(script.calls(), 3);
}

#[tokio::test]
async fn a_read_after_an_event_or_a_message_joins_none_that_began_before() {
    let (kv, other, gate) = gated().await;
    let key = Key::new("a").unwrap();
    let mut changes = kv.watch(Watch::Keys(vec![key.clone()])).await.unwrap();
    let mut messages = kv.watch(Watch::Channels(vec![key])).await.unwrap();
    for at in 1..10 {
        let hold = gate.write().await;
        let mut early = Box::pin(kv.get("a"));
        assert!(poll(&mut early).is_pending());
        let value = at.to_string();
        other.set("a", &value).await.unwrap();
        if at % 2 == 0 {
            other.notify("a", "read").await.unwrap();
            let event = messages.next().await.unwrap().unwrap();
            assert!(matches!(event, Event::Message { .. }));
        } else {
            changes.next().await.unwrap().unwrap();
        }
        let mut late = Box::pin(kv.get("a"));
        assert!(poll(&mut late).is_pending());
        drop(hold);
        assert_ne!(early.await.unwrap(), Some(value.as_str().into()));
        assert_eq!(late.await.unwrap(), Some(value.into()));
    }
}

#[test]
fn settings_are_checked() {
    for span in [Duration::ZERO, Duration::from_secs(61)] {
        let error = SingleFlight::new(SingleFlightConfig::new(span)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    let config: SingleFlightConfig = toml::from_str("join_within = \"1s\"").unwrap();
    assert_eq!(config.join_within, Duration::from_secs(1));
}
