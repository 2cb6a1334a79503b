//! Spans.

use crate::Fence;
use kv_core::telemetry::TARGET;
use tracing::{Span, field::Empty};

/// A lock is asked for.
pub(super) fn acquire(kind: &'static str, name: Option<String>) -> Span {
    tracing::info_span!(
        target: TARGET,
        "acquire",
        otel.name = format_args!("acquire {kind}"),
        otel.status_code = Empty,
        error.r#type = Empty,
        kv.lock.kind = kind,
        kv.lock.name = name,
        kv.lock.outcome = Empty,
        kv.lock.calls = Empty,
    )
}

/// A lock is held.
pub(super) fn hold(kind: &'static str, name: Option<String>, fence: Fence) -> Span {
    tracing::info_span!(
        target: TARGET,
        "hold",
        otel.name = format_args!("hold {kind}"),
        otel.status_code = Empty,
        error.r#type = Empty,
        kv.lock.kind = kind,
        kv.lock.name = name,
        kv.lock.outcome = Empty,
        kv.lock.fence = fence.get(),
    )
}

/// What becomes of a span whose work failed.
pub(super) trait Fail {
    fn fail(&self, what: &'static str);
}

impl Fail for Span {
    fn fail(&self, what: &'static str) {
        self.record("otel.status_code", "ERROR");
        self.record("error.type", what);
    }
}
