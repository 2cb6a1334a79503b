//! Answers that are lost, and a store that says nothing.

use super::*;
use kv_core::{Command, Error, ErrorKind, Outcome, layer_fn};
use parking_lot::Mutex;
use std::{
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
};

/// How many of the next calls that change something lose their answer, once they are done, and how many before
/// them do not.
#[derive(Clone, Default)]
struct Losses(Arc<Mutex<(u32, u32)>>);

impl Losses {
    fn lose(&self, answers: u32) {
        self.lose_after(0, answers);
    }

    fn lose_after(&self, spared: u32, answers: u32) {
        *self.0.lock() = (spared, answers);
    }

    fn take(&self) -> bool {
        let mut left = self.0.lock();
        let (spared, answers) = *left;
        *left = (spared.saturating_sub(1), answers);
        if spared > 0 || answers == 0 {
            return false;
        }
        left.1 -= 1;
        true
    }

    async fn budget(&self, site: &Site, limit: u64) -> Budget {
        let losses = self.clone();
        let layer = layer_fn("lossy", move |request, next| {
            let changes = match &request.command {
                Command::Commit { txns } => txns.iter().any(|txn| !txn.when.is_empty()),
                _ => false,
            };
            let answer = next.call(request);
            let losses = losses.clone();
            Box::pin(async move {
                let answer = answer.await;
                let is_lost = changes && losses.take();
                match is_lost {
                    true => Err(Error::new(ErrorKind::Unavailable, "the answer was lost")
                        .with_outcome(Outcome::Unknown)),
                    false => answer,
                }
            })
        });
        let kv = Kv::builder(site.store.clone()).layer(layer);
        let kv = kv.connect().await.unwrap();
        site.on(&kv).budget("ann", limit).unwrap()
    }
}

#[tokio::test]
async fn a_step_whose_answer_was_lost_is_sent_again_and_counts_once() {
    let (site, losses) = (Site::new(), Losses::default());
    let budget = losses.budget(&site, 100).await;
    losses.lose(2);
    let mut hold = held(&budget, "a", 60).await;
    assert_eq!(used(&budget).await, 60);
    losses.lose(1);
    assert!(hold.extend(MINUTE).await.unwrap());
    // Nobody can know whether it was settled now or had lapsed before.
    losses.lose(1);
    assert_eq!(hold.settle(70).await.unwrap(), Settlement::Unsure);
    assert_eq!(used(&budget).await, 70);
    losses.lose(1);
    let unsure = hold.settle(70).await.unwrap();
    assert_eq!(unsure, Settlement::Unsure);
    assert_eq!(used(&budget).await, 70);
    let _ = held(&budget, "b", 10).await;
    losses.lose(1);
    assert_eq!(budget.settle("b", 5).await.unwrap(), Settlement::Unsure);
    assert_eq!(used(&budget).await, 75);
}

#[tokio::test]
async fn a_store_whose_answers_are_all_lost_is_an_error_and_asking_again_is_safe() {
    let (site, losses) = (Site::new(), Losses::default());
    let budget = losses.budget(&site, 100).await;
    losses.lose(u32::MAX);
    let error = budget.reserve("a", 60, MINUTE).await.unwrap_err();
    let BudgetError::Store(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.outcome(), Outcome::Unknown);
    losses.lose(0);
    let _ = held(&budget, "a", 60).await;
    assert_eq!(used(&budget).await, 60);
}

#[tokio::test]
async fn where_the_answer_to_a_reaper_is_lost_the_next_refusal_tells() {
    let (site, losses) = (Site::new(), Losses::default());
    let budget = losses.budget(&site, 100).await;
    for number in 0..25 {
        let _ = held(&budget, &format!("dead{number}"), 4).await;
    }
    site.clock.advance(MINUTE);
    // The refusal is heard; that twenty were given back is not.
    losses.lose_after(1, 1);
    let _ = held(&budget, "a", 100).await;
    let standing = budget.standing().await.unwrap();
    assert_eq!((standing.used, standing.pending), (100, 1));
}

#[tokio::test]
async fn what_is_extended_just_before_it_would_be_given_back_stays() {
    let site = Site::new();
    let other = site.budget(100).await;
    let calls = AtomicU32::new(0);
    let holder = other.clone();
    let layer = layer_fn("between", move |request, next| {
        let nth = calls.fetch_add(1, Ordering::Relaxed);
        let holder = holder.clone();
        Box::pin(async move {
            // The first call is refused, the second one would give back.
            if nth == 1 {
                assert!(holder.extend("dead", MINUTE).await.unwrap());
            }
            next.call(request).await
        })
    });
    let kv = Kv::builder(site.store.clone()).layer(layer);
    let kv = kv.connect().await.unwrap();
    let budget = site.on(&kv).budget("ann", 100).unwrap();
    let _ = held(&other, "dead", 60).await;
    site.clock.advance(MINUTE);
    assert_eq!(over(&budget, "a", 50).await.used, 60);
    assert_eq!(other.settle("dead", 60).await.unwrap(), Settlement::Settled);
}

#[tokio::test]
async fn each_call_has_a_deadline() {
    let site = Site::new();
    let layer = layer_fn("silent", |_, _| Box::pin(pending()));
    let kv = Kv::builder(site.store.clone()).layer(layer);
    let kv = kv.connect().await.unwrap();
    let budgets = Budgets::builder(&kv).clock(Arc::new(site.clock.clone()));
    let budgets = budgets.deadline(MINUTE).build().unwrap();
    let budget = budgets.budget("ann", 100).unwrap();
    let calls = async {
        let reserve = async { budget.reserve("a", 1, MINUTE).await.map(drop) };
        let settle = async { budget.settle("a", 1).await.map(drop) };
        let extend = async { budget.extend("a", MINUTE).await.map(drop) };
        let standing = async { budget.standing().await.map(drop) };
        tokio::join!(reserve, settle, extend, standing, budget.reset())
    };
    let pass = async {
        // Once all of them wait.
        tokio::task::yield_now().await;
        site.clock.advance(MINUTE);
    };
    let all = async { tokio::join!(calls, pass).0 };
    let (a, b, c, d, e) = tokio::time::timeout(MINUTE, all).await.unwrap();
    for result in [a, b, c, d, e] {
        let Err(BudgetError::Store(error)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
}
