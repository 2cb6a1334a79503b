//! The fields of spans and events.

use kv_core::telemetry::FieldSpec;

const SPAN: [bool; 2] = [true, false];
const EVENT: [bool; 2] = [false, true];
const BOTH: [bool; 2] = [true, true];

/// All fields.
pub const FIELDS: &[FieldSpec] = &[
    FieldSpec::new(
        "otel.name",
        SPAN,
        "the span's name: the operation and the namespace",
    ),
    FieldSpec::new("otel.kind", SPAN, "`client`"),
    FieldSpec::new("otel.status_code", SPAN, "`ERROR` if the call failed"),
    FieldSpec::new("db.system.name", BOTH, "the provider"),
    FieldSpec::new(
        "db.operation.name",
        BOTH,
        "the method on `Kv`, or `watch` for beginning one",
    ),
    FieldSpec::new(
        "db.namespace",
        SPAN,
        "the namespace of the store's keys, if the layer was told",
    ),
    FieldSpec::new(
        "db.operation.batch.size",
        SPAN,
        "how many keys the call names, if more than one",
    ),
    FieldSpec::new("server.address", SPAN, "the host, if the layer was told"),
    FieldSpec::new("server.port", SPAN, "its port, if the layer was told"),
    FieldSpec::new(
        "error.type",
        BOTH,
        "as the label `error_type`, if the call failed or was dropped",
    ),
    FieldSpec::new("kv.store", BOTH, "as the label `store`"),
    FieldSpec::new(
        "kv.key",
        SPAN,
        "the beginning of the key, if that is switched on",
    ),
    FieldSpec::new("kv.outcome", BOTH, "as the label `outcome`"),
    FieldSpec::new("kv.duration", EVENT, "how long the call took, in seconds"),
    FieldSpec::new(
        "kv.slow",
        EVENT,
        "`true` if that was longer than the threshold",
    ),
    FieldSpec::new("message", EVENT, "the same for all: `call ended`"),
];
