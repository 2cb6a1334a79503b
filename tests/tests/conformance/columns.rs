//! The stores that the stacks are put on.

use crate::stacks::{Handles, LOW_KEY, LOW_VALUE, Limits, Stack};
use kv_conformance::Fixture;
use kv_core::{Kv, KvBuilder, Result, Store};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_redis::{RedisConfig, RedisStore};
use std::time::Duration;

/// Every case has a store of its own, which all of the case's handles share.
pub(crate) fn memory(stack: &Stack) -> Fixture {
    let config = match stack.limits {
        Limits::Usual => MemoryConfig::default(),
        Limits::Low => MemoryConfig::default()
            .max_key_bytes(LOW_KEY)
            .max_value_bytes(LOW_VALUE),
    };
    let stack = stack.clone();
    let settings = stack.settings.clone();
    let name = format!("memory/{}", stack.name);
    let fixture = match stack.handles {
        Handles::Anew => Fixture::per_case(name, move || {
            let (store, stack) = (MemoryStore::new(config.clone()), stack.clone());
            move || connect(store.clone(), stack.clone())
        }),
        Handles::Clones => Fixture::in_process(name, move || {
            connect(MemoryStore::new(config.clone()), stack.clone())
        }),
    };
    // It looks at the clock whenever it is asked, so no key may be late.
    let settings = settings.slack(Duration::ZERO);
    fixture.settings(settings.case_deadline(CASE_DEADLINE))
}

pub(crate) fn redis(column: &str, stack: &Stack, url: &str) -> Fixture {
    let mut config = RedisConfig::from_url(url);
    // What a busy machine does to deadlines is another test's matter.
    config.connect_timeout = CASE_DEADLINE / 2;
    config.response_timeout = CASE_DEADLINE / 2;
    if matches!(stack.limits, Limits::Low) {
        config.max_key_bytes = LOW_KEY.get();
        config.max_value_bytes = LOW_VALUE.get();
    }
    let stack = stack.clone();
    // Redis reads its clock once per turn of its loop.
    let settings = stack.settings.clone().slack(Duration::from_millis(50));
    let fixture = of_server(column, stack, move || RedisStore::new(config.clone()));
    fixture.settings(settings.case_deadline(CASE_DEADLINE))
}

/// Below a root of its own, so that one server does for all runs.
pub(crate) fn etcd(column: &str, stack: &Stack, url: &str) -> Fixture {
    let mut config = EtcdConfig::from_url(url);
    let root = || Some(format!("conformance-{:016x}/", fastrand::u64(..)));
    config.root = root();
    // What a busy machine does to deadlines is another test's matter.
    config.connect_timeout = CASE_DEADLINE / 2;
    config.response_timeout = CASE_DEADLINE / 2;
    config.conflict_timeout = CASE_DEADLINE / 2;
    // There is one clock here.
    config.max_clock_skew = Duration::ZERO;
    if matches!(stack.limits, Limits::Low) {
        config.max_key_bytes = LOW_KEY.get();
        config.max_value_bytes = LOW_VALUE.get();
    }
    let stack = stack.clone();
    // Readers look at the clock; but what is held goes with its lease.
    let settings = stack.settings.clone();
    let settings = settings
        .slack(Duration::from_millis(50))
        .held_slack(HELD)
        .case_deadline(CASE_DEADLINE);
    let handles = stack.handles;
    let fixture = of_server(column, stack, move || {
        let mut config = config.clone();
        if let Handles::Clones = handles {
            // A near cache watches all below its root: it need not hear of the cases beside it.
            config.root = root();
        }
        EtcdStore::new(config)
    });
    fixture.settings(settings)
}

/// How late a lease may be: a bucket of two seconds, full seconds twice, and the half a second in which
/// etcd looks for what has ended; the rest is for a busy machine.
const HELD: Duration = Duration::from_secs(30);

/// For a case that hangs, not for one on a busy machine: where writers meet, etcd takes more exchanges,
/// and each writes to its log.
pub(crate) const CASE_DEADLINE: Duration = Duration::from_secs(600);

fn of_server<S: Store>(
    column: &str,
    stack: Stack,
    store: impl Fn() -> Result<S> + Send + Sync + 'static,
) -> Fixture {
    let (name, handles) = (format!("{column}/{}", stack.name), stack.handles);
    let open = move || {
        let (store, stack) = (store(), stack.clone());
        async move { connect(store?, stack).await }
    };
    match handles {
        Handles::Anew => Fixture::new(name, open),
        Handles::Clones => Fixture::in_process(name, open),
    }
}

async fn connect(store: impl Store, stack: Stack) -> Result<Kv> {
    let builder = stack
        .layers
        .into_iter()
        .fold(Kv::builder(store), KvBuilder::layer);
    builder.connect().await
}
