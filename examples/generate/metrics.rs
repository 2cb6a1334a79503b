//! The page about what the layers, the scheduler, locks, rate limits and caches tell.

use kv_cache::telemetry as cache;
use kv_lock::telemetry as lock;
use kv_ratelimit::telemetry as ratelimit;
use kv_scheduler::telemetry as scheduler;
use kv_wrappers::telemetry::{FIELDS, FieldSpec, LABELS, LabelSpec, METRICS, MetricSpec, TARGET};
use std::fmt::{self, Write};

/// Where it is, from the root of the repository.
pub(crate) const PATH: &str = "docs/metrics.md";

pub(crate) fn page() -> Result<String, fmt::Error> {
    let mut out = String::from(
        "<!-- generated from the telemetry of kv-wrappers, kv-scheduler, kv-lock, kv-ratelimit and kv-cache (cargo xtask example generate); do not edit -->\n\
         # What the layers, the scheduler, locks, rate limits and caches tell\n\n\
         Metrics go to the recorder of the crate `metrics`, spans and events to the subscriber of `tracing`;\n\
         both are the program's, installed before a stack is put together. `cargo xtask example observed`\n\
         exports them to Prometheus and OpenTelemetry and has a dashboard.\n\n\
         ## Metrics\n\n\
         Latency has the name that OpenTelemetry's `db.client.operation.duration` has in Prometheus, and labels\n\
         are OpenTelemetry's attributes with underscores where there is one; the rest begins with `kv_`.\n",
    );
    write_metrics(&mut out, METRICS)?;
    write_labels(&mut out, "## Labels", LABELS)?;
    let kinds: Vec<_> = kv_core::ErrorKind::ALL.iter().map(|it| it.name()).collect();
    writeln!(out, "\nThe names of `ErrorKind`: {}.", codes(&kinds))?;
    write!(
        out,
        "\n## Spans and events\n\n\
         The target is `{TARGET}`. A call is a span named after the operation and the namespace, and one event when\n\
         it ends: with a warning if the store was in trouble or the call was slow, else at the layer's level.\n\
         Keys are not told unless that is switched on, and then only their beginning; values and the texts of\n\
         errors never are.\n"
    )?;
    write_fields(&mut out, FIELDS)?;
    out.push_str(
        "\n## The scheduler\n\n\
         Install recorder and subscriber before a scheduler is made. How long handlers run has the name that\n\
         OpenTelemetry's `messaging.process.duration` has in Prometheus.\n",
    );
    write_metrics(&mut out, scheduler::METRICS)?;
    write_labels(&mut out, "### Labels of the scheduler", scheduler::LABELS)?;
    out.push_str(
        "\n### Spans of the scheduler\n\n\
         `enqueue`, for a task or for as many as go with one request, and `process`, a root, in which the handler\n\
         runs. Both are at the level `INFO`. Handlers, and layers of tower around them, have the trace in which the\n\
         task was scheduled as `TraceContext::current()`; a bridge to OpenTelemetry adds it to the span as a link.\n",
    );
    write_fields(&mut out, scheduler::FIELDS)?;
    out.push_str(
        "\n## Locks\n\n\
         Install recorder and subscriber before a manager of locks is made. The name of a lock is no label, since\n\
         there is no end of them.\n",
    );
    write_metrics(&mut out, lock::METRICS)?;
    write_labels(&mut out, "### Labels of locks", lock::LABELS)?;
    out.push_str(
        "\n### Spans of locks\n\n\
         `acquire`, until a lock is granted or not, and `hold`, until it is released or lost: what `run` is given runs\n\
         in it. Both are at the level `INFO` and in the span of who acquires. Names are not told unless that is\n\
         switched on, and then only their beginning. A loss is an event at the level `WARN` in `hold`, with the fence.\n",
    );
    write_fields(&mut out, lock::FIELDS)?;
    out.push_str(
        "\n## Rate limits\n\n\
         Install recorder and subscriber before a limiter is made. Neither the subject of a limit nor the name of a budget\n\
         is a label, since there is no end of them.\n",
    );
    write_metrics(&mut out, ratelimit::METRICS)?;
    write_labels(&mut out, "### Labels of rate limits", ratelimit::LABELS)?;
    out.push_str(
        "\n### Spans of rate limits\n\n\
         `limit`, while the store is asked about one, at the level `INFO`. What a process decides by itself has none.\n",
    );
    write_fields(&mut out, ratelimit::FIELDS)?;
    out.push_str(
        "\n## Caches\n\n\
         Install recorder and subscriber before a cache is built. The name of an entry is no label, since there is no end\n\
         of them. `Cache::stats()` has the same numbers.\n",
    );
    write_metrics(&mut out, cache::METRICS)?;
    write_labels(&mut out, "### Labels of caches", cache::LABELS)?;
    out.push_str(
        "\n### Spans of caches\n\n\
         `load`, while an entry is loaded, at the level `INFO`, in the span of who asked first; the loader runs in it.\n",
    );
    write_fields(&mut out, cache::FIELDS)?;
    Ok(out)
}

fn write_metrics(out: &mut String, metrics: &[MetricSpec]) -> fmt::Result {
    out.push_str(
        "\n| metric | kind | unit | labels | told by | meaning |\n|---|---|---|---|---|---|\n",
    );
    for it in metrics {
        writeln!(
            out,
            "| `{}` | {} | {} | {} | `{}` | {} |",
            it.name,
            it.kind.name(),
            it.unit.name(),
            codes(it.labels),
            it.layer,
            it.meaning
        )?;
    }
    Ok(())
}

fn write_labels(out: &mut String, title: &str, labels: &[LabelSpec]) -> fmt::Result {
    writeln!(out, "\n{title}\n\n| label | values |\n|---|---|")?;
    for it in labels {
        writeln!(out, "| `{}` | {} |", it.name, it.meaning)?;
    }
    Ok(())
}

fn write_fields(out: &mut String, fields: &[FieldSpec]) -> fmt::Result {
    out.push_str("\n| field | span | event | meaning |\n|---|---|---|---|\n");
    for it in fields {
        let [span, event] = [it.on_span, it.on_event].map(|is| if is { "yes" } else { "" });
        writeln!(out, "| `{}` | {span} | {event} | {} |", it.name, it.meaning)?;
    }
    Ok(())
}

fn codes(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
    names.join(", ")
}
