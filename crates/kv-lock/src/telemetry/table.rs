//! The tables.

use kv_core::telemetry::{FieldSpec, LabelSpec};

kv_core::metric_table! {
    ACQUISITIONS: Counter Count "kv_lock_acquisitions_total"
        [kind outcome] "lock"
        "How acquisitions ended";
    WAIT: Histogram Seconds "kv_lock_wait_seconds"
        [kind] "lock"
        "How long it took until a lock was granted, waiting for others included; what was not granted does not count";
    CALLS: Histogram Count "kv_lock_acquisition_calls"
        [kind] "lock"
        "How often the store was called until a lock was granted: once if nobody else wants it";
    ASKING: Gauge Count "kv_lock_waiting"
        [kind] "lock"
        "Acquisitions in this process that have not ended: those that wait for others, and those whose call is under way";
    HELD: Gauge Count "kv_locks_held"
        [kind] "lock"
        "Locks that this process holds";
    HOLD: Histogram Seconds "kv_lock_hold_seconds"
        [kind] "lock"
        "How long locks were held, until they were released or lost";
    LOST: Counter Count "kv_locks_lost_total"
        [kind reason] "lock"
        "Locks that were lost";
    RENEWALS: Counter Count "kv_lock_renewals_total"
        [kind outcome] "lock"
        "What became of renewals, lock by lock; many go with one call";
    LAG: Histogram Seconds "kv_lock_renewal_lag_seconds"
        [kind] "lock"
        "How long after it was due a lock was renewed: when it comes near the lease, locks will be lost";
}

/// All labels.
pub const LABELS: &[LabelSpec] = &[
    LabelSpec::new(
        "kind",
        "the kind of lock: `exclusive`, `fair`, `read`, `write`, `semaphore` or `election`",
    ),
    LabelSpec::new(
        "outcome",
        "of an acquisition: `acquired`, `busy` where it does not wait, `timeout`, `failed` by an error, or `cancelled` because it was dropped; of a renewal: `renewed`, `refused` because the lock is another's, or `failed`, to be tried again",
    ),
    LabelSpec::new(
        "reason",
        "`expired`, `taken` by force or forgotten by the store, `held_too_long` or `no_heartbeat`",
    ),
];

const SPAN: [bool; 2] = [true, false];

/// All fields of the spans `acquire` and `hold`.
pub const FIELDS: &[FieldSpec] = &[
    FieldSpec::new(
        "otel.name",
        SPAN,
        "the span's name: the operation and the kind of lock",
    ),
    FieldSpec::new(
        "otel.status_code",
        SPAN,
        "`ERROR` if an acquisition failed, or the lock was lost",
    ),
    FieldSpec::new(
        "error.type",
        SPAN,
        "the name of the `ErrorKind`, `timeout`, or as the label `reason`",
    ),
    FieldSpec::new("kv.lock.kind", SPAN, "as the label `kind`"),
    FieldSpec::new(
        "kv.lock.name",
        SPAN,
        "the beginning of the lock's name, if that is switched on",
    ),
    FieldSpec::new(
        "kv.lock.outcome",
        SPAN,
        "of `acquire`: as the label `outcome`; of `hold`: `released` or `lost`",
    ),
    FieldSpec::new(
        "kv.lock.calls",
        SPAN,
        "how often the store was called for an acquisition",
    ),
    FieldSpec::new("kv.lock.fence", SPAN, "the fence of what is held"),
];
