//! Whose keys a scope is about.

use crate::site::{Site, everywhere};
use futures_util::TryStreamExt;
use kv_core::{Cleanup, ErrorKind, Scope};

/// Scopes that are told apart by a byte, a separator or a brace.
const SIBLINGS: [(&str, &str); 7] = [
    ("training", "worker"),
    ("training", "workers2"),
    ("training", "workers/a"),
    ("training/workers", "a"),
    ("train", "workers"),
    ("{training", "workers}"),
    ("training%2Fworkers", "a"),
];

/// Keys as callers write them; the first one looks like another scope's.
const KEYS: [&str; 4] = ["workers2/k", "k", "{t}:x", "{t}:y"];

async fn fill(scope: &Scope) {
    for key in KEYS {
        scope.set(key, "1").await.unwrap();
    }
}

async fn count(scope: &Scope) -> usize {
    let mut found = 0;
    for key in KEYS {
        found += usize::from(scope.exists(key).await.unwrap());
    }
    found
}

async fn siblings(site: &Site) -> Vec<Scope> {
    let mut siblings = Vec::new();
    for (namespace, component) in SIBLINGS {
        let sibling = site.kv.scope(namespace, component).unwrap();
        fill(&sibling).await;
        siblings.push(sibling);
    }
    if let Some(neighbour) = &site.neighbour {
        let sibling = neighbour.scope("training", "workers").unwrap();
        fill(&sibling).await;
        siblings.push(sibling);
    }
    siblings
}

#[tokio::test]
async fn closing_deletes_only_this_scopes_keys_and_only_when_asked() {
    everywhere(async |site| {
        let siblings = siblings(site).await;
        let scope = site.scope();
        assert_eq!(count(&scope).await, 0, "no sibling's key is seen");
        fill(&scope).await;
        assert_eq!(scope.clone().close(Cleanup::Keep).await.unwrap(), 0);
        assert_eq!(count(&scope).await, KEYS.len());
        assert_eq!(scope.clone().close(Cleanup::default()).await.unwrap(), 0);
        let deleted = scope.clone().close(Cleanup::Delete).await.unwrap();
        assert_eq!(deleted, KEYS.len() as u64);
        assert_eq!(count(&scope).await, 0);
        for sibling in siblings {
            assert_eq!(count(&sibling).await, KEYS.len(), "{sibling:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_two_scopes_share_a_key() {
    everywhere(async |site| {
        let scopes: Vec<_> = siblings(site).await;
        let on_store: Vec<_> = scopes
            .iter()
            .flat_map(|scope| {
                KEYS.map(|key| scope.key(key).and_then(|key| scope.kv().resolve(key)))
            })
            .collect::<Result<_, _>>()
            .unwrap();
        let distinct: std::collections::BTreeSet<_> = on_store.iter().collect();
        assert_eq!(distinct.len(), on_store.len());
    })
    .await;
}

#[tokio::test]
async fn keys_lie_where_etha_has_them() {
    everywhere(async |site| {
        site.scope().set("rank:0/ready", "1").await.unwrap();
        let keys: Vec<_> = site.kv.scan("training/").try_collect().await.unwrap();
        assert_eq!(keys[0].to_string(), "training/workers/rank:0/ready");
        let whole = Scope::whole(&site.kv);
        assert!(whole.exists("training/workers/rank:0/ready").await.unwrap());
        site.scope().close(Cleanup::Delete).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_scope_needs_both_names() {
    everywhere(async |site| {
        for (namespace, component) in [("", "a"), ("a", ""), ("", "")] {
            let error = site.kv.scope(namespace, component).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(
                error.to_string().starts_with("scope: a scope needs"),
                "{error}"
            );
        }
        assert!(Scope::whole(&site.kv).component("a").is_err());
        assert!(site.scope().get("").await.is_err());
    })
    .await;
}
