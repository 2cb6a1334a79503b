//! Replies in the form in which they are compared.

mod atomic;

use super::tokens::Told;
use kv_core::{
    Command, Error, ErrorKind, Key, Outcome, Reply, Result, Score, ScoredMember, TimeToLive,
    Timestamp, Ttl,
};
use std::{collections::BTreeSet, fmt::Write, time::Duration};

/// What a store answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// All of it but what is compared with a tolerance.
    text: String,
    lifetime: Option<Duration>,
    /// Whether the reply shows that the command changed something.
    pub(super) changed: bool,
    /// Whether the reply tells more than that nothing is there.
    pub(super) telling: bool,
    /// The error, if it is one.
    pub(super) failed: Option<ErrorKind>,
    /// What it says of tokens, to be judged and taken out.
    pub(super) tokens: Vec<Told>,
    spoilt: bool,
}

impl Answer {
    pub(super) fn new(command: &Command, outcome: Result<Reply>, now: Timestamp) -> Self {
        match outcome {
            Ok(reply) => Self::of_reply(command, reply, now),
            Err(error) => Self::of_error(&error),
        }
    }

    pub(super) fn of_scan(keys: Result<BTreeSet<Key>>) -> Self {
        match keys {
            Ok(keys) => {
                let text = list(keys.iter().map(|key| escape(key.as_bytes())));
                Self::read(text, !keys.is_empty())
            }
            Err(error) => Self::of_error(&error),
        }
    }

    /// Whether it is the same, but for this much of a remaining lifetime.
    pub(super) fn agrees(&self, other: &Self, tolerance: Duration) -> bool {
        let close = match (self.lifetime, other.lifetime) {
            (Some(one), Some(another)) => one.abs_diff(another) <= tolerance,
            (one, another) => one == another,
        };
        close && self.text == other.text && !other.spoilt
    }

    /// Notes down that it contradicts what the same store said before.
    pub(super) fn spoil(&mut self, why: String) {
        self.text = why;
        self.spoilt = true;
    }

    /// Whether it contradicts what the same store said before.
    pub(super) fn spoilt(&self) -> bool {
        self.spoilt
    }

    /// For a report.
    pub(super) fn text(&self) -> String {
        match self.lifetime {
            Some(span) => format!("{} {span:?}", self.text),
            None => self.text.clone(),
        }
    }

    fn of_error(error: &Error) -> Self {
        Self {
            failed: Some(error.kind()),
            ..Self::read(failure(error), false)
        }
    }

    fn read(text: String, telling: bool) -> Self {
        Self {
            text,
            lifetime: None,
            changed: false,
            telling,
            failed: None,
            tokens: Vec::new(),
            spoilt: false,
        }
    }

    fn wrote(text: String, changed: bool) -> Self {
        Self {
            changed,
            ..Self::read(text, changed)
        }
    }

    fn of_reply(command: &Command, reply: Reply, now: Timestamp) -> Self {
        match reply {
            Reply::Get(value) | Reply::HGet(value) => {
                Self::read(maybe(value.as_ref()), value.is_some())
            }
            Reply::GetMany(values) | Reply::HGetMany(values) => {
                let telling = values.iter().any(Option::is_some);
                Self::read(list(values.iter().map(|it| maybe(it.as_ref()))), telling)
            }
            Reply::Set(reply) => {
                let current = maybe(reply.current.as_ref());
                let text = format!("applied {}, current {current}", reply.applied);
                let telling = reply.applied || reply.current.is_some();
                Self {
                    telling,
                    ..Self::wrote(text, reply.applied && leaves_a_key(command))
                }
            }
            Reply::SetMany(items) => {
                let applied = items.iter().any(|item| matches!(item, Ok(true)));
                let text = list(items.iter().map(|item| match item {
                    Ok(applied) => applied.to_string(),
                    Err(error) => failure(error),
                }));
                Self::wrote(text, applied && leaves_a_key(command))
            }
            Reply::Delete(count)
            | Reply::Clear(count)
            | Reply::HSet(count)
            | Reply::HDel(count)
            | Reply::ZAdd(count)
            | Reply::ZRem(count) => Self::wrote(count.to_string(), count > 0),
            Reply::Exists(count) | Reply::HLen(count) | Reply::ZCount(count) => {
                Self::read(count.to_string(), count > 0)
            }
            Reply::Increment(sum) | Reply::HIncrement(sum) => {
                Self::wrote(sum.to_string(), leaves_a_key(command))
            }
            Reply::Expire(done) | Reply::Persist(done) => Self::wrote(done.to_string(), done),
            Reply::TimeToLive(TimeToLive::In(span)) => Self {
                lifetime: Some(span),
                ..Self::read("ends in".to_owned(), true)
            },
            Reply::TimeToLive(other) => {
                Self::read(format!("{other:?}"), other != TimeToLive::Missing)
            }
            Reply::HGetAll(fields) => {
                let mut pairs: Vec<_> = fields
                    .iter()
                    .map(|(field, value)| [escape(field.as_bytes()), escape(value.as_bytes())])
                    .map(|pair| pair.join(" = "))
                    .collect();
                pairs.sort_unstable();
                Self::read(list(pairs.iter().cloned()), !pairs.is_empty())
            }
            Reply::ZScore(score) => Self::read(rank(score, now), score.is_some()),
            Reply::ZRange(members) | Reply::ZRangeByScore(members) => {
                Self::read(ranked(&members, now), !members.is_empty())
            }
            Reply::ZPopByScore(members) => Self::wrote(ranked(&members, now), !members.is_empty()),
            // Each store has its own time; that it is not far off shows in the deadlines.
            Reply::Now(time) => Self::read("a time".to_owned(), time > Timestamp::from_micros(0)),
            Reply::Commit(answers) => atomic::commit(command, answers, now),
            Reply::ZMove(moved) => atomic::moved(moved, now),
            Reply::Throttle(decision) => atomic::decided(command, &decision),
            Reply::Scan(page) => {
                let keys = page.keys.iter().map(|key| escape(key.as_bytes()));
                Self::read(list(keys), !page.keys.is_empty())
            }
            other => Self::read(format!("{other:?}"), true),
        }
    }
}

/// Whether a write that succeeded certainly changed something: one with a deadline in the past may
/// have found nothing to replace, and adding 0 to a counter changes none that is there.
fn leaves_a_key(command: &Command) -> bool {
    match command {
        Command::Set { options, .. } | Command::SetMany { options, .. } => {
            !matches!(options.ttl, Ttl::At(_))
        }
        Command::Increment {
            by, ttl_if_created, ..
        } => *by != 0 && !matches!(ttl_if_created, Ttl::At(_)),
        Command::HIncrement { by, .. } => *by != 0,
        _ => true,
    }
}

fn ranked(members: &[ScoredMember], now: Timestamp) -> String {
    list(members.iter().map(|it| {
        let member = escape(it.member.as_bytes());
        match it.score {
            Some(_) => format!("{member} @ {}", rank(it.score, now)),
            None => member,
        }
    }))
}

/// A score; one that a clock told in hours, since every store has its own clock.
fn rank(score: Option<Score>, now: Timestamp) -> String {
    const HOUR: f64 = 3_600_000_000.0;
    const FAR: f64 = 100.0;
    let Some(score) = score else {
        return "none".to_owned();
    };
    let hours = (score.get() - now.as_micros() as f64) / HOUR;
    match hours.abs() < FAR {
        true => format!("{:+.0} h", hours.round()),
        false => format!("{score:?}"),
    }
}

fn failure(error: &Error) -> String {
    let known = match error.outcome() {
        Outcome::NotApplied => "not applied",
        Outcome::Unknown => "unknown outcome",
        Outcome::Final => "final",
    };
    format!("{:?} ({known})", error.kind())
}

fn maybe(bytes: Option<&impl AsRef<[u8]>>) -> String {
    match bytes {
        Some(bytes) => escape(bytes.as_ref()),
        None => "nothing".to_owned(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let mut text = String::from("[");
    for (position, item) in items.enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{item}");
    }
    text.push(']');
    text
}

/// The bytes of a trace are made up here, so they may be shown.
pub(super) fn escape(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
