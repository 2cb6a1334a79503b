//! Case 162: budgets.

use kv_core::Kv;
use kv_ratelimit::{Budget, BudgetError, Budgets, Hold, Over, Reserve, Settlement, Standing};
use kv_tests::patience::{self, PATIENCE};
use kv_tests::stores::Site;
use std::time::Duration;
use tokio::task::JoinSet;

/// No test takes so long.
const LONG: Duration = Duration::from_secs(3_600);
/// It has lapsed soon.
const SHORT: Duration = Duration::from_millis(1);

fn budget(kv: &Kv, name: &str, limit: u64) -> Budget {
    let budgets = Budgets::builder(kv).deadline(PATIENCE).build().unwrap();
    budgets.budget(name, limit).unwrap()
}

async fn held_for(budget: &Budget, id: &str, amount: u64, ttl: Duration) -> Hold {
    match budget.reserve(id, amount, ttl).await.unwrap() {
        Reserve::Reserved(hold) => hold,
        Reserve::Over(over) => panic!("{id}: {over:?}"),
    }
}

async fn held(budget: &Budget, id: &str, amount: u64) -> Hold {
    held_for(budget, id, amount, LONG).await
}

async fn over(budget: &Budget, id: &str, amount: u64) -> Over {
    match budget.reserve(id, amount, LONG).await.unwrap() {
        Reserve::Reserved(hold) => panic!("{hold:?}"),
        Reserve::Over(over) => over,
    }
}

async fn standing(budget: &Budget) -> Standing {
    budget.standing().await.unwrap()
}

/// By the store's clock.
async fn until_lapsed(budget: &Budget, count: u64) {
    let lapsed = async || standing(budget).await.lapsed == count;
    patience::until("they lapse", lapsed).await;
}

async fn a_budget_is_reserved_settled_and_released_once(site: Site) {
    let kv = site.kv().await;
    let budget = budget(&kv, "once", 100);
    let hold = held(&budget, "a", 60).await;
    let refused = over(&budget, "b", 41).await;
    assert_eq!((refused.used, refused.left()), (60, 40));
    // It is there, with room for it once more, without, and at another amount.
    for amount in [60, 40, 5] {
        assert_eq!(held(&budget, "a", amount).await.amount(), 60);
    }
    assert_eq!(standing(&budget).await.used, 60);
    let _ = held(&budget, "b", 10).await;
    for expected in [Settlement::Settled, Settlement::Unknown] {
        assert_eq!(hold.settle(50).await.unwrap(), expected);
        assert_eq!(budget.release("b").await.unwrap(), expected);
        let now = standing(&budget).await;
        assert_eq!((now.used, now.reserved, now.pending), (50, 0, 0));
    }
    for unknown in [budget.settle("c", 10).await, budget.release("c").await] {
        assert_eq!(unknown.unwrap(), Settlement::Unknown);
    }
    assert_eq!(standing(&budget).await.used, 50);
    // What it cost counts, whatever was reserved.
    let _ = held(&budget, "d", 50).await;
    let settled = budget.settle("d", 80).await.unwrap();
    assert_eq!(settled, Settlement::Settled);
    let refused = over(&budget, "e", 1).await;
    assert_eq!((refused.used, refused.left()), (130, 0));
    budget.reset().await.unwrap();
    let now = standing(&budget).await;
    assert_eq!((now.used, now.left()), (0, 100));
}

async fn what_has_lapsed_gives_its_room_back_once(site: Site) {
    let kv = site.kv().await;
    let budget = budget(&kv, "lapsed", 100);
    let live = held(&budget, "live", 10).await;
    // More than one refusal names.
    let mut dead = Vec::new();
    for number in 0..30 {
        dead.push(held_for(&budget, &format!("dead{number}"), 3, SHORT).await);
    }
    until_lapsed(&budget, 30).await;
    // As long as nobody needs the room it is settled as any other.
    let last = dead.pop().unwrap();
    assert_eq!(last.settle(2).await.unwrap(), Settlement::Settled);
    let hold = held(&budget, "a", 88).await;
    for it in dead {
        assert_eq!(it.settle(3).await.unwrap(), Settlement::Unknown);
    }
    let now = standing(&budget).await;
    assert_eq!((now.used, now.reserved, now.pending), (100, 98, 2));
    assert_eq!(over(&budget, "b", 1).await.used, 100);
    for it in [live, hold] {
        assert_eq!(it.release().await.unwrap(), Settlement::Settled);
    }
    assert_eq!(standing(&budget).await.used, 2);
}

async fn what_is_extended_in_time_stays(site: Site) {
    let kv = site.kv().await;
    let budget = budget(&kv, "extended", 100);
    let mut hold = held_for(&budget, "a", 60, SHORT).await;
    let _ = held_for(&budget, "b", 20, SHORT).await;
    let _ = held_for(&budget, "c", 20, SHORT).await;
    until_lapsed(&budget, 3).await;
    // Nobody has needed the room yet.
    assert!(hold.extend(LONG).await.unwrap());
    assert!(budget.extend("b", LONG).await.unwrap());
    assert!(!budget.extend("nobody", LONG).await.unwrap());
    assert!(hold.remaining() > SHORT);
    let refused = over(&budget, "d", 21).await;
    assert_eq!(refused.used, 80);
    let _ = held(&budget, "d", 20).await;
    assert!(!budget.extend("c", LONG).await.unwrap());
    // By the same id the time begins anew, too.
    let _ = held_for(&budget, "d", 20, SHORT).await;
    assert_eq!(standing(&budget).await.lapsed, 0);
}

async fn racing_reservations_never_exceed_the_limit(site: Site) {
    let kv = site.kv().await;
    let budget = budget(&kv, "race", 100);
    let race = (0..50).map(|number| {
        let budget = budget.clone();
        async move {
            let reserve = budget.reserve(format!("r{number}"), 3, LONG).await;
            match reserve.unwrap() {
                Reserve::Reserved(hold) => Some(hold),
                Reserve::Over(over) => {
                    assert!(over.used <= 100, "{over:?}");
                    None
                }
            }
        }
    });
    let won = race.collect::<JoinSet<_>>().join_all().await;
    let won: Vec<_> = won.into_iter().flatten().collect();
    assert_eq!(won.len(), 33);
    assert_eq!(standing(&budget).await.used, 99);
    // All at once: each counts, and counts once.
    let settle = won.into_iter().map(|hold| async move {
        let settled = hold.settle(2).await.unwrap();
        assert_eq!(settled, Settlement::Settled);
    });
    settle.collect::<JoinSet<_>>().join_all().await;
    let now = standing(&budget).await;
    assert_eq!((now.used, now.pending), (66, 0));
}

async fn racing_for_one_id_reserves_it_once(site: Site) {
    let kv = site.kv().await;
    // There is room for all of them.
    let budget = budget(&kv, "one id", 10_000);
    let race = (0..20).map(|_| {
        let budget = budget.clone();
        async move { held(&budget, "a", 60).await.amount() }
    });
    let amounts = race.collect::<JoinSet<_>>().join_all().await;
    assert_eq!(amounts, [60; 20]);
    let now = standing(&budget).await;
    assert_eq!((now.used, now.pending), (60, 1));
}

/// Everybody finds the same ones, and each is given back once.
async fn racing_for_lapsed_room_frees_it_once(site: Site) {
    let kv = site.kv().await;
    let budget = budget(&kv, "reaped", 60);
    for number in 0..30 {
        let _ = held_for(&budget, &format!("dead{number}"), 2, SHORT).await;
    }
    until_lapsed(&budget, 30).await;
    let race = (0..20).map(|number| {
        let budget = budget.clone();
        async move {
            let reserve = budget.reserve(format!("r{number}"), 6, LONG).await;
            matches!(reserve.unwrap(), Reserve::Reserved(_))
        }
    });
    let won = race.collect::<JoinSet<_>>().join_all().await;
    assert_eq!(won.into_iter().filter(|it| *it).count(), 10);
    let now = standing(&budget).await;
    assert_eq!((now.used, now.pending, now.lapsed), (60, 10, 0));
}

async fn names_and_ids_are_any_bytes(site: Site) {
    let kv = site.kv().await;
    let budgets = Budgets::builder(&kv).deadline(PATIENCE).build().unwrap();
    let names = [&b"n"[..], b"n}", b"n%7D", b"", b"\xff:", b"n}:used"];
    let ids = [&b"x"[..], b"", b"5:x", b"}\xff\0\n"];
    for name in names {
        let budget = budgets.budget(name, 10).unwrap();
        for id in ids {
            let reserve = budget.reserve(id, 2, LONG).await.unwrap();
            assert!(matches!(reserve, Reserve::Reserved(it) if it.id() == id));
        }
    }
    for name in names {
        let budget = budgets.budget(name, 10).unwrap();
        assert_eq!(standing(&budget).await.reserved, 8);
        let settled = budget.settle(b"5:x", 1).await.unwrap();
        assert_eq!(settled, Settlement::Settled);
        assert_eq!(standing(&budget).await.used, 7);
    }
}

async fn amounts_that_cannot_be_counted_change_nothing(site: Site) {
    let kv = site.kv().await;
    let most = (1 << 53) - 1;
    let budget = budget(&kv, "amounts", most);
    for amount in [0, most + 1, u64::MAX] {
        let error = budget.reserve("a", amount, LONG).await.unwrap_err();
        assert!(matches!(error, BudgetError::Amount(_)), "{error}");
    }
    assert_eq!(standing(&budget).await.used, 0);
    // The largest are counted exactly.
    let hold = held(&budget, "a", most - 1).await;
    let _ = held(&budget, "b", 1).await;
    assert_eq!(over(&budget, "c", 1).await.used, most);
    assert_eq!(hold.settle(most).await.unwrap(), Settlement::Settled);
    assert_eq!(standing(&budget).await.used, most + 1);
    assert_eq!(over(&budget, "c", 1).await.left(), 0);
    assert_eq!(budget.release("b").await.unwrap(), Settlement::Settled);
    assert_eq!(standing(&budget).await.used, most);
}

kv_tests::on_each_store_there_is! {
    a_budget_is_reserved_settled_and_released_once
    what_has_lapsed_gives_its_room_back_once
    what_is_extended_in_time_stays
    racing_reservations_never_exceed_the_limit
    racing_for_one_id_reserves_it_once
    racing_for_lapsed_room_frees_it_once
    names_and_ids_are_any_bytes
    amounts_that_cannot_be_counted_change_nothing
}
