//! Two tenants, one name, in several processes: neither is ever given what is the other's.

use kv_cache::{Cache, Far, Near, Policy};
use kv_core::Context;
use kv_tests::{
    patience::{PATIENCE, until},
    stores::Site,
};
use kv_wrappers::{KeyResolver, KeySettings};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::Notify, task::JoinSet};

const HOUR: Duration = Duration::from_secs(3600);

type Products = Cache<str, u32>;

/// One keeps what it has for an hour, the other asks the store each time; both hear of each other.
async fn processes(site: &Site) -> [Products; 2] {
    let on = async |max_stale| {
        let keys = KeyResolver::new(KeySettings::default()).unwrap();
        let kv = site.builder().layer(keys).connect().await.unwrap();
        let policy = Policy::ttl(HOUR).stale(HOUR).hard_timeout(PATIENCE);
        Cache::builder("products")
            .near(Near::megabytes(1).max_stale(max_stale))
            .far(Far::new(&kv).deadline(PATIENCE))
            .policy(policy)
            .build()
            .unwrap()
    };
    [on(HOUR).await, on(Duration::ZERO).await]
}

/// Whose a value is, by its tens.
#[derive(Clone, Copy, Debug)]
enum Who {
    Ann = 1,
    Bob = 2,
}

const BOTH: [Who; 2] = [Who::Ann, Who::Bob];

impl Who {
    fn context(self) -> Context {
        Context::tenant(format!("{self:?}"))
    }

    /// What this one has the loader bring the so-manieth time.
    fn value(self, time: u32) -> u32 {
        self as u32 * 10 + time
    }

    /// Asks; what is loaded comes when the gate opens.
    async fn ask(self, cache: &Products, time: u32, gate: Option<Arc<Notify>>) -> u32 {
        let load = cache.get_or_load("k", move |_| async move {
            if let Some(gate) = gate {
                gate.notified().await;
            }
            // Also in the background, and when its caller is long gone.
            let seen = Context::current().unwrap();
            assert_eq!(seen.tenant_id(), self.context().tenant_id());
            Ok::<_, Infallible>(self.value(time))
        });
        *self.context().scope(load).await.unwrap()
    }
}

async fn each_is_given_its_own_also_after_a_refresh(site: Site) {
    let caches = processes(&site).await;
    for (time, cache) in (0..).zip(&caches) {
        for who in BOTH {
            // The second process has it from the first one.
            assert_eq!(who.ask(cache, time, None).await, who.value(0));
        }
        cache.idle().await;
    }
    for cache in &caches {
        for who in BOTH {
            who.context().scope(cache.expire("k")).await.unwrap();
        }
        // At the same time, of the same name, in the background; the gates open in the other order.
        let gates = BOTH.map(|_| Arc::new(Notify::new()));
        for (who, gate) in BOTH.into_iter().zip(&gates) {
            let stale = who.ask(cache, 1, Some(gate.clone())).await;
            assert_eq!(stale / 10, who as u32, "{who:?}: {stale}");
        }
        for gate in gates.iter().rev() {
            gate.notify_one();
        }
        cache.idle().await;
        for who in BOTH {
            assert_eq!(who.ask(cache, 2, None).await, who.value(1));
        }
    }
    // Neither removes what is the other's.
    let [one, other] = &caches;
    Who::Ann.context().scope(one.remove("k")).await.unwrap();
    assert_eq!(Who::Bob.ask(one, 3, None).await, Who::Bob.value(1));
    assert_eq!(Who::Ann.ask(one, 3, None).await, Who::Ann.value(3));
    one.idle().await;
    assert_eq!(Who::Bob.ask(other, 4, None).await, Who::Bob.value(1));
    assert_eq!(Who::Ann.ask(other, 4, None).await, Who::Ann.value(3));
}

/// Whoever asked is gone, and both loads come to their end under the other's context.
async fn each_is_given_its_own_also_after_a_late_fill(site: Site) {
    let caches = processes(&site).await;
    let gates = BOTH.map(|_| Arc::new(Notify::new()));
    let mut asking = JoinSet::new();
    for (who, gate) in BOTH.into_iter().zip(&gates) {
        let (cache, gate) = (caches[0].clone(), gate.clone());
        asking.spawn(async move { who.ask(&cache, 0, Some(gate)).await });
    }
    until("both are loaded", async || caches[0].stats().loads == 2).await;
    asking.shutdown().await;
    for (who, gate) in BOTH.into_iter().zip(gates.iter().rev()) {
        who.context().scope(async { gate.notify_one() }).await;
    }
    caches[0].idle().await;
    for cache in &caches {
        for who in BOTH {
            assert_eq!(who.ask(cache, 1, None).await, who.value(0));
            let entry = who.context().scope(cache.get_entry("k")).await.unwrap();
            assert_eq!(entry.unwrap().value().map(|it| **it), Some(who.value(0)));
        }
        // Nobody has none of theirs.
        assert_eq!(cache.get("k").await.unwrap(), None);
    }
}

kv_tests::on_each_store_there_is! {
    each_is_given_its_own_also_after_a_refresh
    each_is_given_its_own_also_after_a_late_fill
}
