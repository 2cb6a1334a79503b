//! Changes that the store has been asked for.

use crate::{
    again::Target,
    shared::{CacheValue, Shared},
    tags::Change,
};
use kv_core::{Error, Result};
use std::sync::Arc;

/// A change on its way. Dropped before it is answered it may be done at any time, also after what this process reads
/// next, which nobody would tell it: so it is done once more.
pub(crate) struct UnderWay<'a, V: CacheValue> {
    shared: &'a Arc<Shared<V>>,
    key: &'a [u8],
    otherwise: Option<(Target, Change)>,
}

impl<'a, V: CacheValue> UnderWay<'a, V> {
    /// By the key as the store sees it.
    pub(crate) fn new(
        shared: &'a Arc<Shared<V>>,
        key: &'a [u8],
        target: Target,
        change: Change,
    ) -> Self {
        Self {
            shared,
            key,
            otherwise: Some((target, change)),
        }
    }

    /// The store has answered, or not in time.
    pub(crate) fn ended(self, done: &Result<()>) {
        match done {
            Ok(()) => self.done(),
            Err(error) => self.failed(error),
        }
    }

    /// The store has taken it, and so what was to be tried again.
    pub(crate) fn done(mut self) {
        if let Some((_, change)) = self.otherwise.take() {
            self.shared.again.forget(self.key, change);
        }
    }

    pub(crate) fn failed(mut self, error: &Error) {
        if let Some((target, change)) = self.otherwise.take() {
            self.shared.try_again(self.key, target, change, error);
        }
    }

    /// It need not be done any more.
    pub(crate) fn dismiss(mut self) {
        self.otherwise = None;
    }
}

impl<V: CacheValue> Drop for UnderWay<'_, V> {
    fn drop(&mut self) {
        if let Some((target, change)) = self.otherwise.take() {
            self.shared.owe(self.key, target, change);
        }
    }
}
