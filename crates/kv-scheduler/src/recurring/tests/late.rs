//! Ticks that no worker was there for.

use super::{NONE, Ping, SECOND, Site};
use crate::Misfire;
use kv_core::{Command, Error, ErrorKind, Op, Reply, layer_fn};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[tokio::test]
async fn of_many_the_last_is_a_task() {
    let site = Site::new().await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    assert_eq!(site.after(57).await, [50]);
    assert_eq!(site.after(3).await, [60]);
}

#[tokio::test]
async fn those_that_are_too_late_are_dropped() {
    let site = Site::new().await;
    let skip = Misfire::Skip { grace: 12 * SECOND };
    let ten = site.every_ten(Ping::Succeed).misfire(skip);
    ten.upsert().await.unwrap();
    assert_eq!(site.after(51).await, [40, 50]);
    let strict = Misfire::Skip { grace: SECOND };
    let ten = site.every_ten(Ping::Succeed).misfire(strict);
    assert_eq!(ten.upsert().await.unwrap().next, Some(site.at(60)));
    assert_eq!(site.after(15).await, NONE);
    assert_eq!(site.after(4).await, [70]);
}

#[tokio::test]
async fn each_is_a_task_up_to_a_number() {
    let site = Site::new().await;
    let all = Misfire::All { max: 3 };
    let ten = site.every_ten(Ping::Succeed).misfire(all);
    ten.upsert().await.unwrap();
    assert_eq!(site.after(35).await, [10, 20, 30]);
    assert_eq!(site.after(100).await, [110, 120, 130]);
    assert_eq!(site.after(5).await, [140]);
}

/// What the store has failed at is no fault of the schedule: it is not left for later.
#[tokio::test]
async fn a_tick_whose_transaction_was_not_taken_is_tried_again() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = fails.clone();
    let layer = layer_fn("fails", move |request, next| {
        let is_fire = matches!(&request.command, Command::Commit { txns }
            if txns.iter().any(|it| it.then.iter().any(|op| matches!(op, Op::ZAdd { .. }))));
        let fails = is_fire && failing.swap(false, Ordering::Relaxed);
        let reply = next.call(request);
        Box::pin(async move {
            match reply.await? {
                Reply::Commit(answers) if fails => Ok(Reply::Commit(
                    answers
                        .into_iter()
                        .map(|_| Err(Error::new(ErrorKind::Unavailable, "gone")))
                        .collect(),
                )),
                reply => Ok(reply),
            }
        })
    });
    let site = Site::over(|kv| kv.layer(layer)).await;
    site.every_ten(Ping::Succeed).upsert().await.unwrap();
    site.clock.advance(10 * SECOND);
    fails.store(true, Ordering::Relaxed);
    assert!(site.worker().drain().await.is_err());
    assert_eq!(site.after(0).await, [10]);
}

#[tokio::test]
async fn many_schedules_are_due_at_once() {
    let site = Site::new().await;
    for number in 0..450 {
        let every = crate::Every::fixed_rate(10 * SECOND);
        let one = site
            .scheduler
            .every(format!("s{number}"), every, Ping::Succeed);
        one.upsert().await.unwrap();
    }
    assert_eq!(site.after(10).await.len(), 450);
    assert_eq!(site.after(10).await.len(), 450);
    let admin = site.scheduler.admin("default").unwrap();
    assert_eq!(admin.schedules().await.unwrap().len(), 450);
}
