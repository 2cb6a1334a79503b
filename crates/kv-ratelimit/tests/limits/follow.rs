//! Policies that are changed from outside.

use crate::{SECOND, Site, quota, settle};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use kv_core::Kv;
use kv_ratelimit::{LimitError, RateLimitSettings, RateLimiter};
use parking_lot::Mutex;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// For what must come.
const PATIENCE: Duration = Duration::from_secs(60);

const KEY: &str = "limits:policies";

fn shown(limiter: &RateLimiter) -> Vec<String> {
    let all = limiter.policies().into_iter();
    all.map(|(name, it)| format!("{name}: {}", it.quota()))
        .collect()
}

async fn set(site: &Site, text: &str) {
    site.kv().await.set(KEY, text.to_owned()).await.unwrap();
    settle().await;
}

#[tokio::test]
async fn a_key_of_the_store_changes_all_processes() {
    let site = Site::new();
    let (one, _) = site.process(quota("1/h")).await;
    let (other, _) = site.process(quota("1/h")).await;
    set(&site, r#"{"q": "2/h"}"#).await;
    let following = (
        one.follow_key(KEY).await.unwrap(),
        other.follow_key(KEY).await.unwrap(),
    );
    for (text, expected) in [
        (r#"{"p": "5/h burst 1"}"#, vec!["p: 5/1h burst 1"]),
        // What makes no sense changes nothing.
        ("{", vec!["p: 5/1h burst 1"]),
        (r#"{"p": "5/fortnight"}"#, vec!["p: 5/1h burst 1"]),
        (
            r#"{"p": {"quota": "5/h fixed", "tier": "leased"}}"#,
            vec!["p: 5/1h burst 1"],
        ),
        (
            r#"{"q": {"quota": "3/h", "shadow": true}}"#,
            vec!["p: 1/1h burst 1", "q: 3/1h burst 3"],
        ),
    ] {
        set(&site, text).await;
        for limiter in [&one, &other] {
            assert_eq!(shown(limiter), expected, "{text}");
        }
    }
    // What is configured changes below.
    one.set_policies([("p", quota("7/h"))]).unwrap();
    assert_eq!(shown(&one), ["p: 7/1h burst 7", "q: 3/1h burst 3"]);
    site.kv().await.delete(KEY).await.unwrap();
    settle().await;
    assert_eq!(shown(&one), ["p: 7/1h burst 7"]);
    assert_eq!(shown(&other), ["p: 1/1h burst 1"]);
    drop(following);
    settle().await;
    set(&site, r#"{"p": "9/h"}"#).await;
    assert_eq!(shown(&one), ["p: 7/1h burst 7"], "nobody follows any more");
}

#[tokio::test]
async fn what_makes_no_sense_at_first_is_an_error() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("1/h")).await;
    set(&site, r#"{"p": 7}"#).await;
    let error = limiter.follow_key(KEY).await.unwrap_err();
    assert!(matches!(error, LimitError::Store(_)), "{error}");
    set(
        &site,
        r#"{"p": {"quota": "1/h fixed", "tier": "in_process"}}"#,
    )
    .await;
    let error = limiter.follow_key(KEY).await.unwrap_err();
    assert!(matches!(error, LimitError::Policy(_)), "{error}");
    assert_eq!(shown(&limiter), ["p: 1/1h burst 1"]);
}

#[tokio::test]
async fn a_store_that_fails_is_asked_again() {
    let site = Site::new();
    let odds = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
    let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "get");
    let switch = faults.switch();
    switch.off();
    let kv = Kv::builder(site.store.clone())
        .layer(faults)
        .connect()
        .await
        .unwrap();
    let limiter = site.on(&kv).policy("p", quota("1/h")).build().unwrap();
    let _following = limiter.follow_key(KEY).await.unwrap();
    switch.on();
    set(&site, r#"{"p": "2/h"}"#).await;
    site.pass(30 * SECOND).await;
    assert!(switch.counts().total() > 1);
    assert_eq!(shown(&limiter), ["p: 1/1h burst 1"]);
    switch.off();
    site.pass(30 * SECOND).await;
    assert_eq!(shown(&limiter), ["p: 2/1h burst 2"]);
}

#[tokio::test]
async fn a_file_is_read_again() {
    let site = Site::new();
    let (limiter, _) = site.process(quota("1/h")).await;
    let file = Arc::new(Mutex::new(json!({ "policies": { "p": "2/h" } })));
    let reading = file.clone();
    let following = limiter.follow(SECOND, move || {
        let text = reading.lock().clone();
        // Who reads may fail in any way.
        assert!(text.is_object(), "no file");
        serde_json::from_value::<RateLimitSettings>(text)
    });
    for (text, expected) in [
        (json!(null), "p: 1/1h burst 1"),
        (json!({ "policies": { "p": "2/h" } }), "p: 2/1h burst 2"),
        (json!({ "policies": { "p": "3/h" } }), "p: 3/1h burst 3"),
        (json!({ "policies": { "p": "none" } }), "p: 3/1h burst 3"),
        (json!({ "policies": { "p": "4/h" } }), "p: 4/1h burst 4"),
    ] {
        *file.lock() = text.clone();
        let began = Instant::now();
        for turn in 0.. {
            site.clock.advance(SECOND / 4);
            // It reads on another thread, which takes its time, above all to say why it panics.
            let pause = || std::thread::sleep(Duration::from_millis(1));
            tokio::task::spawn_blocking(pause).await.unwrap();
            settle().await;
            if shown(&limiter) == [expected] && turn > 20 {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{text}");
        }
    }
    drop(following);
}
