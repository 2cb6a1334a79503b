//! Batches whose items fail one by one, under a retry.

#![allow(clippy::unwrap_used, reason = "a test")]

use kv_core::{
    CallOptions, Command, Error, ErrorKind, Kv, Outcome, Reply, Result, SetOptions, When, layer_fn,
};
use kv_memory::MemoryStore;
use kv_wrappers::{Retry, RetryConfig};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What becomes of one attempt.
#[derive(Clone)]
enum Attempt {
    /// The items at these places fail so; the others are written.
    Items(Vec<(usize, ErrorKind, Outcome)>),
    /// All of it fails, and nothing is written.
    Whole(ErrorKind, Outcome),
}

use Attempt::{Items, Whole};
use ErrorKind::{Denied, TooLarge, Unavailable};
use Outcome::{Final, NotApplied, Unknown};

/// A retry over a store that fails as told, then no more; and the keys of each attempt.
async fn stack(attempts: &[Attempt]) -> (Kv, Arc<Mutex<Vec<String>>>) {
    let attempts = Arc::new(Mutex::new(VecDeque::from(attempts.to_vec())));
    let sent = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&sent);
    let fails = layer_fn("fails", move |mut request, next| {
        let Command::SetMany { items, .. } = &mut request.command else {
            return next.call(request);
        };
        let keys: Vec<_> = items.iter().map(|(key, _)| key.to_string()).collect();
        seen.lock().unwrap().push(keys.concat());
        let failures = match attempts.lock().unwrap().pop_front() {
            None => Vec::new(),
            Some(Items(failures)) => failures,
            Some(Whole(kind, outcome)) => {
                return Box::pin(async move { Err(error(kind, outcome)) });
            }
        };
        let mut place = 0..;
        items.retain(|_| {
            let place = place.next();
            !failures.iter().any(|it| Some(it.0) == place)
        });
        Box::pin(async move {
            let Reply::SetMany(mut answers) = next.call(request).await? else {
                panic!("another command's reply");
            };
            for (place, kind, outcome) in failures {
                answers.insert(place, Err(error(kind, outcome)));
            }
            Ok(Reply::SetMany(answers))
        })
    });
    let mut config = RetryConfig::default();
    config.delay = Duration::ZERO;
    let builder = Kv::builder(MemoryStore::default()).layer(fails);
    let kv = builder.layer(Retry::new(config).unwrap());
    (kv.connect().await.unwrap(), sent)
}

fn error(kind: ErrorKind, outcome: Outcome) -> Error {
    Error::new(kind, "as told").with_outcome(outcome)
}

fn take(sent: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut sent.lock().unwrap())
}

const ITEMS: [(&str, &str); 3] = [("a", "1"), ("b", "2"), ("c", "3")];

/// What is told of each item: written, refused, or the outcome of its error and whether somebody gave
/// up on it.
fn told(answers: &[Result<bool>]) -> Vec<String> {
    let tell = |answer: &Result<bool>| match answer {
        Ok(true) => "written".to_owned(),
        Ok(false) => "refused".to_owned(),
        Err(error) => {
            let reason = error.context("gave_up_for").unwrap_or("itself");
            let attempts = error.context("attempts").unwrap_or("-");
            assert_eq!(error.is_last_word(), reason != "itself");
            format!("{:?} {attempts} {reason}", error.outcome())
        }
    };
    answers.iter().map(tell).collect()
}

async fn set(kv: &Kv, when: When) -> Vec<String> {
    let options = SetOptions::from(when);
    told(&kv.set_many_with(ITEMS, options).await.unwrap())
}

#[tokio::test]
async fn only_the_items_that_failed_are_sent_again() {
    let first = Items(vec![
        (0, Unavailable, NotApplied),
        (2, Unavailable, Unknown),
    ]);
    let (kv, sent) = stack(&[first, Items(vec![(1, Unavailable, NotApplied)])]).await;
    assert_eq!(set(&kv, When::Always).await, ["written"; 3]);
    assert_eq!(take(&sent), ["abc", "ac", "c"]);
    let values = kv.get_many(["a", "b", "c"]).await.unwrap();
    let expected = ["1", "2", "3"].map(|it| Some(it.into()));
    assert_eq!(values, expected);
}

#[tokio::test]
async fn what_trying_again_cannot_mend_is_told_at_once() {
    let first = Items(vec![(0, TooLarge, Final), (1, Unavailable, NotApplied)]);
    let (kv, sent) = stack(&[first]).await;
    let expected = ["Final - itself", "written", "written"];
    assert_eq!(set(&kv, When::Always).await, expected);
    assert_eq!(take(&sent), ["abc", "b"]);
    let (kv, sent) = stack(&[Items(vec![(0, TooLarge, Final)])]).await;
    set(&kv, When::Always).await;
    assert_eq!(take(&sent), ["abc"]);
}

#[tokio::test]
async fn an_item_with_a_condition_is_not_repeated_after_an_unknown_outcome() {
    let first = Items(vec![
        (0, Unavailable, Unknown),
        (1, Unavailable, NotApplied),
    ]);
    let (kv, sent) = stack(&[first]).await;
    let expected = ["Unknown - itself", "written", "written"];
    assert_eq!(set(&kv, When::IfAbsent).await, expected);
    assert_eq!(take(&sent), ["abc", "b"]);
}

#[tokio::test]
async fn an_item_that_is_given_up_tells_so_and_stays_in_doubt() {
    let attempts = [
        Items(vec![
            (1, Unavailable, Unknown),
            (2, Unavailable, NotApplied),
        ]),
        Items(vec![
            (0, Unavailable, NotApplied),
            (1, Unavailable, NotApplied),
        ]),
        Whole(Unavailable, NotApplied),
    ];
    let (kv, sent) = stack(&attempts).await;
    let expected = [
        "written",
        "Unknown 3 the attempts are used up",
        "NotApplied 3 the attempts are used up",
    ];
    assert_eq!(set(&kv, When::Always).await, expected);
    assert_eq!(take(&sent), ["abc", "bc", "bc"]);
}

#[tokio::test]
async fn what_a_lost_attempt_may_have_written_stays_in_doubt() {
    let attempts = [
        Whole(Unavailable, Unknown),
        Items(vec![(0, Denied, Final), (1, TooLarge, Final)]),
    ];
    let (kv, sent) = stack(&attempts).await;
    let expected = ["Unknown - itself", "Unknown - itself", "written"];
    assert_eq!(set(&kv, When::Always).await, expected);
    assert_eq!(take(&sent), ["abc", "abc"]);
}

#[tokio::test]
async fn a_batch_that_fails_as_a_whole_is_an_error_of_the_call() {
    let (kv, sent) = stack(&[Whole(Unavailable, NotApplied), Whole(Denied, Final)]).await;
    let error = kv.set_many(ITEMS).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Denied, Final));
    assert_eq!(take(&sent), ["abc", "abc"]);
}

#[tokio::test]
async fn an_item_whose_key_comes_again_is_not_written_over_it() {
    let items = [("a", "old"), ("b", "2"), ("a", "new")];
    let first = Items(vec![
        (0, Unavailable, NotApplied),
        (1, Unavailable, NotApplied),
    ]);
    let (kv, sent) = stack(&[first]).await;
    let answers = kv.set_many_with(items, SetOptions::default()).await;
    let expected = ["NotApplied - itself", "written", "written"];
    assert_eq!(told(&answers.unwrap()), expected);
    assert_eq!(take(&sent), ["aba", "b"]);
    assert_eq!(kv.get("a").await.unwrap(), Some("new".into()));
}

#[tokio::test]
async fn a_caller_who_forbids_it_has_one_attempt() {
    let (kv, sent) = stack(&[Items(vec![(0, Unavailable, NotApplied)])]).await;
    let kv = kv.with(CallOptions::new().without_retry());
    let expected = ["NotApplied - itself", "written", "written"];
    assert_eq!(set(&kv, When::Always).await, expected);
    assert_eq!(take(&sent), ["abc"]);
}
