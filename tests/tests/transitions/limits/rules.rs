//! What the algorithms let pass.

use super::*;
use crate::site::Site;

/// A window long enough that no test meets its edge but at the very end of a month.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

async fn each_rule_lets_its_limit_pass_and_refunds(site: Site) {
    let rules = [
        Rule::gcra(3, HOUR, 3).unwrap(),
        Rule::fixed(3, MONTH).unwrap(),
        Rule::sliding_counter(3, MONTH).unwrap(),
    ];
    for (number, rule) in rules.into_iter().enumerate() {
        let subject = &Subject::new(&format!("s{number}"));
        for left in [2, 1, 0] {
            let reply = site.throttle(debit(subject, rule, 1)).await;
            assert!(reply.allowed, "{rule:?}");
            assert_eq!(reply.limits[0].remaining, left, "{rule:?}");
        }
        let denied = site.throttle(debit(subject, rule, 1)).await;
        assert!(
            !denied.allowed && denied.limits[0].retry_after > Duration::ZERO,
            "{rule:?}"
        );
        assert!(!site.throttle(peek(subject, rule)).await.allowed);
        assert!(site.throttle(refund(subject, rule, 2)).await.allowed);
        assert_eq!(
            site.throttle(peek(subject, rule)).await.limits[0].remaining,
            2
        );
        let batch = site.throttle(debit(subject, rule, 2)).await;
        assert!(batch.allowed && batch.limits[0].remaining == 0);
        // Never beyond full.
        site.throttle(refund(subject, rule, 3)).await;
        site.throttle(refund(subject, rule, 3)).await;
        assert_eq!(
            site.throttle(peek(subject, rule)).await.limits[0].remaining,
            3
        );
        assert!(
            !site.kv.exists(subject.key("limit")).await.unwrap(),
            "unused is absent"
        );
    }
}

async fn several_limits_are_all_debited_or_none(site: Site) {
    let subject = &Subject::new("ann");
    let wide = ("user", Rule::gcra(10, HOUR, 10).unwrap());
    let narrow = ("login", Rule::fixed(1, MONTH).unwrap());
    assert!(
        site.throttle(debit_all(subject, &[wide, narrow]))
            .await
            .allowed
    );
    let denied = site.throttle(debit_all(subject, &[wide, narrow])).await;
    assert!(!denied.allowed);
    assert!(denied.limits[0].allowed && !denied.limits[1].allowed);
    assert_eq!(denied.limits[0].remaining, 9);
}

async fn a_reservation_waits_its_turn(site: Site) {
    let subject = &Subject::new("ann");
    let rule = Rule::gcra(1, HOUR, 1).unwrap();
    assert!(site.throttle(debit(subject, rule, 1)).await.allowed);
    assert!(
        !site
            .throttle(reserve(subject, rule, HOUR / 2))
            .await
            .allowed
    );
    let place = site.throttle(reserve(subject, rule, HOUR)).await;
    assert!(place.allowed);
    let wait = place.limits[0].retry_after;
    assert!(wait > HOUR / 2 && wait <= HOUR, "{wait:?}");
    assert!(!site.throttle(reserve(subject, rule, HOUR)).await.allowed);
}

async fn the_log_is_exact_and_counts_a_resent_request_once(site: Site) {
    let subject = &Subject::new("ann");
    assert!(site.commit(log(subject, "a", 2)).await.applied);
    assert!(site.commit(log(subject, "a", 2)).await.applied);
    let left = site.kv.time_to_live(subject.key("log")).await.unwrap();
    assert!(matches!(left, kv_core::TimeToLive::In(_)));

    assert!(site.commit(log(subject, "b", 2)).await.applied);
    let mut full = site.commit(log(subject, "c", 2)).await;
    assert!(!full.applied);
    assert_eq!(full.score(0).unwrap(), None);
    // The oldest tells when there is room; `now` with it.
    assert_eq!(full.members(1).unwrap()[0].member, "a");
    assert!(full.now.is_some());
    let mut again = site.commit(log(subject, "b", 2)).await;
    assert!(!again.applied && again.score(0).unwrap().is_some());
    // What left the window makes room and is swept.
    let past = site.kv.now().await.unwrap().as_micros() - HOUR.as_micros() as i64;
    let old = kv_core::Score::from(Timestamp::from_micros(past - 1));
    site.kv
        .zadd(subject.key("log"), [("a", old)])
        .await
        .unwrap();
    assert!(site.commit(log(subject, "c", 2)).await.applied);
    assert_eq!(site.kv.zscore(subject.key("log"), "a").await.unwrap(), None);
}

async fn a_slot_comes_back(site: Site) {
    let subject = &Subject::new("ann");
    assert!(
        site.commit(slot(subject, "a", 1, seconds(30)))
            .await
            .applied
    );
    let mut again = site.commit(slot(subject, "a", 1, seconds(30))).await;
    assert!(!again.applied && again.score(0).unwrap().is_some());
    assert!(
        !site
            .commit(slot(subject, "b", 1, seconds(30)))
            .await
            .applied
    );
    site.commit(free_slot(subject, "a")).await;
    site.commit(free_slot(subject, "a")).await;
    assert!(site.commit(slot(subject, "dead", 1, LAPSED)).await.applied);
    assert!(
        site.commit(slot(subject, "b", 1, seconds(30)))
            .await
            .applied
    );
    assert_eq!(
        site.kv.zscore(subject.key("slots"), "dead").await.unwrap(),
        None
    );
}

async fn a_calendar_window_counts_to_its_end(site: Site) {
    let subject = &Subject::new("ann");
    let end = site.kv.now().await.unwrap().saturating_add(HOUR);
    assert!(
        site.commit(calendar(subject, "today", end, 2, 3))
            .await
            .applied
    );
    let mut full = site.commit(calendar(subject, "today", end, 2, 3)).await;
    assert!(!full.applied);
    assert_eq!(full.mark(0).unwrap(), Some("2".into()));
    assert!(
        site.commit(calendar(subject, "today", end, 1, 3))
            .await
            .applied
    );
    let left = site.kv.time_to_live(subject.key("today")).await.unwrap();
    assert!(matches!(left, kv_core::TimeToLive::In(left) if left <= HOUR));
}

crate::on_each_store! {
    each_rule_lets_its_limit_pass_and_refunds
    several_limits_are_all_debited_or_none
    a_reservation_waits_its_turn
    the_log_is_exact_and_counts_a_resent_request_once
    a_slot_comes_back
    a_calendar_window_counts_to_its_end
}
