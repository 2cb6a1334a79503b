//! Ticks that are counted from the end of the last task, however it ends.

use super::{NONE, Ping, SECOND, Site};
use crate::{Change, Retention, Retry};

#[tokio::test]
async fn the_next_tick_is_counted_from_the_end() {
    let site = Site::new().await;
    let first = site.ten_after(Ping::Succeed).upsert().await.unwrap();
    assert_eq!(first.next, Some(site.at(10)));
    assert_eq!(site.after(9).await, NONE);
    assert_eq!(site.after(4).await, [10]);
    // It ended at 13.
    assert_eq!(site.after(9).await, NONE);
    assert_eq!(site.after(1).await, [23]);
    let again = site.ten_after(Ping::Succeed).upsert().await.unwrap();
    assert_eq!(
        (again.change, again.next),
        (Change::Unchanged, Some(site.at(33)))
    );
}

#[tokio::test]
async fn however_a_task_ends_it_goes_on() {
    for (ping, keep) in [
        (Ping::Succeed, Retention::keep(100 * SECOND)),
        (Ping::Succeed, Retention::NONE),
        (Ping::Cancel, Retention::NONE),
        (Ping::Die, Retention::NONE),
        (Ping::Fail, Retention::NONE),
    ] {
        let site = Site::new().await;
        let ten = site.ten_after(ping).retry(Retry::never()).retention(keep);
        ten.upsert().await.unwrap();
        for tick in [10, 20, 30] {
            assert_eq!(site.after(10).await, [tick]);
        }
    }
}

#[tokio::test]
async fn an_attempt_that_is_to_be_repeated_is_no_end() {
    let site = Site::new().await;
    let retry = Retry::exponential(15 * SECOND, 15 * SECOND).jitter(crate::Jitter::None);
    let ten = site.ten_after(Ping::Fail).retry(retry.attempts(2));
    ten.upsert().await.unwrap();
    assert_eq!(site.after(10).await, [10]);
    assert_eq!(site.after(14).await, NONE);
    assert_eq!(site.after(1).await, [10], "the second attempt");
    assert_eq!(site.after(9).await, NONE);
    assert_eq!(site.after(1).await, [35]);
}

#[tokio::test]
async fn a_task_that_is_cancelled_before_it_begins_has_ended() {
    let site = Site::new().await;
    let ten = site.ten_after(Ping::Succeed).jitter(9 * SECOND);
    ten.upsert().await.unwrap();
    assert_eq!(site.after(10).await, NONE, "it starts later by its jitter");
    let id = format!("cron:ping:{}", site.at(10).as_micros());
    let task = site.scheduler.task::<Ping>("default", &id).unwrap();
    assert_eq!(task.cancel().await.unwrap(), crate::Cancelled::Pending);
    assert_eq!(site.after(9).await, NONE);
    assert_eq!(site.after(10).await, [20]);
}

#[tokio::test]
async fn a_worker_that_dies_does_not_stop_it() {
    let site = Site::new().await;
    site.ten_after(Ping::Hang).upsert().await.unwrap();
    site.clock.advance(10 * SECOND);
    site.crash().await;
    assert_eq!(site.ticks(), [10]);
    // While the lease lasts nobody knows; then another has it.
    for _ in 0..3 {
        site.clock.advance(40 * SECOND);
        site.crash().await;
        assert_eq!(site.ticks(), [10]);
    }
    // It has lapsed too often: it is dead, and that is an end.
    assert_eq!(site.after(40).await, NONE);
    assert_eq!(site.after(9).await, NONE);
    site.clock.advance(SECOND);
    site.crash().await;
    assert_eq!(site.ticks(), [180]);
}

#[tokio::test]
async fn a_change_while_a_task_runs_makes_no_second_one() {
    let site = Site::new().await;
    site.ten_after(Ping::Hang).upsert().await.unwrap();
    site.clock.advance(10 * SECOND);
    site.crash().await;
    assert_eq!(site.ticks(), [10]);
    let changed = site.ten_after(Ping::Succeed).upsert().await.unwrap();
    assert_eq!(
        (changed.change, changed.next),
        (Change::Changed, Some(site.at(20)))
    );
    // The old one has a lease still: the tick waits for its end.
    assert_eq!(site.after(15).await, NONE);
    let id = format!("cron:ping:{}", site.at(10).as_micros());
    let task = site.scheduler.task::<Ping>("default", &id).unwrap();
    assert_eq!(task.cancel().await.unwrap(), crate::Cancelled::Requested);
    assert_eq!(
        site.after(40).await,
        NONE,
        "a cancelled task is not begun again"
    );
    assert_eq!(site.after(9).await, NONE);
    assert_eq!(site.after(1).await, [75]);
}

#[tokio::test]
async fn who_waits_for_a_task_that_is_gone_is_helped_by_declaring_it() {
    let site = Site::new().await;
    let ten = || site.ten_after(Ping::Succeed).jitter(9 * SECOND);
    ten().upsert().await.unwrap();
    assert_eq!(site.after(10).await, NONE);
    // As a program does that knows nothing of schedules.
    let queue = site.scheduler.queue("default").unwrap();
    let store = site.scheduler.store();
    for key in queue.due.iter().chain([&queue.task]) {
        store.kv().delete(key).await.unwrap();
    }
    assert_eq!(site.after(100).await, NONE);
    assert_eq!(ten().upsert().await.unwrap().next, Some(site.at(120)));
    assert_eq!(site.after(20).await, [120]);
}
