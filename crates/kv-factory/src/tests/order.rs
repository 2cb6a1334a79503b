//! The tables of orders against what a configuration is told.

use super::factory;
use crate::{
    builtin,
    order::{ONCE, ORDER, REFUSED, Side},
};

/// A wrapper with the least that it needs on a store that can do nothing.
fn entry(name: &str) -> String {
    let config = match name {
        "default_ttl" => r#"default_ttl = "1h""#,
        "encrypt" => {
            r#"primary = "a", keys = { a = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=" }"#
        }
        "fallback" => r#"store = "second""#,
        "hedge" => r#"after = "1ms""#,
        "concurrency_limit" => "limit = 8",
        "near_cache" => r#"invalidate = "own_writes""#,
        "size_limit" => "max_value_bytes = 65536",
        "timeout" => r#"timeout = "1s""#,
        "ttl_clamp" => r#"max = "1day""#,
        _ => "",
    };
    format!("{{ name = \"{name}\", config = {{ {config} }} }}")
}

/// The stack of these wrappers, from the provider outwards, or what opening it says.
async fn open(stack: &[&str]) -> Result<String, String> {
    let entries: Vec<_> = stack.iter().map(|it| entry(it)).collect();
    let entries = entries.join(", ");
    let toml = format!(
        r#"
        [default.database.kvstore.first]
        provider = {{ backend = "null", host = "h" }}
        wrappers = [{entries}]
        [default.database.kvstore.second]
        provider = {{ backend = "null", host = "i" }}
        wrappers = [{{ name = "key_resolver" }}]
        "#
    );
    let opened = factory(&toml).open("first").await;
    opened
        .map(|it| format!("{it:?}"))
        .map_err(|it| it.to_string())
}

fn is_compiled(name: &str) -> bool {
    builtin::feature_of_wrapper(name).is_none()
}

fn compiled() -> Vec<&'static str> {
    let names = ORDER.iter().map(|it| it.wrapper);
    names.filter(|it| is_compiled(it)).collect()
}

#[cfg(feature = "schema")]
#[test]
fn every_wrapper_has_one_place() {
    let mut placed = compiled();
    placed.sort_unstable();
    let registry = builtin::registry();
    let known: Vec<_> = registry.wrappers().map(|(name, _)| name).collect();
    assert_eq!(placed, known);
}

#[tokio::test]
async fn the_documented_order_opens_whole_and_in_any_part() {
    let all = compiled();
    let printed = open(&all).await.unwrap();
    let mut at = 0;
    for name in &all {
        let found = printed[at..].find(&format!(" > {name}"));
        at += found.unwrap_or_else(|| panic!("{name} after {at} in {printed}"));
    }
    for (inner, one) in all.iter().enumerate() {
        for other in &all[inner + 1..] {
            open(&[one, other]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_refused_is_told_with_its_reason_and_stands_well_the_other_way_round() {
    for it in REFUSED {
        if !is_compiled(it.wrapper) || !is_compiled(it.other) {
            continue;
        }
        let (wrong, right) = match it.side {
            Side::Inside => ([it.wrapper, it.other], [it.other, it.wrapper]),
            Side::Outside => ([it.other, it.wrapper], [it.wrapper, it.other]),
        };
        let place = usize::from(it.side == Side::Outside);
        let told = open(&wrong).await.unwrap_err();
        assert_eq!(
            told,
            format!(
                "`default.database.kvstore.first.wrappers[{place}]`: `{}` {it}; the stack from the provider outwards: {}",
                it.wrapper,
                wrong.join(", ")
            )
        );
        assert!(told.contains(it.reason), "{told}");
        open(&right).await.unwrap();
        // Whatever stands between them.
        let [inner, outer] = wrong;
        assert!(open(&[inner, "timeout", outer]).await.is_err());
        // The order that is recommended holds none of it.
        let at = |name| ORDER.iter().position(|it| it.wrapper == name).unwrap();
        assert!(at(right[0]) < at(right[1]), "{right:?}");
    }
}

#[tokio::test]
async fn a_second_time_is_refused_where_it_does_harm() {
    let mut may_repeat = Vec::new();
    for name in compiled() {
        let twice = open(&[name, "timeout", name]).await;
        match ONCE.iter().find(|it| it.wrapper == name) {
            Some(it) => {
                let told = twice.unwrap_err();
                let reason = format!("`{name}` stands in the stack twice and {}", it.reason);
                assert!(told.contains(&reason), "{told}");
            }
            None => {
                twice.unwrap();
                may_repeat.push(name);
            }
        }
    }
    let wanted = ["timeout", "concurrency_limit", "fallback", "size_limit"];
    assert_eq!(may_repeat, wanted);
}
