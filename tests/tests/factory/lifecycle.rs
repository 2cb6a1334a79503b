//! Before open, after close, and what close leaves.

use crate::{recorder::stack, samples::commands, shared};
use kv_core::{CapabilitySet, Context, ErrorKind, Kv, Watch};
use kv_factory::Factory;

const STACK: &str = r#"
[default.database.kvstore.a]
provider = { backend = "memory" }
wrappers = [
    { name = "default_ttl", config = { default_ttl = "1h" } },
    { name = "key_resolver" },
]
"#;

async fn assert_closed(kv: &Kv) {
    for command in commands() {
        let name = command.spec().name;
        // What the store lacks is refused first, open or not.
        match kv.call(command).await {
            Err(error) if error.kind() == ErrorKind::Closed => {}
            other => panic!("`{name}` on a closed store: {other:?}"),
        }
    }
    if kv.capabilities().has(kv_core::Capability::Watch) {
        let watch = kv.watch(Watch::Keys(Vec::new())).await;
        assert_eq!(watch.err().map(|it| it.kind()), Some(ErrorKind::Closed));
    }
    let health = kv.health().await;
    assert!(!health.available && health.reason.is_some(), "{health:?}");
}

#[tokio::test]
async fn case_148_nothing_passes_before_open_and_after_close() {
    let memory = kv_memory::MemoryStore::new(kv_memory::MemoryConfig::default());
    assert_closed(&Kv::builder(memory).build()).await;

    let factory = Factory::from_str(STACK).unwrap();
    let kv = factory.open("a").await.unwrap();
    kv.set("k", "v").await.unwrap();
    let clone = kv.bind(Context::tenant("t1"));
    factory.close_all().await;
    factory.close_all().await;
    kv.close().await;
    assert_closed(&kv).await;
    assert_closed(&clone).await;

    let again = factory.open("a").await.unwrap();
    again.set("k", "v").await.unwrap();
    assert_eq!(kv.get("k").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_148_calls_under_way_end_when_the_store_closes() {
    let factory = Factory::from_str(STACK).unwrap();
    let kv = factory.open("a").await.unwrap();
    let tasks = (0..4).map(|_| {
        let kv = kv.clone();
        tokio::spawn(async move {
            let mut done = 0_u64;
            loop {
                match kv.increment("k", 1).await {
                    Ok(_) => done += 1,
                    Err(error) => return (done, error.kind()),
                }
                tokio::task::yield_now().await;
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    while kv.get("k").await.unwrap().is_none() {
        assert!(!tasks.iter().any(|task| task.is_finished()), "ended early");
        tokio::task::yield_now().await;
    }
    factory.close_all().await;
    for task in tasks {
        assert_eq!(task.await.unwrap().1, ErrorKind::Closed);
    }
}

#[tokio::test]
async fn case_149_close_deletes_nothing() {
    let (kv, seen) = stack(CapabilitySet::ALL, "{ name = \"key_resolver\" }", "").await;
    kv.close().await;
    assert!(seen.take().is_empty(), "close sent commands");

    let (mut builder, server) = shared::builder();
    let toml = "[default.database.kvstore.a]\nprovider = { backend = \"shared\" }\nwrappers = [{ name = \"key_resolver\" }]";
    let factory = builder.toml(toml).build().unwrap();
    let kv = factory.open("a").await.unwrap();
    kv.set("k", "v").await.unwrap();
    factory.close_all().await;
    assert_eq!(server.keys(), ["nala::default:k"]);
    let kv = factory.open("a").await.unwrap();
    assert_eq!(kv.get("k").await.unwrap().unwrap(), "v");
}
