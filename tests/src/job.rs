//! The task that worker processes do.

use kv_scheduler::{Retention, Task, TaskOptions};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A task for worker processes; its result is the number of the attempt that did it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// Makes it as long as a small mail.
    pub pad: String,
}

impl Task for Job {
    const KIND: &'static str = "job";
    type Output = u32;

    fn options() -> TaskOptions {
        TaskOptions::new().retention(Retention::keep(Duration::from_secs(3600)))
    }
}
