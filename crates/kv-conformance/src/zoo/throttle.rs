//! Stores that let too much or too little pass.

use super::{
    hand::{Hand, gap},
    saboteurs,
};
use kv_core::{
    Command, Error, ErrorKind, Key, Reply, Result, Rule, Throttle, ThrottleMode, Throttled,
};
use std::time::Duration;

saboteurs! {
    "a limit that was paused gives a second burst" [300] second_burst;
    "a denied call counts" [301] denials_count;
    "a cost above the burst is cut to it" [302] cost_is_cut;
    "limits are debited one after the other" [303, 311] one_by_one;
    "a peek takes its cost" [304] peek_takes;
    "a refund is forgotten" [305] no_refund;
    "a refund gives twice" [305] double_refund;
    "a reservation is a debit" [306] no_reservation;
    "a fixed window leaks" [307] fixed_window_leaks;
    "a sliding counter is a fixed window" [308] sliding_is_fixed;
    "a limit is looked at, then debited" [309] look_then_debit;
    "a limit's key never ends" [310] never_ends;
    "a structure is an unused limit" [312] structure_is_unused;
    "what is no state is an unused limit" [313] corrupt_is_unused;
    "all limits are one" [314] all_are_one;
}

/// The request; other commands go on to the store.
macro_rules! request {
    ($on:ident, $command:ident) => {
        match $command {
            Command::Throttle { request } => request,
            other => return $on.ask(other).await,
        }
    };
}

async fn ask(on: &Hand<'_>, request: Throttle) -> Result<Throttled> {
    match on.ask(Command::Throttle { request }).await? {
        Reply::Throttle(answer) => Ok(answer),
        other => Err(Error::new(
            ErrorKind::Unexpected,
            format!("another command's reply: {other:?}"),
        )),
    }
}

async fn second_burst(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let answer = ask(&on, request.clone()).await?;
    if answer.allowed || request.mode != ThrottleMode::Debit {
        return Ok(Reply::Throttle(answer));
    }
    for limit in &request.limits {
        on.delete(&limit.key).await?;
    }
    ask(&on, request).await.map(Reply::Throttle)
}

async fn denials_count(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let answer = ask(&on, request.clone()).await?;
    if !answer.allowed && request.mode == ThrottleMode::Debit {
        take_anyway(&on, request).await?;
    }
    Ok(Reply::Throttle(answer))
}

/// Takes the cost though it is too much.
async fn take_anyway(on: &Hand<'_>, request: Throttle) -> Result<Throttled> {
    let max_wait = Duration::from_secs(3600 * 1000);
    ask(on, request.mode(ThrottleMode::Reserve { max_wait })).await
}

async fn cost_is_cut(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let most = request.limits.iter().map(|it| it.rule.max_cost()).min();
    let cost = request.cost.clamp(1, most.unwrap_or(1));
    ask(&on, request.cost(cost)).await.map(Reply::Throttle)
}

async fn one_by_one(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let mut all = Throttled::default();
    all.allowed = true;
    for limit in &request.limits {
        let single = Throttle::new().limit(&limit.key, limit.rule);
        let answer = ask(&on, single.cost(request.cost).mode(request.mode)).await?;
        all.now = answer.now;
        all.allowed &= answer.allowed;
        all.limits.extend(answer.limits);
    }
    Ok(Reply::Throttle(all))
}

async fn peek_takes(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let mode = match request.mode {
        ThrottleMode::Peek => ThrottleMode::Debit,
        mode => mode,
    };
    ask(&on, request.mode(mode)).await.map(Reply::Throttle)
}

async fn no_refund(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let mode = match request.mode {
        ThrottleMode::Refund => ThrottleMode::Peek,
        mode => mode,
    };
    ask(&on, request.mode(mode)).await.map(Reply::Throttle)
}

async fn double_refund(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    if request.mode == ThrottleMode::Refund {
        ask(&on, request.clone()).await?;
    }
    ask(&on, request).await.map(Reply::Throttle)
}

async fn no_reservation(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let mode = match request.mode {
        ThrottleMode::Reserve { .. } => ThrottleMode::Debit,
        mode => mode,
    };
    ask(&on, request.mode(mode)).await.map(Reply::Throttle)
}

/// The same under other rules.
async fn under(
    on: &Hand<'_>,
    mut request: Throttle,
    other: impl Fn(Rule) -> Result<Rule>,
) -> Result<Reply> {
    for limit in &mut request.limits {
        limit.rule = other(limit.rule)?;
    }
    ask(on, request).await.map(Reply::Throttle)
}

async fn fixed_window_leaks(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let leaks = |rule| match rule {
        Rule::Fixed(it) => {
            let length = Duration::from_micros(it.length());
            Rule::gcra(it.count(), length, it.count())
        }
        rule => Ok(rule),
    };
    under(&on, request, leaks).await
}

async fn sliding_is_fixed(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let fixed = |rule| match rule {
        Rule::SlidingCounter(it) => Rule::fixed(it.count(), Duration::from_micros(it.length())),
        rule => Ok(rule),
    };
    under(&on, request, fixed).await
}

async fn look_then_debit(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    if request.mode != ThrottleMode::Debit {
        return ask(&on, request).await.map(Reply::Throttle);
    }
    let seen = ask(&on, request.clone().mode(ThrottleMode::Peek)).await?;
    gap().await;
    if seen.allowed {
        take_anyway(&on, request).await?;
    }
    Ok(Reply::Throttle(seen))
}

async fn never_ends(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    let keys: Vec<Key> = request.limits.iter().map(|it| it.key.clone()).collect();
    let answer = ask(&on, request).await?;
    for key in &keys {
        on.persist(key).await?;
    }
    Ok(Reply::Throttle(answer))
}

async fn structure_is_unused(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    reset_on(&on, request, ErrorKind::WrongType).await
}

async fn corrupt_is_unused(on: Hand<'_>, command: Command) -> Result<Reply> {
    let request = request!(on, command);
    reset_on(&on, request, ErrorKind::Codec).await
}

/// Deletes the limits where this error stands in the way, and asks again.
async fn reset_on(on: &Hand<'_>, request: Throttle, kind: ErrorKind) -> Result<Reply> {
    match ask(on, request.clone()).await {
        Err(error) if error.kind() == kind => {
            for limit in &request.limits {
                on.delete(&limit.key).await?;
            }
            ask(on, request).await.map(Reply::Throttle)
        }
        answer => answer.map(Reply::Throttle),
    }
}

async fn all_are_one(on: Hand<'_>, command: Command) -> Result<Reply> {
    let mut request = request!(on, command);
    if let [limit] = &mut request.limits[..] {
        limit.key = Key::new("conformance:one")?;
    }
    ask(&on, request).await.map(Reply::Throttle)
}
