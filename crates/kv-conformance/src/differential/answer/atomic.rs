//! What atomic steps answered.

use super::{Answer, escape, failure, list, maybe, rank, ranked};
use crate::differential::tokens::Told;
use kv_core::{
    Command, Error, Key, Op, OpReply, Read, Result, Throttled, TimeToLive, Timestamp, Txn,
    TxnReply, ZMoved,
};

pub(super) fn commit(command: &Command, answers: Vec<Result<TxnReply>>, now: Timestamp) -> Answer {
    let Command::Commit { txns } = command else {
        return Answer::read(format!("{answers:?}"), true);
    };
    let failed = answers
        .iter()
        .find_map(|it| it.as_ref().err())
        .map(Error::kind);
    let mut tokens = Vec::new();
    let mut changed = false;
    let texts = answers.iter().enumerate().map(|(at, answer)| match answer {
        Ok(reply) => {
            if let Some(txn) = txns.get(at) {
                changed |= reply.applied && changes(txn, &reply.answers);
                tokens.extend(told(txn, reply));
            }
            of_txn(reply, now)
        }
        // Which step is to blame is part of the contract.
        Err(error) => format!("{} at {}", failure(error), error.key().unwrap_or("no key")),
    });
    let text = list(texts.collect::<Vec<_>>().into_iter());
    Answer {
        changed,
        tokens,
        failed,
        ..Answer::read(text, !answers.is_empty())
    }
}

pub(super) fn moved(moved: ZMoved, now: Timestamp) -> Answer {
    let members = moved.members.iter().map(|it| {
        let bodies = it.bodies.iter().map(|body| match body {
            Ok(body) => maybe(body.as_ref()),
            Err(error) => error.kind().name().to_owned(),
        });
        format!(
            "{} from {} @ {} to {}, bodies {}, tally {:?}",
            escape(it.member.as_bytes()),
            it.source,
            rank(Some(it.before), now),
            rank(it.after, now),
            list(bodies),
            it.tally,
        )
    });
    let text = format!(
        "applied {}, {}, next {}, more {}, {}",
        moved.applied,
        list(members),
        rank(moved.next, now),
        moved.more,
        instant(Some(moved.now)),
    );
    let changed = !moved.members.is_empty();
    Answer {
        telling: changed || moved.next.is_some() || !moved.applied,
        ..Answer::wrote(text, changed)
    }
}

/// Times are left out, but for whether there are any.
pub(super) fn decided(command: &Command, decision: &Throttled) -> Answer {
    let limits = decision.limits.iter().map(|it| {
        format!(
            "allowed {}, remaining {}, wait {}, used {}",
            it.allowed,
            it.remaining,
            !it.retry_after.is_zero(),
            !it.reset_after.is_zero(),
        )
    });
    let text = format!("allowed {}, {}", decision.allowed, list(limits));
    let debits = match command {
        Command::Throttle { request } => request.mode == kv_core::ThrottleMode::Debit,
        _ => false,
    };
    Answer {
        changed: debits && decision.allowed,
        ..Answer::read(text, true)
    }
}

fn of_txn(reply: &TxnReply, now: Timestamp) -> String {
    let answers = reply.answers.iter().map(|answer| match answer {
        OpReply::Value(value) => maybe(value.as_ref()),
        OpReply::Mark(mark) => format!("mark {}", maybe(mark.as_ref())),
        OpReply::Score(score) => rank(*score, now),
        OpReply::Members(members) => ranked(members, now),
        OpReply::Token(token) => format!("a token {}", *token > 0),
        OpReply::Time(time) => instant(Some(*time)),
        OpReply::Ttl(TimeToLive::In(span)) => {
            // All lifetimes of a trace are whole hours, and it is shorter than a quarter of one; what is
            // held may end late.
            let hours = span.as_secs_f64() / 3600.0;
            format!("about {:.0} h", (hours - 0.75).ceil())
        }
        other => format!("{other:?}"),
    });
    format!(
        "applied {}, {}, {}",
        reply.applied,
        list(answers),
        instant(reply.now)
    )
}

fn instant(time: Option<Timestamp>) -> String {
    match time {
        Some(time) => format!("a time {}", time > Timestamp::from_micros(0)),
        None => "no time".to_owned(),
    }
}

/// Whether the answers show that a step changed something.
fn changes(txn: &Txn, answers: &[OpReply]) -> bool {
    txn.then
        .iter()
        .zip(answers)
        .any(|(op, answer)| match (op, answer) {
            (Op::Read(_) | Op::Notify(_), _) => false,
            (Op::Set { ttl, .. }, _) => !matches!(ttl, kv_core::Ttl::At(_)),
            (_, OpReply::Flag(done)) => *done,
            (_, OpReply::Count(count)) => *count > 0,
            _ => false,
        })
}

fn told(txn: &Txn, reply: &TxnReply) -> Vec<Told> {
    let next = |op: &Op, token| match op {
        Op::NextToken { key, .. } => Some(Told::Next(key.clone(), token)),
        Op::Read(read) => last(read, token),
        _ => None,
    };
    let tokens = reply.answers.iter().enumerate();
    let tokens = tokens.filter_map(|(step, answer)| match answer {
        OpReply::Token(token) => Some((step, *token)),
        _ => None,
    });
    tokens
        .filter_map(|(step, token)| match reply.applied {
            true => next(txn.then.get(step)?, token),
            false => last(txn.otherwise.get(step)?, token),
        })
        .collect()
}

fn last(read: &Read, token: u64) -> Option<Told> {
    let key: Option<&Key> = match read {
        Read::LastToken { key } => Some(key),
        _ => None,
    };
    key.map(|key| Told::Last(key.clone(), token))
}
