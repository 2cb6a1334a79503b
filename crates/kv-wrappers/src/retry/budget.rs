use super::BudgetConfig;
use crate::window::Window;
use std::time::Duration;

/// Lets repeats pass as far as the calls of the last while pay for them.
#[derive(Debug)]
pub(super) struct Budget {
    window: Window,
    ratio: f64,
    /// Repeats per window, however few calls there are.
    reserve: f64,
}

impl Budget {
    pub(super) fn new(config: &BudgetConfig) -> Self {
        Self {
            window: Window::new(config.window),
            ratio: config.ratio,
            reserve: config.min_per_second * config.window.as_secs_f64(),
        }
    }

    /// Counts a call, repeats not included.
    pub(super) fn deposit(&self, now: impl FnOnce() -> Duration) {
        self.window.usual(now);
    }

    /// Whether one more repeat may be sent; it is counted then.
    pub(super) fn withdraw(&self, now: Duration) -> bool {
        self.window.rare_if(now, |counts| {
            counts.rare + 1.0 <= self.reserve + self.ratio * counts.usual
        })
    }
}
