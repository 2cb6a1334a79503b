//! Cases 41 and 54: counting that stays exact while calls and replies are lost.

use crate::site::{Backend, Site, bounded, expect_outage, on_each_server, recovers};

use kv_conformance::{
    faults::{Fault, FaultsLayer, Odds, Plan},
    proxy::Mode,
};
use kv_core::{Error, ErrorKind, Kv, Mark, Outcome, SetOptions, When};
use kv_tests::server::Redis;
use tokio::task::JoinSet;

on_each_server! {
    case_41_a_race_of_compare_and_set_is_exact_when_calls_are_lost_before_the_store
    case_41_a_race_of_compare_and_set_is_exact_within_what_is_unknown
    case_54_an_increment_whose_reply_is_lost_is_unknown_and_applied_once
}

const TASKS: usize = 5;
const ADDITIONS: usize = 10;

/// What the tasks of a race know at its end.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: usize,
    unknown: usize,
    not_applied: usize,
    refused: usize,
}

/// Adds one by compare-and-set until an addition is acknowledged or its outcome is unknown.
async fn add(kv: &Kv, known: &mut Known) {
    loop {
        let before = match kv.get("n").await {
            Ok(before) => before,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                continue;
            }
        };
        let (when, sum) = match &before {
            None => (When::IfAbsent, 1),
            Some(text) => {
                let number: i64 = text.to_str().unwrap().parse().unwrap();
                (
                    When::IfValue(Mark::new(text.as_bytes().to_vec())),
                    number + 1,
                )
            }
        };
        let options = SetOptions::from(when);
        match kv.set_with("n", sum.to_string(), options).await {
            Ok(reply) if reply.applied => {
                known.acknowledged += 1;
                return;
            }
            Ok(_) => known.refused += 1,
            Err(error) if is_unknown(&error) => {
                known.unknown += 1;
                return;
            }
            Err(error) => {
                assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
                known.not_applied += 1;
            }
        }
    }
}

async fn race(kv: &Kv) -> Known {
    let tasks = (0..TASKS).map(|_| {
        let kv = kv.clone();
        async move {
            let mut known = Known::default();
            for _ in 0..ADDITIONS {
                add(&kv, &mut known).await;
            }
            known
        }
    });
    let ended = tasks.collect::<JoinSet<_>>().join_all().await;
    ended.into_iter().fold(Known::default(), |sum, it| Known {
        acknowledged: sum.acknowledged + it.acknowledged,
        unknown: sum.unknown + it.unknown,
        not_applied: sum.not_applied + it.not_applied,
        refused: sum.refused + it.refused,
    })
}

fn is_unknown(error: &Error) -> bool {
    error.outcome() == Outcome::Unknown
}

async fn applied(direct: &Kv) -> usize {
    let value = direct
        .get("n")
        .await
        .unwrap()
        .expect("something was applied");
    value.to_str().unwrap().parse().unwrap()
}

async fn case_41_a_race_of_compare_and_set_is_exact_when_calls_are_lost_before_the_store<
    S: Backend,
>() {
    let site = Site::<S>::start().await;
    let odds = Odds::none().and(Fault::FailBefore, 0.2).unwrap();
    let layer = FaultsLayer::new(Plan::random(41, odds));
    let known = race(&site.layered(layer.clone()).await).await;
    let counts = layer.switch().counts();
    println!("case 41: {known:?}; {counts}");
    assert!(counts.fail_before > 0 && known.not_applied > 0);
    assert_eq!(known.unknown, 0);
    assert_eq!(applied(&site.direct).await, TASKS * ADDITIONS);
}

async fn case_41_a_race_of_compare_and_set_is_exact_within_what_is_unknown<S: Backend>() {
    let site = Site::<S>::start().await;
    let odds = Odds::none()
        .and(Fault::FailBefore, 0.1)
        .and_then(|odds| odds.and(Fault::ApplyThenFail, 0.2));
    let layer = FaultsLayer::new(Plan::random(41, odds.unwrap()));
    let known = race(&site.layered(layer.clone()).await).await;
    let (counts, applied) = (layer.switch().counts(), applied(&site.direct).await);
    println!("case 41: {applied} applied; {known:?}; {counts}");
    assert!(counts.fail_before > 0 && counts.apply_then_fail > 0 && known.unknown > 0);
    assert_eq!(known.acknowledged + known.unknown, TASKS * ADDITIONS);
    assert!(
        applied >= known.acknowledged,
        "an acknowledged addition was lost"
    );
    assert!(
        applied <= known.acknowledged + known.unknown,
        "one was applied twice"
    );
}

async fn case_54_an_increment_whose_reply_is_lost_is_unknown_and_applied_once<S: Backend>() {
    let site = Site::<S>::start().await;
    let plan = Plan::Script([Fault::ApplyThenFail, Fault::FailBefore, Fault::None].repeat(10));
    let layer = FaultsLayer::new(plan).only(|spec| spec.name == "increment_with");
    let kv = site.layered(layer.clone()).await;
    for round in 0..10 {
        let lost = kv.increment("n", 1).await.unwrap_err();
        assert_eq!(lost.outcome(), Outcome::Unknown, "{lost:?}");
        assert_eq!(lost.key(), Some("n"));
        let unsent = kv.increment("n", 1).await.unwrap_err();
        assert_eq!(unsent.outcome(), Outcome::NotApplied, "{unsent:?}");
        assert_eq!(kv.increment("n", 1).await.unwrap(), round * 2 + 2);
    }
    let counts = layer.switch().counts();
    println!("case 54: {counts}");
    assert_eq!((counts.apply_then_fail, counts.fail_before), (10, 10));
    assert_eq!(applied(&site.direct).await, 20);
}

/// On etcd it takes two exchanges: `sent_once` has that.
#[tokio::test(flavor = "multi_thread")]
async fn case_54_an_increment_is_applied_at_most_once_when_the_network_loses_its_reply() {
    let site = Site::<Redis>::start().await;
    let kv = site.through().await;
    let mut applied_before = 0;
    for (mode, expected) in [(Mode::HalfOpen, 1), (Mode::BlackHole, 0)] {
        for _ in 0..3 {
            site.proxy.set(mode);
            let result = bounded("an increment", kv.increment("n", 1)).await;
            let error = expect_outage("an increment", result);
            // Right after the fault before, the store may still be without a connection.
            let sent = usize::from(is_unknown(&error));
            site.proxy.set(Mode::Pass);
            recovers(&kv).await;
            // The handle works again; whatever would have been sent once more has been by now.
            let now = site.direct.increment("n", 0).await.unwrap() as usize;
            assert_eq!(now - applied_before, expected * sent, "{mode:?}: {error:?}");
            assert_eq!(sent, 1, "{mode:?}: {error:?}");
            applied_before = now;
        }
    }
    let counts = site.proxy.counts();
    println!("case 54: {counts}");
    assert!(
        counts.lost_requests > 0 && counts.lost_replies > 0,
        "{counts}"
    );
    assert_eq!(applied_before, 3);
}
