//! All that is stored of a task.

use super::when::{self, Told};
use crate::{
    args::tasks::Named,
    command::span::span,
    exit::{Exit, Failure},
    output::Output,
    text,
};
use kv_core::Timestamp;
use kv_scheduler::{Details, Priority, Scheduler};
use serde_json::{Value as Json, json};

/// Whether payload and result are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    Shown,
    Hidden,
}

impl From<bool> for Payload {
    fn from(is_wanted: bool) -> Self {
        match is_wanted {
            true => Self::Shown,
            false => Self::Hidden,
        }
    }
}

pub(super) async fn show(
    scheduler: &Scheduler,
    task: Named,
    payload: Payload,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let admin = scheduler.admin(&task.queue)?;
    let Some(details) = admin.task(&task.id)?.details().await? else {
        return Ok(Exit::Absent);
    };
    let now = admin.overview().await?.now;
    let json = document(&task.queue, &details, payload);
    out.result(|| page(&task.queue, &details, payload, now), json)?;
    Ok(Exit::Found)
}

/// A line for each thing there is to say.
fn page(queue: &str, details: &Details, payload: Payload, now: Timestamp) -> String {
    let status = &details.status;
    let told = Told::of(Some(status.state));
    let bytes = |it: &Option<Vec<u8>>| it.as_deref().map(text::line);
    let claims = details.claims;
    let retry = &details.retry;
    let failed_at = status.failed_at.map(|at| when::line(at, now));
    let error = status.error.as_deref().map(|it| text::line(it.as_bytes()));
    let progress = status.progress::<Json>().ok().flatten();
    let trace = details.trace.as_ref().map(|it| it.parent().to_owned());
    let lines = [
        ("id", Some(details.id.to_string())),
        ("queue", Some(queue.to_owned())),
        ("kind", Some(text::line(status.kind.as_bytes()))),
        ("tenant", bytes(&details.tenant)),
        ("user", bytes(&details.user)),
        ("state", Some(format!("{}, {}", told.state, told.line(now)))),
        ("scheduled", Some(when::line(status.scheduled, now))),
        ("priority", Some(priority(status.priority).to_owned())),
        (
            "attempts",
            Some(format!("{} of {}", status.attempts, retry.max_attempts())),
        ),
        (
            "claims",
            Some(format!(
                "{}: {} failed, {} given back",
                claims.all, claims.failed, claims.refunded
            )),
        ),
        ("last error", error),
        ("failed", failed_at),
        (
            "progress",
            progress.map(|it| text::line(it.to_string().as_bytes())),
        ),
        ("deadline", details.deadline.map(|at| when::line(at, now))),
        (
            "timeout",
            Some(details.timeout.map_or_else(|| "none".to_owned(), span)),
        ),
        ("kept when done", details.retention.map(span)),
        (
            "unique key",
            details
                .unique
                .as_deref()
                .map(|it| text::line(it.as_bytes())),
        ),
        ("trace", trace),
        (
            "payload",
            Some(shown(payload, details.payload.len(), payload_of(details))),
        ),
        (
            "result",
            details
                .result
                .as_ref()
                .map(|it| shown(payload, it.len(), result_of(details))),
        ),
    ];
    let lines = lines.into_iter();
    let lines = lines.filter_map(|(name, value)| Some(format!("{name:<14}  {}", value?)));
    lines.collect::<Vec<_>>().join("\n")
}

fn document(queue: &str, details: &Details, payload: Payload) -> Json {
    let status = &details.status;
    let bytes = |it: &Option<Vec<u8>>| it.as_deref().map(text::json);
    let mut json = json!({
        "id": details.id.as_str(),
        "queue": queue,
        "kind": status.kind,
        "tenant": bytes(&details.tenant),
        "user": bytes(&details.user),
        "scheduled": when::json(status.scheduled),
        "priority": priority(status.priority),
        "attempts": status.attempts,
        "max_attempts": details.retry.max_attempts(),
        "claims": {
            "all": details.claims.all,
            "failed": details.claims.failed,
            "refunded": details.claims.refunded,
        },
        "error": status.error,
        "failed_at": status.failed_at.map(when::json),
        "progress": status.progress::<Json>().ok().flatten(),
        "deadline": details.deadline.map(when::json),
        "timeout_ms": details.timeout.map(|it| it.as_millis()),
        "retention_ms": details.retention.map(|it| it.as_millis()),
        "unique": details.unique,
        "traceparent": details.trace.as_ref().map(|it| it.parent()),
        "payload_bytes": details.payload.len(),
        "result_bytes": details.result.as_ref().map(|it| it.len()),
    });
    Told::of(Some(status.state)).put_into(&mut json);
    if payload == Payload::Shown {
        json["payload"] = payload_of(details);
        json["result"] = result_of(details);
    }
    json
}

fn shown(payload: Payload, bytes: usize, json: Json) -> String {
    match payload {
        Payload::Shown => text::line(json.to_string().as_bytes()),
        Payload::Hidden => format!("{bytes} bytes; --payload shows them"),
    }
}

/// As JSON if it can be written as such, else as bytes.
fn payload_of(details: &Details) -> Json {
    let payload = details.payload_as::<Json>();
    payload.unwrap_or_else(|_| text::json(&details.payload))
}

fn result_of(details: &Details) -> Json {
    let result = details.result_as::<Json>().map(Option::unwrap_or_default);
    let raw = || details.result.as_deref().map(text::json);
    result.unwrap_or_else(|_| raw().unwrap_or_default())
}

fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}
