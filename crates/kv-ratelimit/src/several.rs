//! One request that several limits concern: it passes by all of them or counts for none.

use crate::{
    Decision, Limit, LimitError, RateLimiter, Source, Tier, Verdict, policy::Enforcement,
    quota::Kind,
};
use futures_util::future::join_all;
use kv_core::{Error, Throttle};
use std::sync::Arc;

/// What all limits of a request say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decisions {
    all: Vec<Decision>,
}

impl Decisions {
    /// Whether the request may pass: all of them allow it.
    pub fn is_allowed(&self) -> bool {
        self.all.iter().all(Decision::is_allowed)
    }

    /// Each limit's own decision, in the order in which they were asked. If one denies, those that allow have
    /// taken nothing. A limit that was not asked, since another one denied before, says that it allows.
    pub fn each(&self) -> &[Decision] {
        &self.all
    }

    /// The one that counts most: of those that deny the last one to pass, else the one with the least left.
    pub fn decisive(&self) -> Option<&Decision> {
        let denied = self.all.iter().filter(|it| !it.is_allowed());
        let allowed = self.all.iter().min_by_key(|it| it.remaining);
        denied.max_by_key(|it| it.retry_after).or(allowed)
    }
}

impl RateLimiter {
    /// Whether a request may pass by several limits, each `(policy, subject)`: it counts for all of them
    /// or for none. See [`check_limits`](Self::check_limits), which takes their costs as well.
    ///
    /// # Errors
    /// As [`limit`](Self::limit) and [`check_limits`](Self::check_limits).
    pub async fn check_all(
        &self,
        limits: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>,
    ) -> Result<Decisions, LimitError> {
        let limits = limits.into_iter();
        let limits = limits.map(|(policy, subject)| self.limit(policy.as_ref(), subject));
        self.check_limits(limits.collect::<Result<_, _>>()?).await
    }

    /// The same with costs.
    ///
    /// Limits of the same subject and cost are one atomic call. Several subjects are asked at the same time, and what one took
    /// is given back if another denies: until then, the time of one call to the store, others can be
    /// denied by it; if it is lost on the way, until it has flowed back by itself. Units that were taken in advance are not
    /// spent.
    ///
    /// # Errors
    /// As [`Limit::check`]; what was taken is given back.
    ///
    /// # Cancel safety
    /// Dropped, some limits may have counted.
    pub async fn check_limits(&self, limits: Vec<Limit>) -> Result<Decisions, LimitError> {
        let mut all: Vec<Option<Decision>> = Vec::with_capacity(limits.len());
        for limit in &limits {
            limit.accept()?;
            all.push(limit.look_local()?);
        }
        // What is known to be denied costs nobody anything.
        if !all.iter().flatten().all(Decision::is_allowed) {
            return Ok(settled(&limits, all));
        }
        let open: Vec<usize> = (0..limits.len()).filter(|&it| all[it].is_none()).collect();
        let groups = grouped(&limits, &open);
        let asked = join_all(groups.iter().map(|group| ask(&limits, group))).await;
        let mut failed = None;
        for (group, asked) in groups.iter().zip(asked) {
            for (&at, decision) in group.iter().zip(asked) {
                match limits[at].fall_back(decision) {
                    Ok(decision) => all[at] = Some(decision),
                    Err(error) => failed = Some(error),
                }
            }
        }
        let is_allowed = failed.is_none() && all.iter().flatten().all(Decision::is_allowed);
        if !is_allowed {
            give_back(&limits, &groups, &all).await;
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(settled(&limits, all)),
        }
    }
}

/// Those that one call can ask: same subject, same cost. What is only tried out must not deny others.
fn grouped(limits: &[Limit], open: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &at in open {
        let limit = &limits[at];
        let fits = |group: &&mut Vec<usize>| {
            let first = &limits[group[0]];
            first.joins()
                && Arc::ptr_eq(&first.shared, &limit.shared)
                && limit.joins()
                && first.key.group() == limit.key.group()
                && first.cost == limit.cost
                && group.iter().all(|&it| limits[it].key != limit.key)
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

async fn ask(limits: &[Limit], group: &[usize]) -> Vec<Result<Decision, Error>> {
    for &at in group {
        if let Err(error) = limits[at].count_in_flood() {
            return group.iter().map(|_| Err(error.duplicate())).collect();
        }
    }
    if let &[only] = group {
        let limit = &limits[only];
        return vec![match limit.active.policy.tier {
            Tier::InProcess => limit.take_own(),
            _ => limit.check_store().await,
        }];
    }
    let asked = ask_together(limits, group).await;
    match asked {
        Ok(decisions) => decisions.into_iter().map(Ok).collect(),
        Err(error) => group.iter().map(|_| Err(error.duplicate())).collect(),
    }
}

async fn ask_together(limits: &[Limit], group: &[usize]) -> Result<Vec<Decision>, Error> {
    let first = &limits[group[0]];
    let mut throttle = Throttle::new().cost(first.cost);
    for &at in group {
        if let Kind::Rule(rule) = limits[at].active.policy.quota.kind() {
            throttle = throttle.limit(limits[at].key.clone(), *rule);
        }
    }
    let at = first.store().clock.monotonic();
    let asked = group
        .iter()
        .map(|&it| limits[it].about_to_ask(first.cost, at));
    let asked = asked.collect::<Result<Vec<_>, _>>()?;
    let reply = first.within(first.store().kv.throttle(throttle)).await?;
    if reply.limits.len() != group.len() {
        return Err(crate::store::no_answer());
    }
    for ((&it, asked), state) in group.iter().zip(asked).zip(&reply.limits) {
        // Of those that would allow it nothing was taken if another one denies, so there is nothing to remember.
        if !state.allowed {
            limits[it].remember(asked, state);
        }
    }
    let each = group.iter().zip(&reply.limits);
    Ok(each
        .map(|(&it, state)| limits[it].decision(state, Source::Store, at))
        .collect())
}

/// What some took in vain.
async fn give_back(limits: &[Limit], groups: &[Vec<usize>], all: &[Option<Decision>]) {
    let allows = |at: usize| {
        let decision = all[at].as_ref()?;
        (decision.verdict == Verdict::Allowed).then_some(decision)
    };
    let given = groups.iter().flat_map(|group| {
        let is_whole = group.iter().all(|&at| allows(at).is_some());
        group.iter().filter_map(move |&at| {
            let decision = allows(at)?;
            // One that denies has the whole call take nothing; but where the store could not be asked each has
            // decided by itself.
            let took = is_whole || decision.source == Source::Fallback;
            took.then(|| limits[at].refund(decision.clone()))
        })
    });
    for result in join_all(given).await {
        if let Err(error) = result {
            tracing::debug!(target: kv_core::telemetry::TARGET, %error, "what was taken in vain was not given back");
        }
    }
}

fn settled(limits: &[Limit], all: Vec<Option<Decision>>) -> Decisions {
    let is_denied = all.iter().flatten().any(|it| !it.is_allowed());
    let each = limits.iter().zip(all);
    let all = each.map(|(limit, decision)| {
        let decision =
            decision.unwrap_or_else(|| limit.by_source(Verdict::Allowed, Source::NotAsked));
        let took = is_denied && decision.verdict == Verdict::Allowed;
        limit.told(match took && decision.source != Source::AllowList {
            // It was given back, or never taken.
            true => Decision {
                source: Source::NotAsked,
                ..decision
            },
            false => decision,
        })
    });
    Decisions { all: all.collect() }
}

impl Limit {
    /// Whether it can be asked with others.
    fn joins(&self) -> bool {
        let policy = &self.active.policy;
        matches!(policy.quota.kind(), Kind::Rule(_))
            && policy.enforcement == Enforcement::Enforced
            && policy.tier != Tier::InProcess
    }
}
