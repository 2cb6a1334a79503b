//! Case 153: what the server refuses is told by what the caller should do.

use crate::site::{Backend, Site};
use kv_core::{Error, ErrorKind, Kv, Outcome};
use kv_tests::server::Redis;

fn assert_told(error: &Error, kind: ErrorKind, outcome: Outcome) {
    println!("case 153: {error}");
    assert_eq!(
        (error.kind(), error.outcome()),
        (kind, outcome),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn case_153_wrong_credentials_are_denied_for_good_and_never_shown() {
    let site = Site::<Redis>::start().await;
    site.admin(&["CONFIG", "SET", "requirepass", "the-r1ght-one"])
        .await;
    let address = site.proxy.address();
    for credentials in ["", ":wr0ng-one@", "ann:wr0ng-one@"] {
        let uri = format!("redis://{credentials}{address}");
        let kv = Kv::builder(Redis::store(&uri)).build();
        let error = kv.connect().await.unwrap_err();
        assert_told(&error, ErrorKind::Denied, Outcome::Final);
        for text in [error.to_string(), format!("{error:?}"), format!("{kv:?}")] {
            assert!(!text.contains("wr0ng") && !text.contains("r1ght"), "{text}");
        }
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
    let uri = format!("redis://:the-r1ght-one@{address}");
    let kv = Kv::builder(Redis::store(&uri)).connect().await.unwrap();
    kv.set("k", "v").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn case_153_a_user_without_the_permission_is_denied() {
    let site = Site::<Redis>::start().await;
    let allowed = "+@connection +hello +ping +get +set";
    let mut words = vec!["ACL", "SETUSER", "ann", "on", ">pass", "~mine:*"];
    words.extend(allowed.split(' '));
    site.admin(&words).await;
    let uri = format!("redis://ann:pass@{}", site.proxy.address());
    let kv = Kv::builder(Redis::store(&uri)).connect().await.unwrap();
    kv.set("mine:k", "v").await.unwrap();
    let error = kv.get("other:k").await.unwrap_err();
    assert_told(&error, ErrorKind::Denied, Outcome::Final);
    let error = kv.hgetall("mine:k").await.unwrap_err();
    assert_told(&error, ErrorKind::Denied, Outcome::Final);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_153_a_wrong_type_is_final_and_names_the_key() {
    let site = Site::<Redis>::start().await;
    let kv = &site.direct;
    kv.zadd("zset", [("m", 1)]).await.unwrap();
    for error in [
        kv.get("zset").await.unwrap_err(),
        kv.increment("zset", 1).await.unwrap_err(),
        kv.hset("zset", "f", "v").await.unwrap_err(),
    ] {
        assert_told(&error, ErrorKind::WrongType, Outcome::Final);
        assert_eq!(error.key(), Some("zset"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_153_a_full_server_is_unavailable_for_writes_until_it_has_room() {
    let site = Site::<Redis>::start().await;
    let kv = site.through().await;
    kv.set("k", "v").await.unwrap();
    site.admin(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for error in [
        kv.set("k", "other").await.unwrap_err(),
        kv.increment("n", 1).await.unwrap_err(),
        kv.zadd("z", [("m", 1)]).await.unwrap_err(),
        kv.hset("h", "f", "v").await.unwrap_err(),
    ] {
        assert_told(&error, ErrorKind::Unavailable, Outcome::NotApplied);
    }
    assert_eq!(kv.get("k").await.unwrap().unwrap(), "v");
    site.admin(&["CONFIG", "SET", "maxmemory", "0"]).await;
    kv.set("k", "other").await.unwrap();
    assert!(!kv.exists("n").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_153_a_replica_is_unavailable_for_writes_until_it_is_promoted() {
    let site = Site::<Redis>::start().await;
    let kv = site.through().await;
    kv.set("k", "v").await.unwrap();
    kv.zadd("z", [("m", 1)]).await.unwrap();
    site.admin(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for error in [
        kv.set("k", "other").await.unwrap_err(),
        kv.increment("n", 1).await.unwrap_err(),
        kv.zpopbyscore("z", 1).await.unwrap_err(),
        kv.delete("k").await.unwrap_err(),
    ] {
        assert_told(&error, ErrorKind::Unavailable, Outcome::NotApplied);
    }
    assert_eq!(kv.get("k").await.unwrap().unwrap(), "v");
    site.admin(&["REPLICAOF", "NO", "ONE"]).await;
    kv.set("k", "other").await.unwrap();
}
