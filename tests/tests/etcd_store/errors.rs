//! Errors of real servers: their kind, their outcome, what they say, and how soon they come.

use crate::site::{Raw, Site, for_span, lifetime, open, open_with, secs};
use etcd_client::{Client, Permission};
use kv_core::{Error, ErrorKind, KeyGroup, Kv, Op, Outcome, Stopwatch, SystemClock, Txn, Value};
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_tests::patience::{PATIENCE, until};
use kv_tests::server::Etcd;
use std::{
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    time::Duration,
};

#[tokio::test]
async fn a_full_database_takes_no_writes_and_says_what_to_do() {
    let server = Etcd::start_with(&[("quota-backend-bytes", "8388608")]);
    let site = Site::on(server).await;
    let kv = &site.kv;
    kv.hset("h", "f", "v").await.unwrap();
    kv.set("small", "v").await.unwrap();
    let large = vec![7; 1 << 20];
    let mut refused = None;
    // It notices when it writes to its disk, every now and then.
    for number in 0..200 {
        if let Err(error) = kv.set(format!("large{number}"), large.clone()).await {
            refused = Some(error);
            break;
        }
    }
    let full = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
        let text = error.to_string();
        for word in [
            "NOSPACE",
            "compact",
            "--quota-backend-bytes",
            "alarm disarm",
        ] {
            assert!(text.contains(word), "{text}");
        }
    };
    full(refused.expect("the quota is never reached"));
    // Once it is full, nothing fits, however small; a lease would not either.
    let minute = for_span(secs(60));
    full(kv.set("a", "v").await.unwrap_err());
    full(kv.set_with("a", "v", minute).await.unwrap_err());
    full(kv.increment("n", 1).await.unwrap_err());
    full(kv.hset("h", "g", "v").await.unwrap_err());
    full(kv.zadd("z", [("m", 1.0)]).await.unwrap_err());
    let txn = Txn::new().then(Op::Increment {
        key: crate::site::key("n"),
        by: 1,
        ttl_if_created: kv_core::Ttl::Unset,
    });
    full(kv.commit_one(txn).await.unwrap_err());
    // What was there is read, and deleted.
    assert_eq!(kv.get("small").await.unwrap(), Some("v".into()));
    assert_eq!(kv.hlen("h").await.unwrap(), 1);
    assert!(!kv.exists("n").await.unwrap());
    assert_eq!(kv.hdel("h", ["f"]).await.unwrap(), 1);
    assert!(kv.delete("small").await.unwrap());
    assert!(kv.delete_prefix("large").await.unwrap() > 0);
    assert!(!kv.exists("small").await.unwrap());
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent_or_by_the_server() {
    let server = Etcd::start_with(&[("max-request-bytes", "65536")]);
    let kv = open(&server.url()).await;
    let too_large = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
        assert_eq!(error.outcome(), Outcome::Final, "{error:?}");
    };
    // By the server.
    let large = Value::from(vec![7; 100_000]);
    let error = kv.set("k", large.clone()).await.unwrap_err();
    assert!(error.to_string().contains("--max-request-bytes"), "{error}");
    too_large(error);
    too_large(kv.hset("h", "f", large.clone()).await.unwrap_err());
    too_large(
        kv.set_with("k", large, for_span(secs(60)))
            .await
            .unwrap_err(),
    );
    // Before it is sent: the same server is not asked.
    server.pause();
    let error = kv.set("k", vec![7; (1 << 20) + 1]).await.unwrap_err();
    too_large(error);
    let ops = (0..3).map(|number| Op::Set {
        key: KeyGroup::new("g").unwrap().key(format!("{number}")),
        content: Value::from(vec![7; 600_000]).into(),
        ttl: kv_core::Ttl::Unset,
    });
    let txn = ops.fold(Txn::new(), Txn::then);
    too_large(kv.commit_one(txn).await.unwrap_err());
    server.resume();
    until("it goes on", async || kv.ping_works().await).await;
    assert!(!kv.exists("k").await.unwrap());
}

trait Pings {
    async fn ping_works(&self) -> bool;
}

impl Pings for Kv {
    async fn ping_works(&self) -> bool {
        self.get("k").await.is_ok()
    }
}

/// A server with users: `app` may do everything below `app/`, `nobody` nothing.
async fn with_users() -> (Site, String) {
    let site = Site::start().await;
    let mut raw: Client = site.raw.0.clone();
    raw.user_add("root", "pw", None).await.unwrap();
    raw.user_grant_role("root", "root").await.unwrap();
    raw.role_add("app").await.unwrap();
    let permission = Permission::read_write("app/").with_prefix();
    raw.role_grant_permission("app", permission).await.unwrap();
    for user in ["app", "nobody"] {
        raw.user_add(user, "s3cret", None).await.unwrap();
    }
    raw.user_grant_role("app", "app").await.unwrap();
    raw.auth_enable().await.unwrap();
    let address = site.server.address().to_string();
    (site, address)
}

async fn refusal(url: &str) -> Error {
    let store = EtcdStore::from_url(url).unwrap();
    let Err(error) = Kv::builder(store).connect().await else {
        panic!("it connects to {url}");
    };
    let text = format!("{error} {error:?}");
    assert!(
        !text.contains("s3cret") && !text.contains("wr0ng"),
        "{text}"
    );
    error
}

fn is_denied<T: std::fmt::Debug>(result: kv_core::Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert_eq!(error.outcome(), Outcome::Final, "{error:?}");
}

#[tokio::test]
async fn wrong_credentials_and_missing_roles_are_denied() {
    let (_site, address) = with_users().await;
    for wrong in ["app:wr0ng@", "stranger:s3cret@", ""] {
        let error = refusal(&format!("etcd://{wrong}{address}")).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{wrong}: {error:?}");
    }
    // The keys of this user, and no others.
    let app = open(&format!("etcd://app:s3cret@{address}/app/")).await;
    app.set("k", "v").await.unwrap();
    assert_eq!(app.get("k").await.unwrap(), Some("v".into()));
    app.set_with("k", "v", for_span(secs(60))).await.unwrap();
    app.hset("h", "f", "v").await.unwrap();
    assert!(app.expire("h", lifetime(secs(60))).await.unwrap());
    assert_eq!(app.increment("n", 1).await.unwrap(), 1);
    let elsewhere = open(&format!("etcd://app:s3cret@{address}")).await;
    let nobody = open(&format!("etcd://nobody:s3cret@{address}/app/")).await;
    for kv in [&elsewhere, &nobody] {
        is_denied(kv.set("k", "v").await);
        is_denied(kv.get("k").await);
        is_denied(kv.delete("k").await);
        is_denied(kv.increment("n", 1).await);
        is_denied(kv.hset("h", "f", "v").await);
        is_denied(kv.set_with("k", "v", for_span(secs(60))).await);
    }
    assert_eq!(app.get("k").await.unwrap(), Some("v".into()));
}

#[tokio::test]
async fn unreachable_servers_are_named_without_credentials() {
    let free = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.local_addr().unwrap()
    };
    let (one, other) = (free(), free());
    let error = refusal(&format!("etcd://app:s3cret@{one},{other}")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
    let text = error.to_string();
    for address in [one, other] {
        assert!(text.contains(&address.to_string()), "{text}");
    }
    // Nor may they be where they would be shown.
    let mut config = EtcdConfig::default();
    config.endpoints = vec![format!("http://app:s3cret@{one}")];
    assert!(!format!("{config:?}").contains("s3cret"));
    let error = EtcdStore::new(config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn calls_to_a_frozen_server_end_in_time_with_the_right_outcome() {
    let server = Etcd::start();
    let deadline = Duration::from_secs(2);
    let mut config = EtcdConfig::from_url(server.url());
    config.response_timeout = deadline;
    config.connect_timeout = deadline;
    let kv = open_with(config.clone(), Arc::new(SystemClock)).await;
    kv.set("k", "1").await.unwrap();
    kv.hset("h", "f", "v").await.unwrap();
    server.pause();
    let check = |what: &str, watch: Stopwatch, error: Error, outcome: Outcome| {
        let took = watch.elapsed();
        let known = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable);
        assert!(known, "{what}: {error:?}");
        assert_eq!(error.outcome(), outcome, "{what}: {error:?}");
        assert!(
            took >= deadline / 2 && took < deadline + PATIENCE,
            "{what}: {took:?}"
        );
    };
    use Outcome::{NotApplied, Unknown};
    let watch = Stopwatch::start();
    check("get", watch, kv.get("k").await.unwrap_err(), NotApplied);
    let watch = Stopwatch::start();
    check("set", watch, kv.set("k", "2").await.unwrap_err(), Unknown);
    let watch = Stopwatch::start();
    check("delete", watch, kv.delete("x").await.unwrap_err(), Unknown);
    // It reads first, so nothing was sent that writes.
    let watch = Stopwatch::start();
    let error = kv.increment("n", 1).await.unwrap_err();
    check("increment", watch, error, NotApplied);
    let watch = Stopwatch::start();
    check("hlen", watch, kv.hlen("h").await.unwrap_err(), NotApplied);
    // No lease was granted yet, and without one nothing is written.
    let watch = Stopwatch::start();
    let set = kv.set_with("k", "3", for_span(secs(60))).await;
    check("a lease", watch, set.unwrap_err(), NotApplied);
    let store = EtcdStore::new(config).unwrap();
    let watch = Stopwatch::start();
    let Err(error) = Kv::builder(store).connect().await else {
        panic!("a frozen server answers");
    };
    check("connect", watch, error, NotApplied);
    server.resume();
    let raw = Raw(kv.native::<Client>().unwrap());
    until("it goes on", async || kv.set("barrier", "v").await.is_ok()).await;
    let value = raw.get("k").await.unwrap();
    assert_ne!(value.value(), b"3", "said to be not applied");
    assert!(!kv.exists("n").await.unwrap());
}
