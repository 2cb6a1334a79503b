//! What is done when a tick comes late, or too soon.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is done about ticks that no worker was there for, be it that none ran or that the queue was
/// paused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Misfire {
    /// Of all that have passed only the last one becomes a task.
    #[default]
    #[serde(rename = "c")]
    Coalesce,
    /// Those that are late by more than this are dropped; each other becomes a task.
    #[serde(rename = "s")]
    Skip {
        /// How late a tick may be.
        #[serde(rename = "g")]
        grace: Duration,
    },
    /// Each becomes a task; if there are more than this, only so many, the last ones.
    #[serde(rename = "a")]
    All {
        /// 1 to 1000.
        #[serde(rename = "m")]
        max: u32,
    },
}

/// What is done if the last task of the schedule waits or runs when a tick comes. A task that failed and
/// is to be tried again waits. One that is begun [at most once](crate::Delivery::AtMostOnce) has left the
/// store when it runs, and is in nobody's way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Overlap {
    /// Another task, for each tick.
    #[default]
    #[serde(rename = "a")]
    Allow,
    /// No task: the tick is dropped.
    #[serde(rename = "s")]
    Skip,
    /// If the last task runs, one tick waits until it has ended: the last one, whatever
    /// [`Misfire::All`] says. If it waits itself, the tick is dropped.
    #[serde(rename = "q")]
    QueueOne,
    /// Another task. The last one is asked to stop if it runs, and is gone if it waits.
    #[serde(rename = "c")]
    CancelRunning,
}
