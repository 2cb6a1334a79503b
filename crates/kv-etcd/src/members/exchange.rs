//! One request that may be sent more than once, and what became of it.

use bytes::Bytes;
use http::{Extensions, request::Parts};
use http_body_util::{BodyExt, Full};
use std::error::Error;
use tonic::{Code, ConnectError, Status, body::Body};
use tower::BoxError;

pub(super) type Request = http::Request<Body>;
pub(super) type Response = http::Response<Body>;

/// What a request does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Writes,
}

/// The length of what gRPC puts in front of a message.
const PREFIX: usize = 5;

/// A request that is kept until it is answered.
pub(super) struct Exchange {
    head: Parts,
    message: Bytes,
    pub(super) effect: Effect,
}

impl Exchange {
    /// Takes a request if it is one message that is answered by one; gives it back if it is not, or
    /// asks for something of one member.
    pub(super) async fn of(request: Request) -> Result<Result<Self, Request>, BoxError> {
        let effect = match request.uri().path() {
            "/etcdserverpb.KV/Range"
            | "/etcdserverpb.Lease/LeaseTimeToLive"
            | "/etcdserverpb.Lease/LeaseLeases"
            // It leaves a token that ends by itself.
            | "/etcdserverpb.Auth/Authenticate" => Some(Effect::Reads),
            "/etcdserverpb.KV/Put"
            | "/etcdserverpb.KV/DeleteRange"
            | "/etcdserverpb.Lease/LeaseGrant"
            | "/etcdserverpb.Lease/LeaseRevoke" => Some(Effect::Writes),
            "/etcdserverpb.KV/Txn" => None,
            _ => return Ok(Err(request)),
        };
        let (mut head, body) = request.into_parts();
        // For the driver alone, which is done with them; they would be copied for each request.
        head.extensions = Extensions::new();
        let message = body.collect().await?.to_bytes();
        let effect = effect.unwrap_or_else(|| effect_of_txn(message.get(PREFIX..)));
        Ok(Ok(Self {
            head,
            message,
            effect,
        }))
    }

    pub(super) fn request(&self) -> Request {
        let body = Body::new(Full::new(self.message.clone()));
        Request::from_parts(self.head.clone(), body)
    }
}

/// What became of a request at one member.
pub(super) enum Ended {
    /// It was answered, as any member would have done.
    Answered(Response),
    /// It was surely not taken.
    Refused(Result<Response, BoxError>, Why),
    /// It may have been taken.
    Lost(Result<Response, BoxError>, Why),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is the member's fault.
    Member,
    /// The members have no leader, or another one than a moment ago; soon they will have.
    Leader,
}

impl Ended {
    pub(super) fn of(result: Result<Response, BoxError>) -> Self {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                return match was_never_sent(&*error) {
                    true => Self::Refused(Err(error), Why::Member),
                    false => Self::Lost(Err(error), Why::Member),
                };
            }
        };
        let Some(status) = Status::from_header_map(response.headers()) else {
            return Self::Answered(response);
        };
        let text = status.message();
        match status.code() {
            Code::Unavailable if text.contains("no leader") => {
                Self::Refused(Ok(response), Why::Leader)
            }
            Code::Unavailable if text.contains("for learner") => {
                Self::Refused(Ok(response), Why::Member)
            }
            Code::Unavailable if text.contains("leader changed") => {
                Self::Lost(Ok(response), Why::Leader)
            }
            Code::Unavailable if text.contains("not capable") => Self::Answered(response),
            Code::Unavailable => Self::Lost(Ok(response), Why::Member),
            _ => Self::Answered(response),
        }
    }
}

/// Whether there was no connection to send something on.
fn was_never_sent(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Of a transaction in its binary form: conditions are its field 1, operations 2 and 3; of an
/// operation, field 1 is one that reads.
fn effect_of_txn(message: Option<&[u8]>) -> Effect {
    const CONDITION: u8 = 0x0a;
    const OPERATIONS: [u8; 2] = [0x12, 0x1a];
    const READ: u8 = 0x0a;
    let Some(mut left) = message else {
        return Effect::Writes;
    };
    while let Some((tag, rest)) = left.split_first() {
        let Some((field, rest)) = delimited(rest) else {
            return Effect::Writes;
        };
        let reads = field.first() == Some(&READ);
        if *tag != CONDITION && !(OPERATIONS.contains(tag) && reads) {
            return Effect::Writes;
        }
        left = rest;
    }
    Effect::Reads
}

/// A field by the length in front of it, and what is behind it.
fn delimited(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes[at + 1..].split_at_checked(length);
        }
    }
    None
}
