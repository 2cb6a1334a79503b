//! Rate limits: the policies of a configuration, and how subjects stand.

mod told;

use crate::{
    args::limits::{Peek, Subject, SubjectVerb},
    exit::{Exit, Failure},
    output::Output,
    text,
};
use kv_core::Kv;
use kv_ratelimit::{LimitError, RateLimitSettings, RateLimiter, TierSetting};
use serde_json::json;
use std::time::Duration;

/// Who types can wait for longer than a request that is limited.
const PATIENCE: Duration = Duration::from_secs(5);

/// The policies that make sense together; else an error tells what does not.
pub(crate) fn ls(settings: &RateLimitSettings, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let policies = settings.policies().map_err(LimitError::from)?;
    if policies.is_empty() {
        return Ok(Exit::Absent);
    }
    let rows = settings.policies.iter().zip(policies.values());
    let rows = rows.map(|((name, says), policy)| told::row(name, says, policy.quota()));
    out.rows(told::HEADER, rows)?;
    Ok(Exit::Found)
}

/// In the name of the tenant that the store is bound to.
pub(crate) async fn run(
    kv: &Kv,
    settings: &RateLimitSettings,
    verb: SubjectVerb,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match verb {
        SubjectVerb::Peek(it) => peek(kv, settings, it, out).await,
        SubjectVerb::Reset(subject) => reset(kv, settings, subject, out).await,
    }
}

async fn peek(
    kv: &Kv,
    settings: &RateLimitSettings,
    peek: Peek,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let (policy, subject) = (peek.subject.policy, peek.subject.subject.into_bytes());
    let limiter = limiter(kv, settings, &policy)?;
    let limit = limiter.limit(&policy, &subject)?;
    let decision = limit.cost(peek.cost).peek().await?;
    let text = || told::page(&decision, &subject);
    out.result(text, told::document(&decision, &subject))?;
    Ok(Exit::found(decision.is_allowed()))
}

async fn reset(
    kv: &Kv,
    settings: &RateLimitSettings,
    subject: Subject,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let (policy, subject) = (subject.policy, subject.subject.into_bytes());
    let limiter = limiter(kv, settings, &policy)?;
    limiter.limit(&policy, &subject)?.reset().await?;
    let json = json!({ "policy": policy, "subject": text::json(&subject), "reset": true });
    out.result(|| "reset".to_owned(), json)?;
    Ok(Exit::Found)
}

/// One that waits for the store, and knows nothing of what processes keep to themselves.
fn limiter(kv: &Kv, settings: &RateLimitSettings, policy: &str) -> Result<RateLimiter, Failure> {
    let asked = settings.policies.get(policy);
    if asked.is_some_and(|it| it.tier == TierSetting::InProcess) {
        return Err(Failure::Usage(format!(
            "the policy `{policy}` has the tier `in_process`: each process has it to itself, and the store knows nothing of it"
        )));
    }
    // What programs are refused is refused here.
    settings.policies().map_err(LimitError::from)?;
    let mut settings = settings.clone();
    for it in settings.policies.values_mut() {
        it.tier = TierSetting::Strict;
        (it.max_batch, it.lease_age, it.flood_guard) = (None, None, None);
        it.deadline = it.deadline.max(PATIENCE);
    }
    Ok(RateLimiter::from_settings(kv, &settings)?)
}

impl From<LimitError> for Failure {
    fn from(error: LimitError) -> Self {
        match error {
            LimitError::Store(error) => Self::Store(error),
            other => Self::Usage(other.to_string()),
        }
    }
}
