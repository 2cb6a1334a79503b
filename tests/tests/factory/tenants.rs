//! Tenants and namespaces on one store.

use crate::shared;
use futures_util::{TryStreamExt, future};
use kv_core::{Context, ErrorKind, Key, Kv, Prefix};

/// Two instances on one server, with their own namespaces.
const TWO: &str = r#"
[default.database.kvstore.a]
namespace = "one"
provider = { backend = "shared" }
wrappers = [{ name = "key_resolver" }]

[default.database.kvstore.b]
namespace = "on"
provider = { backend = "shared" }
wrappers = [{ name = "key_resolver" }]
"#;

async fn own_keys(kv: &Kv) -> Vec<Key> {
    kv.scan(Prefix::ALL).try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_131_tenants_on_one_handle_do_not_mix() {
    let factory = kv_factory::Factory::from_str(
        r#"
        [default.context]
        multi_tenancy_enabled = true
        [default.database.kvstore.a]
        provider = { backend = "memory" }
        wrappers = [{ name = "key_resolver" }]
        "#,
    )
    .unwrap();
    let kv = factory.open("a").await.unwrap();
    let tasks = (0..8).map(|tenant: i64| {
        let kv = kv.clone();
        let work = async move {
            for round in 1..=200 {
                assert_eq!(kv.increment("count", tenant).await.unwrap(), tenant * round);
                kv.set("name", tenant.to_string()).await.unwrap();
                tokio::task::yield_now().await;
                let name = kv.get("name").await.unwrap().unwrap();
                assert_eq!(name, tenant.to_string().as_str());
            }
            assert_eq!(own_keys(&kv).await.len(), 2);
        };
        tokio::spawn(Context::tenant(format!("t{tenant}")).scope(work))
    });
    for task in future::join_all(tasks).await {
        task.unwrap();
    }
}

#[tokio::test]
async fn case_131_a_task_without_a_tenant_fails_where_one_is_required() {
    let (mut builder, server) = shared::builder();
    let toml = format!("[default.context]\nmulti_tenancy_enabled = true\n{TWO}");
    let factory = builder.toml(toml).build().unwrap();
    let kv = factory.open("a").await.unwrap();
    let inner = kv.clone();
    let outer = Context::tenant("t1").scope(async {
        // A spawned task does not inherit the context of the one that spawns it.
        let spawned = tokio::spawn(async move { inner.set("k", "v").await });
        spawned.await.unwrap()
    });
    let error = outer.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.to_string().contains("no tenant in the context"),
        "{error}"
    );
    for failed in [
        kv.get("k").await.err(),
        kv.clear().await.err(),
        kv.resolve("k").err(),
        own_keys_or_error(&kv).await,
    ] {
        assert_eq!(failed.unwrap().kind(), ErrorKind::InvalidArgument);
    }
    assert!(server.keys().is_empty(), "{:?}", server.keys());

    let bound = kv.bind(Context::tenant("t1"));
    tokio::spawn(async move { bound.set("k", "v").await })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(server.keys(), ["nala:t1:one:k"]);
}

async fn own_keys_or_error(kv: &Kv) -> Option<kv_core::Error> {
    kv.scan(Prefix::ALL).try_collect::<Vec<_>>().await.err()
}

#[tokio::test]
async fn case_131_require_tenant_false_relaxes_it() {
    let (mut builder, server) = shared::builder();
    let toml =
        format!("[default.context]\nmulti_tenancy_enabled = true\nrequire_tenant = false\n{TWO}");
    let kv = builder.toml(toml).build().unwrap().open("a").await.unwrap();
    kv.set("k", "v").await.unwrap();
    assert_eq!(server.keys(), ["nala::one:k"]);
}

#[tokio::test]
async fn case_158_two_prefixes_on_one_store_leave_each_other_alone() {
    let (mut builder, server) = shared::builder();
    let factory = builder.toml(TWO).build().unwrap();
    let a = factory.open("a").await.unwrap();
    a.set("k", "of a").await.unwrap();
    // Opened later, with a namespace that the other one begins with.
    let b = factory.open("b").await.unwrap();
    assert_eq!(b.get("k").await.unwrap(), None);
    b.set("k", "of b").await.unwrap();
    b.set("e:k", "of b").await.unwrap();

    assert_eq!(a.get("k").await.unwrap().unwrap(), "of a");
    assert_eq!(own_keys(&a).await, [Key::new("k").unwrap()]);
    assert_eq!(server.keys(), ["nala::on:e:k", "nala::on:k", "nala::one:k"]);
    assert_eq!(b.clear().await.unwrap(), 2);
    assert_eq!(a.get("k").await.unwrap().unwrap(), "of a");
}
