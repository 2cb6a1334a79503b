//! The resilience wrappers as a configuration names them.

use super::{builder, factory, store};
use kv_core::ErrorKind;
use std::sync::atomic::Ordering;

/// The store's stack with these wrappers, or what opening it says.
async fn open(wrappers: &str) -> String {
    let toml = format!(
        "{}[default.database.kvstore.a]\nwrappers = [{wrappers}]",
        store("")
    );
    match factory(&toml).open("a").await {
        Ok(kv) => format!("{kv:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_stack_is_built_from_its_names() {
    assert_eq!(
        open(
            r#"{ name = "timeout", config = { timeout = "250ms", commands = { clear_prefixes = "1m" } } },
               { name = "hedge", config = { after = "20ms" } },
               { name = "retry", config = { attempts = 4, delay = "5ms", budget = { ratio = 0.1 } } },
               { name = "circuit_breaker", config = { failure_ratio = 0.3, window = "1m" } },
               { name = "concurrency_limit", config = { limit = 64, max_waiting = 256, max_wait = "50ms" } },
               { name = "timeout", config = { timeout = "2s" } }"#
        )
        .await,
        "Kv(null > timeout(250ms, clear_prefixes 60s) > hedge(20ms, 5%) > retry(4 × 5ms) > circuit_breaker(30% of 20 in 60s: 5s, closed) > concurrency_limit(64, 256 waiting 50ms) > timeout(2s))"
    );
}

#[tokio::test]
async fn faults_are_told_with_their_place() {
    assert_eq!(
        open(r#"{ name = "timeout" }"#).await,
        "missing field `timeout` in `default.database.kvstore.a.wrappers[0].config`; add it"
    );
    assert_eq!(
        open(r#"{ name = "timeout", config = { timeout = "0s" } }"#).await,
        "a timeout must be longer than zero; to do without one drop the wrapper; table: default.database.kvstore.a.wrappers[0].config"
    );
    assert_eq!(
        open(r#"{ name = "retry", config = { budget = { rato = 0.1 } } }"#).await,
        "unknown field `rato` in `default.database.kvstore.a.wrappers[0].config.budget`; did you mean `ratio`? known fields: min_per_second, ratio, window"
    );
}

/// The stores `a`, `b` and `c`; each falls back to the store given, if any.
fn stores(second: [&str; 3]) -> String {
    let stores = ["a", "b", "c"].into_iter().zip(second);
    let stores = stores.map(|(name, second)| {
        let wrappers = match second {
            "" => String::new(),
            second => format!(
                "[[default.database.kvstore.{name}.wrappers]]\nname = \"fallback\"\nconfig = {{ store = \"{second}\", on = \"miss_or_error\", writes = \"through\" }}\n"
            ),
        };
        format!(
            "[default.database.kvstore.{name}.provider]\nbackend = \"null\"\nhost = \"h\"\n{wrappers}"
        )
    });
    stores.collect()
}

#[tokio::test]
async fn a_fallback_is_the_store_of_that_name_opened_once() {
    let (mut builder, connects) = builder();
    let factory = builder.toml(stores(["b", "c", ""])).build().unwrap();
    factory.validate().unwrap();
    let kv = factory.open("a").await.unwrap();
    assert_eq!(
        format!("{kv:?}"),
        "Kv(null > fallback(Kv(store b) on miss or error, writes through))"
    );
    let all = factory.open_all().await.unwrap();
    assert_eq!(connects.load(Ordering::SeqCst), 3);
    // Closing one leaves the other to the factory.
    kv.close().await;
    assert!(all["b"].is_available().await);
    factory.close_all().await;
    assert!(!all["b"].is_available().await);
}

#[tokio::test]
async fn a_fallback_that_is_not_there_or_leads_back_is_refused() {
    let told = async |second| {
        let factory = factory(&stores(second));
        let error = factory.open("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(factory.validate().is_err());
        error.to_string()
    };
    let table = "table: default.database.kvstore.a.wrappers[0].config";
    assert_eq!(
        told(["bb", "", ""]).await,
        format!("there is no store `bb`; did you mean `b`? configured: a, b, c; {table}")
    );
    assert_eq!(
        told(["a", "", ""]).await,
        format!("`a` needs `a`, which can never be opened; {table}")
    );
    let around = told(["b", "c", "a"]).await;
    assert!(
        around.starts_with("`a` needs `b` needs `c` needs `a`, which can"),
        "{around}"
    );
    let disabled = format!(
        "{}[default.database.kvstore.b]\nenabled = false",
        stores(["b", "", ""])
    );
    let error = factory(&disabled).open("a").await.unwrap_err().to_string();
    assert!(error.contains("the store `b` is disabled"), "{error}");
}
