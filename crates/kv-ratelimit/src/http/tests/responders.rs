//! What is answered in place of the service.

use crate::{
    CostError, Decision, LimitError, Source, TooLate, Verdict,
    http::{GrpcStatus, ProblemJson, Refusal, Responder},
};
use http::{Request, Response, request::Parts};
use kv_core::{Error, ErrorKind};
use serde_json::{Value, json};
use std::time::Duration;

fn denied(source: Source, retry_after: Duration) -> Decision {
    Decision {
        policy: "a\"b%ü".into(),
        verdict: Verdict::Denied,
        source,
        cost: 1,
        limit: 100,
        remaining: 0,
        retry_after,
        reset_after: Duration::ZERO,
        number: 0,
        unused_at: None,
    }
}

fn request() -> Parts {
    Request::new(()).into_parts().0
}

fn problem(refusal: Refusal<'_>) -> (Response<()>, Value) {
    let response: Response<String> = ProblemJson.respond(&request(), refusal);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let (parts, body) = response.into_parts();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], parts.status.as_u16());
    (Response::from_parts(parts, ()), body)
}

fn grpc(refusal: Refusal<'_>) -> Response<()> {
    let response: Response<()> = GrpcStatus.respond(&request(), refusal);
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    response
}

fn undecided() -> LimitError {
    Error::new(ErrorKind::Unavailable, "redis at 10.1.2.3 is away").into()
}

#[test]
fn who_is_limited_is_told_when_to_come_again() {
    let decision = denied(Source::Store, Duration::from_micros(29_000_001));
    let (response, body) = problem(Refusal::Limited(&decision));
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "30");
    assert_eq!(
        body,
        json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Too many requests",
            "status": 429,
            "detail": "the limit `a\"b%ü` is used up; the same request passes after 30 s",
            "policy": "a\"b%ü",
            "violated-policies": ["a\"b%ü"],
            "retry_after": 30,
        })
    );
    let response = grpc(Refusal::Limited(&decision));
    assert_eq!(response.headers()["grpc-status"], "8");
    assert_eq!(
        response.headers()["grpc-message"],
        "the limit `a\"b%25%C3%BC` is used up"
    );
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "29001");
    let forever = denied(Source::Store, Duration::MAX);
    let response = grpc(Refusal::Limited(&forever));
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "2147483647");
    let (response, _) = problem(Refusal::Limited(&forever));
    assert_eq!(
        response.headers()["retry-after"],
        u64::MAX.to_string().as_str()
    );
}

#[test]
fn a_store_that_is_away_is_nobodys_fault() {
    let now = denied(Source::Fallback, Duration::ZERO);
    let later = denied(Source::Fallback, Duration::from_millis(1));
    let error = undecided();
    for (refusal, after) in [
        (Refusal::Fallback(&now), None),
        (Refusal::Fallback(&later), Some(1)),
        (Refusal::Undecided(&error), None),
    ] {
        let (response, body) = problem(refusal);
        assert_eq!(response.status(), 503);
        assert_eq!(body["retry_after"].as_u64(), after);
        assert_eq!(
            response.headers().contains_key("retry-after"),
            after.is_some()
        );
        // Nothing of the inside.
        assert!(!body.to_string().contains("redis"), "{body}");
        let response = grpc(refusal);
        assert_eq!(response.headers()["grpc-status"], "14");
        assert!(!format!("{response:?}").contains("redis"));
    }
}

#[test]
fn what_the_client_or_the_service_does_wrong_is_neither() {
    let cost = LimitError::Cost(CostError {
        policy: "api".to_owned(),
        cost: 11,
        most: 10,
    });
    let wrong = LimitError::TooLate(TooLate {
        retry_after: Duration::ZERO,
    });
    for (refusal, status, code) in [
        (Refusal::NoKey, 400, "3"),
        (Refusal::Undecided(&cost), 400, "3"),
        (Refusal::Undecided(&wrong), 500, "13"),
    ] {
        let (response, body) = problem(refusal);
        assert_eq!(response.status(), status);
        assert_eq!(body["type"], "about:blank");
        assert_eq!(grpc(refusal).headers()["grpc-status"], code);
    }
}
