//! The states of a breaker and what moves it from one to the next.

use super::{CircuitBreakerConfig, CircuitState, meters::Meters};
use crate::window::Window;
use kv_core::Clock;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[derive(Debug)]
pub(super) struct Breaker {
    config: CircuitBreakerConfig,
    clock: Arc<dyn Clock>,
    /// Calls of the last while: successes are the usual ones.
    window: Window,
    /// Whether the state is [`Phase::Closed`], for calls that then need no lock.
    is_closed: AtomicBool,
    state: Mutex<State>,
    /// There since a stack has it.
    meters: OnceLock<Meters>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts the times that probing began; what earlier probes find does not count any more.
    round: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open {
        until: Duration,
    },
    HalfOpen {
        running: u32,
        succeeded: u32,
        /// When probes that have not ended are given up.
        until: Duration,
    },
}

/// A call that was let through, and has to tell how it ended. One that is dropped tells nothing.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    /// Of a probe.
    round: Option<u64>,
}

/// Whether the store was there for a call, whatever it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Answered,
    Failed,
}

impl Breaker {
    pub(super) fn new(config: CircuitBreakerConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            clock,
            window: Window::new(config.window),
            is_closed: AtomicBool::new(true),
            state: Mutex::new(State {
                phase: Phase::Closed,
                round: 0,
            }),
            meters: OnceLock::new(),
        }
    }

    /// Tells from now on what becomes of it.
    pub(super) fn tell(&self, meters: impl FnOnce() -> Meters) {
        self.meters.get_or_init(meters).is(self.state());
    }

    pub(super) fn config(&self) -> &CircuitBreakerConfig {
        &self.config
    }

    pub(super) fn state(&self) -> CircuitState {
        match self.state.lock().phase {
            Phase::Closed => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// Lets a call through, or says in how long the next may be.
    pub(super) fn admit(&self) -> Result<Pass<'_>, Duration> {
        let pass = |round| Pass {
            breaker: self,
            round,
        };
        if self.is_closed.load(Ordering::Acquire) {
            return Ok(pass(None));
        }
        let mut state = self.state.lock();
        let now = self.clock.monotonic();
        match &mut state.phase {
            Phase::Closed => Ok(pass(None)),
            Phase::Open { until } if now < *until => Err(self.refuse(*until - now)),
            Phase::HalfOpen {
                running, succeeded, ..
            } if *running + *succeeded < self.config.probes => {
                *running += 1;
                Ok(pass(Some(state.round)))
            }
            Phase::HalfOpen { until, .. } if now < *until => Err(self.refuse(*until - now)),
            // The first of a round: after the time of rest, or when all probes hang.
            Phase::Open { .. } | Phase::HalfOpen { .. } => {
                if matches!(state.phase, Phase::Open { .. }) {
                    self.became(CircuitState::HalfOpen);
                }
                state.round += 1;
                state.phase = Phase::HalfOpen {
                    running: 1,
                    succeeded: 0,
                    until: now + self.config.open_for,
                };
                Ok(pass(Some(state.round)))
            }
        }
    }

    /// Counts a call that was begun while the breaker was closed. If it has opened since, that says
    /// nothing, and what is counted is forgotten when it closes.
    fn count(&self, verdict: Verdict) {
        if verdict == Verdict::Answered {
            self.window.usual(|| self.clock.monotonic());
            return;
        }
        let now = self.clock.monotonic();
        let counts = self.window.rare(now);
        let calls = counts.usual + counts.rare;
        let is_enough = calls >= f64::from(self.config.minimum_calls);
        if is_enough && counts.rare >= self.config.failure_ratio * calls {
            let mut state = self.state.lock();
            if matches!(state.phase, Phase::Closed) {
                self.open(&mut state, now);
            }
        }
    }

    /// Goes by what a probe found.
    fn probed(&self, round: u64, verdict: Option<Verdict>) {
        let mut state = self.state.lock();
        if state.round != round {
            return;
        }
        let Phase::HalfOpen {
            running, succeeded, ..
        } = &mut state.phase
        else {
            return;
        };
        *running -= 1;
        match verdict {
            None => {}
            Some(Verdict::Failed) => self.open(&mut state, self.clock.monotonic()),
            Some(Verdict::Answered) => {
                *succeeded += 1;
                if *succeeded >= self.config.probes {
                    state.phase = Phase::Closed;
                    self.window.clear();
                    self.is_closed.store(true, Ordering::Release);
                    self.became(CircuitState::Closed);
                }
            }
        }
    }

    fn open(&self, state: &mut State, now: Duration) {
        let until = now + self.config.open_for;
        state.phase = Phase::Open { until };
        self.is_closed.store(false, Ordering::Release);
        self.became(CircuitState::Open);
    }

    fn became(&self, state: CircuitState) {
        if let Some(meters) = self.meters.get() {
            meters.became(state);
        }
    }

    /// Counts a refusal and hands on in how long the next call may come.
    fn refuse(&self, rest: Duration) -> Duration {
        if let Some(meters) = self.meters.get() {
            meters.refused();
        }
        rest
    }
}

impl Pass<'_> {
    /// Tells how the call ended.
    pub(super) fn end(mut self, verdict: Verdict) {
        match self.round.take() {
            None => self.breaker.count(verdict),
            Some(round) => self.breaker.probed(round, Some(verdict)),
        }
    }
}

/// A probe that its caller gave up leaves its place to another.
impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(round) = self.round {
            self.breaker.probed(round, None);
        }
    }
}
