//! How a handler says that it did not succeed.

use std::{error::Error as StdError, fmt, time::Duration};

/// Any error.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// How a handler says that it did not succeed, and what is to become of the task.
///
/// Any error turns into one with `?`: the task is then tried again, as its [`Retry`](crate::Retry) has
/// it.
///
/// ```
/// # use kv_scheduler::TaskError;
/// # use std::time::Duration;
/// fn charge(answer: u16) -> Result<(), TaskError> {
///     match answer {
///         200 => Ok(()),
///         402 => Err(TaskError::dead("the card is refused")),
///         429 => Err(TaskError::retry_after(Duration::from_secs(60), "too many requests")),
///         503 => Err(TaskError::snooze(Duration::from_secs(600))),
///         _ => Err("no answer that we know")?,
///     }
/// }
/// # assert!(charge(200).is_ok());
/// ```
#[derive(Debug)]
pub struct TaskError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    verdict: Verdict,
    cause: Option<BoxError>,
}

/// What is to become of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As the policy has it.
    Retry,
    /// After this delay, if attempts are left.
    RetryAfter(Duration),
    /// After this delay; it was no attempt.
    Snooze(Duration),
    Dead,
    Cancel,
}

impl TaskError {
    /// The attempt failed; the task is tried again after its usual delay, if attempts are left.
    pub fn retry(cause: impl Into<BoxError>) -> Self {
        Self::new(Verdict::Retry, Some(cause.into()))
    }

    /// The attempt failed; the task is tried again after this delay, if attempts are left.
    pub fn retry_after(delay: Duration, cause: impl Into<BoxError>) -> Self {
        Self::new(Verdict::RetryAfter(delay), Some(cause.into()))
    }

    /// Now is not the time: the task comes back after this delay, and this was no attempt.
    pub fn snooze(delay: Duration) -> Self {
        Self::new(Verdict::Snooze(delay), None)
    }

    /// Trying again is of no use: the task goes to the dead.
    pub fn dead(reason: impl Into<BoxError>) -> Self {
        Self::new(Verdict::Dead, Some(reason.into()))
    }

    /// There is nothing left to do: the task is over, and nothing is kept of it.
    pub fn cancel() -> Self {
        Self::new(Verdict::Cancel, None)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.0.verdict
    }

    /// The cause and what caused it, in one line.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut cause: Option<&(dyn StdError + 'static)> = match &self.0.cause {
            Some(cause) => Some(&**cause),
            None => None,
        };
        while let Some(it) = cause {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&it.to_string());
            cause = it.source();
        }
        text
    }

    fn new(verdict: Verdict, cause: Option<BoxError>) -> Self {
        Self(Box::new(Inner { verdict, cause }))
    }

    /// As it passes through layers, which want an error.
    pub(crate) fn boxed(self) -> BoxError {
        Box::new(Carried(self))
    }

    /// As it comes out of layers: a layer's own error has the task tried again.
    pub(crate) fn unboxed(error: BoxError) -> Self {
        match error.downcast::<Carried>() {
            Ok(carried) => carried.0,
            Err(error) => Self::retry(error),
        }
    }
}

impl<E: Into<BoxError>> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// What layers see of a [`TaskError`].
#[derive(Debug)]
struct Carried(TaskError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.text();
        match self.0.verdict() {
            Verdict::Snooze(_) => f.write_str("the handler put the task off"),
            Verdict::Cancel => f.write_str("the handler cancelled the task"),
            _ => f.write_str(&text),
        }
    }
}

impl StdError for Carried {}

#[cfg(test)]
mod tests {
    use super::{TaskError, Verdict};
    use std::time::Duration;

    #[test]
    fn what_passes_through_layers_keeps_what_it_says() {
        let errors = [
            TaskError::retry("x"),
            TaskError::retry_after(Duration::from_secs(1), "x"),
            TaskError::snooze(Duration::from_secs(2)),
            TaskError::dead("x"),
            TaskError::cancel(),
        ];
        for error in errors {
            let (verdict, text) = (error.verdict(), error.text());
            let back = TaskError::unboxed(error.boxed());
            assert_eq!((back.verdict(), back.text()), (verdict, text));
        }
        let foreign = TaskError::unboxed("timed out".into());
        assert_eq!(foreign.verdict(), Verdict::Retry);
        assert_eq!(foreign.text(), "timed out");
    }

    #[test]
    fn the_text_tells_causes_too() {
        let inner = std::io::Error::other("disk full");
        let outer = std::io::Error::other(inner);
        assert!(TaskError::from(outer).text().ends_with("disk full"));
    }
}
