//! Slots that go to the other server while callers work on them.

use crate::{ask, open, redirections, server, tell};
use kv_core::{ErrorKind, Kv, Op, Ttl, Txn};
use kv_tests::server::Cluster;
use redis::Connection;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::task::JoinSet;

/// How often the slot changes its server.
const MOVES: usize = 8;
const COUNTERS: usize = 24;

fn counter(number: usize) -> String {
    format!("{{m}}:{number}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_migrates_under_load_loses_and_repeats_nothing() {
    let cluster = Cluster::start();
    let kv = open(&cluster).await;
    let mut servers = [server(&cluster, 0), server(&cluster, 1)];
    let addresses = cluster.addresses();
    let load_state = Arc::new(Load::default());
    let mut load = JoinSet::new();
    for task in 0..4 {
        let (kv, state) = (kv.clone(), Arc::clone(&load_state));
        load.spawn(async move { work(&kv, task, &state).await });
    }
    let state = Arc::clone(&load_state);
    let migrations = tokio::task::spawn_blocking(move || {
        let slot: u16 = ask(&mut servers[0], &["CLUSTER", "KEYSLOT", "{m}"]);
        let slots: Vec<(u16, u16, redis::Value)> = ask(&mut servers[0], &["CLUSTER", "SLOTS"]);
        let owns = |slots: &[(u16, u16, redis::Value)]| {
            let range = slots
                .iter()
                .find(|it| (it.0..=it.1).contains(&slot))
                .unwrap();
            format!("{:?}", range.2).contains(&addresses[1].port().to_string())
        };
        let mut from = usize::from(owns(&slots));
        for _ in 0..MOVES {
            migrate(&mut servers, addresses, slot, from, &state);
            from = 1 - from;
        }
        ["MOVED", "ASK"].map(|error| servers.iter_mut().map(|it| redirections(it, error)).sum())
    });
    let [moved, asked]: [u64; 2] = migrations.await.unwrap();
    load_state.over.store(true, Ordering::Relaxed);
    let mut added = 0;
    while let Some(done) = load.join_next().await {
        added += done.unwrap();
    }
    let counters: Vec<_> = (0..COUNTERS).map(counter).collect();
    let values = kv.get_many(&counters).await.unwrap();
    let number = |value: Option<kv_core::Value>| -> u64 {
        let value = value.unwrap_or_else(|| "0".into());
        str::from_utf8(value.as_bytes()).unwrap().parse().unwrap()
    };
    let counted: u64 = values.into_iter().map(number).sum();
    println!("{added} increments while a slot moved {MOVES} times: {moved} MOVED, {asked} ASK");
    assert_eq!(counted, added);
    assert!(moved > 0 && asked > 0, "{moved} MOVED, {asked} ASK");
}

#[derive(Default)]
struct Load {
    over: AtomicBool,
    turns: AtomicU64,
}

impl Load {
    /// Ends when callers have done so much more.
    fn go_on(&self, turns: u64) {
        let goal = self.turns.load(Ordering::Relaxed) + turns;
        for _ in 0..60_000 {
            if self.turns.load(Ordering::Relaxed) >= goal {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("the callers do not get on");
    }
}

/// Counts until the migrations are over; answers how often it did.
async fn work(kv: &Kv, task: usize, state: &Load) -> u64 {
    let mut added = 0;
    let mut turn = 0;
    while !state.over.load(Ordering::Relaxed) {
        turn += 1;
        state.turns.fetch_add(1, Ordering::Relaxed);
        let key = counter((turn + task * 5) % COUNTERS);
        match task {
            // Single commands, in one step with a deadline, in a script, and in a pipeline.
            0 => drop(kv.increment(&key, 1).await.unwrap()),
            1 => {
                let ttl = Ttl::after(Duration::from_secs(3600)).unwrap();
                kv.increment_with(&key, 1, ttl).await.unwrap();
            }
            2 => {
                let until = kv.now().await.unwrap();
                let until = until.saturating_add(Duration::from_secs(3600));
                kv.increment_with(&key, 1, Ttl::At(until)).await.unwrap();
            }
            _ => {
                let txn = |number: usize| {
                    Txn::new().then(Op::Increment {
                        key: counter((number + turn) % COUNTERS).try_into().unwrap(),
                        by: 1,
                        ttl_if_created: Ttl::Unset,
                    })
                };
                for answer in kv.commit((0..10).map(txn)).await.unwrap() {
                    assert!(answer.unwrap().applied);
                }
                added += 9;
                // Names that are new, in the slot and elsewhere.
                let names = (0..20).map(|it| format!("{{m}}:new:{turn}:{it}"));
                let names: Vec<_> = names
                    .chain((0..20).map(|it| format!("x:{turn}:{it}")))
                    .collect();
                let items = names.iter().map(|name| (name, "v"));
                kv.set_many(items).await.unwrap();
                let values = kv.get_many(&names).await.unwrap();
                assert!(
                    values.iter().all(Option::is_some),
                    "a write was not read back"
                );
                assert_eq!(kv.delete_many(&names).await.unwrap(), 40);
            }
        }
        added += 1;
    }
    added
}

/// Moves a slot as an operator does, key by key.
fn migrate(
    servers: &mut [Connection; 2],
    addresses: [SocketAddr; 2],
    slot: u16,
    from: usize,
    load: &Load,
) {
    load.go_on(20);
    let to = 1 - from;
    let ids = servers
        .each_mut()
        .map(|it| ask::<String>(it, &["CLUSTER", "MYID"]));
    let slot = slot.to_string();
    let slot = slot.as_str();
    tell(
        &mut servers[to],
        &["CLUSTER", "SETSLOT", slot, "IMPORTING", &ids[from]],
    );
    tell(
        &mut servers[from],
        &["CLUSTER", "SETSLOT", slot, "MIGRATING", &ids[to]],
    );
    let port = addresses[to].port().to_string();
    loop {
        let keys: Vec<String> = ask(&mut servers[from], &["CLUSTER", "GETKEYSINSLOT", slot, "3"]);
        if keys.is_empty() {
            break;
        }
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        tell(&mut servers[from], &words);
        load.go_on(5);
    }
    tell(
        &mut servers[to],
        &["CLUSTER", "SETSLOT", slot, "NODE", &ids[to]],
    );
    tell(
        &mut servers[from],
        &["CLUSTER", "SETSLOT", slot, "NODE", &ids[to]],
    );
}

#[tokio::test]
async fn a_group_torn_between_two_servers_is_refused_unapplied_and_served_afterwards() {
    let cluster = Cluster::start();
    let mut config = crate::config(cluster.url());
    config.response_timeout = Duration::from_secs(3);
    let store = kv_redis::RedisStore::new(config).unwrap();
    let kv = Kv::builder(store).connect().await.unwrap();
    let mut servers = [server(&cluster, 0), server(&cluster, 1)];
    let increment = |key: &str| Op::Increment {
        key: key.try_into().unwrap(),
        by: 1,
        ttl_if_created: Ttl::Unset,
    };
    // "{bar}" is on the first server; one key is moved by hand, the other stays.
    let both = || {
        Txn::new()
            .then(increment("{bar}:1"))
            .then(increment("{bar}:2"))
    };
    kv.commit_one(both()).await.unwrap();
    let slot = ask::<u16>(&mut servers[0], &["CLUSTER", "KEYSLOT", "{bar}"]).to_string();
    let ids = servers
        .each_mut()
        .map(|it| ask::<String>(it, &["CLUSTER", "MYID"]));
    let port = cluster.addresses()[1].port().to_string();
    tell(
        &mut servers[1],
        &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]],
    );
    tell(
        &mut servers[0],
        &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]],
    );
    let migrate = |server: &mut Connection, key| {
        tell(server, &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
    };
    migrate(&mut servers[0], "{bar}:1");
    let error = kv.commit_one(both()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.outcome(), kv_core::Outcome::NotApplied);
    // Each key alone is served meanwhile, several in one call too.
    let values = kv.get_many(["{bar}:1", "{bar}:2"]).await.unwrap();
    assert_eq!(values, [Some("1".into()), Some("1".into())]);
    migrate(&mut servers[0], "{bar}:2");
    for server in [1, 0] {
        tell(
            &mut servers[server],
            &["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]],
        );
    }
    assert!(kv.commit_one(both()).await.unwrap().applied);
    assert_eq!(kv.get("{bar}:1").await.unwrap(), Some("2".into()));
}
