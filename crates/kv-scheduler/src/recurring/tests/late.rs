//! Ticks that no worker was there for.

use super::{NONE, Ping, SECOND, Site};
use crate::Misfire;

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
    assert_eq!(ten.upsert().await.unwrap().next, Some(site.at(61)));
    assert_eq!(site.after(15).await, NONE);
    assert_eq!(site.after(6).await, [71]);
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
