//! Case 28: a write whose future is dropped, at every point at which it can be.

use crate::site::{Backend, Site, on_each_server};
use kv_conformance::{
    faults::{Fault, FaultsLayer, Odds, Plan},
    proxy::Mode,
};
use kv_core::{
    BoxFuture, Clock, Command, Expiry, Key, Kv, Request, Result, SetOptions, SystemClock,
    TimeToLive, Ttl, When, layer_fn,
};
use kv_tests::{
    patience::{PATIENCE, pause},
    server::Redis,
};
use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::timeout};

on_each_server! {
    case_28_a_write_dropped_at_any_poll_leaves_no_key_without_its_deadline
    case_28_a_write_dropped_at_any_time_under_a_black_hole_leaves_none_either
}

/// A future that is given up after some polls, at least one.
struct Polls<'a> {
    future: BoxFuture<'a, Result<()>>,
    left: usize,
}

impl Future for Polls<'_> {
    /// The result, or nothing if it was given up.
    type Output = Option<Result<()>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.left -= 1;
        match self.future.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            // Given up right after its last poll: it will not be polled again.
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

type Write = fn(&Kv, Key) -> BoxFuture<'static, Result<()>>;

/// Every write that creates a key with a deadline.
const WRITES: [Write; 5] = [
    |kv, key| {
        let kv = kv.clone();
        Box::pin(async move { kv.set_for(key, "v", HOUR).await })
    },
    |kv, key| {
        let kv = kv.clone();
        Box::pin(async move { kv.set_if_absent(key, "v", HOUR).await.map(drop) })
    },
    |kv, key| {
        let kv = kv.clone();
        Box::pin(async move { kv.increment_with(key, 1, HOUR).await.map(drop) })
    },
    |kv, key| {
        let kv = kv.clone();
        Box::pin(async move { kv.set_many_with([(key, "v")], HOUR).await.map(drop) })
    },
    |kv, key| {
        let kv = kv.clone();
        Box::pin(async move {
            let deadline = SystemClock.now().saturating_add(HOUR);
            let options = SetOptions::from(Ttl::At(deadline)).when(When::IfAbsent);
            kv.set_with(key, "v", options).await.map(drop)
        })
    },
];

#[derive(Debug, Default)]
struct Tally {
    dropped: usize,
    absent: usize,
    with_deadline: usize,
    without_deadline: usize,
}

impl Tally {
    /// Looks at every key: it must be absent or have its deadline.
    async fn look(&mut self, direct: &Kv, keys: &[Key]) {
        for key in keys {
            match direct.time_to_live(key).await.unwrap() {
                TimeToLive::Missing => self.absent += 1,
                TimeToLive::In(_) => self.with_deadline += 1,
                TimeToLive::NoExpiry => self.without_deadline += 1,
            }
        }
    }
}

/// Every write on keys of its own, given up after the first poll, the second, and so on, until it
/// gets to its end.
async fn give_up_everywhere(kv: &Kv, name: &str, tally: &mut Tally) -> Vec<Key> {
    let mut keys = Vec::new();
    for (number, write) in WRITES.iter().enumerate() {
        for left in 1.. {
            let key = Key::new(format!("{name}:{number}:{left}")).unwrap();
            keys.push(key.clone());
            let future = write(kv, key);
            if let Some(ended) = (Polls { future, left }).await {
                ended.unwrap();
                break;
            }
            tally.dropped += 1;
        }
    }
    keys
}

async fn case_28_a_write_dropped_at_any_poll_leaves_no_key_without_its_deadline<S: Backend>() {
    let site = Site::<S>::start().await;
    let slow = Odds::none().and(Fault::Delay(Duration::from_millis(2)), 0.5);
    let layer = FaultsLayer::new(Plan::random(28, slow.unwrap()));
    let handles = [site.through().await, site.layered(layer.clone()).await];
    let mut keys = Vec::new();
    let mut tally = Tally::default();
    for (mode, rounds) in [(Mode::Pass, 20), (Mode::Delay(Duration::from_millis(1)), 5)] {
        site.proxy.set(mode);
        for round in 0..rounds {
            let kv = &handles[round % handles.len()];
            let name = format!("{mode:?}:{round}");
            keys.extend(give_up_everywhere(kv, &name, &mut tally).await);
        }
    }
    for kv in &handles {
        // In the same queue, so all that was given up before is through when this is.
        kv.set("end", "v").await.unwrap();
    }
    tally.look(&site.direct, &keys).await;
    let counts = (site.proxy.counts(), layer.switch().counts());
    println!(
        "case 28: {tally:?}; proxy: {}; layer: {}",
        counts.0, counts.1
    );
    assert_eq!(tally.without_deadline, 0, "{tally:?}");
    assert!(tally.dropped > 0 && tally.with_deadline > 0, "{tally:?}");
    assert!(counts.0.delayed > 0 && counts.1.delay > 0);
}

/// The search can fail: it finds a store that writes first and gives the deadline after.
#[tokio::test(flavor = "multi_thread")]
async fn case_28_a_store_that_writes_in_two_steps_is_found() {
    let two_steps = layer_fn("two steps", |mut request: Request, next| {
        Box::pin(async move {
            let Command::Set { key, options, .. } = &mut request.command else {
                return next.call(request).await;
            };
            let (key, ttl) = (key.clone(), mem::take(&mut options.ttl));
            let reply = next.call(request).await?;
            if let Ttl::In(lifetime) = ttl {
                let expiry = Expiry::In(lifetime);
                next.call(Request::new(Command::Expire { key, expiry }))
                    .await?;
            }
            Ok(reply)
        })
    });
    let site = Site::<Redis>::start().await;
    let kv = site.layered(two_steps).await;
    let mut tally = Tally::default();
    for round in 0..20 {
        let keys = give_up_everywhere(&kv, &format!("{round}"), &mut tally).await;
        kv.set("end", "v").await.unwrap();
        tally.look(&site.direct, &keys).await;
    }
    println!("case 28: in two steps: {tally:?}");
    assert!(tally.without_deadline > 0, "{tally:?}");
}

/// How long all writes at once take over a fresh handle on a server that nothing ails: a disk
/// that is slow to sync makes this ten times what a fast one does.
async fn unharmed(kv: &Kv) -> Duration {
    let mut writes = JoinSet::new();
    let start = Instant::now();
    for (number, write) in WRITES.iter().enumerate() {
        writes.spawn(write(kv, Key::new(format!("unharmed:{number}")).unwrap()));
    }
    for written in writes.join_all().await {
        written.unwrap();
    }
    start.elapsed()
}

async fn case_28_a_write_dropped_at_any_time_under_a_black_hole_leaves_none_either<S: Backend>() {
    let site = Site::<S>::start().await;
    let mut rng = fastrand::Rng::with_seed(28);
    let mut within = |longest: Duration| longest.mul_f64(rng.f64());
    let mut keys = Vec::new();
    let mut tally = Tally::default();
    for round in 0..40 {
        // Measured anew, as the load of the machine changes under way.
        let kv = site.through().await;
        let usual = unharmed(&kv).await;
        timeout(PATIENCE, kv.close()).await.expect("close hangs");
        let kv = site.through().await;
        // In every other round nothing gets through, in the rest the hole opens under way.
        let early = round % 2 == 0;
        if early {
            site.proxy.set(Mode::BlackHole);
        }
        let mut writes = JoinSet::new();
        for (number, write) in WRITES.iter().enumerate() {
            let key = Key::new(format!("hole:{round}:{number}")).unwrap();
            keys.push(key.clone());
            let future = write(&kv, key);
            writes.spawn(timeout(within(usual * 4), future));
        }
        if !early {
            pause(within(usual)).await;
            site.proxy.set(Mode::BlackHole);
        }
        for given_up in writes.join_all().await {
            tally.dropped += usize::from(!matches!(given_up, Ok(Ok(()))));
        }
        site.proxy.set(Mode::Pass);
        timeout(PATIENCE, kv.close()).await.expect("close hangs");
    }
    tally.look(&site.direct, &keys).await;
    let counts = site.proxy.counts();
    println!("case 28: {tally:?}; proxy: {counts}");
    assert_eq!(tally.without_deadline, 0, "{tally:?}");
    assert!(
        tally.dropped > 0 && tally.absent > 0 && tally.with_deadline > 0,
        "{tally:?}"
    );
    assert!(counts.lost_requests > 0, "{counts}");
}
