//! A limit's questions to the store, and what is decided when it does not answer.

use crate::{
    Decision, Limit, LimitError, OnError, Source, Tier, Verdict,
    local::{Local, mirror::Question},
    quota::Kind,
    refund::Refund,
    store::Ask,
    telemetry::spans,
};
use kv_core::{Error, ErrorKind, LimitState, Outcome, PhysicalKey, ThrottleMode};
use std::{sync::Arc, time::Duration};
use tracing::Instrument;

/// What the store said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) state: LimitState,
    /// By which what was taken can be given back.
    pub(crate) number: u64,
    /// Before it was asked, on the monotonic clock.
    pub(crate) at: Duration,
}

/// What is known of a limit before the store is asked.
pub(crate) struct AboutToAsk {
    cost: u64,
    /// Under a tier that remembers anything.
    physical: Option<PhysicalKey>,
    known: Option<Arc<Local>>,
    forgotten: u64,
    question: Question,
}

impl Asked {
    /// When the limit will be unused if nothing else comes, or a little later.
    pub(crate) fn unused_at(&self) -> Duration {
        self.at.saturating_add(self.state.reset_after)
    }
}

impl Limit {
    /// By the store, and by nothing else.
    pub(crate) async fn check_store(&self) -> Result<Decision, Error> {
        let asked = self.ask(self.cost, ThrottleMode::Debit, self.number());
        let Asked { state, number, at } = asked.await?;
        let decision = self.decision(&state, Source::Store, at);
        Ok(Decision { number, ..decision })
    }

    /// Asks the store, and remembers a denial.
    pub(crate) async fn ask(
        &self,
        cost: u64,
        mode: ThrottleMode,
        number: u64,
    ) -> Result<Asked, Error> {
        let at = self.store().clock.monotonic();
        let asked = self.about_to_ask(cost, at)?;
        let ask = Ask {
            key: &self.key,
            quota: &self.active.policy.quota,
            cost,
            mode,
            number,
        };
        let (state, number) = self.within(self.store().ask_numbered(ask)).await?;
        self.remember(asked, &state);
        Ok(Asked { state, number, at })
    }

    /// To be called before the store is asked for this cost.
    pub(crate) fn about_to_ask(&self, cost: u64, at: Duration) -> Result<AboutToAsk, Error> {
        let physical = match self.active.policy.tier {
            Tier::Strict | Tier::InProcess => None,
            _ => Some(self.store().kv.resolve(&self.key)?),
        };
        let forgotten = self.active.locals.forgotten();
        let known = physical.as_ref().and_then(|it| self.active.locals.get(it));
        let question = known.as_ref().map_or_else(
            || Question::first(cost, self.active.generation, at),
            |it| it.mirror.question(cost, self.active.generation, at),
        );
        Ok(AboutToAsk {
            cost,
            physical,
            known,
            forgotten,
            question,
        })
    }

    /// What the store said.
    pub(crate) fn remember(&self, asked: AboutToAsk, state: &LimitState) {
        // Most subjects are far from their limit, and are not worth a place.
        let known = match (asked.known, asked.physical) {
            (None, Some(physical)) if !state.allowed || state.remaining < asked.cost => {
                let local = self.active.locals.get_or_insert(&physical);
                // Only then: who forgets after this finds it there.
                (self.active.locals.forgotten() == asked.forgotten).then_some(local)
            }
            (known, _) => known,
        };
        if let Some(local) = known {
            local.mirror.answer(asked.question, state);
        }
    }

    /// What names the request in an exact log; others need none.
    pub(crate) fn number(&self) -> u64 {
        match self.active.policy.quota.kind() {
            Kind::Log { .. } => self.shared.numbers.next(),
            _ => 0,
        }
    }

    /// A call to the store, for no longer than the policy says.
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let began = self.store().clock.monotonic();
        let span = spans::limit(&self.active.name, self.shared.shown(&self.key));
        let call = call.instrument(span.clone());
        let done = self.active.timers.timeout(call).await;
        let result = done.unwrap_or_else(|| Err(self.undecided()));
        let took = self.store().clock.monotonic().saturating_sub(began);
        if let Err(error) = &result {
            spans::fail(&span, error);
        }
        self.active.meters.asked(took, result.as_ref().err());
        result
    }

    /// The policy's deadline is over.
    pub(crate) fn undecided(&self) -> Error {
        let limit = self.active.timers.limit();
        let text = format!("the store has not decided within {limit:?}");
        Error::new(ErrorKind::Timeout, text)
            .with_outcome(Outcome::Unknown)
            .with_key(&self.key)
    }

    /// What is decided in place of a store that could not be asked.
    pub(crate) fn fall_back(&self, asked: Result<Decision, Error>) -> Result<Decision, LimitError> {
        let error = match asked {
            Ok(decision) => return Ok(decision),
            Err(error) => error,
        };
        let decision = match self.active.policy.on_error {
            _ if !is_the_stores(&error) => return Err(error.into()),
            OnError::Fail => return Err(error.into()),
            OnError::Allow => self.by_rule(Verdict::Allowed),
            OnError::Deny => self.by_rule(Verdict::Denied),
            OnError::Local { .. } => {
                let (own, subject) = self.own()?;
                self.governed(own.take(&subject, self.cost), Source::Fallback)
            }
        };
        tracing::debug!(target: kv_core::telemetry::TARGET, %error, policy = %self.active.name, "decided without the store");
        Ok(decision)
    }

    pub(crate) async fn give_back_to_store(
        &self,
        refund: Refund,
        number: u64,
    ) -> Result<(), LimitError> {
        let Some((quota, units)) = refund.asked(&self.active.policy.quota) else {
            return Ok(());
        };
        // Before and after: what was asked meanwhile may not know of it.
        self.forget()?;
        let mut given = Ok(());
        let mut left = units;
        while left > 0 && given.is_ok() {
            let part = left.min(quota.max_cost());
            let ask = Ask {
                key: &self.key,
                quota: &quota,
                cost: part,
                mode: ThrottleMode::Refund,
                number,
            };
            given = self.within(self.store().ask(ask)).await.map(drop);
            left -= part;
        }
        self.forget()?;
        given?;
        Ok(())
    }

    pub(crate) fn forget(&self) -> Result<(), Error> {
        let physical = self.physical()?;
        // In this order: what is put in place after this is not from before.
        self.active.locals.forget();
        if let Some(local) = self.active.locals.get(&physical) {
            local.mirror.forget();
        }
        Ok(())
    }

    /// What is remembered of the subject, if there is anything.
    pub(crate) fn known(&self) -> Result<Option<Arc<Local>>, Error> {
        Ok(self.active.locals.get(&self.physical()?))
    }
}

/// Whether an error is the store's, and not of what it was asked.
fn is_the_stores(error: &Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Config
            | ErrorKind::InvalidArgument
            | ErrorKind::TooLarge
            | ErrorKind::CrossGroup
            | ErrorKind::Unsupported
            | ErrorKind::Closed
    )
}
