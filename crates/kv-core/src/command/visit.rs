//! What a layer sees of a command, of a reply and of an event.

use super::{Command, Place, Places, Reply, Walk, Walker};
use crate::{Event, Expiry, Field, Key, Mark, Member, Prefixes, Result, Ttl, Value};

/// Sees every part of a command, of a reply or of an event that a layer may look at or change.
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
        let places = Places::default();
        let mut walker = Walker::new(visitor, &places);
        match self {
            Self::Notify { channel, payload } => {
                walker.channel(channel)?;
                payload.walk(&mut walker)
            }
            other => other.walk(&mut walker),
        }
    }
}

impl Reply {
    /// Shows every part of the reply to a visitor; `places` come from the command it answers.
    ///
    /// Each transaction has an answer of its own, and so has each body of a move: what the visitor
    /// says of one becomes its answer, and the others are shown all the same.
    ///
    /// # Errors
    /// The visitor's.
    pub fn visit(&mut self, places: &Places, visitor: &mut dyn Visitor) -> Result<()> {
        let answers = match self {
            Self::Commit(answers) => answers,
            Self::ZMove(moved) => {
                let mut members = moved.members.iter_mut();
                return members.try_for_each(|it| it.visit(places, visitor));
            }
            other => {
                let mut walker = Walker::new(visitor, places);
                walker.enter(0);
                return other.walk(&mut walker);
            }
        };
        for (index, answer) in answers.iter_mut().enumerate() {
            let mut walker = Walker::new(visitor, places);
            walker.enter(index);
            if let Err(error) = answer.walk(&mut walker) {
                *answer = Err(error);
            }
        }
        Ok(())
    }
}

impl Event {
    /// Shows the key or channel to a visitor, and the value with its place.
    ///
    /// # Errors
    /// The visitor's.
    pub fn visit(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        let places = Places::default();
        let mut walker = Walker::new(visitor, &places);
        match self {
            Self::Put { key, value } => {
                key.walk(&mut walker)?;
                value.walk(&mut walker)
            }
            Self::Message { channel, payload } => {
                walker.channel(channel)?;
                payload.walk(&mut walker)
            }
            Self::Delete { key } => key.walk(&mut walker),
            Self::Resync => Ok(()),
        }
    }
}
