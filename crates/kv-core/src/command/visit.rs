//! What a layer sees of a command or a reply.

use super::{Command, Place, Places, Reply, Walk, Walker};
use crate::{Expiry, Field, Key, Mark, Member, Prefixes, Result, Ttl, Value};

/// Sees every part of a command or of a reply that a layer may look at or change.
///
/// All methods do nothing unless overridden. An error stops the walk.
#[expect(unused_variables, reason = "the defaults ignore what they are shown")]
#[expect(clippy::missing_errors_doc, reason = "an implementation's own errors")]
pub trait Visitor {
    /// A key.
    fn key(&mut self, key: &mut Key) -> Result<()> {
        Ok(())
    }

    /// The ranges of keys that a command works on.
    fn prefixes(&mut self, prefixes: &mut Prefixes) -> Result<()> {
        Ok(())
    }

    /// A value, with the key and field it belongs to, also in a reply.
    fn value(&mut self, place: Place<'_>, value: &mut Value) -> Result<()> {
        Ok(())
    }

    /// Bytes that are compared.
    fn mark(&mut self, place: Place<'_>, mark: &mut Mark) -> Result<()> {
        Ok(())
    }

    /// The name of a hash entry.
    fn field(&mut self, field: &mut Field) -> Result<()> {
        Ok(())
    }

    /// A member of a sorted set.
    fn member(&mut self, member: &mut Member) -> Result<()> {
        Ok(())
    }

    /// What a write does to the time to live.
    fn ttl(&mut self, ttl: &mut Ttl) -> Result<()> {
        Ok(())
    }

    /// The deadline that an `expire` gives.
    fn expiry(&mut self, expiry: &mut Expiry) -> Result<()> {
        Ok(())
    }
}

impl Command {
    /// Shows every part of the command to a visitor.
    ///
    /// # Errors
    /// The visitor's.
    pub fn visit(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        self.walk(&mut Walker::new(visitor, &Places::default()))
    }
}

impl Reply {
    /// Shows every part of the reply to a visitor; `places` come from the command it answers.
    ///
    /// # Errors
    /// The visitor's.
    pub fn visit(&mut self, places: &Places, visitor: &mut dyn Visitor) -> Result<()> {
        let mut walker = Walker::new(visitor, places);
        walker.enter(0);
        self.walk(&mut walker)
    }
}
