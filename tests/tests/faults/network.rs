//! Case 152: a broken network bounds every call by its deadline, and the handle recovers.

use crate::site::{Backend, RESPONSE, Site, bounded, expect_outage, on_each_server, recovers};
use kv_conformance::proxy::Mode;
use kv_core::{
    COMMANDS, Command, DeadlineClock, Expiry, Field, Guard, Key, KeyGroup, Kv, Lifetime, Member,
    Op, Prefixes, RangeOptions, RelativeScore, Reply, Result, Rule, ScanFrom, Score, ScoreRange,
    Scores, SetOptions, Throttle, Ttl, Txn, Value, ZMove,
};
use kv_tests::patience::until;
use std::{collections::BTreeSet, time::Duration};
use tokio::task::JoinSet;

on_each_server! {
    case_152_every_command_ends_by_its_deadline_when_the_network_fails
    case_152_a_slow_network_costs_time_only
    case_152_a_server_that_refuses_connections_does_not_disturb_the_one_there_is
}

/// One of each command, valid and on a key of its own.
fn one_of_each() -> Vec<Command> {
    let key = |name: &str| Key::new(format!("each:{name}")).unwrap();
    let (text, hash, zset) = (key("text"), key("hash"), key("zset"));
    let (value, field, member) = (Value::from("v"), Field::from("f"), Member::from("m"));
    let hour = Lifetime::new(Duration::from_secs(3600)).unwrap();
    let score = Score::from(1);
    let range = ScoreRange::ALL;
    let (limit, scores) = (10, Scores::Include);
    let options = SetOptions::from(Ttl::In(hour));
    let prefixes = Prefixes::from("each:none");
    let keys = || vec![text.clone(), hash.clone()];
    let members = vec![(member.clone(), score)];
    let group = KeyGroup::new("each").unwrap();
    let rule = Rule::gcra(1_000_000, Duration::from_secs(1), 1_000_000).unwrap();
    vec![
        Command::Get { key: text.clone() },
        Command::GetMany { keys: keys() },
        Command::Set {
            key: text.clone(),
            value: value.clone(),
            options: options.clone(),
        },
        Command::SetMany {
            items: vec![(text.clone(), value.clone())],
            options,
        },
        Command::Delete { keys: keys() },
        Command::Exists { keys: keys() },
        Command::Increment {
            key: key("count"),
            by: 1,
            ttl_if_created: Ttl::In(hour),
        },
        Command::Expire {
            key: text.clone(),
            expiry: Expiry::In(hour),
        },
        Command::Persist { key: text.clone() },
        Command::TimeToLive { key: text },
        Command::Scan {
            prefixes: prefixes.clone(),
            from: ScanFrom::Start,
            limit,
        },
        Command::Clear { prefixes },
        Command::HSet {
            key: hash.clone(),
            fields: vec![(field.clone(), value)],
        },
        Command::HGet {
            key: hash.clone(),
            field: field.clone(),
        },
        Command::HGetMany {
            key: hash.clone(),
            fields: vec![field.clone()],
        },
        Command::HGetAll { key: hash.clone() },
        Command::HIncrement {
            key: hash.clone(),
            field: "n".into(),
            by: 1,
        },
        Command::HDel {
            key: hash.clone(),
            fields: vec![field],
        },
        Command::HLen { key: hash },
        Command::ZAdd {
            key: zset.clone(),
            members,
        },
        Command::ZRem {
            key: zset.clone(),
            members: vec![member.clone()],
        },
        Command::ZScore {
            key: zset.clone(),
            member,
        },
        Command::ZCount {
            key: zset.clone(),
            range,
        },
        Command::ZRange {
            key: zset.clone(),
            start: 0,
            stop: -1,
            scores,
        },
        Command::ZRangeByScore {
            key: zset.clone(),
            range,
            options: RangeOptions::default(),
        },
        Command::ZPopByScore {
            key: zset,
            max: score,
            limit,
            scores,
        },
        Command::Now {},
        Command::Commit {
            txns: vec![commit(&group)],
        },
        Command::ZMove {
            step: Box::new(ZMove::new(limit).from(group.key(":due"), RelativeScore::NOW)),
        },
        Command::Throttle {
            request: Throttle::new().limit(group.key(":limit"), rule),
        },
        Command::Notify {
            channel: key("channel"),
            payload: "news".into(),
        },
    ]
}

fn commit(group: &KeyGroup) -> Txn {
    Txn::new()
        .when(Guard::absent(group.key(":gone")))
        .then(Op::Increment {
            key: group.key(":count"),
            by: 1,
            ttl_if_created: Ttl::Never,
        })
}

/// Calls one of each command that asks the server, at the same time; each must end within its deadline.
async fn call_all(kv: &Kv) -> Vec<(&'static str, Result<Reply>)> {
    let mut commands = one_of_each();
    if let DeadlineClock::Client { .. } = kv.capabilities().deadline_clock {
        commands.retain(|it| !matches!(it, Command::Now {}));
    }
    let calls = commands.into_iter().map(|command| {
        let kv = kv.clone();
        async move {
            let name = command.spec().name;
            (name, bounded(name, kv.call(command)).await)
        }
    });
    calls.collect::<JoinSet<_>>().join_all().await
}

/// An item of a batch carries its own error.
fn outcome(reply: Reply) -> Result<()> {
    match reply {
        Reply::SetMany(items) => items.into_iter().collect::<Result<Vec<_>>>().map(drop),
        Reply::Commit(items) => items.into_iter().collect::<Result<Vec<_>>>().map(drop),
        _ => Ok(()),
    }
}

async fn works(kv: &Kv) {
    recovers(kv).await;
    for (name, result) in call_all(kv).await {
        let reply = result.unwrap_or_else(|error| panic!("{name} after the fault: {error:?}"));
        outcome(reply).unwrap_or_else(|error| panic!("{name} after the fault: {error:?}"));
    }
}

/// The store tries to come back: by itself, or when it is called next.
async fn refused<S: Backend>(site: &Site<S>, kv: &Kv) {
    until("an attempt is refused", async || {
        let refused = site.proxy.counts().refused > 0;
        if !refused {
            expect_outage("a call", bounded("a call", kv.get("refused")).await);
        }
        refused
    })
    .await;
}

#[test]
fn no_command_is_left_out() {
    let mine: BTreeSet<_> = one_of_each().iter().map(|it| it.spec().name).collect();
    let all: BTreeSet<_> = COMMANDS.iter().map(|spec| spec.name).collect();
    assert_eq!(mine, all);
}

async fn case_152_every_command_ends_by_its_deadline_when_the_network_fails<S: Backend>() {
    let site = Site::<S>::start().await;
    let kv = site.through().await;
    works(&kv).await;
    for mode in [
        Mode::BlackHole,
        Mode::HalfOpen,
        Mode::Delay(RESPONSE * 4),
        Mode::Reset,
    ] {
        site.proxy.set(mode);
        for (name, result) in call_all(&kv).await {
            expect_outage(name, result.and_then(outcome));
        }
        if matches!(mode, Mode::Reset) {
            // The calls may all have ended with the old connection.
            refused(&site, &kv).await;
        }
        site.proxy.set(Mode::Pass);
        works(&kv).await;
    }
    let counts = site.proxy.counts();
    println!("case 152: {counts}");
    assert!(
        counts.lost_requests > 0 && counts.lost_replies > 0,
        "{counts}"
    );
    assert!(
        counts.delayed > 0 && counts.reset > 0 && counts.refused > 0,
        "{counts}"
    );
}

async fn case_152_a_slow_network_costs_time_only<S: Backend>() {
    let site = Site::<S>::start().await;
    let kv = site.through().await;
    site.proxy.set(Mode::Delay(RESPONSE / 50));
    works(&kv).await;
    let counts = site.proxy.counts();
    println!("case 152: {counts}");
    assert!(counts.delayed > 0, "{counts}");
}

async fn case_152_a_server_that_refuses_connections_does_not_disturb_the_one_there_is<
    S: Backend,
>() {
    let site = Site::<S>::start().await;
    let kv = site.through().await;
    site.proxy.set(Mode::Refuse);
    works(&kv).await;
    site.proxy.reset_all();
    let mut failed = 0;
    for (name, result) in call_all(&kv).await {
        expect_outage(name, result.and_then(outcome));
        failed += 1;
    }
    // The calls may all have ended with the reset.
    refused(&site, &kv).await;
    site.proxy.set(Mode::Pass);
    works(&kv).await;
    let counts = site.proxy.counts();
    println!("case 152: {failed} calls failed; {counts}");
    assert!(counts.refused > 0 && counts.reset > 0, "{counts}");
}
