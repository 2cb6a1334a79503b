mod budget;
mod config;
mod items;
mod meters;

use self::{
    budget::Budget,
    meters::{GivenUp, Meters},
};
use crate::telemetry::{StoreName, describe};
use backon::{BackoffBuilder, ExponentialBuilder};
use kv_core::{
    Access, BoxFuture, Capabilities, Clock, Command, Context, Deadline, Error, ErrorKind, Events,
    Layer, Outcome, Repeat, Reply, Request, Result, Service, SystemClock, Watch,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

pub use self::config::{BudgetConfig, RetryConfig};

/// Repeats calls that failed, where that does no harm.
///
/// | the error's outcome | commands that may be repeated | the others |
/// |---|---|---|
/// | not applied | repeated | repeated |
/// | unknown | repeated after `Timeout` and `Unavailable` | never |
/// | final | never | never |
///
/// The others are those that could be applied twice or report a refusal of their own doing:
/// `Commit`, `ZMove`, `ZPopByScore`, `Throttle`, `Increment`, `HIncrement`, `Notify`, and a `Set` with
/// a condition; [`Command::repeat`](kv_core::Command::repeat) tells.
///
/// Pauses grow and have jitter. A budget, one for all clones and stacks of a layer, bounds which share
/// of the traffic is repeats, so that a store in trouble is not kept there. An error after which
/// repeating was given up (attempts, time, budget) has the facts `attempts` and `gave_up_for` and is
/// marked with [`Error::as_last_word`]: no retry further out repeats it, lest attempts multiply.
/// If any attempt of a write may have been applied, the outcome is unknown, whatever the last one
/// says.
///
/// Items of a `SetMany` that failed alone are repeated alone, by the same rules; one whose key stands
/// in the batch again later is not, since it would have the last word.
///
/// A call whose options forbid repeating is sent once, and no pause reaches beyond the
/// [`Deadline`] of a call. Beginning a watch is repeated as a read is. Capabilities pass through.
///
/// # What a repeat can bring about
/// An attempt that was given up can still be on its way. If it arrives after the repeat, it writes
/// the same again, over what others wrote in between. Who cannot bear that compares
/// ([`When::IfValue`](kv_core::When::IfValue)) or fences; such calls are not repeated blindly.
///
/// # Cancel safety
/// May be dropped between and during attempts; nothing goes on behind the caller's back.
#[derive(Clone, Debug)]
pub struct Retry {
    config: RetryConfig,
    budget: Arc<Budget>,
    random: Arc<Mutex<fastrand::Rng>>,
    clock: Arc<dyn Clock>,
    store: StoreName,
}

impl Retry {
    /// A layer with these settings, on the machine's clock, with jitter from a random seed.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings outside of their ranges.
    pub fn new(config: RetryConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            budget: Arc::new(Budget::new(&config.budget)),
            config,
            random: Arc::new(Mutex::new(fastrand::Rng::new())),
            clock: Arc::new(SystemClock),
            store: StoreName::default(),
        })
    }

    /// With this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With this name of the store in its metrics.
    #[must_use]
    pub fn store(mut self, name: impl Into<String>) -> Self {
        self.store = StoreName::new(name);
        self
    }

    /// With jitter that is the same each time: for tests and simulations.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        self
    }

    /// The pauses of one call, as many as there may be repeats.
    fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.config.delay)
            .with_max_delay(self.config.max_delay)
            .with_max_times(self.config.attempts as usize - 1)
            .with_jitter()
            .with_jitter_seed(self.random.lock().u64(..))
            .build()
    }

    /// When the call began, if that will matter.
    fn start(&self) -> Option<Duration> {
        self.budget.deposit(|| self.clock.monotonic());
        self.config.max_elapsed.map(|_| self.clock.monotonic())
    }

    /// Whether there is time left for an attempt after this pause.
    fn has_time(
        &self,
        start: Option<Duration>,
        deadline: Option<&Deadline>,
        pause: Duration,
    ) -> bool {
        if deadline.is_some_and(|it| it.left() <= pause) {
            return false;
        }
        let (Some(start), Some(most)) = (start, self.config.max_elapsed) else {
            return true;
        };
        self.clock.monotonic().saturating_sub(start) + pause <= most
    }

    /// Goes on after a first failure.
    async fn go_on<'a, T>(
        &self,
        meters: &Meters,
        start: Option<Duration>,
        deadline: Option<&Deadline>,
        harm: Harm,
        first: Error,
        attempt: impl Fn() -> BoxFuture<'a, Result<T>>,
    ) -> Result<T> {
        let mut error = first;
        let mut attempts = 1_u32;
        let mut is_in_doubt = false;
        let mut pauses = self.pauses();
        loop {
            let may_repeat = harm.may_repeat(&error);
            is_in_doubt |= error.outcome() == Outcome::Unknown && harm.access == Access::Write;
            if is_in_doubt {
                error = error.with_outcome(Outcome::Unknown);
            }
            if !may_repeat {
                return Err(error);
            }
            let reason = match pauses.next() {
                None => GivenUp::Attempts,
                Some(pause) if !self.has_time(start, deadline, pause) => GivenUp::Time,
                Some(_) if !self.budget.withdraw(self.clock.monotonic()) => GivenUp::Budget,
                Some(pause) => {
                    self.clock.sleep(pause).await;
                    attempts += 1;
                    meters.repeats();
                    match attempt().await {
                        Ok(answer) => return Ok(answer),
                        Err(again) => error = again,
                    }
                    continue;
                }
            };
            meters.gave_up(reason);
            let error = error.with_context("attempts", attempts);
            return Err(error.with_context("gave_up_for", reason).as_last_word());
        }
    }
}

/// What repeating a call could do.
#[derive(Clone, Copy)]
struct Harm {
    access: Access,
    repeat: Repeat,
}

impl Harm {
    const NONE: Self = Self {
        access: Access::Read,
        repeat: Repeat::Safe,
    };

    fn of(command: &Command) -> Self {
        Self {
            access: command.spec().access,
            repeat: command.repeat(),
        }
    }

    fn may_repeat(self, error: &Error) -> bool {
        if error.is_last_word() {
            return false;
        }
        match error.outcome() {
            Outcome::NotApplied => true,
            // Of the other kinds with this outcome none is mended by trying again.
            Outcome::Unknown => {
                self.repeat == Repeat::Safe
                    && matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable)
            }
            Outcome::Final => false,
        }
    }
}

impl Layer for Retry {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("retry");
        Arc::new(RetryService {
            inner,
            meters: Meters::new(&self.store),
            layer: self.clone(),
        })
    }
}

struct RetryService {
    inner: Arc<dyn Service>,
    meters: Meters,
    layer: Retry,
}

impl Service for RetryService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let start = self.layer.start();
        if !request.options.allow_retry() {
            return self.inner.call(request);
        }
        if matches!(request.command, Command::SetMany { .. }) {
            return Box::pin(self.set_many(start, request));
        }
        let harm = Harm::of(&request.command);
        let first = self.inner.call(request.clone());
        Box::pin(async move {
            let error = match first.await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let again = || self.inner.call(request.clone());
            let meters = &self.meters;
            // In a box of its own, which calls that succeed do not pay for.
            let deadline = request.options.deadline();
            let go_on = self
                .layer
                .go_on(meters, start, deadline, harm, error, again);
            Box::pin(go_on).await
        })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let start = self.layer.start();
            let attempt = || self.inner.watch(watch.clone(), context.clone());
            match attempt().await {
                Ok(events) => Ok(events),
                Err(error) => {
                    let meters = &self.meters;
                    let go_on = self
                        .layer
                        .go_on(meters, start, None, Harm::NONE, error, attempt);
                    go_on.await
                }
            }
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        let config = &self.layer.config;
        format!("retry({} × {:?})", config.attempts, config.delay)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

#[cfg(test)]
mod tests;
