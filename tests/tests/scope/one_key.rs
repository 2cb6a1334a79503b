//! Waiting for one key.

use crate::site::{LONG, SHORT, Without, asleep, everywhere, memory};
use kv_core::{
    Capability, Content, ErrorKind, Guard, Op, Outcome, Scope, SetOptions, Ttl, Txn, Value, When,
};
use std::{pin::pin, time::Duration};

#[tokio::test]
async fn case_110_what_is_present_is_returned_at_once() {
    everywhere(async |site| {
        let scope = site.scope();
        scope.set("here", "v").await.unwrap();
        assert_eq!(scope.wait_for_key("here", LONG).await.unwrap(), "v");
        scope.set_bytes("{t}:bytes", vec![0xff, 0]).await.unwrap();
        let found = scope.wait_for_key("{t}:bytes", LONG).await.unwrap();
        assert_eq!(found.as_bytes(), [0xff, 0]);
    })
    .await;
}

#[tokio::test]
async fn case_110_a_set_wakes_and_nothing_else_does() {
    everywhere(async |site| {
        let scope = site.scope();
        let mut wait = pin!(scope.wait_for_key("k", LONG));
        asleep(&mut wait).await;
        for (namespace, component) in [
            ("training", "worker"),
            ("training", "workers2"),
            ("t", "workers"),
        ] {
            let sibling = site.kv.scope(namespace, component).unwrap();
            sibling.set("k", "not mine").await.unwrap();
        }
        scope.set("k2", "another key").await.unwrap();
        asleep(&mut wait).await;
        scope.set("k", "mine").await.unwrap();
        assert_eq!(wait.await.unwrap(), "mine");
    })
    .await;
}

#[tokio::test]
async fn case_110_a_timeout_names_the_key_and_the_time() {
    everywhere(async |site| {
        let scope = site.scope();
        let error = scope.wait_for_key("k", SHORT).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert_eq!(error.key(), Some("k"));
        let text = error.to_string();
        assert!(
            text.starts_with("wait_for_key `k`: nothing came to the key within 100ms; elapsed: 1"),
            "{text}"
        );
        let error = scope.wait_for_value("k", "v", SHORT).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("wait_for_value `k`: the key did not get the value"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn case_113_another_value_does_not_satisfy() {
    everywhere(async |site| {
        let scope = site.scope();
        scope.set("k", "stop").await.unwrap();
        let mut wait = pin!(scope.wait_for_value("k", "go", LONG));
        asleep(&mut wait).await;
        scope.set("k", "gone").await.unwrap();
        scope.delete("k").await.unwrap();
        site.kv
            .hset(scope.key("k").unwrap(), "go", "go")
            .await
            .unwrap();
        asleep(&mut wait).await;
        scope.set("k", "go").await.unwrap();
        assert_eq!(wait.await.unwrap(), "go");
    })
    .await;
}

#[tokio::test]
async fn case_116_compare_and_set_then_wait_as_a_tcp_store_has_it() {
    everywhere(async |site| {
        let scope = site.scope();
        let key = scope.key("k").unwrap();
        let set = async |value: &'static str, when: When| {
            let reply = site.kv.set_with(&key, value, SetOptions::from(when)).await;
            let reply = reply.unwrap();
            (reply.applied, reply.current)
        };
        let if_is = |value: &'static str| When::IfValue(value.into());
        assert_eq!(set("v", if_is("x")).await, (false, None));
        assert!(set("v", When::IfAbsent).await.0);
        assert_eq!(set("w", if_is("x")).await, (false, Some(Value::from("v"))));
        assert!(set("w", if_is("v")).await.0);
        assert_eq!(scope.wait_for_key("k", LONG).await.unwrap(), "w");
        assert!(scope.delete("k").await.unwrap());
        assert!(scope.wait_for_key("k", SHORT).await.is_err());
    })
    .await;
}

/// Every way in which a string can come to a key.
async fn write(scope: &Scope, way: usize) {
    let (kv, key) = (scope.kv(), scope.key("{t}:k").unwrap());
    match way {
        0 => scope.set("{t}:k", "1").await.unwrap(),
        1 => assert_eq!(kv.increment(&key, 1).await.unwrap(), 1),
        2 => assert!(kv.set_if_absent(&key, "1", Ttl::Unset).await.unwrap()),
        3 => kv.set_many([(&key, "1")]).await.unwrap(),
        4 => {
            let txn = Txn::new().when(Guard::absent(&key)).then(Op::Set {
                key,
                content: Content::Value("1".into()),
                ttl: Ttl::Unset,
            });
            assert!(kv.commit_one(txn).await.unwrap().applied);
        }
        _ => unreachable!(),
    }
}

#[tokio::test]
async fn case_117_every_kind_of_write_wakes() {
    everywhere(async |site| {
        let scope = site.scope();
        for way in 0..5 {
            let mut wait = pin!(scope.wait_for_key("{t}:k", LONG));
            let mut all = Box::pin(scope.wait_for_keys("{t}:*", 1).timeout(LONG).into_future());
            asleep(&mut wait).await;
            asleep(&mut all).await;
            write(&scope, way).await;
            assert_eq!(wait.await.unwrap(), "1", "way {way}");
            assert_eq!(all.await.unwrap().len(), 1, "way {way}");
            scope.delete("{t}:k").await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn case_117_a_structure_wakes_too_and_has_no_value_to_return() {
    everywhere(async |site| {
        let scope = site.scope();
        let (zset, hash) = (scope.key("z").unwrap(), scope.key("h").unwrap());
        let mut for_zset = pin!(scope.wait_for_key("z", LONG));
        let mut for_hash = pin!(scope.wait_for_key("h", LONG));
        asleep(&mut for_zset).await;
        asleep(&mut for_hash).await;
        site.kv.zadd(&zset, [("m", 1)]).await.unwrap();
        site.kv.hset(&hash, "f", "1").await.unwrap();
        for error in [for_zset.await.unwrap_err(), for_hash.await.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::WrongType, "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_wait_can_be_spawned() {
    everywhere(async |site| {
        let scope = site.scope();
        let spawned = scope.clone();
        let wait = tokio::spawn(async move {
            let key = spawned.wait_for_key("k", LONG).await?;
            spawned.wait_for_value("v", "1", LONG).await?;
            spawned
                .wait_for_keys("k*", 1)
                .value("x")
                .timeout(LONG)
                .await?;
            Ok::<_, kv_core::Error>(key)
        });
        scope.set("k", "x").await.unwrap();
        scope.set("v", "1").await.unwrap();
        assert_eq!(wait.await.unwrap().unwrap(), "x");
    })
    .await;
}

#[tokio::test]
async fn a_closed_store_ends_its_waits() {
    everywhere(async |site| {
        let scope = site.scope();
        let mut wait = pin!(scope.wait_for_key("k", LONG));
        asleep(&mut wait).await;
        site.kv.close().await;
        assert_eq!(wait.await.unwrap_err().kind(), ErrorKind::Closed);
    })
    .await;
}

#[tokio::test]
async fn a_store_that_cannot_watch_says_so() {
    let stack = memory().layer(Without(Capability::Watch));
    let scope = Scope::whole(&stack.connect().await.unwrap());
    let error = scope.wait_for_key("k", Duration::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
