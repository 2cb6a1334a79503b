//! The limiter: five algorithms, several limits at once, tokens by the batch, and budgets.

mod budgets;
mod rules;

use crate::{
    site::{Row, row},
    steps::*,
};
use kv_core::{
    Expiry, Guard, Key, KeyGroup, Op, Read, RelativeRange, RelativeScore, Rule, Throttle,
    ThrottleMode, Timestamp, Ttl, Txn,
};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

struct Subject(KeyGroup);

impl Subject {
    fn new(name: &str) -> Self {
        Self(KeyGroup::new(format!("limits:{name}")).unwrap())
    }

    fn key(&self, name: &str) -> Key {
        self.0.key(format!(":{name}"))
    }
}

fn debit(subject: &Subject, rule: Rule, cost: u64) -> Throttle {
    Throttle::new().limit(subject.key("limit"), rule).cost(cost)
}

fn peek(subject: &Subject, rule: Rule) -> Throttle {
    debit(subject, rule, 1).mode(ThrottleMode::Peek)
}

/// Also what a batch of tokens did not use. Never sent twice: a lost one errs on the strict side.
fn refund(subject: &Subject, rule: Rule, cost: u64) -> Throttle {
    debit(subject, rule, cost).mode(ThrottleMode::Refund)
}

fn reserve(subject: &Subject, rule: Rule, max_wait: Duration) -> Throttle {
    debit(subject, rule, 1).mode(ThrottleMode::Reserve { max_wait })
}

fn debit_all(subject: &Subject, rules: &[(&str, Rule)]) -> Throttle {
    let with = |all: Throttle, (name, rule): &(&str, Rule)| all.limit(subject.key(name), *rule);
    rules.iter().fold(Throttle::new(), with)
}

fn window() -> RelativeRange {
    RelativeRange::above(RelativeScore::before(HOUR))
}

/// At most so many in any hour, exactly: one member for each request, by its own name.
fn log(subject: &Subject, request: &str, limit: u64) -> Txn {
    let log = subject.key("log");
    let past = RelativeRange::up_to(RelativeScore::before(HOUR));
    let expiry = Expiry::try_from(HOUR).unwrap();
    Txn::new()
        .when(Guard::count_below(&log, window(), limit))
        .then(Op::ZRemRange {
            key: log.clone(),
            range: past,
            limit: 200,
        })
        .then(zadd(log.clone(), request, RelativeScore::NOW))
        .then(Op::Expire {
            key: log.clone(),
            expiry,
        })
        .otherwise(Read::ZScore {
            key: log.clone(),
            member: request.into(),
        })
        .otherwise(Read::ZRange {
            key: log,
            range: window(),
            limit: 1,
        })
}

/// A slot that a crash gives back.
fn slot(subject: &Subject, request: &str, limit: u64, lease: impl Into<RelativeScore>) -> Txn {
    let slots = subject.key("slots");
    Txn::new()
        .when(Guard::count_below(&slots, live(), limit))
        .then(purge(slots.clone()))
        .then(zadd(slots.clone(), request, lease))
        .otherwise(Read::ZScore {
            key: slots,
            member: request.into(),
        })
}

fn free_slot(subject: &Subject, request: &str) -> Txn {
    Txn::new().then(zrem(subject.key("slots"), request))
}

/// A window of the calendar: the key names it, and lives until its end.
fn calendar(subject: &Subject, day: &str, end: Timestamp, cost: i64, limit: i64) -> Txn {
    let key = subject.key(day);
    Txn::new()
        .when(Guard::at_most(&key, limit - cost))
        .then(Op::Increment {
            key: key.clone(),
            by: cost,
            ttl_if_created: Ttl::At(end),
        })
        .otherwise(Read::GetMark { key })
}

struct Budget<'a> {
    subject: &'a Subject,
    limit: i64,
}

/// The member says what it costs, so that whoever finds it lapsed can give it back.
fn member(id: &str, cost: i64) -> String {
    format!("{cost}:{id}")
}

/// A refusal tells whether this reservation is there already, what is used, and what has lapsed.
fn reserve_budget(
    budget: &Budget<'_>,
    id: &str,
    cost: i64,
    until: impl Into<RelativeScore>,
) -> Txn {
    let (used, costs) = (budget.subject.key("used"), budget.subject.key("costs"));
    let pending = budget.subject.key("pending");
    Txn::new()
        .when(Guard::field_absent(&costs, id))
        .when(Guard::at_most(&used, budget.limit - cost))
        .then(Op::Increment {
            key: used.clone(),
            by: cost,
            ttl_if_created: Ttl::Never,
        })
        .then(hset(costs.clone(), id, mark(cost.to_string())))
        .then(zadd(pending.clone(), &member(id, cost), until))
        .otherwise(Read::HGetMark {
            key: costs,
            field: id.into(),
        })
        .otherwise(Read::GetMark { key: used })
        .otherwise(Read::ZRange {
            key: pending,
            range: lapsed(),
            limit: 20,
        })
}

/// What it really cost; nothing if it is released.
fn settle(budget: &Budget<'_>, id: &str, cost: i64, actual: i64) -> Txn {
    let (used, costs) = (budget.subject.key("used"), budget.subject.key("costs"));
    Txn::new()
        .when(Guard::field_is(&costs, id, cost.to_string()))
        .then(hdel(costs, id))
        .then(zrem(budget.subject.key("pending"), &member(id, cost)))
        .then(Op::Increment {
            key: used,
            by: actual - cost,
            ttl_if_created: Ttl::Never,
        })
}

/// Whoever makes it lapse later names its cost, as who settles it does.
fn extend(budget: &Budget<'_>, id: &str, cost: i64, until: impl Into<RelativeScore>) -> Txn {
    let pending = budget.subject.key("pending");
    Txn::new()
        .when(Guard::field_is(
            budget.subject.key("costs"),
            id,
            cost.to_string(),
        ))
        .then(zadd(pending, &member(id, cost), until))
}

/// After a refusal that found it there: one that has lapsed has its time anew; else it tells when it lapses.
fn reserve_again(budget: &Budget<'_>, id: &str, cost: i64, until: impl Into<RelativeScore>) -> Txn {
    let (costs, pending) = (budget.subject.key("costs"), budget.subject.key("pending"));
    extend(budget, id, cost, until)
        .when(Guard::score_within(&pending, member(id, cost), lapsed()))
        .otherwise(Read::HGetMark {
            key: costs,
            field: id.into(),
        })
        .otherwise(Read::ZScore {
            key: pending,
            member: member(id, cost).into(),
        })
}

/// Gives a lapsed one back, unless it was settled or prolonged meanwhile.
fn expire(budget: &Budget<'_>, id: &str, cost: i64) -> Txn {
    let pending = budget.subject.key("pending");
    settle(budget, id, cost, 0).when(Guard::score_within(pending, member(id, cost), lapsed()))
}

pub(crate) fn rows() -> Vec<Row> {
    let subject = |name: &str| Subject::new(name);
    let gcra = Rule::gcra(10, HOUR, 5).unwrap();
    let fixed = Rule::fixed(10, HOUR).unwrap();
    let sliding = Rule::sliding_counter(10, HOUR).unwrap();
    let budget = &Budget {
        subject: &subject("h"),
        limit: 100,
    };
    let end = Timestamp::from_micros(4_000_000_000_000_000);
    vec![
        row("GCRA", debit(&subject("a"), gcra, 1)),
        row("fixed window", debit(&subject("b"), fixed, 1)),
        row("sliding counter", debit(&subject("c"), sliding, 1)),
        row("exact log", log(&subject("d"), "r", 10)),
        row(
            "concurrency: take",
            slot(&subject("e"), "r", 10, seconds(30)),
        ),
        row("concurrency: give back", free_slot(&subject("e"), "r")),
        row(
            "several limits",
            debit_all(&subject("f"), &[("g", gcra), ("s", sliding)]),
        ),
        row("peek", peek(&subject("a"), gcra)),
        row("token batch", debit(&subject("a"), gcra, 2)),
        row("refund", refund(&subject("a"), gcra, 2)),
        row("reserve", reserve(&subject("a"), gcra, HOUR)),
        row(
            "calendar window",
            calendar(&subject("g"), "2025-06-01", end, 1, 10),
        ),
        row(
            "budget: reserve",
            reserve_budget(budget, "r", 5, seconds(60)),
        ),
        row("budget: settle, release", settle(budget, "r", 5, 4)),
        row("budget: extend", extend(budget, "r", 5, seconds(60))),
        row(
            "budget: reserve again",
            reserve_again(budget, "r", 5, seconds(60)),
        ),
        row(
            "budget: expire, reserve",
            [
                expire(budget, "r", 5),
                reserve_budget(budget, "s", 5, seconds(60)),
            ],
        ),
    ]
}
