//! Case 162: budgets.

use super::*;
use crate::site::Site;
use kv_core::Score;
use tokio::task::JoinSet;

async fn used(site: &Site, subject: &Subject) -> i64 {
    site.kv.increment(subject.key("used"), 0).await.unwrap()
}

async fn case_162_a_budget_is_reserved_settled_and_released_once(site: Site) {
    let subject = &Subject::new("ann");
    let budget = &Budget {
        subject,
        limit: 100,
    };
    let until = seconds(60);
    assert!(
        site.commit(reserve_budget(budget, "a", 60, until))
            .await
            .applied
    );
    // Re-sent: it is there already.
    let mut again = site.commit(reserve_budget(budget, "a", 60, until)).await;
    assert!(!again.applied);
    assert_eq!(again.mark(0).unwrap(), Some("60".into()));
    let mut over = site.commit(reserve_budget(budget, "b", 41, until)).await;
    assert!(!over.applied);
    assert_eq!(over.mark(0).unwrap(), None);
    assert_eq!(over.mark(1).unwrap(), Some("60".into()));

    assert_eq!(used(&site, subject).await, 60);
    assert!(
        site.commit(reserve_budget(budget, "b", 10, until))
            .await
            .applied
    );
    // There is room for it once more, or at another cost: it is still the same.
    for cost in [10, 5] {
        let mut again = site.commit(reserve_budget(budget, "b", cost, until)).await;
        assert_eq!(again.mark(0).unwrap(), Some("10".into()));
    }
    assert_eq!(used(&site, subject).await, 70);

    for settled in [true, false] {
        assert_eq!(
            site.commit(settle(budget, "a", 60, 50)).await.applied,
            settled
        );
        assert_eq!(
            site.commit(settle(budget, "b", 10, 0)).await.applied,
            settled
        );
        assert_eq!(used(&site, subject).await, 50);
    }
    assert!(!site.commit(settle(budget, "unknown", 10, 0)).await.applied);
    assert!(!site.kv.exists(subject.key("pending")).await.unwrap());
}

async fn case_162_a_lapsed_reservation_is_given_back_once(site: Site) {
    let subject = &Subject::new("ann");
    let budget = &Budget {
        subject,
        limit: 100,
    };
    site.commit(reserve_budget(budget, "dead", 90, LAPSED))
        .await;
    let mut over = site
        .commit(reserve_budget(budget, "a", 20, seconds(60)))
        .await;
    let found = over.members(2).unwrap();
    let (cost, id) = found[0].member.to_str().unwrap().split_once(':').unwrap();
    let (id, cost) = (id.to_owned(), cost.parse().unwrap());
    let [freed, mine] = site
        .commit_all([
            expire(budget, &id, cost),
            reserve_budget(budget, "a", 20, seconds(60)),
        ])
        .await;
    assert!(freed.applied && mine.applied);
    assert!(!site.commit(expire(budget, &id, cost)).await.applied);
    assert!(
        !site.commit(expire(budget, "a", 20)).await.applied,
        "it has not lapsed"
    );
    assert_eq!(used(&site, subject).await, 20);
}

async fn case_162_a_reservation_is_prolonged_while_it_is_there(site: Site) {
    let subject = &Subject::new("ann");
    let budget = &Budget {
        subject,
        limit: 100,
    };
    let until = seconds(60);
    let again = |id: &str| reserve_again(budget, id, 60, until);
    site.commit(reserve_budget(budget, "a", 60, LAPSED)).await;
    assert!(site.commit(again("a")).await.applied);
    // It has time still, and keeps it.
    let mut there = site.commit(again("a")).await;
    assert!(!there.applied);
    assert_eq!(there.mark(0).unwrap(), Some("60".into()));
    assert!(there.score(1).unwrap().unwrap() > Score::from(there.now.unwrap()));
    assert!(!site.commit(expire(budget, "a", 60)).await.applied);

    assert!(site.commit(extend(budget, "a", 60, LAPSED)).await.applied);
    for wrong in [
        extend(budget, "a", 59, until),
        extend(budget, "unknown", 60, until),
        reserve_again(budget, "a", 59, until),
    ] {
        assert!(!site.commit(wrong).await.applied);
    }
    assert!(site.commit(expire(budget, "a", 60)).await.applied);
    let mut gone = site.commit(again("a")).await;
    assert_eq!(gone.mark(0).unwrap(), None);
    assert_eq!(gone.score(1).unwrap(), None);
    assert!(!site.commit(extend(budget, "a", 60, until)).await.applied);
    assert!(!site.kv.exists(subject.key("pending")).await.unwrap());
}

async fn case_162_racing_reservations_never_exceed_the_limit(site: Site) {
    let race = (0..50).map(|number| {
        let kv = site.kv.clone();
        async move {
            let subject = &Subject::new("ann");
            let budget = &Budget {
                subject,
                limit: 100,
            };
            let txn = reserve_budget(budget, &format!("r{number}"), 3, seconds(60));
            kv.commit_one(txn).await.unwrap().applied
        }
    });
    let won = race.collect::<JoinSet<_>>().join_all().await;
    assert_eq!(won.into_iter().filter(|it| *it).count(), 33);
    assert_eq!(used(&site, &Subject::new("ann")).await, 99);
}

crate::on_each_store! {
    case_162_a_budget_is_reserved_settled_and_released_once
    case_162_a_lapsed_reservation_is_given_back_once
    case_162_a_reservation_is_prolonged_while_it_is_there
    case_162_racing_reservations_never_exceed_the_limit
}
