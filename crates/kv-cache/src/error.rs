//! Why there is no value.

use kv_core::Error;
use std::{error, fmt, sync::Arc};

/// Why there is no value. A store in trouble is none of the reasons: then the loader is asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed, and there was nothing stale to give out. All who waited for it share the error.
    Failed(Arc<E>),
    /// There is nothing: the loader says so, or has said so not long ago.
    Missing,
    /// The loader took longer than the hard timeout, and there was nothing stale to give out. What it brings
    /// later is kept.
    TimedOut,
    /// The loader panicked.
    Panicked,
    /// The load was given up with the runtime that it went on in.
    Abandoned,
    /// The key cannot be made one of the store, say for want of a tenant.
    Refused(Error),
}

impl<E> LoadError<E> {
    /// The loader's own error.
    pub fn loader_error(&self) -> Option<&E> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "the loader failed: {error}"),
            Self::Missing => f.write_str("there is nothing of this name"),
            Self::TimedOut => f.write_str("the loader took too long, and nothing older was there"),
            Self::Panicked => f.write_str("the loader panicked"),
            Self::Abandoned => f.write_str("the load was given up with its runtime"),
            Self::Refused(error) => write!(f, "the key cannot be used: {error}"),
        }
    }
}

impl<E: error::Error + 'static> error::Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(&**error),
            Self::Refused(error) => Some(error),
            _ => None,
        }
    }
}
