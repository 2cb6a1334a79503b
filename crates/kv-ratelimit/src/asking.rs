//! A limit's questions to the store, and what is decided when it does not answer.

use crate::{
    Decision, Limit, LimitError, OnError, Source, Tier, Verdict,
    local::{Local, mirror::Question},
    quota::Kind,
    store::Ask,
    telemetry::spans,
};
use kv_core::{Error, ErrorKind, LimitState, Outcome, ThrottleMode};
use std::sync::Arc;
use tracing::Instrument;

impl Limit {
    /// By the store, and by nothing else.
    pub(crate) async fn check_store(&self) -> Result<Decision, Error> {
        let asked = self.ask_numbered(self.cost, ThrottleMode::Debit, self.number());
        let (state, number) = asked.await?;
        let decision = self.decision(&state, Source::Store);
        Ok(Decision { number, ..decision })
    }

    /// Asks the store, and remembers a denial.
    pub(crate) async fn ask(
        &self,
        cost: u64,
        mode: ThrottleMode,
        number: u64,
    ) -> Result<LimitState, Error> {
        let (state, _) = self.ask_numbered(cost, mode, number).await?;
        Ok(state)
    }

    /// The same, with the number by which what was taken can be given back.
    async fn ask_numbered(
        &self,
        cost: u64,
        mode: ThrottleMode,
        number: u64,
    ) -> Result<(LimitState, u64), Error> {
        let mirrors = !matches!(self.active.policy.tier, Tier::Strict | Tier::InProcess);
        let before = self.store().clock.monotonic();
        let physical = match mirrors {
            true => Some(self.store().kv.resolve(&self.key)?),
            false => None,
        };
        let known = physical.as_ref().and_then(|it| self.active.locals.get(it));
        let question = known.as_ref().map_or_else(
            || Question::first(cost, self.active.generation, before),
            |it| it.mirror.question(cost, self.active.generation, before),
        );
        let ask = Ask {
            key: &self.key,
            quota: &self.active.policy.quota,
            cost,
            mode,
            number,
        };
        let (state, number) = self.within(self.store().ask_numbered(ask)).await?;
        // Most subjects are far from their limit, and are not worth a place.
        let known = match (known, physical) {
            (None, Some(physical)) if !state.allowed || state.remaining < cost => {
                Some(self.active.locals.get_or_insert(physical))
            }
            (known, _) => known,
        };
        if let Some(local) = known {
            local.mirror.answer(question, &state);
        }
        Ok((state, number))
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
        cost: u64,
        number: u64,
    ) -> Result<(), LimitError> {
        let ask = Ask {
            key: &self.key,
            quota: &self.active.policy.quota,
            cost,
            mode: ThrottleMode::Refund,
            number,
        };
        // Before and after: what was asked meanwhile may not know of it.
        self.forget()?;
        let given = self.within(self.store().ask(ask)).await;
        self.forget()?;
        given?;
        Ok(())
    }

    pub(crate) fn forget(&self) -> Result<(), Error> {
        if let Some(local) = self.known()? {
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
