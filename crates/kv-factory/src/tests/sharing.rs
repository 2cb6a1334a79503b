//! The wrappers that spare the store reads, as a configuration names them.

use super::{factory, store};

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

const OWN_WRITES: &str =
    r#"{ name = "near_cache", config = { invalidate = "own_writes", max_ttl = "1m" } }"#;

#[tokio::test]
async fn a_stack_is_built_from_its_names() {
    assert_eq!(
        open(&format!(
            r#"{{ name = "retry" }}, {OWN_WRITES}, {{ name = "single_flight", config = {{ join_within = "1s" }} }}, {{ name = "key_resolver" }}"#
        ))
        .await,
        "Kv(null > retry(3 × 20ms) > near_cache(67108864 bytes, 60s, by own writes, live) > single_flight(1s) > key_resolver(nala:[tenant]:default))"
    );
}

#[tokio::test]
async fn a_store_that_cannot_watch_needs_a_word() {
    assert_eq!(
        open(r#"{ name = "near_cache" }"#).await,
        "this store, or a layer on it, cannot watch, so near_cache would not hear of others' writes; say `invalidate = \"own_writes\"` to see them only after max_ttl, or drop the wrapper; store: a"
    );
}

#[tokio::test]
async fn faults_are_told_with_their_place() {
    assert_eq!(
        open(r#"{ name = "near_cache", config = { invalidate = "never" } }"#).await,
        "`default.database.kvstore.a.wrappers[0].config.invalidate`: expected one of: watch, own_writes"
    );
    assert_eq!(
        open(r#"{ name = "near_cache", config = { max_bytes = 0 } }"#).await,
        "max_bytes must be at least 1; to do without a near cache drop the wrapper; table: default.database.kvstore.a.wrappers[0].config"
    );
    assert_eq!(
        open(r#"{ name = "single_flight", config = { join_within = "0s" } }"#).await,
        "join_within must be from a millisecond to a minute; table: default.database.kvstore.a.wrappers[0].config"
    );
}
