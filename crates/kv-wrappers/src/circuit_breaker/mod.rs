mod breaker;
mod config;
mod meters;

use self::{
    breaker::{Breaker, Verdict},
    meters::Meters,
};
use crate::telemetry::{StoreName, describe};
use kv_core::{
    BoxFuture, Capabilities, Clock, Context, Error, ErrorKind, Events, Key, Layer, Outcome, Reply,
    Request, Result, Service, SystemClock, Watch,
};
use std::{fmt, sync::Arc, time::Duration};

pub use self::config::CircuitBreakerConfig;

/// Refuses calls for a while when too many have failed: callers are told at once, and the store gets
/// time to recover.
///
/// *Closed*, it lets all calls through and counts them. When enough of the last while's have failed
/// it *opens*: calls are refused with [`ErrorKind::Unavailable`] and the outcome *not applied*,
/// without touching the store, and tell in the fact `retry_after` in how long one may pass. After that
/// time it is *half open*: a few calls are let through as probes. If all of them succeed it closes,
/// if one fails it opens for as long again.
///
/// A call has failed if the store could not be reached or did not answer in time, for the call as a
/// whole or for an item of a batch. Everything else is an answer: a miss, a refused write, a wrong
/// type, a conflict, a refusal by a layer that bounds how much is asked at once. Refusals are marked
/// with [`Error::as_last_word`], so that no retry waits for the breaker to close.
///
/// Outside of a retry it counts what is left after all attempts, inside of it each attempt. Clones of
/// a layer are one breaker. Beginning a watch is a call, what a watch tells later is not; connecting,
/// closing and health pass. Capabilities pass through.
///
/// # Cancel safety
/// A call that its caller drops counts as nothing; if it was a probe, another may take its place. So
/// of a [`Timeout`](crate::Timeout) outside it learns nothing: the one that tells it of slow calls
/// stands inside, or is the provider's own.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    breaker: Arc<Breaker>,
    store: StoreName,
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CircuitState {
    /// It lets them through.
    Closed,
    /// It refuses them, until one asks after its time of rest.
    Open,
    /// It lets a few through as probes.
    HalfOpen,
}

impl CircuitBreaker {
    /// A layer with these settings, on the machine's clock, closed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings outside of their ranges.
    pub fn new(config: CircuitBreakerConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            breaker: Arc::new(Breaker::new(config, Arc::new(SystemClock))),
            store: StoreName::default(),
        })
    }

    /// With this clock, closed, and apart from the layer it is made of.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self {
            breaker: Arc::new(Breaker::new(*self.breaker.config(), clock)),
            store: self.store,
        }
    }

    /// With this name of the store in its metrics. The first stack that a breaker is put into
    /// decides which it has.
    #[must_use]
    pub fn store(mut self, name: impl Into<String>) -> Self {
        self.store = StoreName::new(name);
        self
    }

    /// What it does now. A clone that was kept tells about a breaker in use.
    pub fn state(&self) -> CircuitState {
        self.breaker.state()
    }
}

impl Layer for CircuitBreaker {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("circuit_breaker");
        self.breaker.tell(|| Meters::new(&self.store));
        Arc::new(CircuitBreakerService {
            inner,
            layer: self.clone(),
        })
    }
}

struct CircuitBreakerService {
    inner: Arc<dyn Service>,
    layer: CircuitBreaker,
}

impl Service for CircuitBreakerService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let operation = request.command.spec().name;
        let pass = match self.layer.breaker.admit() {
            Ok(pass) => pass,
            Err(rest) => {
                let error = refused(rest, operation, request.command.key());
                return Box::pin(async { Err(error) });
            }
        };
        let call = self.inner.call(request);
        Box::pin(async move {
            let answer = call.await;
            pass.end(match &answer {
                Ok(reply) => judge_items(reply),
                Err(error) => judge(error),
            });
            answer
        })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let pass = self.layer.breaker.admit();
            let pass = pass.map_err(|rest| refused(rest, "watch", None))?;
            let answer = self.inner.watch(watch, context).await;
            pass.end(answer.as_ref().map_or_else(judge, |_| Verdict::Answered));
            answer
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        format!("circuit_breaker({})", self.layer)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// When it opens and how it is, as in a printed stack.
impl fmt::Display for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.breaker.config();
        write!(
            f,
            "{}% of {} in {:?}: {:?}, {}",
            config.failure_ratio * 100.0,
            config.minimum_calls,
            config.window,
            config.open_for,
            self.state(),
        )
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half open",
        })
    }
}

fn judge(error: &Error) -> Verdict {
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Unavailable => Verdict::Failed,
        _ => Verdict::Answered,
    }
}

fn judge_items(reply: &Reply) -> Verdict {
    let mut verdict = Verdict::Answered;
    reply.failures(|error| {
        if judge(error) == Verdict::Failed {
            verdict = Verdict::Failed;
        }
    });
    verdict
}

fn refused(rest: Duration, operation: &'static str, key: Option<&Key>) -> Error {
    let message = "the circuit breaker is open, since too many calls failed; this one was not sent";
    let error = Error::new(ErrorKind::Unavailable, message)
        .with_outcome(Outcome::NotApplied)
        .with_operation(operation)
        .with_context("retry_after", format_args!("{rest:?}"))
        .as_last_word();
    match key {
        Some(key) => error.with_key(key),
        None => error,
    }
}

#[cfg(test)]
mod tests;
