//! By which policy a request is limited.

use http::request::Parts;
use std::{borrow::Cow, sync::Arc};

/// Tells by which policy a request is limited: always the same one, if it is a name, or what a closure
/// `Fn(&Parts) -> &'static str` or `-> String` says, such as the plan that a tenant pays for.
pub trait PolicyFn: Send + Sync + 'static {
    /// The policy's name. If there is none of this name the request is refused: a mistake must not switch a limit
    /// off.
    fn policy<'a>(&'a self, request: &Parts) -> Cow<'a, str>;

    /// The name, if it is always the same.
    fn always(&self) -> Option<&str> {
        None
    }
}

impl PolicyFn for &'static str {
    fn policy<'a>(&'a self, _: &Parts) -> Cow<'a, str> {
        Cow::Borrowed(self)
    }

    fn always(&self) -> Option<&str> {
        Some(self)
    }
}

impl PolicyFn for String {
    fn policy<'a>(&'a self, _: &Parts) -> Cow<'a, str> {
        Cow::Borrowed(self)
    }

    fn always(&self) -> Option<&str> {
        Some(self)
    }
}

impl PolicyFn for Arc<str> {
    fn policy<'a>(&'a self, _: &Parts) -> Cow<'a, str> {
        Cow::Borrowed(self)
    }

    fn always(&self) -> Option<&str> {
        Some(self)
    }
}

impl<F, N> PolicyFn for F
where
    F: Fn(&Parts) -> N + Send + Sync + 'static,
    N: Into<Cow<'static, str>>,
{
    fn policy<'a>(&'a self, request: &Parts) -> Cow<'a, str> {
        self(request).into()
    }
}
