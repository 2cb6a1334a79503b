//! Refusals as statuses of gRPC.

use super::{Refusal, Responder};
use crate::LimitError;
use http::{HeaderName, HeaderValue, Response, header::CONTENT_TYPE, request::Parts};
use std::{fmt::Write, time::Duration};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Answers as gRPC does, in headers alone: `RESOURCE_EXHAUSTED` for whoever has used up what it may, with
/// `grpc-retry-pushback-ms`, by which clients with a retry policy wait; `UNAVAILABLE` if the store could not be
/// asked; `INVALID_ARGUMENT` without a key or at a cost that can never pass, and `INTERNAL` if the layer or its
/// policies are set up wrong.
///
/// For bodies that can be empty, as `tonic::body::Body` and `axum::body::Body` can.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrpcStatus;

/// The codes of gRPC that are needed here.
#[derive(Clone, Copy, Debug)]
enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Internal = 13,
    Unavailable = 14,
}

impl<R: Default> Responder<R> for GrpcStatus {
    fn respond(&self, _: &Parts, refusal: Refusal<'_>) -> Response<R> {
        const UNDECIDED: &str = "whether the request may pass could not be decided";
        let (code, message) = match refusal {
            Refusal::Limited(decision) => (
                Code::ResourceExhausted,
                format!("the limit `{}` is used up", decision.policy),
            ),
            Refusal::Fallback(_) | Refusal::Undecided(LimitError::Store(_)) => {
                (Code::Unavailable, UNDECIDED.to_owned())
            }
            Refusal::NoKey => (
                Code::InvalidArgument,
                "the request does not say whom it counts for".to_owned(),
            ),
            Refusal::Undecided(LimitError::Cost(error)) => (
                Code::InvalidArgument,
                format!("at most {} can pass at once", error.most()),
            ),
            Refusal::Undecided(_) => (Code::Internal, UNDECIDED.to_owned()),
        };
        let mut response = Response::new(R::default());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, GRPC);
        headers.insert(STATUS, HeaderValue::from(code as u16));
        if let Ok(message) = HeaderValue::from_str(&escaped(&message)) {
            headers.insert(MESSAGE, message);
        }
        if let Refusal::Limited(decision) | Refusal::Fallback(decision) = refusal
            && !decision.retry_after.is_zero()
        {
            headers.insert(PUSHBACK, millis(decision.retry_after).into());
        }
        response
    }
}

/// Rounded up, and no more than clients read: they take it for 32 bits with a sign.
fn millis(span: Duration) -> u64 {
    let most = u128::from(i32::MAX.unsigned_abs());
    let millis = span.as_nanos().div_ceil(1_000_000).min(most);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// As gRPC escapes messages: all but what is printable in ASCII, and the sign itself.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => _ = write!(escaped, "%{byte:02X}"),
        }
    }
    escaped
}
