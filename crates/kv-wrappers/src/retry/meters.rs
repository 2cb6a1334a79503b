//! What is counted of repeats.

use crate::telemetry::{RETRIES, RETRIES_GIVEN_UP, StoreName};
use metrics::Counter;
use std::fmt;

#[derive(Debug)]
pub(super) struct Meters {
    repeats: Counter,
    given_up: [Counter; GivenUp::ALL.len()],
}

/// Why a call was not repeated any more.
#[derive(Clone, Copy, Debug)]
pub(super) enum GivenUp {
    Attempts,
    Time,
    Budget,
}

impl Meters {
    pub(super) fn new(store: &StoreName) -> Self {
        Self {
            repeats: RETRIES.counter([store.label()]),
            given_up: GivenUp::ALL
                .map(|it| RETRIES_GIVEN_UP.counter([store.label(), it.label().into()])),
        }
    }

    pub(super) fn repeats(&self) {
        self.repeats.increment(1);
    }

    pub(super) fn gave_up(&self, why: GivenUp) {
        self.given_up[why as usize].increment(1);
    }
}

impl GivenUp {
    const ALL: [Self; 3] = [Self::Attempts, Self::Time, Self::Budget];

    fn label(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Time => "time",
            Self::Budget => "budget",
        }
    }
}

/// As an error tells it.
impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempts => "the attempts are used up",
            Self::Time => "there is no time left",
            Self::Budget => "the retry budget is spent",
        })
    }
}
