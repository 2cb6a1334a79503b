//! What is told of a breaker.

use super::CircuitState;
use crate::telemetry::{BREAKER_REFUSED, BREAKER_STATE, BREAKER_TRANSITIONS, StoreName};
use metrics::{Counter, Gauge};

#[derive(Debug)]
pub(super) struct Meters {
    state: Gauge,
    transitions: [Counter; STATES.len()],
    refused: Counter,
}

/// The states by the numbers that the gauge shows.
const STATES: [&str; 3] = ["closed", "half_open", "open"];

impl Meters {
    pub(super) fn new(store: &StoreName) -> Self {
        let to = |state: &'static str| BREAKER_TRANSITIONS.counter([store.label(), state.into()]);
        Self {
            state: BREAKER_STATE.gauge([store.label()]),
            transitions: STATES.map(to),
            refused: BREAKER_REFUSED.counter([store.label()]),
        }
    }

    pub(super) fn is(&self, state: CircuitState) {
        self.state.set(number(state));
    }

    pub(super) fn became(&self, state: CircuitState) {
        self.is(state);
        self.transitions[number(state) as usize].increment(1);
    }

    pub(super) fn refused(&self) {
        self.refused.increment(1);
    }
}

fn number(state: CircuitState) -> u8 {
    match state {
        CircuitState::Closed => 0,
        CircuitState::HalfOpen => 1,
        CircuitState::Open => 2,
    }
}
