//! How a case says that a store broke the contract.

use kv_core::Error;
use std::{fmt, panic::Location};

/// The result of a case.
pub type Verdict<T = ()> = Result<T, Failure>;

/// What was expected, what came instead, and where in the suite.
pub struct Failure {
    message: String,
    place: Option<&'static Location<'static>>,
}

impl Failure {
    /// A failure with this text, found at the caller's line.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: Some(Location::caller()),
        }
    }

    /// The same place with another text.
    pub(crate) fn saying(self, message: String) -> Self {
        Self { message, ..self }
    }

    /// A failure of the run itself, not of a line of a case.
    pub(crate) fn of_the_run(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some(place) => write!(f, " ({}:{})", place.file(), place.line()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An error where the case expected none.
impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::new(format!("unexpected error: {error} [{:?}]", error.kind()))
    }
}

/// Fails the case with a text unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::failure::Failure::new(format!($($text)+)));
        }
    };
}

/// Fails the case unless two things are equal; shows both.
macro_rules! ensure_eq {
    ($actual:expr, $expected:expr, $($text:tt)+) => {
        match (&$actual, &$expected) {
            (actual, expected) => if actual != expected {
                return Err($crate::failure::Failure::new(format!(
                    "{}: expected {expected:?}, got {actual:?}",
                    format_args!($($text)+),
                )));
            },
        }
    };
}

/// Fails the case unless a result is an error of this kind.
macro_rules! ensure_error {
    ($result:expr, $kind:ident, $($text:tt)+) => {
        match $result {
            Err(error) if error.kind() == kv_core::ErrorKind::$kind => error,
            Err(error) => return Err($crate::failure::Failure::new(format!(
                "{}: expected the error {}, got {:?}: {error}",
                format_args!($($text)+), stringify!($kind), error.kind(),
            ))),
            Ok(answer) => return Err($crate::failure::Failure::new(format!(
                "{}: expected the error {}, got the answer {answer:?}",
                format_args!($($text)+), stringify!($kind),
            ))),
        }
    };
}

pub(crate) use {ensure, ensure_eq, ensure_error};
