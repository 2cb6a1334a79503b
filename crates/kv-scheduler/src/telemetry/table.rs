//! The tables.

use kv_core::telemetry::{FieldSpec, LabelSpec};

kv_core::metric_table! {
    SCHEDULED: Counter Count "kv_tasks_scheduled_total"
        [namespace messaging_destination_name kind] "scheduler"
        "Tasks that were scheduled by a call, those that replaced others included; not those whose id or unique key was there, nor ticks of schedules";
    CLAIMED: Counter Count "kv_tasks_claimed_total"
        [namespace messaging_destination_name kind] "scheduler"
        "Tasks that a worker got, whether it could run them or not";
    LAPSED: Counter Count "kv_tasks_lapsed_total"
        [namespace messaging_destination_name kind] "scheduler"
        "Those of them whose lease had lapsed: their worker had died or hung, or the answer to its claim was lost";
    ENDED: Counter Count "kv_tasks_ended_total"
        [namespace messaging_destination_name kind outcome] "scheduler"
        "How claims ended, as it is written on the store";
    RUNNING: Gauge Count "kv_tasks_running"
        [namespace messaging_destination_name] "scheduler"
        "Handlers that run in this process";
    SLOTS: Gauge Count "kv_task_slots"
        [namespace messaging_destination_name] "scheduler"
        "Handlers that may run in this process";
    DURATION: Histogram Seconds "messaging_process_duration_seconds"
        [namespace messaging_destination_name kind error_type] "scheduler"
        "How long handlers ran";
    LATENESS: Histogram Seconds "kv_task_lateness_seconds"
        [namespace messaging_destination_name kind] "scheduler"
        "How long after they were due tasks were claimed, by the store's clock; lapsed ones do not count";
    TASKS: Gauge Count "kv_tasks"
        [namespace messaging_destination_name state] "scheduler"
        "Tasks on the store, of all processes: each worker looks about every half minute";
    OLDEST_DUE: Gauge Seconds "kv_tasks_oldest_due_seconds"
        [namespace messaging_destination_name] "scheduler"
        "How long the oldest task that is due waits for a worker, 0 if none is; looked at with the former";
}

/// All labels.
pub const LABELS: &[LabelSpec] = &[
    LabelSpec::new("namespace", "the namespace of the scheduler"),
    LabelSpec::new(
        "messaging_destination_name",
        "the queue; `(other)` beyond the first 1,024 of a process",
    ),
    LabelSpec::new(
        "kind",
        "the kind of task; `(unknown)` for one that the worker has no handler for, or that it cannot read",
    ),
    LabelSpec::new(
        "outcome",
        "`succeeded`, `retried`, `snoozed`, `released` because the worker ended, `unable` to do it here, `dead`, `cancelled`, `failed` where a task is begun at most once, or `lost` with its lease",
    ),
    LabelSpec::new(
        "error_type",
        "`returned` for an error, `panicked` or `timed_out`; left out where the handler succeeded",
    ),
    LabelSpec::new(
        "state",
        "`pending`, due or not, `due`, `running`, `done` or `dead`",
    ),
];

const SPAN: [bool; 2] = [true, false];

/// All fields of the spans `enqueue` and `process`.
pub const FIELDS: &[FieldSpec] = &[
    FieldSpec::new(
        "otel.name",
        SPAN,
        "the span's name: the operation and the queue",
    ),
    FieldSpec::new(
        "otel.kind",
        SPAN,
        "`producer` where tasks are scheduled, `consumer` where they run",
    ),
    FieldSpec::new("otel.status_code", SPAN, "`ERROR` if it failed"),
    FieldSpec::new("messaging.system", SPAN, "`kv-scheduler`"),
    FieldSpec::new("messaging.operation.name", SPAN, "`enqueue` or `process`"),
    FieldSpec::new("messaging.operation.type", SPAN, "`send` or `process`"),
    FieldSpec::new("messaging.destination.name", SPAN, "the queue"),
    FieldSpec::new(
        "messaging.message.id",
        SPAN,
        "the task's id, if it is one task that is scheduled",
    ),
    FieldSpec::new(
        "messaging.batch.message_count",
        SPAN,
        "how many tasks are scheduled at once",
    ),
    FieldSpec::new(
        "messaging.message.envelope.size",
        SPAN,
        "what is stored of a task that is scheduled, in bytes",
    ),
    FieldSpec::new(
        "messaging.message.body.size",
        SPAN,
        "the payload of one that runs, in bytes",
    ),
    FieldSpec::new(
        "error.type",
        SPAN,
        "the name of the `ErrorKind`, or as the label `error_type`",
    ),
    FieldSpec::new("kv.namespace", SPAN, "as the label `namespace`"),
    FieldSpec::new("kv.task.kind", SPAN, "the kind of task"),
    FieldSpec::new(
        "kv.task.attempt",
        SPAN,
        "which attempt it is, counted from 1",
    ),
    FieldSpec::new(
        "kv.task.traceparent",
        SPAN,
        "the trace in which the task was scheduled, to be linked: a task that waited a day is no child of it",
    ),
];
