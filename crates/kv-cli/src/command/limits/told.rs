//! Policies and decisions as people and programs are told of them.

use crate::{command::span::span, text};
use kv_ratelimit::{Decision, OnErrorSetting, PolicySettings, Quota, Source, TierSetting, Verdict};
use serde_json::{Value as Json, json};
use std::time::Duration;

pub(super) const HEADER: [&str; 5] = ["policy", "quota", "tier", "on error", "besides"];

pub(super) fn row(name: &str, policy: &PolicySettings, quota: &Quota) -> ([String; 5], Json) {
    let (quota, tier) = (quota.to_string(), tier(policy.tier));
    let (rule, share) = (on_error(policy.on_error), policy.local_share);
    let on_error = match share {
        Some(share) => format!("{rule}, share {share}"),
        None => rule.to_owned(),
    };
    let cells = [
        text::line(name.as_bytes()),
        quota.clone(),
        tier.to_owned(),
        on_error,
        besides(policy),
    ];
    let document = json!({
        "policy": name,
        "quota": quota,
        "tier": tier,
        "on_error": rule,
        "local_share": share,
        "deadline_ms": millis(policy.deadline),
        "shadow": policy.shadow,
        "allow": policy.allow,
        "flood_guard": policy.flood_guard,
    });
    (cells, document)
}

pub(super) fn page(decision: &Decision, subject: &[u8]) -> String {
    let verdict = match (decision.verdict, decision.source) {
        (_, Source::AllowList) => "is not limited",
        (Verdict::Allowed, _) => "would pass",
        (Verdict::Denied, _) => "would be denied",
        _ => "would be denied if the policy were not only tried out",
    };
    let mut lines = vec![
        ("policy", text::line(decision.policy.as_bytes())),
        ("subject", text::line(subject)),
        ("a request", verdict.to_owned()),
        ("limit", decision.limit.to_string()),
        ("remaining", decision.remaining.to_string()),
    ];
    if decision.verdict != Verdict::Allowed {
        lines.push(("passes in", span(decision.retry_after)));
    }
    if !decision.reset_after.is_zero() {
        lines.push(("unused in", span(decision.reset_after)));
    }
    let lines = lines.into_iter();
    let lines = lines.map(|(name, value)| format!("{name:<10}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

pub(super) fn document(decision: &Decision, subject: &[u8]) -> Json {
    json!({
        "policy": &*decision.policy,
        "subject": text::json(subject),
        "verdict": decision.verdict.name(),
        "limited": decision.source != Source::AllowList,
        "cost": decision.cost,
        "limit": decision.limit,
        "remaining": decision.remaining,
        "retry_after_ms": millis(decision.retry_after),
        "reset_after_ms": millis(decision.reset_after),
    })
}

/// What is as usual is left out.
fn besides(policy: &PolicySettings) -> String {
    let mut words = Vec::new();
    if policy.shadow {
        words.push("only tried out".to_owned());
    }
    if let Some(times) = policy.flood_guard {
        words.push(format!("flood guard at {times} times the quota"));
    }
    match policy.allow.len() {
        0 => {}
        1 => words.push("1 name not limited".to_owned()),
        some => words.push(format!("{some} names not limited")),
    }
    words.join(", ")
}

fn tier(tier: TierSetting) -> &'static str {
    match tier {
        TierSetting::Auto => "auto",
        TierSetting::Strict => "strict",
        TierSetting::Mirrored => "mirrored",
        TierSetting::Leased => "leased",
        TierSetting::InProcess => "in_process",
        _ => "other",
    }
}

fn on_error(rule: OnErrorSetting) -> &'static str {
    match rule {
        OnErrorSetting::Fail => "fail",
        OnErrorSetting::Allow => "allow",
        OnErrorSetting::Deny => "deny",
        OnErrorSetting::Local => "local",
        _ => "other",
    }
}

/// Rounded up: who comes back after it passes.
fn millis(span: Duration) -> u64 {
    let millis = span.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}
