//! The page about what the layers tell.

use kv_wrappers::telemetry::{FIELDS, LABELS, METRICS, TARGET};
use std::fmt::{self, Write};

/// Where it is, from the root of the repository.
pub(crate) const PATH: &str = "docs/metrics.md";

pub(crate) fn page() -> Result<String, fmt::Error> {
    let mut out = String::from(
        "<!-- generated from crates/kv-wrappers/src/telemetry (cargo xtask example generate); do not edit -->\n\
         # What the layers tell\n\n\
         Metrics go to the recorder of the crate `metrics`, spans and events to the subscriber of `tracing`;\n\
         both are the program's, installed before a stack is put together. `cargo xtask example observed`\n\
         exports them to Prometheus and OpenTelemetry and has a dashboard.\n\n\
         ## Metrics\n\n\
         Latency has the name that OpenTelemetry's `db.client.operation.duration` has in Prometheus, and labels\n\
         are OpenTelemetry's attributes with underscores where there is one; the rest begins with `kv_`.\n\n\
         | metric | kind | unit | labels | told by | meaning |\n|---|---|---|---|---|---|\n",
    );
    for it in METRICS {
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
    out.push_str("\n## Labels\n\n| label | values |\n|---|---|\n");
    for it in LABELS {
        writeln!(out, "| `{}` | {} |", it.name, it.meaning)?;
    }
    let kinds: Vec<_> = kv_core::ErrorKind::ALL.iter().map(|it| it.name()).collect();
    writeln!(out, "\nThe names of `ErrorKind`: {}.", codes(&kinds))?;
    write!(
        out,
        "\n## Spans and events\n\n\
         The target is `{TARGET}`. A call is a span named after the operation and the namespace, and one event when\n\
         it ends: with a warning if the store was in trouble or the call was slow, else at the layer's level.\n\
         Keys are not told unless that is switched on, and then only their beginning; values and the texts of\n\
         errors never are.\n\n\
         | field | span | event | meaning |\n|---|---|---|---|\n"
    )?;
    for it in FIELDS {
        let [span, event] = [it.on_span, it.on_event].map(|is| if is { "yes" } else { "" });
        writeln!(out, "| `{}` | {span} | {event} | {} |", it.name, it.meaning)?;
    }
    Ok(out)
}

fn codes(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|it| format!("`{it}`")).collect();
    names.join(", ")
}
