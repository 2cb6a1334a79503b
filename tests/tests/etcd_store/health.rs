//! Three members, of which the one that a store sends its calls to freezes, or is cut off: the calls
//! go to another one.

use crate::site::{Raw, millis, open_with, secs};
use etcd_client::Client;
use futures_util::StreamExt;
use kv_core::{ErrorKind, Event, Events, Kv, Outcome, Stopwatch, SystemClock, Watch};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_tests::{
    patience::{PATIENCE, until},
    server::EtcdCluster,
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a member that does not answer holds up a call. One that does is sooner on any machine.
const DEADLINE: Duration = secs(10);

/// A store that finds out by itself who is silent, not by the driver.
async fn own(cluster: &EtcdCluster) -> Kv {
    let mut config = EtcdConfig::from_url(cluster.url());
    config.response_timeout = DEADLINE;
    config.connect_timeout = PATIENCE;
    config.keep_alive = secs(3600);
    open_with(config, Arc::new(SystemClock)).await
}

/// A store, and the member that it sends its calls to.
async fn store_at(cluster: &EtcdCluster, wanted: impl Fn(usize) -> bool) -> (Kv, usize) {
    for _ in 0..100 {
        let kv = own(cluster).await;
        if let Some(home) = used_by(cluster, &kv).await.filter(|it| wanted(*it)) {
            return (kv, home);
        }
    }
    panic!("no store sends its calls there");
}

/// The member that calls go to; `None` if they do not go well.
async fn used_by(cluster: &EtcdCluster, kv: &Kv) -> Option<usize> {
    let forwarded = || [0, 1, 2].map(|node| cluster.client_proxy(node).counts().forwarded);
    let before = forwarded();
    for _ in 0..20 {
        kv.get("used").await.ok()?;
    }
    let after = forwarded();
    (0..3).max_by_key(|it| after[*it] - before[*it])
}

/// A member that comes back can upset the others for a moment.
async fn is_used_again(cluster: &EtcdCluster, kv: &Kv, home: usize) {
    until("it is used again", async || {
        used_by(cluster, kv).await == Some(home)
    })
    .await;
}

/// All goes well: nothing is sent to a member that does not answer.
async fn works(kv: &Kv) {
    for number in 0..20 {
        let key = format!("works:{number}");
        kv.set(&*key, "v").await.unwrap();
        assert_eq!(kv.get(&*key).await.unwrap(), Some("v".into()));
        kv.increment("works", 1).await.unwrap();
        kv.zadd("works:set", [(key, 1.0)]).await.unwrap();
    }
}

async fn leader(cluster: &EtcdCluster) -> usize {
    until("a leader", async || cluster.leader().is_some()).await;
    cluster.leader().unwrap()
}

/// The first calls may fail, but in time; how long it took until one went well.
async fn recovered(kv: &Kv) -> Duration {
    let watch = Stopwatch::start();
    loop {
        let call = Stopwatch::start();
        let result = kv.set("recovered", "v").await;
        let took = call.elapsed();
        assert!(took < DEADLINE + PATIENCE, "{took:?}");
        match result {
            Ok(_) => return watch.elapsed(),
            Err(error) => println!("{error} after {took:?}"),
        }
        assert!(watch.elapsed() < PATIENCE, "no write goes well");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_follower_is_left_and_taken_back() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    let leads = leader(&cluster).await;
    let (kv, home) = store_at(&cluster, |it| it != leads).await;
    kv.set("read", "v").await.unwrap();
    cluster.pause(home);
    // What only reads is asked of another member in time.
    let watch = Stopwatch::start();
    assert_eq!(kv.get("read").await.unwrap(), Some("v".into()));
    assert!(watch.elapsed() < DEADLINE, "{:?}", watch.elapsed());
    works(&kv).await;
    assert_ne!(used_by(&cluster, &kv).await, Some(home));
    // The driver's client goes the same way.
    let raw = Raw(kv.native::<Client>().unwrap());
    let watch = Stopwatch::start();
    raw.put("raw", "v").await;
    assert!(watch.elapsed() < DEADLINE, "{:?}", watch.elapsed());
    cluster.resume(home);
    is_used_again(&cluster, &kv, home).await;
    works(&kv).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_is_left_and_taken_back() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    let leads = leader(&cluster).await;
    let (kv, home) = store_at(&cluster, |it| it == leads).await;
    cluster.pause(home);
    let took = recovered(&kv).await;
    println!("a write {took:?} after the leader froze");
    works(&kv).await;
    cluster.resume(home);
    is_used_again(&cluster, &kv, home).await;
    works(&kv).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_cut_off_from_the_others_is_left_and_taken_back() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    let leads = leader(&cluster).await;
    for wanted in [false, true] {
        let (kv, home) = store_at(&cluster, |it| (it == leads) == wanted).await;
        cluster.peers().isolate(home);
        let took = recovered(&kv).await;
        println!("a write {took:?} after the member was cut off");
        works(&kv).await;
        cluster.peers().rejoin(home);
        is_used_again(&cluster, &kv, home).await;
        works(&kv).await;
    }
}

/// Who gives up sooner than a member is found to be silent, which is an eighth of the deadline, has it
/// found out all the same; only who gives up within an eighth of that does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_without_patience_leave_a_frozen_member() {
    const LITTLE: Duration = millis(DEADLINE.as_millis() as u64 / 20);
    let cluster = EtcdCluster::start_behind_proxies().await;
    let leads = leader(&cluster).await;
    let (kv, home) = store_at(&cluster, |it| it != leads).await;
    cluster.pause(home);
    until("a call goes well", async || {
        timeout(LITTLE, kv.get("a"))
            .await
            .is_ok_and(|it| it.is_ok())
    })
    .await;
}

/// While there is no leader nothing is taken, and calls wait for one in place of failing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_a_leader() {
    let mut cluster = EtcdCluster::start();
    let mut config = EtcdConfig::from_url(cluster.url());
    config.response_timeout = PATIENCE;
    let patient = open_with(config.clone(), Arc::new(SystemClock)).await;
    config.response_timeout = millis(500);
    let hasty = open_with(config, Arc::new(SystemClock)).await;
    cluster.kill(0);
    cluster.kill(1);
    until("the last one knows that it is alone", async || {
        let error = hasty.set("a", "1").await.unwrap_err();
        error.to_string().contains("no leader")
    })
    .await;
    let waiting = tokio::spawn(async move { patient.set("a", "2").await });
    let error = hasty.set("a", "3").await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(!waiting.is_finished());
    cluster.restart(0);
    assert!(waiting.await.unwrap().is_ok());
}

/// However short an exchange may be, an election can take longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_waits_for_a_leader() {
    let mut cluster = EtcdCluster::start();
    cluster.kill(0);
    cluster.kill(1);
    let mut config = EtcdConfig::from_url(cluster.url());
    config.response_timeout = millis(200);
    config.connect_timeout = secs(1);
    until("the last one knows that it is alone", async || {
        let store = EtcdStore::new(config.clone()).unwrap();
        let watch = Stopwatch::start();
        let error = Kv::builder(store).connect().await.unwrap_err();
        assert!(watch.elapsed() < PATIENCE, "{:?}", watch.elapsed());
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        error.to_string().contains("no leader") && watch.elapsed() >= secs(1)
    })
    .await;
    config.connect_timeout = PATIENCE;
    let store = EtcdStore::new(config).unwrap();
    let connecting = tokio::spawn(Kv::builder(store).connect());
    cluster.restart(0);
    works(&connecting.await.unwrap().unwrap()).await;
}

/// It may have been taken, so nobody else is asked to do the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_without_an_answer_is_not_sent_again() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    let leads = leader(&cluster).await;
    let (kv, home) = store_at(&cluster, |it| it != leads).await;
    cluster.pause(home);
    let watch = Stopwatch::start();
    let error = kv.set("once", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(watch.elapsed() >= DEADLINE);
    // Meanwhile it turned out that there are others, who know nothing of it.
    works(&kv).await;
    assert_eq!(kv.get("once").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_member_calls_end_in_time() {
    let cluster = EtcdCluster::start();
    let config = EtcdConfig::from_url(cluster.url());
    let kv = open_with(config, Arc::new(SystemClock)).await;
    kv.set("a", "1").await.unwrap();
    (0..3).for_each(|node| cluster.pause(node));
    for _ in 0..3 {
        for error in [
            kv.get("a").await.map(drop).unwrap_err(),
            kv.set("a", "2").await.map(drop).unwrap_err(),
        ] {
            let kinds = [ErrorKind::Timeout, ErrorKind::Unavailable];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
    }
    (0..3).for_each(|node| cluster.resume(node));
    recovered(&kv).await;
    // Where nobody listens the answer comes at once, and it is sure.
    (0..3).for_each(|node| cluster.kill(node));
    until("connections to all are lost", async || {
        let error = kv.set("a", "3").await.unwrap_err();
        error.outcome() == Outcome::NotApplied
    })
    .await;
    kv.get("a").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_leave_a_frozen_member() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    let leads = leader(&cluster).await;
    let (kv, home) = store_at(&cluster, |it| it != leads).await;
    let (quiet, _) = store_at(&cluster, |it| it == home).await;
    let (other, _) = store_at(&cluster, |it| it != home).await;
    let mut before = watch(&kv, "k").await;
    other.set("k", "1").await.unwrap();
    next_is(&mut before, "1").await;
    cluster.pause(home);
    // Whoever calls, notices; nobody has to wait for the silence of the stream.
    kv.get("k").await.unwrap();
    let mut during = watch(&kv, "k").await;
    other.set("k", "2").await.unwrap();
    next_is(&mut before, "2").await;
    next_is(&mut during, "2").await;
    // A store that knows nothing yet asks before it watches.
    let mut quiet = watch(&quiet, "k").await;
    other.set("k", "3").await.unwrap();
    next_is(&mut quiet, "3").await;
}

async fn watch(kv: &Kv, name: &str) -> Events {
    let key = crate::site::key(name);
    kv.watch(Watch::Keys([key].into())).await.unwrap()
}

/// Skips what was there before.
async fn next_is(events: &mut Events, wanted: &str) {
    let waiting = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            if let Event::Put { value, .. } = event
                && value == Some(wanted.into())
            {
                return;
            }
        }
    };
    if timeout(PATIENCE, waiting).await.is_err() {
        panic!("{wanted} does not come");
    }
}
