//! The resilience wrappers as a configuration names them.

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

#[tokio::test]
async fn orders_that_cannot_work_are_refused() {
    assert_eq!(
        open(r#"{ name = "retry" }, { name = "mark" }, { name = "retry" }"#).await,
        "`default.database.kvstore.a.wrappers[0]`: `retry` stands in the stack twice and would never act a second time, since the inner one marks what it gave up on; the stack from the provider outwards: retry, mark, retry"
    );
    let breaker = r#"{ name = "circuit_breaker" }"#;
    assert_eq!(
        open(&format!("{breaker}, {breaker}")).await,
        "`default.database.kvstore.a.wrappers[0]`: `circuit_breaker` stands in the stack twice and would count the inner one's refusals as the store's failures; the stack from the provider outwards: circuit_breaker, circuit_breaker"
    );
    let hedge = r#"{ name = "hedge", config = { after = "1ms" } }"#;
    assert_eq!(
        open(&format!("{hedge}, {hedge}")).await,
        "`default.database.kvstore.a.wrappers[0]`: `hedge` stands in the stack twice and would ask for a slow read up to four times; the stack from the provider outwards: hedge, hedge"
    );
}
