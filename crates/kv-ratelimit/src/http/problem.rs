//! Refusals as problems in JSON.

use super::{Refusal, Responder};
use crate::LimitError;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};
use serde::Serialize;
use std::time::Duration;

/// Of the same draft as the headers.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// It says no more than the status.
const BLANK: &str = "about:blank";
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Answers `application/problem+json` (RFC 9457): 429 with `Retry-After` for whoever has used up what it may, 503 if the
/// store could not be asked, 400 without a key or at a cost that can never pass, and 500 if the layer or its policies are set up
/// wrong.
///
/// For bodies that are made of text, as `axum::body::Body` is; tonic's is not, and
/// [`GrpcStatus`](super::GrpcStatus) needs none.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProblemJson;

impl<R: From<String>> Responder<R> for ProblemJson {
    fn respond(&self, _: &Parts, refusal: Refusal<'_>) -> Response<R> {
        let problem = problem(refusal);
        let status = status(refusal);
        // Of strings and numbers there is always JSON.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = Response::new(R::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(seconds) = problem.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Whole seconds, rounded up: who waits for so long does not come too early.
pub(super) fn seconds(span: Duration) -> u64 {
    let begun = u64::from(span.subsec_nanos() > 0);
    span.as_secs().saturating_add(begun)
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    /// As the draft calls it.
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    violated: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

fn status(refusal: Refusal<'_>) -> StatusCode {
    match refusal {
        Refusal::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Fallback(_) | Refusal::Undecided(LimitError::Store(_)) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::NoKey | Refusal::Undecided(LimitError::Cost(_)) => StatusCode::BAD_REQUEST,
        Refusal::Undecided(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn problem(refusal: Refusal<'_>) -> Problem<'_> {
    let status = status(refusal);
    let blank = |detail: String| Problem {
        kind: BLANK,
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
        policy: None,
        violated: None,
        retry_after: None,
    };
    match refusal {
        Refusal::Limited(decision) => {
            let after = seconds(decision.retry_after);
            let policy = Some(&*decision.policy);
            Problem {
                kind: QUOTA_EXCEEDED,
                title: "Too many requests",
                policy,
                violated: policy.map(|it| [it]),
                retry_after: Some(after),
                ..blank(format!(
                    "the limit `{}` is used up; the same request passes after {after} s",
                    decision.policy
                ))
            }
        }
        Refusal::Fallback(decision) => Problem {
            policy: Some(&decision.policy),
            retry_after: Some(seconds(decision.retry_after)).filter(|it| *it > 0),
            ..blank(UNDECIDED.to_owned())
        },
        Refusal::NoKey => blank("the request does not say whom it counts for".to_owned()),
        Refusal::Undecided(LimitError::Cost(error)) => blank(format!(
            "the request costs more than ever passes at once, which is {}",
            error.most()
        )),
        // What went wrong is not for strangers.
        Refusal::Undecided(_) => blank(UNDECIDED.to_owned()),
    }
}

const UNDECIDED: &str = "whether the request may pass could not be decided";
