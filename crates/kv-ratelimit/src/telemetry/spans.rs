//! Spans.

use kv_core::{Error, telemetry::TARGET};
use tracing::{Span, field::Empty};

/// The store is asked about a limit. What this process decides by itself has none.
pub(crate) fn limit(policy: &str, subject: Option<String>) -> Span {
    tracing::info_span!(
        target: TARGET,
        "limit",
        otel.name = format_args!("limit {policy}"),
        otel.status_code = Empty,
        error.r#type = Empty,
        kv.ratelimit.policy = policy,
        kv.ratelimit.subject = subject,
    )
}

pub(crate) fn fail(span: &Span, error: &Error) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error.kind().name());
}
