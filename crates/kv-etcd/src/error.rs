//! The one place where the driver's and the server's errors become ours.
//!
//! Their texts are told apart here and not passed on: the driver's can hold what was sent.

mod opening;

pub(crate) use self::opening::with_causes;

use crate::optimistic::MOST_BYTES;
use etcd_client::Error as Driver;
use kv_core::{Error, ErrorKind, Key, Outcome};
use std::{borrow::Cow, time::Duration};

/// The result of one exchange with the store.
pub(crate) type Answer<T> = Result<T, Failure>;

/// What went wrong with an exchange. Unlike an [`Error`] it can be cloned.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    kind: ErrorKind,
    outcome: Outcome,
    message: Cow<'static, str>,
    /// What only the caller of the exchange can mend.
    cause: Cause,
}

/// Why an exchange failed, where that decides what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It must be told.
    Other,
    /// A lease has ended; with another one the same can be sent again. Nothing was applied.
    NoLease,
    /// The revision that was asked for is gone. Nothing was applied.
    Compacted,
    /// The answer is larger than is taken.
    LargeAnswer,
    /// The connection was cut.
    Cut,
    /// The token is of before the last change of users or roles. Nothing was applied.
    OldToken,
    /// The members have no leader; soon they may have. Nothing was applied.
    NoLeader,
}

impl Failure {
    pub(crate) fn new(
        kind: ErrorKind,
        outcome: Outcome,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (message, cause) = (message.into(), Cause::Other);
        Self(Box::new(Facts {
            kind,
            outcome,
            message,
            cause,
        }))
    }

    /// No answer came within the deadline.
    pub(crate) fn timeout(deadline: Duration) -> Self {
        let message = format!("no answer within {deadline:?}");
        Self::new(ErrorKind::Timeout, Outcome::Unknown, message)
    }

    /// The store was closed, or not opened.
    pub(crate) fn closed() -> Self {
        let message = "the store is not connected, or closed; connect it or open it again";
        Self::new(ErrorKind::Closed, Outcome::Final, message)
    }

    /// What lies on the store is not in our format.
    pub(crate) fn codec(message: &'static str) -> Self {
        Self::new(ErrorKind::Codec, Outcome::Final, message)
    }

    /// Others wrote to the same keys all the time.
    pub(crate) fn conflict(tries: u32, deadline: Duration) -> Self {
        let message = format!(
            "others wrote to the same keys at each of {tries} tries within {deadline:?}; let fewer writers share them"
        );
        Self::new(ErrorKind::Conflict, Outcome::NotApplied, message)
    }

    /// The key holds another type.
    pub(crate) fn wrong_type() -> Self {
        Self::new(
            ErrorKind::WrongType,
            Outcome::Final,
            "the key holds another type",
        )
    }

    /// The counter is no whole number.
    pub(crate) fn not_an_integer() -> Self {
        Self::new(
            ErrorKind::NotAnInteger,
            Outcome::Final,
            "the value is not a 64-bit integer",
        )
    }

    /// The sum is too large.
    pub(crate) fn overflow() -> Self {
        Self::new(
            ErrorKind::Overflow,
            Outcome::Final,
            "the sum does not fit 64 bits",
        )
    }

    /// An option that came into the contract after this provider was written.
    pub(crate) fn unsupported(what: &str) -> Self {
        let message = format!("this provider does not know {what}");
        Self::new(ErrorKind::Unsupported, Outcome::Final, message)
    }

    /// More than one transaction takes.
    pub(crate) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::TooLarge, Outcome::Final, message)
    }

    /// More bytes than one transaction takes.
    pub(crate) fn too_many_bytes(bytes: usize) -> Self {
        Self::too_large(format!(
            "it takes {bytes} bytes in one atomic step, and etcd at most {MOST_BYTES}; do it in parts"
        ))
    }

    /// The server's answer does not belong to the request.
    pub(crate) fn unexpected_reply() -> Self {
        let message = "the server's answer does not belong to the request";
        Self::new(ErrorKind::Unexpected, Outcome::Unknown, message)
    }

    /// An error after something was sent, or while it was tried.
    pub(crate) fn sending(error: &Driver) -> Self {
        match error {
            Driver::GRpcStatus(status) => Self::status(i32::from(status.code()), status.message()),
            Driver::TransportError(_) | Driver::IoError(_) => Self::lost(),
            Driver::LeaseKeepAliveError(_) => Self::no_lease(),
            _ => {
                let message = "the driver failed; report it";
                Self::new(ErrorKind::Unexpected, Outcome::Unknown, message)
            }
        }
    }

    /// An error while a connection is being established: nothing was sent yet.
    pub(crate) fn connecting(error: &Driver) -> Self {
        match error {
            Driver::GRpcStatus(_) => {
                let mut failure = Self::sending(error);
                if matches!(failure.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) {
                    failure.0.outcome = Outcome::NotApplied;
                }
                failure
            }
            // These speak of addresses and certificates.
            Driver::InvalidUri(_) | Driver::InvalidArgs(_) => {
                let message = "an endpoint is no address that the driver takes";
                Self::new(ErrorKind::Config, Outcome::Final, message)
            }
            Driver::TransportError(error) => {
                let message = format!("cannot connect: {error}");
                Self::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
            }
            _ => Self::sending(error),
        }
    }

    fn status(code: i32, text: &str) -> Self {
        use ErrorKind as Kind;
        let lasting = |kind, message| Self::new(kind, Outcome::Final, message);
        let unavailable = |message| Self::new(Kind::Unavailable, Outcome::NotApplied, message);
        match (Code::of(code), text) {
            (_, text) if text.contains("requested lease not found") => Self::no_lease(),
            (_, text) if text.contains("required revision has been compacted") => {
                Self::caused(unavailable("the revision is compacted"), Cause::Compacted)
            }
            (_, text) if text.contains("database space exceeded") => unavailable(NO_SPACE),
            (_, text) if text.contains("duplicate key given") => lasting(
                Kind::Unexpected,
                "a key was written twice in one transaction; report it",
            ),
            (_, text) if text.contains("too many operations") => lasting(
                Kind::TooLarge,
                "the server takes fewer operations in a transaction; raise its --max-txn-ops to 128",
            ),
            (_, text)
                if text.contains("request is too large")
                    || text.contains("message larger than max") =>
            {
                lasting(
                    Kind::TooLarge,
                    "the request is larger than the server takes; its --max-request-bytes is 1.5 MiB unless it was changed",
                )
            }
            (_, text) if text.contains("message length too large") => {
                let message = "the answer is larger than this provider takes";
                Self::caused(lasting(Kind::TooLarge, message), Cause::LargeAnswer)
            }
            (_, text) if text.contains("no leader") => {
                Self::caused(unavailable("the cluster has no leader"), Cause::NoLeader)
            }
            (_, text) if text.contains("not capable") => {
                unavailable("the cluster is being upgraded")
            }
            (_, text) if text.contains(OLD_TOKEN) => {
                let message = "users or roles were changed a moment ago; try again";
                Self::caused(unavailable(message), Cause::OldToken)
            }
            (Code::Unauthenticated, _) => lasting(Kind::Denied, CREDENTIALS),
            (_, text)
                if text.contains("authentication failed")
                    || text.contains("user name is empty") =>
            {
                lasting(Kind::Denied, CREDENTIALS)
            }
            (_, text) if text.contains("authentication is not enabled") => lasting(
                Kind::Config,
                "the server has no users; leave username and password out",
            ),
            (Code::PermissionDenied, _) => lasting(
                Kind::Denied,
                "the server does not permit this user the keys; extend the user's role",
            ),
            (Code::Unavailable, text) if text.contains(opening::REFUSED) => unavailable(
                "the server's certificate is refused; check `tls.ca_file` and `tls.domain`",
            ),
            (Code::Unavailable, text)
                if text.contains("tcp connect error") || text.contains("dns error") =>
            {
                unavailable("no server can be reached")
            }
            (Code::Unavailable | Code::Unknown | Code::Internal, text)
                if text.contains("timed out") || text.contains("timeout") =>
            {
                Self::new(
                    Kind::Timeout,
                    Outcome::Unknown,
                    "the cluster did not agree in time",
                )
            }
            (Code::Unavailable, text) if text.contains("too many requests") => {
                unavailable("the server has too many requests waiting")
            }
            (Code::Cancelled | Code::DeadlineExceeded, _) => {
                Self::new(Kind::Timeout, Outcome::Unknown, "no answer came in time")
            }
            (Code::Unavailable | Code::Unknown | Code::Internal, _) => Self::lost(),
            (Code::Unimplemented, _) => lasting(
                Kind::Unsupported,
                "the server is too old; etcd 3.4 is needed",
            ),
            _ => Self::new(
                Kind::Unexpected,
                Outcome::Unknown,
                format!("the server answered with code {code}"),
            ),
        }
    }

    /// The server refuses to watch something.
    pub(crate) fn refused_watch(reason: &str) -> Self {
        let code = match reason.contains("permission denied") {
            true => 7,
            false => 14,
        };
        Self::status(code, reason).of_a_read()
    }

    fn no_lease() -> Self {
        let message = "a lease ended before its time";
        let failure = Self::new(ErrorKind::Unavailable, Outcome::NotApplied, message);
        Self::caused(failure, Cause::NoLease)
    }

    fn lost() -> Self {
        let message = "the connection was lost before the answer came";
        let failure = Self::new(ErrorKind::Unavailable, Outcome::Unknown, message);
        Self::caused(failure, Cause::Cut)
    }

    fn caused(mut self, cause: Cause) -> Self {
        self.0.cause = cause;
        self
    }

    /// The failure of what was only read: nothing can have been applied.
    pub(crate) fn of_a_read(mut self) -> Self {
        if self.0.outcome == Outcome::Unknown {
            self.0.outcome = Outcome::NotApplied;
        }
        self
    }

    /// The failure of what was not sent because of this one.
    pub(crate) fn of_the_rest(&self) -> Self {
        let mut rest = self.clone();
        rest.0.outcome = Outcome::NotApplied;
        if rest.0.kind == ErrorKind::Timeout {
            rest.0.kind = ErrorKind::Unavailable;
        }
        let message = &self.0.message;
        rest.0.message =
            format!("not sent, because an earlier part of the batch failed: {message}").into();
        rest
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    pub(crate) fn cause(&self) -> Cause {
        self.0.cause
    }

    /// The error of a command about one key.
    pub(crate) fn about(self, key: &Key) -> Error {
        Error::from(self).with_key(key)
    }
}

impl From<Failure> for Error {
    fn from(Failure(facts): Failure) -> Self {
        Self::new(facts.kind, facts.message).with_outcome(facts.outcome)
    }
}

/// The codes of gRPC that we tell apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Code {
    Cancelled,
    Unknown,
    DeadlineExceeded,
    PermissionDenied,
    Unimplemented,
    Internal,
    Unavailable,
    Unauthenticated,
    Other,
}

impl Code {
    fn of(code: i32) -> Self {
        match code {
            1 => Self::Cancelled,
            2 => Self::Unknown,
            4 => Self::DeadlineExceeded,
            7 => Self::PermissionDenied,
            12 => Self::Unimplemented,
            13 => Self::Internal,
            14 => Self::Unavailable,
            16 => Self::Unauthenticated,
            _ => Self::Other,
        }
    }
}

/// How servers say that users or roles were changed after a token was made.
pub(crate) const OLD_TOKEN: &str = "revision of auth store is old";
const CREDENTIALS: &str = "the server refuses the credentials; check username and password";
const NO_SPACE: &str = "the database of the server is full and takes no writes (NOSPACE): compact and defragment it, raise --quota-backend-bytes, then `etcdctl alarm disarm`; --auto-compaction-retention keeps it from filling up";
