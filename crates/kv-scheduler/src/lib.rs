#![doc = include_str!("../README.md")]

mod admin;
mod codec;
mod details;
mod enqueue;
mod envelope;
mod error;
mod handle;
mod handler;
mod names;
mod options;
mod pages;
mod queue;
mod record;
mod recurring;
mod registry;
mod retry;
mod scheduler;
mod settings;
mod status;
mod store;
mod stored;
mod task;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
mod transitions;
mod worker;

#[cfg(feature = "cron")]
pub use self::recurring::Cron;
pub use self::{
    admin::{Admin, Counts, Overview, Page, Stage, TaskInfo},
    codec::PayloadCodec,
    details::{Claims, Details},
    enqueue::Enqueue,
    error::{BoxError, TaskError},
    handle::{Cancelled, Disposition, Handle, Untyped},
    handler::{Ctx, Data, FromCtx, Handler, TaskRequest, TaskResponse},
    names::{QueueName, TaskId},
    options::{Priority, Retention, TaskOptions, Unique},
    pages::Cursor,
    recurring::{Change, Every, Misfire, Overlap, Recurring, ScheduleInfo, ScheduleName, Upserted},
    registry::{KnownQueue, WorkerInfo},
    retry::{Jitter, Retry},
    scheduler::{Scheduler, SchedulerBuilder},
    settings::{OrderSetting, QueueSettings, RetrySettings, SchedulerSettings},
    status::{State, Status},
    task::Task,
    trace::TraceContext,
    worker::{Delivery, Report, Serve, Worker},
};
