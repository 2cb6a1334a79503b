//! The metrics.

use kv_core::telemetry::LabelSpec;

kv_core::metric_table! {
    DURATION: Histogram Seconds "db_client_operation_duration_seconds"
        [store db_system_name db_operation_name error_type] "observe"
        "How long calls took, from the call to its answer; a dropped one until it was dropped";
    OPERATIONS: Counter Count "kv_operations_total"
        [store db_system_name db_operation_name outcome] "observe"
        "How calls ended";
    IN_FLIGHT: Gauge Count "kv_operations_in_flight"
        [store db_system_name] "observe"
        "Calls that have not ended";
    READ_BYTES: Counter Bytes "kv_read_bytes_total"
        [store db_system_name db_operation_name] "observe"
        "Values, fields and members in answers; keys do not count";
    WRITTEN_BYTES: Counter Bytes "kv_written_bytes_total"
        [store db_system_name db_operation_name] "observe"
        "Values, fields and members in writing calls, whether they were applied or not; keys do not count";
    LOOKUPS: Counter Count "kv_lookups_total"
        [store db_system_name db_operation_name result] "observe"
        "Keys, fields and members that `get`, `get_many`, `hget`, `hget_many` and `zscore` asked for, one by one";
    WATCHES: Gauge Count "kv_watches"
        [store db_system_name] "observe"
        "Watches that are live; waiting for keys is made of them";
    WATCH_EVENTS: Counter Count "kv_watch_events_total"
        [store db_system_name event] "observe"
        "What watches told";
    RETRIES: Counter Count "kv_retries_total"
        [store] "retry"
        "Attempts after the first";
    RETRIES_GIVEN_UP: Counter Count "kv_retries_given_up_total"
        [store reason] "retry"
        "Calls that were not repeated any more, though it would have done no harm";
    BREAKER_STATE: Gauge State "kv_circuit_breaker_state"
        [store] "circuit_breaker"
        "0 closed, 1 half open, 2 open";
    BREAKER_TRANSITIONS: Counter Count "kv_circuit_breaker_transitions_total"
        [store to] "circuit_breaker"
        "Changes of the state";
    BREAKER_REFUSED: Counter Count "kv_circuit_breaker_refused_total"
        [store] "circuit_breaker"
        "Calls that were refused without touching the store";
    LIMIT_WAITING: Gauge Count "kv_concurrency_limit_waiting"
        [store] "concurrency_limit"
        "Calls that wait for a place";
    LIMIT_REFUSED: Counter Count "kv_concurrency_limit_refused_total"
        [store reason] "concurrency_limit"
        "Calls that got no place";
    HEDGES: Counter Count "kv_hedges_total"
        [store] "hedge"
        "Reads that were asked for a second time";
    HEDGES_WON: Counter Count "kv_hedges_won_total"
        [store] "hedge"
        "Reads that the second asking answered";
    FALLBACKS: Counter Count "kv_fallbacks_total"
        [store reason outcome] "fallback"
        "Reads that went to the second store, and what it had";
    NEAR_LOOKUPS: Counter Count "kv_near_cache_lookups_total"
        [store result] "near_cache"
        "Keys that were looked for in memory, one by one; those known to be missing are hits, too";
    NEAR_REFUSED: Counter Count "kv_near_cache_refused_total"
        [store] "near_cache"
        "Answers that were not kept because something touched the key while they were on their way";
    NEAR_REMOVED: Counter Count "kv_near_cache_removed_total"
        [store reason] "near_cache"
        "Entries that went, and why; one that a newer answer replaced does not count";
    NEAR_LIVE: Gauge State "kv_near_cache_live"
        [store] "near_cache"
        "1 while it answers from memory, 0 while all reads go to the store";
    FLIGHTS: Counter Count "kv_single_flight_reads_total"
        [store role] "single_flight"
        "Reads that could be shared: those that asked the store, and those that got the answer of another";
    COMPRESSED: Counter Bytes "kv_compress_bytes_total"
        [store stage] "compress"
        "Values to be written, before and after they were packed; those that are stored as they are count in both";
    COMPRESS_REFUSED: Counter Count "kv_compress_refused_total"
        [store reason] "compress"
        "Values that were neither written nor read; a change that is told without its value does not count";
    ENCRYPTED: Counter Count "kv_encrypt_sealed_total"
        [store key_name] "encrypt"
        "Values to be written, by the key that they were encrypted with";
    DECRYPTED: Counter Count "kv_encrypt_opened_total"
        [store key_name] "encrypt"
        "Values that were read, and those that events told, by the key that they were encrypted with; a key that nobody needs any more no longer moves";
    ENCRYPT_REFUSED: Counter Count "kv_encrypt_refused_total"
        [store reason] "encrypt"
        "Values and messages that were read and did not open; a change that is told without its value does not count";
}

/// All labels.
pub const LABELS: &[LabelSpec] = &[
    LabelSpec::new(
        "store",
        "the store's name in the configuration; `unnamed` for a stack made in code that gives none",
    ),
    LabelSpec::new(
        "db_system_name",
        "the provider: `memory`, `redis`, `etcd`, or one of your own",
    ),
    LabelSpec::new(
        "db_operation_name",
        "the method on `Kv`, as the command table lists it, or `watch` for beginning one",
    ),
    LabelSpec::new(
        "error_type",
        "the name of the `ErrorKind`, as in `unavailable`, or `cancelled` for a call that was dropped; left out where nothing failed",
    ),
    LabelSpec::new(
        "outcome",
        "of a call: `ok`, `hit` or `miss` for reads of one thing, `refused` for a condition that did not hold or a limit that was reached, `partial` for a batch some items of which failed, or a move some bodies of which could not be read, `cancelled`, or the name of the `ErrorKind`; of a fallback: `hit`, `miss` or `failed`",
    ),
    LabelSpec::new("result", "`hit` or `miss`"),
    LabelSpec::new("event", "`put`, `delete`, `message`, `resync` or `error`"),
    LabelSpec::new(
        "reason",
        "of giving up: `attempts`, `time` or `budget`; of a refusal by `concurrency_limit`: `full` or `waited`; of a fallback: `error` or `miss`; of what left a near cache: `touched` by a write or an event, `cleared` with all others when the watch was lost or missed something, a prefix was cleared, or the store was closed, `expired`, or `room`; of a refusal by `compress`: `too_long` to be written, `bomb` for what would unpack to more than is allowed, `foreign` for what the layer did not write, or `damaged`; by `encrypt`: `unknown_key`, `plain`, or `damaged`, which may also be out of place",
    ),
    LabelSpec::new("to", "`closed`, `half_open` or `open`"),
    LabelSpec::new("role", "`asked` or `joined`"),
    LabelSpec::new(
        "stage",
        "`plain` for what callers wrote, `stored` for what became of it",
    ),
    LabelSpec::new(
        "key_name",
        "the name of the encryption key in the configuration, or `(plain)`, which is no name that a key can have, for a value that is let through as it is",
    ),
];
