//! Spans, as OpenTelemetry's conventions for messaging have them.

use super::meters::Failed;
use crate::{envelope::Envelope, queue::Queue, transitions::Planned};
use kv_core::{Error, Member, telemetry::TARGET};
use tracing::{Span, field::Empty};

const SYSTEM: &str = "kv-scheduler";

/// A task is scheduled.
pub(crate) fn enqueue(queue: &Queue, task: &Planned, kind: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "enqueue",
        otel.name = format_args!("enqueue {}", queue.name),
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = SYSTEM,
        messaging.operation.name = "enqueue",
        messaging.operation.r#type = "send",
        messaging.destination.name = queue.name.as_str(),
        messaging.message.id = id(&task.member),
        messaging.message.envelope.size = task.envelope.as_bytes().len() as u64,
        error.r#type = Empty,
        kv.namespace = queue.namespace.as_str(),
        kv.task.kind = kind,
    )
}

/// So many tasks are scheduled at once, perhaps to several queues.
pub(crate) fn enqueue_many(namespace: &str, kind: &str, tasks: usize) -> Span {
    tracing::info_span!(
        target: TARGET,
        "enqueue",
        otel.name = "enqueue many",
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = SYSTEM,
        messaging.operation.name = "enqueue",
        messaging.operation.r#type = "send",
        messaging.batch.message_count = tasks as u64,
        error.r#type = Empty,
        kv.namespace = namespace,
        kv.task.kind = kind,
    )
}

/// A handler runs. The trace of the task is told, to be linked: what runs in the span can do so by
/// [`TraceContext::current`](crate::TraceContext::current).
pub(crate) fn process(queue: &Queue, member: &Member, envelope: &Envelope, attempt: u32) -> Span {
    let trace = envelope.trace.as_ref();
    // A root: nothing that is under way in the dispatcher asked for it.
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "process",
        otel.name = format_args!("process {}", queue.name),
        otel.kind = "consumer",
        otel.status_code = Empty,
        messaging.system = SYSTEM,
        messaging.operation.name = "process",
        messaging.operation.r#type = "process",
        messaging.destination.name = queue.name.as_str(),
        messaging.message.id = id(member),
        messaging.message.body.size = envelope.payload.len() as u64,
        error.r#type = Empty,
        kv.namespace = queue.namespace.as_str(),
        kv.task.kind = envelope.kind,
        kv.task.attempt = attempt,
        kv.task.traceparent = trace.map(crate::TraceContext::parent),
    )
}

/// The id without the tenant, which is nobody else's business.
fn id(member: &Member) -> Option<&str> {
    let text = member.to_str().ok()?;
    text.split('@').next()
}

/// What becomes of a span whose work failed.
pub(crate) trait Fail {
    fn fail(&self, error: &Error);

    fn fail_by(&self, failed: Failed);
}

impl Fail for Span {
    fn fail(&self, error: &Error) {
        self.record("otel.status_code", "ERROR");
        self.record("error.type", error.kind().name());
    }

    fn fail_by(&self, failed: Failed) {
        self.record("otel.status_code", "ERROR");
        self.record("error.type", failed.name());
    }
}
