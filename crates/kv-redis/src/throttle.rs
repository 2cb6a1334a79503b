//! Rate limits: one call of a script for all limits of a request.

use crate::{
    decode,
    encode::{self, By},
    error::{Answer, Failure},
    link::Link,
    scripts::{Lua, THROTTLE, THROTTLE_GCRA},
};
use kv_core::{
    Error, ErrorKind, Gcra, Key, Limit, LimitState, Outcome, Result, Rule, Throttle, ThrottleMode,
    Throttled, Timestamp,
};
use redis::{Cmd, RedisWrite, Value};

pub(crate) async fn throttle(link: &Link, request: Throttle) -> Result<Throttled> {
    if let Some((limit, rule)) = usual(&request) {
        let about = |failure: Failure| failure.about(&limit.key);
        let encode = |by| Ok(encode_gcra(&request, (&limit.key, rule), by));
        let answer = link.script(encode).await.and_then(decode::string);
        if let Some(found) = answer.map_err(about)? {
            return decode_gcra(&request, limit, found.as_bytes());
        }
        // Another rule's state, or none at all; nothing was written.
    }
    match Box::pin(any(link, &request)).await {
        Ok(numbers) => decode(&request, &numbers),
        Err(failure) => Err(match &request.limits[..] {
            [one] => failure.about(&one.key),
            _ => failure.into(),
        }),
    }
}

/// The limit of a request that the shorter script can decide about.
fn usual(request: &Throttle) -> Option<(&Limit, &Gcra)> {
    match (&request.limits[..], request.mode) {
        ([limit], ThrottleMode::Debit | ThrottleMode::Reserve { .. }) => match &limit.rule {
            Rule::Gcra(rule) => Some((limit, rule)),
            _ => None,
        },
        _ => None,
    }
}

/// Any request.
async fn any(link: &Link, request: &Throttle) -> Answer<Vec<i64>> {
    numbers(link.script(|by| encode(request, by)).await?)
}

fn encode_gcra(request: &Throttle, (key, rule): (&Key, &Gcra), by: By) -> Cmd {
    let mut command = begin(&THROTTLE_GCRA, by, 8, key.as_bytes().len() + 64);
    command.write_arg(b"1");
    command.write_arg(key.as_bytes());
    let numbers = [rule.count(), rule.period(), rule.burst() * rule.period()];
    numbers.iter().for_each(|it| command.write_arg_fmt(it));
    // Each argument costs the server time; most calls need neither.
    let wait = request.mode.max_wait();
    if request.cost > 1 || wait > 0 {
        command.write_arg_fmt(request.cost * rule.period());
    }
    if wait > 0 {
        command.write_arg_fmt(wait);
    }
    command
}

/// What follows from the state that the script found: it decides by the same arithmetic.
fn decode_gcra(request: &Throttle, limit: &Limit, found: &[u8]) -> Result<Throttled> {
    let answer = || {
        let mut parts = found.splitn(3, |byte| *byte == b' ');
        let mut number = || str::from_utf8(parts.next()?).ok()?.parse().ok();
        let (seconds, micros): (i64, i64) = (number()?, number()?);
        let state = parts.next()?;
        let now = seconds.checked_mul(1_000_000)?.checked_add(micros)?;
        Some((Timestamp::from_micros(now), state))
    };
    let (now, state) = answer().ok_or_else(Failure::unexpected_reply)?;
    let state = Some(state).filter(|it| !it.is_empty());
    let (answer, _) = request.decide_alone(limit, now, state)?;
    Ok(Throttled::new(now, answer.allowed, vec![answer]))
}

/// A call of a script, up to its number of keys.
fn begin(script: &Lua, by: By, args: usize, bytes: usize) -> Cmd {
    let (name, script) = match by {
        By::Hash => ("EVALSHA", script.hash()),
        By::Text => ("EVAL", script.code),
    };
    let mut command = encode::command(name, args, script.len() + bytes);
    command.write_arg(script.as_bytes());
    command
}

fn encode(request: &Throttle, by: By) -> Answer<Cmd> {
    /// The room for a rule and its numbers; longer ones make the buffer grow.
    const RULE: usize = 32;
    let mode = match request.mode {
        ThrottleMode::Debit | ThrottleMode::Reserve { .. } => "d",
        ThrottleMode::Peek => "p",
        ThrottleMode::Refund => "r",
        _ => return Err(Failure::unsupported("this mode")),
    };
    let limits = &request.limits;
    let bytes = limits.iter().map(|it| it.key.as_bytes().len() + RULE);
    let args = 5 + limits.len() * 5;
    let mut command = begin(&THROTTLE, by, args, 32 + bytes.sum::<usize>());
    command.write_arg_fmt(limits.len());
    for limit in limits {
        command.write_arg(limit.key.as_bytes());
    }
    command.write_arg_fmt(request.cost);
    command.write_arg_fmt(request.mode.max_wait());
    command.write_arg(mode.as_bytes());
    for limit in limits {
        let (name, numbers) = match limit.rule {
            Rule::Gcra(it) => ("g", [it.count(), it.period(), it.burst()]),
            Rule::Fixed(it) => ("f", [it.count(), it.length(), 0]),
            Rule::SlidingCounter(it) => ("s", [it.count(), it.length(), 0]),
            _ => return Err(Failure::unsupported("this rule")),
        };
        command.write_arg(name.as_bytes());
        numbers.iter().for_each(|it| command.write_arg_fmt(it));
    }
    Ok(command)
}

fn numbers(reply: Value) -> Answer<Vec<i64>> {
    let numbers = decode::list(reply)?.into_iter().map(decode::integer);
    numbers.collect()
}

fn decode(request: &Throttle, numbers: &[i64]) -> Result<Throttled> {
    let limits = &request.limits;
    let [now, states @ ..] = numbers else {
        return Err(Failure::unexpected_reply().into());
    };
    if let (-2..=-1, [at]) = (*now, states) {
        let refused = usize::try_from(*at - 1).ok().and_then(|at| limits.get(at));
        let refused = refused.ok_or_else(Failure::unexpected_reply)?;
        return Err(refusal(*now).about(&refused.key));
    }
    if states.len() != limits.len() * 4 {
        return Err(Failure::unexpected_reply().into());
    }
    let states = states.chunks_exact(4).map(|state| {
        let micros = |number: i64| u64::try_from(number).map_err(|_| Failure::unexpected_reply());
        let [remaining, retry, reset] = [micros(state[1])?, micros(state[2])?, micros(state[3])?];
        Ok(LimitState::new(state[0] == 1, remaining, retry, reset))
    });
    let states = states.collect::<Result<Vec<_>, Error>>()?;
    let allowed = states.iter().all(|it| it.allowed);
    Ok(Throttled::new(
        Timestamp::from_micros(*now),
        allowed,
        states,
    ))
}

/// Why the script refused a key; nothing was written.
fn refusal(why: i64) -> Failure {
    let (kind, message) = match why {
        -1 => (ErrorKind::WrongType, "the key holds another type"),
        _ => (
            ErrorKind::Codec,
            "what is stored is no state of a limit; nothing else may write this key; delete it to reset the limit",
        ),
    };
    Failure::new(kind, Outcome::Final, message)
}
