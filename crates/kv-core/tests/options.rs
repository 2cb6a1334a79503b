//! The options of a call, with a store that takes its time.

#![allow(clippy::unwrap_used, reason = "a test")]

use futures_util::FutureExt;
use kv_core::{
    CallOptions, Capabilities, CapabilitySet, Clock, Context, Deadline, ErrorKind, Events, Key, Kv,
    Outcome, Result, Store, Value, VirtualClock, Watch, layer_fn,
};
use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Answers after 100 ms.
#[derive(Clone, Default)]
struct Slow {
    clock: VirtualClock,
    asked: Arc<AtomicUsize>,
}

impl Slow {
    async fn answer(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.clock.sleep(millis(100)).await;
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }

    /// A handle whose calls must end within this time.
    fn within(&self, kv: &Kv, span: Duration) -> Kv {
        let deadline = Deadline::on(Arc::new(self.clock.clone()), span);
        kv.with(CallOptions::new().with_deadline(deadline))
    }
}

impl Store for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(CapabilitySet::ALL)
    }

    async fn get(&self, _: Key) -> Result<Option<Value>> {
        self.answer().await;
        Ok(None)
    }

    async fn watch(&self, _: Watch) -> Result<Events> {
        self.answer().await;
        Ok(Box::pin(futures_util::stream::empty()))
    }
}

async fn connected(store: &Slow) -> Kv {
    Kv::builder(store.clone()).connect().await.unwrap()
}

#[tokio::test]
async fn a_deadline_bounds_the_call_from_outside() {
    let store = Slow::default();
    let kv = connected(&store).await;
    let enough = store.within(&kv, millis(101));
    let short = store.within(&kv, millis(99));
    let mut enough = pin!(enough.get("a"));
    let mut late = pin!(short.get("a"));
    assert!(enough.as_mut().now_or_never().is_none());
    assert!(late.as_mut().now_or_never().is_none());
    store.clock.advance(millis(98));
    assert!(late.as_mut().now_or_never().is_none());
    store.clock.advance(millis(1));
    let error = late.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(
        error.to_string(),
        "get `a`: the deadline of the call came before the answer (it is unknown whether it was applied)"
    );
    store.clock.advance(millis(1));
    assert_eq!(enough.now_or_never().unwrap().unwrap(), None);
}

#[tokio::test]
async fn an_answer_that_is_there_when_the_time_is_over_counts() {
    let store = Slow::default();
    let kv = store.within(&connected(&store).await, millis(100));
    let mut call = pin!(kv.get("a"));
    assert!(call.as_mut().now_or_never().is_none());
    store.clock.advance(millis(500));
    assert_eq!(call.now_or_never().unwrap().unwrap(), None);
}

#[tokio::test]
async fn what_begins_after_the_deadline_is_refused_and_not_sent() {
    let store = Slow::default();
    let kv = store.within(&connected(&store).await, millis(10));
    store.clock.advance(millis(10));
    let refused = kv.get("a").now_or_never();
    let error = refused.expect("it is refused at once").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.outcome(), Outcome::Final);
    assert_eq!(
        error.to_string(),
        "get `a`: the deadline of the call had passed before it began; nothing was sent"
    );
    let keys = Watch::Keys(vec!["a".try_into().unwrap()]);
    let refused = kv.watch(keys).now_or_never();
    let error = refused.expect("it is refused at once").err().unwrap();
    assert_eq!(error.operation(), Some("watch"));
    assert_eq!(store.asked(), 0);
}

#[tokio::test]
async fn a_deadline_bounds_the_beginning_of_a_watch() {
    let store = Slow::default();
    let kv = store.within(&connected(&store).await, millis(50));
    let keys = Watch::Keys(vec!["a".try_into().unwrap()]);
    let mut watch = pin!(kv.watch(keys));
    assert!(watch.as_mut().now_or_never().is_none());
    store.clock.advance(millis(50));
    let error = watch.now_or_never().unwrap().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(store.asked(), 1);
}

#[tokio::test]
async fn setting_the_clock_moves_no_deadline() {
    let store = Slow::default();
    let kv = store.within(&connected(&store).await, millis(50));
    store.clock.set(kv_core::Timestamp::from_micros(i64::MAX));
    let mut call = pin!(kv.get("a"));
    assert!(call.as_mut().now_or_never().is_none());
}

#[tokio::test]
async fn options_reach_the_layers_and_views_only_add_to_them() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let store = Slow::default();
    let instant = layer_fn("note", move |request, _| {
        let options = &request.options;
        let left = options.deadline().map(Deadline::left);
        let all = (left, options.allow_retry(), options.allow_near_cache());
        note.lock().unwrap().push(all);
        Box::pin(async { Ok(kv_core::Reply::Get(None)) })
    });
    let kv = Kv::builder(store.clone()).layer(instant);
    let kv = kv.connect().await.unwrap();
    let deadline = store.within(&kv, millis(70));
    let once = deadline.with(CallOptions::new().without_retry());
    let all = once.with(CallOptions::new().without_near_cache());
    let sooner = store.within(&all, millis(30));
    let later = store.within(&all, millis(90)).bind(Context::new());
    let retry = kv.with(CallOptions::new().without_near_cache());
    for view in [&kv, &deadline, &once, &all, &sooner, &later, &retry] {
        view.get("a").await.unwrap();
    }
    let expected = [
        (None, true, true),
        (Some(millis(70)), true, true),
        (Some(millis(70)), false, true),
        (Some(millis(70)), false, false),
        (Some(millis(30)), false, false),
        (Some(millis(70)), false, false),
        (None, true, false),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(format!("{kv:?}"), "Kv(slow > note)");
    assert_eq!(
        format!("{sooner:?}"),
        "Kv(slow > note) with [Deadline(in 30ms), without retry, without near cache]"
    );
}

#[test]
fn what_no_clock_reaches_never_comes() {
    let deadline = Deadline::after(Duration::MAX);
    assert!(deadline.left() > Duration::from_secs(u64::MAX / 2));
    assert_eq!(size_of::<CallOptions>(), size_of::<usize>());
}
