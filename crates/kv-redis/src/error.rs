//! The one place where the driver's and the server's errors become ours.
//!
//! Their texts are not passed on as they are: a server quotes arguments, and with them values, and
//! the driver's types know the credentials.

use kv_core::{Error, ErrorKind, Key, Outcome};
use redis::{RedisError, ServerError};
use std::{borrow::Cow, sync::Arc, time::Duration};

/// The result of one exchange with the server.
pub(crate) type Answer<T> = Result<T, Failure>;

/// What went wrong with an exchange. Unlike an [`Error`] it can be cloned: one lost connection is
/// the answer to every item of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    kind: ErrorKind,
    /// The server answered with it.
    answer: bool,
    outcome: Outcome,
    message: Cow<'static, str>,
    address: Option<Arc<str>>,
}

impl Failure {
    pub(crate) fn new(
        kind: ErrorKind,
        outcome: Outcome,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Facts {
            kind,
            answer: false,
            outcome,
            message: message.into(),
            address: None,
        }))
    }

    /// No answer came within the deadline.
    pub(crate) fn timeout(deadline: Duration) -> Self {
        let message = format!("no answer within {deadline:?}");
        Self::new(ErrorKind::Timeout, Outcome::Unknown, message)
    }

    /// The command was not sent: there is no connection yet again.
    pub(crate) fn not_connected(deadline: Duration) -> Self {
        let message = format!("the connection was lost and not restored within {deadline:?}");
        Self::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
    }

    /// No connection was established within the deadline.
    pub(crate) fn no_connection_within(deadline: Duration) -> Self {
        let message = format!("no connection within {deadline:?}");
        Self::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
    }

    /// The server, or the network, closed the connection.
    pub(crate) fn connection_closed() -> Self {
        let message = "the connection was closed and is not restored yet";
        Self::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
    }

    /// The store was closed, or not opened.
    pub(crate) fn closed() -> Self {
        let message = "the store is not connected, or closed; connect it or open it again";
        Self::new(ErrorKind::Closed, Outcome::Final, message)
    }

    /// An option that came into the contract after this provider was written.
    pub(crate) fn unsupported(what: &str) -> Self {
        let message = format!("this provider does not know {what}");
        Self::new(ErrorKind::Unsupported, Outcome::Final, message)
    }

    /// The server's answer is of another type than the command's.
    pub(crate) fn unexpected_reply() -> Self {
        let message = "the server answered with a type that does not belong to the command";
        Self::new(ErrorKind::Unexpected, Outcome::Unknown, message)
    }

    /// An error that the server answered with.
    pub(crate) fn server(error: &ServerError) -> Self {
        let mut failure = Self::from_code(error.code(), error.details().unwrap_or_default());
        failure.0.answer = true;
        failure
    }

    /// An error that a script caught, as the line that the server would have answered with.
    pub(crate) fn caught(line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line);
        let (code, detail) = line.split_once(' ').unwrap_or((&line, ""));
        Self::from_code(code, detail)
    }

    /// An error while a connection is being established: nothing was sent yet.
    pub(crate) fn connecting(error: &RedisError) -> Self {
        use redis::ErrorKind as Driver;
        if let Some(code) = error.code() {
            return Self::from_code(code, error.detail().unwrap_or_default());
        }
        let (kind, message) = match error.kind() {
            Driver::AuthenticationFailed => (ErrorKind::Denied, CREDENTIALS.into()),
            Driver::RESP3NotSupported => (ErrorKind::Config, TOO_OLD.into()),
            Driver::Parse => (ErrorKind::Unavailable, NOT_REDIS.into()),
            Driver::InvalidClientConfig => (
                ErrorKind::Config,
                "the driver refuses the configuration".into(),
            ),
            // The texts of the system and of TLS name neither credentials nor data.
            _ => (ErrorKind::Unavailable, format!("cannot connect: {error}")),
        };
        let outcome = match kind {
            ErrorKind::Unavailable => Outcome::NotApplied,
            _ => Outcome::Final,
        };
        Self::new(kind, outcome, message)
    }

    /// An error after a command was given to the connection.
    pub(crate) fn sending(error: &RedisError) -> Self {
        if let Some((_, first)) = error
            .clone()
            .into_server_errors()
            .as_deref()
            .and_then(<[_]>::first)
        {
            return Self::server(first);
        }
        if error.is_io_error() {
            let message = "the connection was lost before the answer came";
            return Self::new(ErrorKind::Unavailable, Outcome::Unknown, message);
        }
        let message = match error.kind() {
            redis::ErrorKind::Parse => NOT_REDIS,
            _ => "the driver failed; report it",
        };
        Self::new(ErrorKind::Unexpected, Outcome::Unknown, message)
    }

    /// The same, about a server.
    pub(crate) fn at(mut self, address: &Arc<str>) -> Self {
        self.0.address.get_or_insert_with(|| Arc::clone(address));
        self
    }

    /// The failure of what was not sent because of this one.
    pub(crate) fn of_the_rest(&self) -> Self {
        let mut rest = self.clone();
        rest.0.outcome = Outcome::NotApplied;
        if rest.0.kind == ErrorKind::Timeout {
            rest.0.kind = ErrorKind::Unavailable;
        }
        rest.0.message = format!(
            "not sent, because an earlier part of the batch failed: {}",
            self.0.message
        )
        .into();
        rest
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the server answered, which it does whatever else was sent.
    pub(crate) fn is_answer(&self) -> bool {
        self.0.answer
    }

    /// The server does not know the hash of a script.
    pub(crate) fn is_unknown_script(&self) -> bool {
        self.0.message == UNKNOWN_SCRIPT
    }

    /// The error of a command about one key.
    pub(crate) fn about(self, key: &Key) -> Error {
        Error::from(self).with_key(key)
    }

    fn from_code(code: &str, detail: &str) -> Self {
        use ErrorKind as Kind;
        let unavailable = |message| Self::new(Kind::Unavailable, Outcome::NotApplied, message);
        let lasting = |kind, message| Self::new(kind, Outcome::Final, message);
        match code {
            "WRONGTYPE" => lasting(Kind::WrongType, "the key holds another type"),
            "NOAUTH" | "WRONGPASS" => lasting(Kind::Denied, CREDENTIALS),
            "NOPERM" => match detail.strip_prefix("the user may not run ") {
                // A script of ours says so, and the server's own log does not.
                Some(command) => {
                    let command = command.split(' ').next().unwrap_or_default();
                    let message = format!(
                        "the server does not permit this user the command {command}; extend the user's ACL"
                    );
                    Self::new(Kind::Denied, Outcome::Final, message)
                }
                None => lasting(
                    Kind::Denied,
                    "the server does not permit this user the command or the key; extend the user's ACL",
                ),
            },
            "OOM" => unavailable("the server has no memory left for writes; raise its maxmemory"),
            "READONLY" => unavailable("the server is a read-only replica now"),
            "LOADING" => unavailable("the server is still loading its data"),
            "BUSY" => unavailable("the server is busy with a script"),
            "MASTERDOWN" | "NOREPLICAS" => unavailable("replication is down, the server refuses"),
            "MISCONF" => unavailable("the server cannot save its data and refuses writes"),
            "TRYAGAIN" | "CLUSTERDOWN" => unavailable("the cluster is not ready"),
            "NOSCRIPT" => unavailable(UNKNOWN_SCRIPT),
            "CROSSSLOT" => lasting(Kind::CrossGroup, "the keys lie in different slots"),
            "MOVED" | "ASK" => lasting(
                Kind::Unsupported,
                "the server is one of a cluster; write redis-cluster:// in place of redis://",
            ),
            "ERR" => Self::from_text(detail),
            _ => Self::unknown(code, ""),
        }
    }

    /// Errors without a code of their own are told apart by their text alone.
    fn from_text(detail: &str) -> Self {
        use ErrorKind as Kind;
        let lasting = |kind, message| Self::new(kind, Outcome::Final, message);
        if detail.contains("user executing the script") || detail.contains("ACL failure in script")
        {
            Self::from_code("NOPERM", detail)
        } else if detail.contains("not an integer") {
            lasting(Kind::NotAnInteger, "the value is not a 64-bit integer")
        } else if detail.contains("would overflow") {
            lasting(Kind::Overflow, "the sum does not fit 64 bits")
        } else if detail.starts_with("max number of clients") {
            let message = "the server has as many clients as it allows";
            Self::new(Kind::Unavailable, Outcome::NotApplied, message)
        } else if detail.starts_with("DB index") {
            lasting(Kind::Config, "the server has no database of this number")
        } else if detail.starts_with("invalid password") || detail.starts_with("AUTH") {
            lasting(Kind::Denied, CREDENTIALS)
        } else if detail.starts_with("unknown command") {
            lasting(Kind::Unsupported, "the server does not know the command")
        } else {
            Self::unknown("ERR", detail)
        }
    }

    /// What follows a quotation mark may be an argument.
    fn unknown(code: &str, detail: &str) -> Self {
        let own = detail.split(['\'', '"', '`']).next().unwrap_or_default();
        let own: String = own.chars().take(80).collect();
        let message = format!("the server answered {code} {own}");
        Self::new(
            ErrorKind::Unexpected,
            Outcome::Unknown,
            message.trim_end().to_owned(),
        )
    }
}

impl From<Failure> for Error {
    fn from(Failure(facts): Failure) -> Self {
        let error = Self::new(facts.kind, facts.message).with_outcome(facts.outcome);
        match facts.address {
            Some(address) => error.with_context("address", address),
            None => error,
        }
    }
}

const CREDENTIALS: &str = "the server refuses the credentials; check username and password";
const NOT_REDIS: &str =
    "the peer does not speak the Redis protocol; check the port and whether it expects TLS";
const UNKNOWN_SCRIPT: &str = "the server forgot a script between two commands";
pub(crate) const TOO_OLD: &str = "the server is too old; Redis 7.0 or Valkey is needed";

#[cfg(test)]
mod tests;
