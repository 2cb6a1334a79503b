//! The example as a whole, and its dashboard.
#![allow(clippy::unwrap_used, reason = "a test")]

use crate::{dashboard, observe, scrape::Scrape};
use std::{env, path::Path};

#[test]
fn a_run_tells_what_the_dashboard_asks_for() {
    assert!(
        env::var_os("KV_PROMTOOL").is_some(),
        "promtool has to parse the dashboard's queries: run cargo xtask test, or set KV_PROMTOOL"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let seen = runtime.block_on(observe("default_local")).unwrap();
    for (what, fault) in seen.checks() {
        assert_eq!(fault, None, "{what}");
    }
    // A metric that nobody plots may as well not be there.
    let queries = dashboard::queries().unwrap().join("\n");
    for spec in kv_wrappers::telemetry::METRICS {
        assert!(queries.contains(spec.name), "{} is on no panel", spec.name);
    }
}

#[test]
fn what_is_not_exported_is_found_in_a_query() {
    let scrape = Scrape::read("# TYPE a counter\na{store=\"x\",to=\"y\"} 1\nb{le=\"1\"} 2\n");
    let strangers = |query: &str| dashboard::strangers(query, &scrape);
    assert!(strangers("sum by (to) (rate(a{store=~\"c{d\"}[5m])) / 2").is_empty());
    assert!(strangers("a{} / ignoring (to) group_left sum (b{})").is_empty());
    assert_eq!(strangers("rate(c{store=\"x\"}[5m])"), ["c", "store"]);
    assert_eq!(strangers("a{le=\"1\"}"), ["le"]);
    assert_eq!(strangers("sum by (who) (a{})"), ["who"]);
    assert_eq!(strangers("a"), ["a"]);
}

#[test]
fn a_query_that_does_not_parse_is_refused() {
    let Some(promtool) = env::var_os("KV_PROMTOOL") else {
        panic!("run cargo xtask test, or set KV_PROMTOOL");
    };
    let parse = |query: &str| dashboard::parse(Path::new(&promtool), &[query.to_owned()]);
    parse("sum(rate(a{b=\"c\"}[5m]))").unwrap();
    let error = parse("sum(rate(a[5m])").unwrap_err().to_string();
    assert!(error.contains("promtool refuses"), "{error}");
}
