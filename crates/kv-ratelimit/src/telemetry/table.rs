//! The tables.

use kv_core::telemetry::{FieldSpec, LabelSpec};

kv_core::metric_table! {
    DECISIONS: Counter Count "kv_ratelimit_decisions_total"
        [policy verdict source] "ratelimit"
        "Decisions about requests";
    COST: Counter Count "kv_ratelimit_cost_allowed_total"
        [policy] "ratelimit"
        "What the requests cost that were allowed: the sum that the quota bounds";
    STORE: Histogram Seconds "kv_ratelimit_store_seconds"
        [policy] "ratelimit"
        "How long the store took to answer, or not to";
    ERRORS: Counter Count "kv_ratelimit_store_errors_total"
        [policy error_type] "ratelimit"
        "Questions that the store did not answer; each is an error or a decision by the policy's rule, never a denial by the quota";
    LEASED: Counter Count "kv_ratelimit_leased_units_total"
        [policy] "ratelimit"
        "Units that were taken from the store in advance";
    LAPSED: Counter Count "kv_ratelimit_lapsed_units_total"
        [policy] "ratelimit"
        "Units that were taken in advance and not used in time, and given back";
    POLICY_CHANGES: Counter Count "kv_ratelimit_policy_changes_total"
        [outcome] "ratelimit"
        "How often what policies follow was read anew and put in force, or not";
    RESERVATIONS: Counter Count "kv_ratelimit_budget_reservations_total"
        [outcome] "ratelimit"
        "How reservations of budgets ended";
    SETTLED: Counter Count "kv_ratelimit_budget_settled_total"
        [] "ratelimit"
        "What reservations really cost; those that were released cost nothing";
    RESERVATIONS_LAPSED: Counter Count "kv_ratelimit_budget_lapsed_total"
        [] "ratelimit"
        "Reservations of budgets that had lapsed, and whose room this process gave back";
}

/// All labels.
pub const LABELS: &[LabelSpec] = &[
    LabelSpec::new("policy", "the name of the rate limit policy"),
    LabelSpec::new(
        "verdict",
        "`allowed`, `denied`, or `would_deny` where a policy is only tried out",
    ),
    LabelSpec::new(
        "source",
        "who decided: the `store`; this process by a `local_deny`, a `lease`, `in_process` or its `flood_guard`; the rule for a store that fails, `fallback`; the `allow_list`; or `not_asked` where another limit of the same request denied it",
    ),
    LabelSpec::new(
        "outcome",
        "of a reservation `reserved`, now or before by the same id; `over`; or `failed` where the store did not answer; of a change of policies `applied` or `refused`",
    ),
    LabelSpec::new("error_type", "the name of the `ErrorKind`"),
];

const SPAN: [bool; 2] = [true, false];

/// All fields of the span `limit`.
pub const FIELDS: &[FieldSpec] = &[
    FieldSpec::new(
        "otel.name",
        SPAN,
        "the span's name: the operation and the policy",
    ),
    FieldSpec::new(
        "otel.status_code",
        SPAN,
        "`ERROR` if the store did not answer",
    ),
    FieldSpec::new("error.type", SPAN, "the name of the `ErrorKind`"),
    FieldSpec::new("kv.ratelimit.policy", SPAN, "as the label `policy`"),
    FieldSpec::new(
        "kv.ratelimit.subject",
        SPAN,
        "the beginning of the subject, if that is switched on",
    ),
];
