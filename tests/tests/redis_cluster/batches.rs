//! What is about many keys, or about none.

use crate::{ask, names, open, server, tell};
use futures_util::TryStreamExt;
use kv_core::{ErrorKind, Key, Kv, Op, Outcome, Prefix, SetOptions, TimeToLive, Ttl, Txn, When};
use kv_redis::redis;
use kv_tests::{patience, server::Cluster};
use std::{collections::BTreeSet, time::Duration};

#[tokio::test]
async fn case_62_batches_span_slots_with_deadlines_and_conditions() {
    let cluster = Cluster::start();
    let kv = open(&cluster).await;
    let names = names(2500);
    let items = || names.iter().map(|name| (name.as_str(), name.as_str()));
    let hour = Ttl::after(Duration::from_secs(3600)).unwrap();
    let absent = SetOptions::default().ttl(hour).when(When::IfAbsent);
    kv.set("k7", "there").await.unwrap();
    let set = kv.set_many_with(items(), absent).await.unwrap();
    let refused: Vec<_> = (0..)
        .zip(&set)
        .filter(|(_, it)| !*it.as_ref().unwrap())
        .collect();
    assert_eq!(refused.iter().map(|it| it.0).collect::<Vec<_>>(), [7]);
    let values = kv.get_many(&names).await.unwrap();
    for (name, value) in names.iter().zip(values) {
        let expected = if name == "k7" { "there" } else { name };
        assert_eq!(value, Some(expected.into()));
    }
    for name in ["k0", "k1", "k2", "k3"] {
        let left = kv.time_to_live(name).await.unwrap();
        assert!(matches!(left, TimeToLive::In(left) if left <= Duration::from_secs(3600)));
    }
    assert_eq!(kv.exists_many(&names).await.unwrap(), 2500);
    assert_eq!(kv.exists_many(["k1", "k1", "none"]).await.unwrap(), 1);
    let held: Vec<u64> = (0..2)
        .map(|it| ask(&mut server(&cluster, it), &["DBSIZE"]))
        .collect();
    assert!(held.iter().all(|&it| it > 1000), "{held:?}");
    assert_eq!(kv.delete_many(&names).await.unwrap(), 2500);
    assert_eq!(kv.exists_many(&names).await.unwrap(), 0);
}

#[tokio::test]
async fn scripts_are_made_known_to_each_server() {
    let cluster = Cluster::start();
    let kv = open(&cluster).await;
    let names = names(100);
    let items = |value: &'static str| names.iter().map(move |name| (name.as_str(), value));
    kv.set_many(items("old")).await.unwrap();
    for (before, after) in [("old", "new"), ("new", "newer")] {
        let when = SetOptions::from(When::IfValue(before.into()));
        let set = kv.set_many_with(items(after), when).await.unwrap();
        assert!(set.into_iter().all(Result::unwrap));
        (0..2).for_each(|it| tell(&mut server(&cluster, it), &["SCRIPT", "FLUSH"]));
    }
    for name in &names[..10] {
        let when = SetOptions::from(When::IfValue("newer".into()));
        assert!(kv.set_with(name, "last", when).await.unwrap().applied);
        let queue = format!("{name}:queue");
        kv.zadd(&queue, [("a", 1.0), ("b", 2.0)]).await.unwrap();
        assert_eq!(kv.zpopbyscore(&queue, 1.5).await.unwrap(), Some("a".into()));
        let until = Ttl::after(Duration::from_secs(9)).unwrap();
        let counter = format!("{name}:counter");
        assert_eq!(kv.increment_with(&counter, 3, until).await.unwrap(), 3);
        assert!(matches!(
            kv.time_to_live(&counter).await.unwrap(),
            TimeToLive::In(_)
        ));
    }
    assert!(kv.now().await.unwrap().as_micros() > 0);
}

#[tokio::test]
async fn scans_and_clears_visit_every_server_and_keep_to_their_prefix() {
    let cluster = Cluster::start();
    let kv = open(&cluster).await;
    let name = |range: &str, number: usize| Key::new(format!("{range}:{number}")).unwrap();
    let all = |range: &'static str| (0..1200).map(move |it| name(range, it));
    for range in ["own", "others"] {
        kv.set_many(all(range).map(|key| (key, "v"))).await.unwrap();
    }
    let scanned: Vec<Key> = kv.scan(Prefix::from("own:")).try_collect().await.unwrap();
    let found: BTreeSet<_> = scanned.iter().cloned().collect();
    assert_eq!(found, all("own").collect());
    assert_eq!(kv.delete_prefix("own:").await.unwrap(), 1200);
    assert_eq!(kv.exists_many(all("own")).await.unwrap(), 0);
    assert_eq!(kv.exists_many(all("others")).await.unwrap(), 1200);
    // A cursor of a server alone is none of a cluster.
    let lone = kv_tests::server::Redis::start();
    let alone = Kv::builder(patience::redis(&lone.url()));
    let alone = alone.connect().await.unwrap();
    alone
        .set_many(all("own").map(|key| (key, "v")))
        .await
        .unwrap();
    let start = kv_core::ScanFrom::Start;
    let page = alone
        .scan_page(Prefix::from("own:"), start, 10)
        .await
        .unwrap();
    let from = kv_core::ScanFrom::Cursor(page.next.unwrap());
    let error = kv
        .scan_page(Prefix::from("own:"), from, 10)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn transactions_stay_within_a_group() {
    let cluster = Cluster::start();
    let kv = open(&cluster).await;
    let increment = |key: &str| Op::Increment {
        key: key.try_into().unwrap(),
        by: 1,
        ttl_if_created: Ttl::Unset,
    };
    let across = Txn::new().then(increment("{a}:1")).then(increment("{b}:1"));
    let error = kv.commit([across]).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (ErrorKind::CrossGroup, Outcome::Final)
    );
    for node in 0..2 {
        let calls: String = ask(&mut server(&cluster, node), &["INFO", "commandstats"]);
        assert!(!calls.contains("cmdstat_eval"), "it was sent: {calls}");
    }
    // Groups of one list may be on different servers; it is executed in order within each.
    let txns: Vec<_> = (0..400)
        .map(|it| format!("{{g{}}}", it % 40))
        .map(|tag| {
            let (one, two) = (format!("{tag}:1"), format!("{tag}:2"));
            Txn::new().then(increment(&one)).then(increment(&two))
        })
        .collect();
    for answer in kv.commit(txns).await.unwrap() {
        assert!(answer.unwrap().applied);
    }
    for group in 0..40 {
        for key in [format!("{{g{group}}}:1"), format!("{{g{group}}}:2")] {
            assert_eq!(kv.get(&key).await.unwrap(), Some("10".into()));
        }
    }
}

#[tokio::test]
async fn native_handles_are_one_client_for_each_primary() {
    let cluster = Cluster::start();
    let kv = open(&cluster).await;
    let clients: Vec<redis::Client> = kv.native().unwrap();
    assert_eq!(clients.len(), 2);
    let error = kv.native::<redis::Client>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
