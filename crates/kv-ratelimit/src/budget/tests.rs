#![allow(clippy::unwrap_used, reason = "a test")]

mod model;
mod trouble;

use super::{Budget, BudgetError, Budgets, Hold, Over, Reserve, Settlement, Standing};
use kv_core::{Context, Kv, VirtualClock};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_wrappers::{KeyResolver, KeySettings};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_secs(60);
const TOO_MUCH: u64 = 1 << 53;

struct Site {
    clock: VirtualClock,
    store: MemoryStore,
}

impl Site {
    fn new() -> Self {
        let clock = VirtualClock::default();
        clock.advance(1000 * MINUTE);
        let store = MemoryStore::with_clock(MemoryConfig::default(), Arc::new(clock.clone()));
        Self { clock, store }
    }

    async fn budgets(&self) -> Budgets {
        self.on(&Kv::builder(self.store.clone()).connect().await.unwrap())
    }

    fn on(&self, kv: &Kv) -> Budgets {
        let builder = Budgets::builder(kv).clock(Arc::new(self.clock.clone()));
        builder.build().unwrap()
    }

    async fn budget(&self, limit: u64) -> Budget {
        self.budgets().await.budget("ann", limit).unwrap()
    }
}

async fn held(budget: &Budget, id: &str, amount: u64) -> Hold {
    match budget.reserve(id, amount, MINUTE).await.unwrap() {
        Reserve::Reserved(hold) => hold,
        Reserve::Over(over) => panic!("{over:?}"),
    }
}

async fn over(budget: &Budget, id: &str, amount: u64) -> Over {
    match budget.reserve(id, amount, MINUTE).await.unwrap() {
        Reserve::Reserved(hold) => panic!("{hold:?}"),
        Reserve::Over(over) => over,
    }
}

async fn used(budget: &Budget) -> u64 {
    budget.standing().await.unwrap().used
}

#[tokio::test]
async fn a_reservation_is_settled_once() {
    let budget = Site::new().budget(100).await;
    let hold = held(&budget, "a", 60).await;
    assert_eq!((hold.id(), hold.amount()), (&b"a"[..], 60));
    let refused = over(&budget, "b", 41).await;
    assert_eq!((refused.amount, refused.limit), (41, 100));
    assert_eq!((refused.used, refused.left()), (60, 40));
    assert_eq!(used(&budget).await, 60);

    for expected in [Settlement::Settled, Settlement::Unknown] {
        assert_eq!(hold.settle(75).await.unwrap(), expected);
        assert_eq!(used(&budget).await, 75);
    }
    let small = held(&budget, "b", 20).await;
    assert_eq!(small.release().await.unwrap(), Settlement::Settled);
    assert_eq!(used(&budget).await, 75);
    // More than all that is left, since that is what it cost.
    let large = held(&budget, "c", 25).await;
    assert_eq!(large.settle(50).await.unwrap(), Settlement::Settled);
    let refused = over(&budget, "d", 1).await;
    assert_eq!((refused.used, refused.left()), (125, 0));
}

#[tokio::test]
async fn a_reservation_is_settled_and_released_by_its_id_alone() {
    let budget = Site::new().budget(100).await;
    let _ = held(&budget, "a", 60).await;
    let _ = held(&budget, "b", 40).await;
    for expected in [Settlement::Settled, Settlement::Unknown] {
        assert_eq!(budget.settle("a", 10).await.unwrap(), expected);
        assert_eq!(budget.release("b").await.unwrap(), expected);
        assert_eq!(used(&budget).await, 10);
    }
    let unknown = budget.settle("nobody", 10).await.unwrap();
    assert_eq!(unknown, Settlement::Unknown);
    assert_eq!(used(&budget).await, 10);
}

#[tokio::test]
async fn an_id_that_is_reserved_answers_the_same() {
    let site = Site::new();
    let budget = site.budget(100).await;
    let _ = held(&budget, "a", 60).await;
    site.clock.advance(MINUTE / 2);
    // With room for it once more, without, and at another amount.
    for amount in [30, 60, 101] {
        let again = held(&budget, "a", amount).await;
        assert_eq!((again.amount(), again.remaining()), (60, MINUTE / 2));
    }
    assert_eq!(used(&budget).await, 60);
    // It lapsed, but nobody needed its room.
    site.clock.advance(MINUTE / 2);
    let again = held(&budget, "a", 60).await;
    assert_eq!(again.remaining(), MINUTE);
    assert_eq!(over(&budget, "b", 41).await.used, 60);
    assert_eq!(again.settle(60).await.unwrap(), Settlement::Settled);
}

#[tokio::test]
async fn what_has_lapsed_gives_its_room_back() {
    let site = Site::new();
    let budget = site.budget(100).await;
    // More than one refusal names.
    let mut dead = Vec::new();
    for number in 0..50 {
        dead.push(held(&budget, &format!("dead{number}"), 2).await);
    }
    site.clock.advance(MINUTE - Duration::from_micros(1));
    assert_eq!(over(&budget, "a", 100).await.used, 100);
    site.clock.advance(Duration::from_micros(1));
    assert!(dead[0].remaining().is_zero());
    let lapsed = budget.standing().await.unwrap();
    assert_eq!((lapsed.lapsed, lapsed.left()), (50, 0));

    let hold = held(&budget, "a", 100).await;
    for it in dead {
        assert_eq!(it.settle(2).await.unwrap(), Settlement::Unknown);
    }
    assert_eq!(hold.settle(70).await.unwrap(), Settlement::Settled);
    assert_eq!(used(&budget).await, 70);
}

#[tokio::test]
async fn what_could_never_fit_gives_nothing_back() {
    let site = Site::new();
    let budget = site.budget(100).await;
    let dead = held(&budget, "dead", 2).await;
    site.clock.advance(MINUTE);
    assert_eq!(over(&budget, "a", 101).await.used, 2);
    // As long as nobody needs its room.
    assert_eq!(dead.settle(3).await.unwrap(), Settlement::Settled);
    assert_eq!(used(&budget).await, 3);
}

#[tokio::test]
async fn a_reservation_is_extended() {
    let site = Site::new();
    let budget = site.budget(100).await;
    let mut hold = held(&budget, "a", 60).await;
    let _ = held(&budget, "b", 40).await;
    site.clock.advance(MINUTE / 2);
    assert!(hold.extend(MINUTE).await.unwrap());
    assert_eq!(hold.remaining(), MINUTE);
    assert!(budget.extend("b", 2 * MINUTE).await.unwrap());
    assert!(!budget.extend("nobody", MINUTE).await.unwrap());
    site.clock.advance(MINUTE - Duration::from_micros(1));
    assert_eq!(over(&budget, "c", 1).await.used, 100);
    site.clock.advance(Duration::from_micros(1));
    let _ = held(&budget, "c", 60).await;
    assert!(!hold.extend(MINUTE).await.unwrap());
    assert_eq!(budget.release("b").await.unwrap(), Settlement::Settled);
}

#[tokio::test]
async fn it_tells_how_it_stands_and_begins_anew() {
    let budget = Site::new().budget(1_000).await;
    let unused = budget.standing().await.unwrap();
    assert_eq!((unused.used, unused.left()), (0, 1_000));
    let first = held(&budget, "first", 10).await;
    assert_eq!(first.settle(7).await.unwrap(), Settlement::Settled);
    let hold = held(&budget, "0", 3).await;
    for number in 1..250 {
        let _ = held(&budget, &number.to_string(), 3).await;
    }
    let standing = budget.standing().await.unwrap();
    let expected = Standing {
        limit: 1_000,
        used: 757,
        reserved: 750,
        pending: 250,
        lapsed: 0,
    };
    assert_eq!(standing, expected);
    assert_eq!((standing.spent(), standing.left()), (7, 243));

    budget.reset().await.unwrap();
    assert_eq!(budget.standing().await.unwrap(), unused);
    assert_eq!(hold.settle(3).await.unwrap(), Settlement::Unknown);
    assert_eq!(used(&budget).await, 0);
}

#[tokio::test]
async fn names_and_ids_are_any_bytes() {
    let budgets = Site::new().budgets().await;
    let mut all = Vec::new();
    for name in [&b"a"[..], b"a}", b"a%7D", b"", b"\xff:", b"a}:used"] {
        let budget = budgets.budget(name, 10).unwrap();
        for id in [&b"x"[..], b"", b"5:x", b"}\xff\0\n"] {
            let hold = budget.reserve(id, 2, MINUTE).await.unwrap();
            assert!(matches!(hold, Reserve::Reserved(it) if it.id() == id));
        }
        all.push(budget);
    }
    for budget in all {
        let standing = budget.standing().await.unwrap();
        assert_eq!((standing.used, standing.reserved), (8, 8));
        assert_eq!(budget.settle(b"5:x", 1).await.unwrap(), Settlement::Settled);
        assert_eq!(used(&budget).await, 7);
    }
}

#[tokio::test]
async fn amounts_that_cannot_be_counted_are_refused() {
    let site = Site::new();
    let budgets = site.budgets().await;
    let budget = budgets.budget("ann", TOO_MUCH - 1).unwrap();
    let hold = held(&budget, "a", TOO_MUCH - 1).await;
    for (amount, wrong) in [
        (0, budget.reserve("b", 0, MINUTE).await.map(drop)),
        (
            TOO_MUCH,
            budget.reserve("b", TOO_MUCH, MINUTE).await.map(drop),
        ),
        (u64::MAX, hold.settle(u64::MAX).await.map(drop)),
        (TOO_MUCH, budget.settle("a", TOO_MUCH).await.map(drop)),
        (TOO_MUCH, budgets.budget("b", TOO_MUCH).map(drop)),
    ] {
        let error = wrong.unwrap_err();
        assert!(
            matches!(&error, BudgetError::Amount(it) if it.amount() == amount),
            "{error}"
        );
        assert!(error.to_string().contains("below 2^53"), "{error}");
    }
    for wrong in [
        budget.reserve("b", 1, Duration::ZERO).await.map(drop),
        budget.extend("a", Duration::ZERO).await.map(drop),
    ] {
        assert!(matches!(wrong, Err(BudgetError::Store(_))), "{wrong:?}");
    }
    let kv = Kv::builder(site.store.clone()).connect().await.unwrap();
    let wrong = Budgets::builder(&kv).deadline(Duration::ZERO).build();
    assert!(wrong.is_err());
    assert_eq!(used(&budget).await, TOO_MUCH - 1);
    // None at all may be reserved.
    let none = budgets.budget("none", 0).unwrap();
    assert_eq!(over(&none, "a", 1).await.left(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_reservations_never_exceed_the_limit() {
    let budget = Site::new().budget(100).await;
    let race = (0..50).map(|number| {
        let budget = budget.clone();
        async move {
            let reserve = budget.reserve(format!("r{number}"), 3, MINUTE).await;
            matches!(reserve.unwrap(), Reserve::Reserved(_))
        }
    });
    let won = race.collect::<JoinSet<_>>().join_all().await;
    assert_eq!(won.into_iter().filter(|it| *it).count(), 33);
    assert_eq!(used(&budget).await, 99);
}

fn tenant(name: &str) -> Context {
    Context::tenant(name.to_owned())
}

#[tokio::test]
async fn tenants_with_a_budget_of_one_name_never_meet() {
    let site = Site::new();
    let settings = KeySettings {
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    };
    let layer = KeyResolver::new(settings).unwrap();
    let kv = Kv::builder(site.store.clone()).layer(layer);
    let kv = kv.connect().await.unwrap();
    let budget = site.on(&kv).budget("shared", 10).unwrap();
    let ann = tenant("ann").scope(held(&budget, "a", 10)).await;
    let bob = tenant("bob").scope(held(&budget, "a", 7)).await;
    assert_eq!(tenant("ann").scope(over(&budget, "b", 1)).await.used, 10);
    assert_eq!(tenant("bob").scope(over(&budget, "b", 4)).await.used, 7);
    // A hold knows whose it is, also where nobody says so, or somebody else does.
    assert_eq!(ann.settle(2).await.unwrap(), Settlement::Settled);
    let settled = tenant("ann").scope(bob.settle(3)).await;
    assert_eq!(settled.unwrap(), Settlement::Settled);
    assert_eq!(tenant("ann").scope(used(&budget)).await, 2);
    assert_eq!(tenant("bob").scope(used(&budget)).await, 3);
    // Without a tenant there is no budget.
    assert!(budget.standing().await.is_err());
    // One that is bound is always the same tenant's.
    let bound = site.on(&kv.bind(tenant("ann")));
    let bound = bound.budget("shared", 10).unwrap();
    assert_eq!(tenant("bob").scope(used(&bound)).await, 2);
}
