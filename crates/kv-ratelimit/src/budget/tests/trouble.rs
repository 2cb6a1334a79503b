//! Answers that are lost, and a store that says nothing.

use super::*;
use kv_core::{Command, Error, ErrorKind, Outcome, layer_fn};
use std::{
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
};

/// How many of the next transactions lose their answer, once they are done.
#[derive(Clone, Default)]
struct Losses(Arc<AtomicU32>);

impl Losses {
    fn lose(&self, answers: u32) {
        self.0.store(answers, Ordering::Relaxed);
    }

    async fn budget(&self, site: &Site, limit: u64) -> Budget {
        let losses = self.0.clone();
        let layer = layer_fn("lossy", move |request, next| {
            let changes = match &request.command {
                Command::Commit { txns } => txns.iter().any(|txn| !txn.when.is_empty()),
                _ => false,
            };
            let answer = next.call(request);
            let losses = losses.clone();
            Box::pin(async move {
                let answer = answer.await;
                let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
                let is_lost = changes
                    && losses
                        .fetch_update(order, failed, |it| it.checked_sub(1))
                        .is_ok();
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
    let ((a, b, c, d, e), ()) = tokio::join!(calls, pass);
    for result in [a, b, c, d, e] {
        let Err(BudgetError::Store(error)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
}
