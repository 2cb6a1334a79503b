//! The trace that a task belongs to, as the W3C writes it.

use kv_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The trace that a task belongs to: a `traceparent` and, if there is one, a `tracestate`, as in
/// [W3C Trace Context](https://www.w3.org/TR/trace-context/).
///
/// What is scheduled inside [`scope`](Self::scope) carries it along, and handlers run inside the one
/// of their task. A bridge to a tracing library reads it with [`current`](Self::current) and links to
/// it: a task that waited a day is no child of the request that asked for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    #[serde(rename = "p")]
    parent: String,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

/// The longest `tracestate` that is carried; a longer one is left out, as the W3C permits.
const LONGEST_STATE: usize = 512;

impl TraceContext {
    /// The `traceparent`.
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// The `tracestate`.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// With this `tracestate`; one that is longer than 512 bytes is left out.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<String>) -> Self {
        self.state = Some(state.into()).filter(|it| it.len() <= LONGEST_STATE);
        self
    }

    /// The one of the running task, if it has one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs a future in this trace.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}

/// Parses a `traceparent` of version 00, or what a later version has in common with it.
impl FromStr for TraceContext {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if !is_parent(text) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a traceparent is `00-<32 hex digits>-<16 hex digits>-<2 hex digits>` in lower case, \
                 and neither id is zero",
            ));
        }
        Ok(Self {
            parent: text.to_owned(),
            state: None,
        })
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({})", self.parent)
    }
}

fn is_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let is_hex = |it: &&str| {
            it.len() == length && it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
        };
        parts.next().filter(is_hex)
    };
    let (version, trace, span, flags) = (part(2), part(32), part(16), part(2));
    let is_some = |it: Option<&str>| it.is_some_and(|it| it.bytes().any(|it| it != b'0'));
    let is_known = version.is_some_and(|it| it != "ff");
    let rest_fits = parts.next().is_none() || version != Some("00");
    is_known && is_some(trace) && is_some(span) && flags.is_some() && rest_fits
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::TraceContext;

    #[test]
    fn only_what_the_standard_calls_one_is_carried() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(good.parse::<TraceContext>().unwrap().parent(), good);
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more";
        assert!(later.parse::<TraceContext>().is_ok());
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(bad.parse::<TraceContext>().is_err(), "{bad}");
        }
    }
}
