//! A caller's patience with a load.

use crate::{
    error::LoadError,
    flights::{Held, Outcome, Stage, Watching},
    shared::{CacheValue, Shared},
};
use futures_util::future::{Either, select};
use kv_core::BoxFuture;
use std::pin::pin;

/// Until when a caller waits.
enum Limit {
    /// For the store, which has its own limits.
    None,
    /// For a loader, with nothing to give out.
    Hard(BoxFuture<'static, ()>),
    /// With something stale to give out.
    Soft(BoxFuture<'static, ()>),
}

/// What a caller takes in place of what is being loaded.
pub(crate) enum Instead<V> {
    /// Something stale: what is here, if anything is, or what the store has.
    Stale(Option<Held<V>>),
    /// Nothing: it wants a new one.
    Nothing,
}

/// Waits for a load, for as long as the policy says.
pub(crate) async fn wait<V: CacheValue, E>(
    shared: &Shared<V>,
    mut watching: Watching<V, E>,
    mut instead: Instead<V>,
) -> Result<Held<V>, LoadError<E>> {
    // The answer may be there already and the load still be on its way to the store: who asks again and again
    // must not keep it from getting there.
    tokio::task::coop::consume_budget().await;
    let mut limit = Limit::None;
    loop {
        let stage = {
            let progress = watching.borrow_and_update();
            if let Some(outcome) = progress.outcome.clone() {
                return ended(outcome);
            }
            if let Instead::Stale(stale @ None) = &mut instead {
                stale.clone_from(&progress.stale);
            }
            progress.stage
        };
        let stale = match &instead {
            Instead::Stale(stale) => stale.as_ref(),
            Instead::Nothing => None,
        };
        // Nobody who has a value waits for another process.
        let is_patient = !shared.policy.soft_timeout.is_zero() && stage != Stage::Elsewhere;
        limit = match (stale, limit) {
            (Some(stale), _) if !is_patient => {
                shared.counts.stale_served.add();
                return Ok(stale.clone());
            }
            (Some(_), limit @ Limit::Soft(_)) => limit,
            (Some(_), _) => Limit::Soft(shared.clock.sleep(shared.policy.soft_timeout)),
            (None, Limit::None) if stage == Stage::Loading => {
                Limit::Hard(shared.clock.sleep(shared.policy.hard_timeout))
            }
            (None, limit) => limit,
        };
        let news = pin!(watching.changed());
        let changed = match &mut limit {
            Limit::None => news.await,
            Limit::Hard(time) | Limit::Soft(time) => match select(news, time).await {
                Either::Left((changed, _)) => changed,
                Either::Right(_) => return late(shared, stale),
            },
        };
        if changed.is_err() {
            return stale.cloned().ok_or(LoadError::Abandoned);
        }
    }
}

fn ended<V, E>(outcome: Outcome<V, E>) -> Result<Held<V>, LoadError<E>> {
    match outcome {
        Outcome::Loaded(value) => Ok(value),
        Outcome::Failed(error) => Err(LoadError::Failed(error)),
        Outcome::TimedOut => Err(LoadError::TimedOut),
        Outcome::Panicked => Err(LoadError::Panicked),
    }
}

fn late<V: CacheValue, E>(
    shared: &Shared<V>,
    stale: Option<&Held<V>>,
) -> Result<Held<V>, LoadError<E>> {
    match stale {
        Some(stale) => {
            shared.counts.stale_served.add();
            Ok(stale.clone())
        }
        None => {
            shared.counts.timeouts.add();
            Err(LoadError::TimedOut)
        }
    }
}
