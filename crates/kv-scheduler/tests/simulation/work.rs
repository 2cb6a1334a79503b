//! The tasks of the simulation, and what becomes of them where they run.

use crate::network::ProcessId;
use kv_scheduler::{Ctx, Data, Task, TaskError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Does what it is told, in each attempt something else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) number: usize,
    pub(crate) attempts: Vec<Attempt>,
}

impl Task for Job {
    const KIND: &'static str = "job";
    type Output = u32;
}

/// One attempt: how long it takes and how it ends. The last one is repeated.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) millis: u64,
    pub(crate) end: End,
    /// Whether it ends when it is told to.
    pub(crate) obeys: bool,
    pub(crate) tells_progress: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum End {
    Succeed,
    Fail,
    Snooze,
    Die,
    Cancel,
    Panic,
}

/// A handler that was begun.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) number: usize,
    pub(crate) process: ProcessId,
    pub(crate) ctx: Ctx,
}

/// Handlers of all processes, as long as they run, and those begun since they were last asked for.
#[derive(Default)]
pub(crate) struct Runs {
    pub(crate) running: Mutex<Vec<Run>>,
    pub(crate) begun: Mutex<Vec<Run>>,
    /// How often each task was begun.
    pub(crate) starts: Mutex<HashMap<usize, usize>>,
}

/// What a handler is given by its process.
pub(crate) struct Desk {
    pub(crate) process: ProcessId,
    pub(crate) runs: Arc<Runs>,
    pub(crate) clock: Arc<dyn kv_core::Clock>,
}

/// Takes a run out when its handler ends, also by being dropped.
struct Leave {
    desk: Data<Desk>,
    number: usize,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut running = self.desk.runs.running.lock();
        let mine = |it: &Run| it.number == self.number && it.process == self.desk.process;
        if let Some(index) = running.iter().position(mine) {
            running.remove(index);
        }
    }
}

pub(crate) async fn work(job: Job, ctx: Ctx, desk: Data<Desk>) -> Result<u32, TaskError> {
    let run = Run {
        number: job.number,
        process: desk.process,
        ctx: ctx.clone(),
    };
    desk.runs.begun.lock().push(run.clone());
    desk.runs.running.lock().push(run);
    let _leave = Leave {
        desk: desk.clone(),
        number: job.number,
    };
    let turn = {
        let mut starts = desk.runs.starts.lock();
        let starts = starts.entry(job.number).or_default();
        *starts += 1;
        (*starts).min(job.attempts.len()) - 1
    };
    let attempt = job.attempts[turn];
    if attempt.tells_progress {
        ctx.progress(&attempt.millis).await?;
    }
    let sleep = desk.clock.sleep(Duration::from_millis(attempt.millis));
    tokio::select! {
        biased;
        () = sleep => {}
        () = ctx.token().cancelled(), if attempt.obeys => return Err("told to stop".into()),
    }
    match attempt.end {
        End::Succeed => Ok(ctx.attempt()),
        End::Fail => Err("as told".into()),
        End::Snooze if attempt.obeys => Err(TaskError::snooze(Duration::ZERO)),
        End::Snooze => Err(TaskError::snooze(Duration::from_millis(700))),
        End::Die => Err(TaskError::dead("as told")),
        End::Cancel => Err(TaskError::cancel()),
        // Without a word on the terminal.
        End::Panic => std::panic::resume_unwind(Box::new("as told")),
    }
}
