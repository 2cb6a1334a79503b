//! Entries by the values that they are made of.

use crate::{SECOND, fleet::Fleet, near, ttl};
use kv_cache::{Freshness, LoadError};
use std::convert::Infallible;

async fn value(value: u32) -> Result<u32, Infallible> {
    Ok(value)
}

#[tokio::test]
async fn different_values_are_different_entries() {
    let fleet = Fleet::new();
    let cache = fleet.process(ttl(60).stale(SECOND * 60)).await;
    let prices = cache.keyed("{shop}/{product}").unwrap();
    assert_eq!(
        *prices
            .cached(&[("shop", &1), ("product", &"a/b")], value(1))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        *prices
            .cached(&[("shop", &"1/a"), ("product", &"b")], value(2))
            .await
            .unwrap(),
        2
    );
    let first = prices.cached(&[("product", &"a/b"), ("shop", &1)], value(3));
    assert_eq!(*first.await.unwrap(), 1);
    assert_eq!(*cache.cached("1/a%2Fb", value(4)).await.unwrap(), 1);

    prices
        .expire(&[("shop", &1), ("product", &"a/b")])
        .await
        .unwrap();
    let entry = cache.get_entry("1/a%2Fb").await.unwrap().unwrap();
    assert_eq!(entry.freshness(), Freshness::Stale);
    prices
        .remove(&[("shop", &1), ("product", &"a/b")])
        .await
        .unwrap();
    let again = prices.cached(&[("shop", &1), ("product", &"a/b")], value(5));
    assert_eq!(*again.await.unwrap(), 5);
    let other = prices.cached(&[("shop", &"1/a"), ("product", &"b")], value(6));
    assert_eq!(*other.await.unwrap(), 2);
}

#[tokio::test]
async fn a_name_that_cannot_be_made_is_refused() {
    let (cache, _) = near(ttl(60));
    let prices = cache.keyed("{shop}/{product}").unwrap();
    let refused = prices.cached(&[("shop", &1)], value(1)).await.unwrap_err();
    assert!(matches!(refused, LoadError::Refused(_)), "{refused}");
    let text = prices
        .remove(&[("shop", &1)])
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("product"), "{text}");
    assert!(cache.keyed("{shop").is_err());
    assert_eq!(cache.near_size().0, 0);
}
