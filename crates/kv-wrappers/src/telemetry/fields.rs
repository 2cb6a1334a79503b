//! The fields of spans and events.

/// A field of a span or an event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FieldSpec {
    /// The name.
    pub name: &'static str,
    /// Whether spans have it.
    pub on_span: bool,
    /// Whether events have it.
    pub on_event: bool,
    /// What it means.
    pub meaning: &'static str,
}

/// The target of all spans and events, for filters: `kv=debug`.
pub const TARGET: &str = "kv";

const fn field(
    name: &'static str,
    [on_span, on_event]: [bool; 2],
    meaning: &'static str,
) -> FieldSpec {
    FieldSpec {
        name,
        on_span,
        on_event,
        meaning,
    }
}

const SPAN: [bool; 2] = [true, false];
const EVENT: [bool; 2] = [false, true];
const BOTH: [bool; 2] = [true, true];

/// All fields.
pub const FIELDS: &[FieldSpec] = &[
    field(
        "otel.name",
        SPAN,
        "the span's name: the operation and the namespace",
    ),
    field("otel.kind", SPAN, "`client`"),
    field("otel.status_code", SPAN, "`ERROR` if the call failed"),
    field("db.system.name", BOTH, "the provider"),
    field(
        "db.operation.name",
        BOTH,
        "the method on `Kv`, or `watch` for beginning one",
    ),
    field(
        "db.namespace",
        SPAN,
        "the namespace of the store's keys, if the layer was told",
    ),
    field(
        "db.operation.batch.size",
        SPAN,
        "how many keys the call names, if more than one",
    ),
    field("server.address", SPAN, "the host, if the layer was told"),
    field("server.port", SPAN, "its port, if the layer was told"),
    field(
        "error.type",
        BOTH,
        "as the label `error_type`, if the call failed or was dropped",
    ),
    field("kv.store", BOTH, "as the label `store`"),
    field(
        "kv.key",
        SPAN,
        "the beginning of the key, if that is switched on",
    ),
    field("kv.outcome", BOTH, "as the label `outcome`"),
    field("kv.duration", EVENT, "how long the call took, in seconds"),
    field(
        "kv.slow",
        EVENT,
        "`true` if that was longer than the threshold",
    ),
    field("message", EVENT, "the same for all: `call ended`"),
];
