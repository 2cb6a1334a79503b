//! What answers tell, by the grammar of structured fields.

use crate::{Decision, Source, Verdict, http::Headers};
use http::HeaderMap;
use proptest::prelude::*;
use sfv::{BareItem, Item, List, ListEntry, Parser};
use std::time::Duration;

fn decision(policy: &str) -> Decision {
    Decision {
        policy: policy.into(),
        verdict: Verdict::Allowed,
        source: Source::Store,
        cost: 1,
        limit: 100,
        remaining: 50,
        retry_after: Duration::ZERO,
        reset_after: Duration::from_millis(29_001),
        number: 0,
        unused_at: None,
    }
}

fn told(how: Headers, decision: &Decision, window: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    how.tell(decision, Some(window), &mut headers);
    headers
}

/// The name and the parameters of each item of a list, in every line of a header.
fn items(headers: &HeaderMap, name: &str) -> Vec<(String, Vec<(String, i64)>)> {
    let mut parser_input = Vec::new();
    for line in headers.get_all(name) {
        if !parser_input.is_empty() {
            parser_input.extend(b", ");
        }
        parser_input.extend(line.as_bytes());
    }
    let list: List = Parser::new(&parser_input).parse().unwrap();
    let items = list.into_iter().map(|entry| {
        let ListEntry::Item(Item {
            bare_item: BareItem::String(name),
            params,
        }) = entry
        else {
            panic!("{entry:?}");
        };
        let params = params.into_iter().map(|(name, value)| {
            let BareItem::Integer(value) = value else {
                panic!("{value:?}");
            };
            (name.to_string(), value.into())
        });
        (name.to_string(), params.collect())
    });
    items.collect()
}

fn item(name: &str, params: &[(&str, i64)]) -> (String, Vec<(String, i64)>) {
    let params = params
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value));
    (name.to_owned(), params.collect())
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn they_are_as_the_draft_has_them() {
    let headers = told(Headers::Draft, &decision("api"), MINUTE);
    assert_eq!(headers["ratelimit-policy"], "\"api\";q=100;w=60");
    assert_eq!(headers["ratelimit"], "\"api\";r=50;t=30");
    assert_eq!(headers.len(), 2);
}

#[test]
fn a_denial_tells_when_it_would_pass() {
    let mut denied = decision("api");
    denied.verdict = Verdict::Denied;
    denied.remaining = 0;
    denied.retry_after = Duration::from_millis(1_200);
    let headers = told(Headers::Draft, &denied, MINUTE);
    assert_eq!(headers["ratelimit"], "\"api\";r=0;t=2");
}

#[test]
fn what_cannot_be_told_is_left_out() {
    let mut unused = decision("api");
    unused.reset_after = Duration::ZERO;
    // It would be another limit with another window.
    let headers = told(Headers::Draft, &unused, Duration::from_millis(1_500));
    assert_eq!(headers["ratelimit-policy"], "\"api\";q=100");
    assert_eq!(headers["ratelimit"], "\"api\";r=50");
    assert!(told(Headers::None, &decision("api"), MINUTE).is_empty());
    assert!(told(Headers::DraftAndLegacy, &decision("größe"), MINUTE).is_empty());
}

#[test]
fn those_of_several_layers_are_one_list() {
    let mut headers = HeaderMap::new();
    // As answers come by: the innermost tells first.
    for (name, remaining) in [("all", 50), ("tenant", 20)] {
        let decision = Decision {
            remaining,
            ..decision(name)
        };
        Headers::DraftAndLegacy.tell(&decision, Some(MINUTE), &mut headers);
    }
    let expected = |name, remaining| item(name, &[("r", remaining), ("t", 30)]);
    assert_eq!(
        items(&headers, "ratelimit"),
        [expected("all", 50), expected("tenant", 20)]
    );
    let expected = |name| item(name, &[("q", 100), ("w", 60)]);
    assert_eq!(
        items(&headers, "ratelimit-policy"),
        [expected("all"), expected("tenant")]
    );
    for (name, value) in [("limit", "100"), ("remaining", "50"), ("reset", "30")] {
        let all = headers.get_all(format!("x-ratelimit-{name}"));
        assert_eq!(all.iter().collect::<Vec<_>>(), [value]);
    }
}

proptest! {
    #[test]
    fn no_name_and_no_number_breaks_them(
        name in prop_oneof![any::<String>(), "[ -~]{0,20}", "[\"\\\\,;=\r\n]{0,6}"],
        limit: u64,
        remaining: u64,
        window: u32,
        reset: Duration,
    ) {
        let decision = Decision { limit, remaining, reset_after: reset, ..decision(&name) };
        let headers = told(Headers::Draft, &decision, Duration::from_secs(window.into()));
        if !name.bytes().all(|it| matches!(it, b' '..=b'~')) {
            prop_assert!(headers.is_empty());
            return Ok(());
        }
        let largest = |it: u64| i64::try_from(it.min(999_999_999_999_999)).unwrap();
        let mut policy = vec![("q", largest(limit))];
        if window > 0 {
            policy.push(("w", window.into()));
        }
        prop_assert_eq!(items(&headers, "ratelimit-policy"), [item(&name, &policy)]);
        let mut standing = vec![("r", largest(remaining))];
        if !reset.is_zero() {
            let seconds = reset.as_nanos().div_ceil(1_000_000_000);
            standing.push(("t", largest(u64::try_from(seconds).unwrap_or(u64::MAX))));
        }
        prop_assert_eq!(items(&headers, "ratelimit"), [item(&name, &standing)]);
    }
}
