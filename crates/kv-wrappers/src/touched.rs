//! Which keys a command can change.

use kv_core::{Access, Command, Event, Key, Prefixes, Result, Visitor, Watch};
use std::mem;

/// What a write may have changed, or a watch tells of.
#[derive(Debug, Default, PartialEq)]
pub(crate) enum Touched {
    #[default]
    Nothing,
    One(Key),
    Many(Vec<Key>),
    /// Ranges of keys, and so any key.
    Everything,
}

impl Touched {
    /// All keys of a write, also those it only looks at: one too many costs a read, one too few an
    /// answer that is out of date.
    pub(crate) fn by(command: &mut Command) -> Self {
        let mut touched = Self::Nothing;
        // A channel is named as a key is, but holds nothing.
        let is_write = command.spec().access == Access::Write;
        if is_write && !matches!(command, Command::Notify { .. }) {
            // The visitor never fails, and the walk itself cannot.
            let _ = command.visit(&mut touched);
        }
        touched
    }

    /// What a watch is about; messages are about no key.
    pub(crate) fn watched(watch: &Watch) -> Self {
        match watch {
            Watch::Keys(keys) => Self::Many(keys.clone()),
            Watch::Channels(_) => Self::Nothing,
            _ => Self::Everything,
        }
    }

    /// What an event of a watch is about.
    pub(crate) fn told(event: &Event) -> Self {
        match event {
            Event::Put { key, .. } | Event::Delete { key } => Self::One(key.clone()),
            Event::Message { .. } => Self::Nothing,
            _ => Self::Everything,
        }
    }
}

impl Visitor for Touched {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        *self = match mem::take(self) {
            Self::Nothing => Self::One(key.clone()),
            Self::One(first) => Self::Many(vec![first, key.clone()]),
            Self::Many(mut keys) => {
                keys.push(key.clone());
                Self::Many(keys)
            }
            Self::Everything => Self::Everything,
        };
        Ok(())
    }

    fn prefixes(&mut self, _: &mut Prefixes) -> Result<()> {
        *self = Self::Everything;
        Ok(())
    }
}
