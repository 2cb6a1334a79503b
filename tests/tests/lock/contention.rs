//! Many want one lock: each gets it, one at a time, and the store is asked no more often than needed.

use crate::{
    history::{Grant, History, moment},
    site::{LONG, Site},
};
use futures_util::StreamExt;
use kv_core::{
    BoxFuture, Capabilities, Context, Event, Events, Kv, Layer, Reply, Request, Result, Service,
    Watch, layer_fn,
};
use kv_lock::{LockManager, Release};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const PROCESSES: usize = 4;
const TASKS: usize = 8;
const TIMES: usize = 5;

/// Long enough that nobody's ends here.
const LEASE: Duration = Duration::from_secs(60);

/// Takes the lock so many times; tells what it saw.
async fn contend(locks: LockManager, kv: Kv, lease: Duration, times: usize) -> Vec<Grant> {
    let lock = locks.lock("a").lease(lease).wait(LONG);
    let mut grants = Vec::new();
    for _ in 0..times {
        let asked = moment(&kv).await.unwrap();
        let guard = lock.acquire().await.unwrap();
        let granted = moment(&kv).await.unwrap();
        let is_held = guard.check().is_ok();
        let last = moment(&kv).await.unwrap();
        let last = if guard.check().is_ok() { last } else { granted };
        grants.push(Grant {
            fence: guard.fence().get(),
            asked,
            granted,
            held: is_held.then_some((granted, last)),
        });
        guard.release().await;
    }
    grants
}

/// Lets all of them contend, and looks at what they saw.
async fn race(
    site: &Site,
    processes: Vec<LockManager>,
    lease: Duration,
    tasks: usize,
    times: usize,
) {
    let mut races = JoinSet::new();
    for locks in &processes {
        for _ in 0..tasks {
            races.spawn(contend(locks.clone(), site.kv.clone(), lease, times));
        }
    }
    let history = History {
        grants: races.join_all().await.concat(),
        ..History::default()
    };
    let verdict = history.check().unwrap();
    assert_eq!(verdict.grants, processes.len() * tasks * times);
    // A machine that stands still may lose short leases, which is no fault of theirs.
    if lease > Duration::from_secs(10) {
        assert_eq!(verdict.held, verdict.grants, "held for {lease:?}");
    }
    assert!(verdict.held > 0, "none was held");
}

/// A layer that counts the calls that carry transactions.
fn counted(calls: &Arc<AtomicUsize>) -> impl Layer + use<> {
    let calls = calls.clone();
    layer_fn("count", move |request, next| {
        if request.command.spec().name == "commit" {
            calls.fetch_add(1, Ordering::Relaxed);
        }
        next.call(request)
    })
}

async fn each_gets_it_and_few_ask(site: Site) {
    let calls = Arc::default();
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        let kv = site
            .builder()
            .layer(counted(&calls))
            .connect()
            .await
            .unwrap();
        processes.push(LockManager::new(&kv).unwrap());
    }
    race(&site, processes, LEASE, TASKS, TIMES).await;
    let (calls, turns) = (calls.load(Ordering::Relaxed), PROCESSES * TASKS * TIMES);
    let each = calls as f64 / turns as f64;
    println!("{each:.2} calls for each of {turns} hand-overs among {PROCESSES} processes");
    assert!(calls <= (2 + PROCESSES) * turns, "{each:.2} calls each");
}

/// With answers that are lost, calls that are not sent, and calls that are sent twice.
async fn each_gets_it_in_spite_of_faults(site: Site) {
    use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
    let mut processes = Vec::new();
    for seed in 0..2 {
        let odds = Odds::none()
            .and(Fault::ApplyThenFail, 0.15)
            .and_then(|it| it.and(Fault::FailBefore, 0.1))
            .and_then(|it| it.and(Fault::Duplicate, 0.15));
        let faults = FaultsLayer::new(Plan::random(seed, odds.unwrap()));
        let faults = faults.only(|it| it.name == "commit");
        let kv = site.builder().layer(faults).connect().await.unwrap();
        processes.push(LockManager::new(&kv).unwrap());
    }
    // A release that nobody heard of is waited out.
    race(&site, processes, Duration::from_millis(500), 3, 8).await;
}

/// No message ever comes: the end of the lease that the refusal told wakes them.
async fn each_gets_it_without_any_message(site: Site) {
    let lease = Duration::from_millis(500);
    let mut processes = Vec::new();
    for _ in 0..2 {
        let kv = site.builder().layer(Deaf).connect().await.unwrap();
        processes.push(LockManager::new(&kv).unwrap());
    }
    race(&site, processes, lease, 2, 3).await;
}

/// Tenants do not wait for each other, neither on the store nor in line.
async fn tenants_do_not_meet(site: Site) {
    use kv_wrappers::{KeyResolver, KeySettings};
    let settings = KeySettings {
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    };
    let layer = KeyResolver::new(settings).unwrap();
    let kv = site.builder().layer(layer).connect().await.unwrap();
    let locks = LockManager::builder(&kv).lease(LEASE).build().unwrap();
    let tenant = |name: &str| Context::tenant(name.to_owned());
    let ann = tenant("ann")
        .scope(locks.lock("a").acquire())
        .await
        .unwrap();
    let waits = {
        let locks = locks.clone();
        tokio::spawn(tenant("ann").scope(async move { locks.lock("a").acquire().await }))
    };
    let bob = locks.lock("a").wait(LONG);
    let bob = tenant("bob").scope(bob.acquire()).await.unwrap();
    assert!(!waits.is_finished());
    bob.fenced_put("account", "bob's").await.unwrap();
    assert_eq!(ann.fenced_get("account").await.unwrap(), None);
    assert_eq!(ann.release().await, Release::Released);
    let next = waits.await.unwrap().unwrap();
    bob.check().unwrap();
    next.check().unwrap();
}

crate::on_each_store! {
    each_gets_it_and_few_ask
    each_gets_it_in_spite_of_faults
    each_gets_it_without_any_message
    tenants_do_not_meet
}

/// Loses every message, and does not know it.
struct Deaf;

impl Layer for Deaf {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(DeafTo(inner))
    }
}

struct DeafTo(Arc<dyn Service>);

impl Service for DeafTo {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        self.0.call(request)
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let events = self.0.watch(watch, context).await?;
            let is_heard = |it: &Result<Event>| {
                let is_heard = !matches!(it, Ok(Event::Message { .. }));
                std::future::ready(is_heard)
            };
            Ok(events.filter(is_heard).boxed())
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn name(&self) -> String {
        "deaf".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.0)
    }
}
