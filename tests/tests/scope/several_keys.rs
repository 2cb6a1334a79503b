//! Waiting for several keys at once.

use crate::site::{LONG, SHORT, Site, Without, asleep, everywhere, memory};
use kv_core::{Capability, ErrorKind, Key, Kv, Scope};

fn names(keys: &[Key]) -> Vec<String> {
    keys.iter().map(Key::to_string).collect()
}

async fn write(scope: &Scope, items: &[(&str, &str)]) {
    for (key, value) in items {
        scope.set(*key, value).await.unwrap();
    }
}

#[tokio::test]
async fn case_111_some_are_present_already() {
    everywhere(async |site| {
        let scope = site.scope();
        write(&scope, &[("rank:0/ready", "1")]).await;
        let wait = scope.wait_for_keys("rank:*/ready", 3).timeout(LONG);
        let mut wait = wait.into_future();
        asleep(&mut wait).await;
        // Each counts once, however often it is written.
        write(&scope, &[("rank:0/ready", "1"), ("rank:1/ready", "1")]).await;
        write(&scope, &[("rank:1/ready", "1"), ("rank:1/ready", "1")]).await;
        asleep(&mut wait).await;
        write(&scope, &[("rank:2/ready", "1")]).await;
        let found = names(&wait.await.unwrap());
        assert_eq!(found, ["rank:0/ready", "rank:1/ready", "rank:2/ready"]);
    })
    .await;
}

#[tokio::test]
async fn case_111_all_are_present() {
    everywhere(async |site| {
        let scope = site.scope();
        write(&scope, &[("a", "x"), ("b", "x"), ("c", "x")]).await;
        let found = scope.wait_for_keys("*", 2).value("x").timeout(LONG).await;
        assert_eq!(names(&found.unwrap()), ["a", "b", "c"]);
    })
    .await;
}

#[tokio::test]
async fn case_111_all_that_have_the_value_are_told_and_not_just_enough() {
    everywhere(async |site| {
        let scope = site.scope();
        // More than are listed at a time.
        for at in 0..600 {
            scope.set(format!("r:{at:03}"), "1").await.unwrap();
        }
        let wait = || scope.wait_for_keys("r:*", 1).timeout(LONG);
        assert_eq!(wait().await.unwrap().len(), 600);
        let found = wait().candidates(["r:007"]).await.unwrap();
        assert_eq!(found.len(), 600);
    })
    .await;
}

#[tokio::test]
async fn case_112_exactly_the_matching_keys_count() {
    everywhere(async |site| {
        let scope = site.scope();
        let others = [
            ("rank:0/ready2", "1"),
            ("rank:0", "1"),
            ("Rank:0/ready", "1"),
            ("rank:1/ready", "0"),
            ("{t}rank:2/ready", "1"),
        ];
        write(&scope, &others).await;
        let sibling = site.kv.scope("training", "workers2").unwrap();
        write(&sibling, &[("rank:8/ready", "1"), ("rank:9/ready", "1")]).await;
        let wait = scope.wait_for_keys("rank:*/ready", 1).timeout(LONG);
        let mut wait = wait.into_future();
        asleep(&mut wait).await;
        write(&sibling, &[("rank:7/ready", "1")]).await;
        write(&scope, &[("rank:3/ready?", "1")]).await;
        asleep(&mut wait).await;
        write(&scope, &[("rank:/ready", "1")]).await;
        assert_eq!(names(&wait.await.unwrap()), ["rank:/ready"]);
        let suffix = scope.wait_for_keys("*/ready", 3).timeout(LONG).await;
        assert_eq!(
            names(&suffix.unwrap()),
            ["Rank:0/ready", "rank:/ready", "{t}rank:2/ready"]
        );
    })
    .await;
}

#[tokio::test]
async fn case_112_none_wanted_is_at_once() {
    everywhere(async |site| {
        let found = site.scope().wait_for_keys("nothing*", 0).await.unwrap();
        assert_eq!(found, []);
    })
    .await;
}

#[tokio::test]
async fn case_112_keys_with_a_tag_match_from_their_first_byte() {
    everywhere(async |site| {
        let scope = site.scope();
        let mut wait = scope
            .wait_for_keys("{t}:rank:*", 2)
            .timeout(LONG)
            .into_future();
        asleep(&mut wait).await;
        write(
            &scope,
            &[
                ("{t}:rank:0", "1"),
                ("{u}:rank:0", "1"),
                ("{t}:rank:1", "1"),
            ],
        )
        .await;
        assert_eq!(names(&wait.await.unwrap()), ["{t}:rank:0", "{t}:rank:1"]);
    })
    .await;
}

#[tokio::test]
async fn case_113_what_changed_away_again_no_longer_counts() {
    everywhere(async |site| {
        let scope = site.scope();
        let mut wait = scope.wait_for_keys("r:*", 2).timeout(LONG).into_future();
        asleep(&mut wait).await;
        write(&scope, &[("r:0", "1")]).await;
        asleep(&mut wait).await;
        write(&scope, &[("r:0", "0"), ("r:1", "1")]).await;
        asleep(&mut wait).await;
        scope.delete("r:1").await.unwrap();
        write(&scope, &[("r:2", "1")]).await;
        asleep(&mut wait).await;
        write(&scope, &[("r:0", "1")]).await;
        assert_eq!(names(&wait.await.unwrap()), ["r:0", "r:2"]);
    })
    .await;
}

async fn timeout_text(site: &Site) -> String {
    let scope = site.scope();
    write(&scope, &[("r:0", "1"), ("r:1", "1"), ("r:2", "0")]).await;
    let mut wait = scope
        .wait_for_keys("r:*", 4)
        .candidates(["r:0", "r:1", "r:2", "r:3", "r:3", "other"])
        .timeout(SHORT * 3)
        .into_future();
    asleep(&mut wait).await;
    // Told is what is there at the end, not at the start.
    write(&scope, &[("r:0", "0"), ("r:4", "1")]).await;
    scope.delete("r:1").await.unwrap();
    let error = wait.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.context("missing"), Some("r:0, r:1, r:2, r:3"));
    error.to_string()
}

#[tokio::test]
async fn case_114_a_timeout_tells_wanted_found_and_missing() {
    everywhere(async |site| {
        let text = timeout_text(site).await;
        assert!(
            text.starts_with(
                "wait_for_keys: 1 of 4 wanted keys had the value within 300ms; elapsed: "
            ),
            "{text}"
        );
        let rest = "; pattern: r:*; wanted: 4; found: 1; missing: r:0, r:1, r:2, r:3";
        assert!(text.ends_with(rest), "{text}");
    })
    .await;
}

#[tokio::test]
async fn case_114_of_many_missing_some_are_named() {
    let scope = Scope::whole(&memory().connect().await.unwrap());
    let ranks = (10..30).map(|rank| format!("r:{rank}"));
    let wait = scope.wait_for_keys("r:*", 20).candidates(ranks);
    let error = wait.timeout(SHORT).await.unwrap_err();
    let missing = error.context("missing").unwrap();
    assert!(missing.ends_with("r:17, and 12 more"), "{missing}");
}

async fn without_scan() -> Kv {
    let stack = memory().layer(Without(Capability::Scan));
    stack.connect().await.unwrap()
}

#[tokio::test]
async fn case_115_a_store_that_cannot_list_needs_candidates() {
    let scope = without_scan().await.scope("a", "b").unwrap();
    for candidates in [&[][..], &["r:0"], &["r:0", "other"]] {
        let wait = scope
            .wait_for_keys("r:*", 2)
            .candidates(candidates.iter().copied());
        let error = wait.timeout(LONG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(
            error.to_string().contains("name as many candidates"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn case_115_with_candidates_it_waits_for_those() {
    let scope = without_scan().await.scope("a", "b").unwrap();
    let mut wait = scope
        .wait_for_keys("r:*", 2)
        .candidates(["r:0", "r:1", "r:2"])
        .timeout(LONG)
        .into_future();
    write(&scope, &[("r:0", "1"), ("r:7", "1")]).await;
    asleep(&mut wait).await;
    write(&scope, &[("r:2", "1")]).await;
    assert_eq!(names(&wait.await.unwrap()), ["r:0", "r:2"]);
}
