//! The wrapper that tells what goes on, as a configuration names it.

use super::{factory, store};

/// The store's stack with these wrappers, or what opening it says.
async fn open(wrappers: &str) -> String {
    let toml = format!(
        "{}[default.database.kvstore.a]\nnamespace = \"cache\"\nwrappers = [{wrappers}]",
        store("")
    );
    match factory(&toml).open("a").await {
        Ok(kv) => format!("{kv:?}"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn it_is_told_under_the_stores_name_unless_it_has_another() {
    assert_eq!(
        open(r#"{ name = "observe" }"#).await,
        "Kv(null > observe(a, debug))"
    );
    assert_eq!(
        open(r#"{ name = "observe", config = { store = "other", level = "trace", slow_after = "250ms", show_keys = { up_to = ":" } } }"#).await,
        "Kv(null > observe(other, trace, slow after 250ms, shows keys))"
    );
}

#[tokio::test]
async fn faults_are_told_with_their_place() {
    let table = "`default.database.kvstore.a.wrappers[0].config`";
    assert_eq!(
        open(r#"{ name = "observe", config = { show_key = 1 } }"#).await,
        format!(
            "unknown field `show_key` in {table}; did you mean `show_keys`? known fields: level, namespace, server_address, server_port, show_keys, slow_after, store"
        )
    );
    assert_eq!(
        open(r#"{ name = "observe", config = { slow_after = "0s" } }"#).await,
        "slow_after must be longer than zero; to warn of no call drop it; table: default.database.kvstore.a.wrappers[0].config"
    );
    assert_eq!(
        open(r#"{ name = "observe" }, { name = "observe" }"#).await,
        "`default.database.kvstore.a.wrappers[0]`: `observe` stands in the stack twice and would count every call twice under one name; the stack from the provider outwards: observe, observe"
    );
}
