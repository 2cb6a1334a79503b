//! Every command once, and an answer to each.

use crate::atomic_samples;
use kv_core::{
    COMMANDS, Command, Expiry, Key, Lifetime, Mark, Prefix, Prefixes, RangeOptions, Reply,
    ScanFrom, ScanPage, Score, ScoreRange, ScoredMember, Scores, SetOptions, SetReply, TimeToLive,
    Timestamp, Ttl, When,
};
use std::time::Duration;

/// A key as callers write it, one with a tag, and one that looks as if it had the prefix already.
pub(crate) const KEYS: [&str; 3] = ["plain", "{mail}:due", "nala:t1:cache:plain"];

fn key() -> Key {
    KEYS[0].try_into().unwrap()
}

fn keys() -> Vec<Key> {
    KEYS.map(|key| key.try_into().unwrap()).to_vec()
}

fn lifetime() -> Lifetime {
    Lifetime::new(Duration::from_secs(9)).unwrap()
}

fn score(number: i32) -> Score {
    number.into()
}

/// One sample for each command, some with several kinds of arguments.
///
/// # Panics
/// If a command of the table has no sample: write one.
pub(crate) fn commands() -> Vec<Command> {
    let prefixes: Prefixes = ["", "pl", "{ma"].map(Prefix::from).into_iter().collect();
    let compared = SetOptions::from(When::IfValue(Mark::from("mark"))).ttl(lifetime());
    let mut samples = vec![
        Command::Get { key: key() },
        Command::GetMany { keys: keys() },
        Command::Set {
            key: key(),
            value: "value".into(),
            options: SetOptions::default(),
        },
        Command::Set {
            key: key(),
            value: "value".into(),
            options: compared,
        },
        Command::SetMany {
            items: keys()
                .into_iter()
                .zip(["a", "b", "c"].map(Into::into))
                .collect(),
            options: SetOptions::default(),
        },
        Command::Delete { keys: keys() },
        Command::Exists { keys: keys() },
        Command::Increment {
            key: key(),
            by: -3,
            ttl_if_created: Ttl::Unset,
        },
        Command::Expire {
            key: key(),
            expiry: Expiry::In(lifetime()),
        },
        Command::Persist { key: key() },
        Command::TimeToLive { key: key() },
        Command::Scan {
            prefixes: prefixes.clone(),
            from: ScanFrom::Start,
            limit: 7,
        },
        Command::Scan {
            prefixes: Prefix::ALL.into(),
            from: ScanFrom::After(key()),
            limit: 7,
        },
        Command::Clear { prefixes },
        Command::HSet {
            key: key(),
            fields: vec![("f".into(), "v".into()), ("g".into(), "w".into())],
        },
        Command::HGet {
            key: key(),
            field: "f".into(),
        },
        Command::HGetMany {
            key: key(),
            fields: vec!["f".into(), "g".into()],
        },
        Command::HGetAll { key: key() },
        Command::HIncrement {
            key: key(),
            field: "f".into(),
            by: 4,
        },
        Command::HDel {
            key: key(),
            fields: vec!["f".into()],
        },
        Command::HLen { key: key() },
        Command::ZAdd {
            key: key(),
            members: vec![("m".into(), score(1)), ("n".into(), score(2))],
        },
        Command::ZRem {
            key: key(),
            members: vec!["m".into()],
        },
        Command::ZScore {
            key: key(),
            member: "m".into(),
        },
        Command::ZCount {
            key: key(),
            range: ScoreRange::up_to(score(5)),
        },
        Command::ZRange {
            key: key(),
            start: 0,
            stop: -1,
            scores: Scores::Include,
        },
        Command::ZRangeByScore {
            key: key(),
            range: ScoreRange::up_to(score(5)),
            options: RangeOptions::default().offset(1).limit(2),
        },
        Command::ZPopByScore {
            key: key(),
            max: score(5),
            limit: 3,
            scores: Scores::Include,
        },
        Command::Now {},
    ];
    samples.extend(atomic_samples::commands());
    for spec in COMMANDS {
        let sampled = samples.iter().any(|it| it.spec().name == spec.name);
        assert!(sampled, "`{}` has no sample; write one", spec.name);
    }
    samples
}

/// The answer of a store that holds one of everything. A scan finds one key in each range.
pub(crate) fn reply(command: &Command) -> Reply {
    let scored = || vec![ScoredMember::new("m", Some(score(1)))];
    match command {
        Command::Get { .. } => Reply::Get(Some("value".into())),
        Command::GetMany { keys } => {
            Reply::GetMany(keys.iter().map(|_| Some("value".into())).collect())
        }
        Command::Set { .. } => Reply::Set(SetReply::refused(Some("other".into()))),
        Command::SetMany { items, .. } => Reply::SetMany(items.iter().map(|_| Ok(true)).collect()),
        Command::Delete { .. } => Reply::Delete(2),
        Command::Exists { .. } => Reply::Exists(2),
        Command::Increment { .. } => Reply::Increment(7),
        Command::Expire { .. } => Reply::Expire(true),
        Command::Persist { .. } => Reply::Persist(true),
        Command::TimeToLive { .. } => Reply::TimeToLive(TimeToLive::NoExpiry),
        Command::Scan { prefixes, .. } => {
            let ranges = prefixes.as_slice().iter();
            let found = ranges.map(|range| [range.as_bytes(), b"x}found"].concat());
            let keys = found.map(|key| Key::try_from(key).unwrap()).collect();
            Reply::Scan(ScanPage::new(keys, None))
        }
        Command::Clear { .. } => Reply::Clear(2),
        Command::HSet { .. } => Reply::HSet(1),
        Command::HGet { .. } => Reply::HGet(Some("v".into())),
        Command::HGetMany { fields, .. } => Reply::HGetMany(vec![None; fields.len()]),
        Command::HGetAll { .. } => Reply::HGetAll(vec![("f".into(), "v".into())]),
        Command::HIncrement { .. } => Reply::HIncrement(7),
        Command::HDel { .. } => Reply::HDel(1),
        Command::HLen { .. } => Reply::HLen(1),
        Command::ZAdd { .. } => Reply::ZAdd(1),
        Command::ZRem { .. } => Reply::ZRem(1),
        Command::ZScore { .. } => Reply::ZScore(Some(score(1))),
        Command::ZCount { .. } => Reply::ZCount(1),
        Command::ZRange { .. } => Reply::ZRange(scored()),
        Command::ZRangeByScore { .. } => Reply::ZRangeByScore(scored()),
        Command::ZPopByScore { .. } => Reply::ZPopByScore(scored()),
        Command::Now {} => Reply::Now(Timestamp::from_micros(1)),
        other => atomic_samples::reply(other)
            .unwrap_or_else(|| panic!("`{}` has no reply; write one", other.spec().name)),
    }
}
