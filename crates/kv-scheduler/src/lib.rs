#![doc = include_str!("../README.md")]

mod admin;
mod codec;
mod enqueue;
mod envelope;
mod error;
mod handle;
mod handler;
mod names;
mod options;
mod queue;
mod record;
mod recurring;
mod retry;
mod scheduler;
mod status;
mod store;
mod stored;
mod task;
mod trace;
mod transitions;
mod worker;

#[cfg(feature = "cron")]
pub use self::recurring::Cron;
pub use self::{
    admin::{Admin, Counts, Cursor, Page, Stage, TaskInfo},
    codec::PayloadCodec,
    enqueue::Enqueue,
    error::{BoxError, TaskError},
    handle::{Cancelled, Disposition, Handle},
    handler::{Ctx, Data, FromCtx, Handler, TaskRequest, TaskResponse},
    names::{QueueName, TaskId},
    options::{Priority, Retention, TaskOptions, Unique},
    recurring::{Change, Every, Misfire, Overlap, Recurring, ScheduleInfo, ScheduleName, Upserted},
    retry::{Jitter, Retry},
    scheduler::{Scheduler, SchedulerBuilder},
    status::{State, Status},
    task::Task,
    trace::TraceContext,
    worker::{Delivery, Report, Serve, Worker},
};
