//! How a layer reaches keys, values and deadlines without knowing the command.

mod several;
mod single;

use super::{Place, Places, Visitor};
use crate::{Error, Key, Member, Result};
use std::ops::BitOr;

/// Carries a visitor through a command or a reply and remembers where it is.
#[expect(
    missing_debug_implementations,
    reason = "holds a visitor, which need not be Debug"
)]
pub struct Walker<'v, 'a> {
    visitor: &'v mut dyn Visitor,
    places: &'a Places,
    /// Which element of the reply is walked.
    index: usize,
    at: Place<'a>,
}

impl<'v, 'a> Walker<'v, 'a> {
    pub(crate) fn new(visitor: &'v mut dyn Visitor, places: &'a Places) -> Self {
        Self {
            visitor,
            places,
            index: 0,
            at: Place::default(),
        }
    }

    /// Goes to the place of a reply's element; there are none while a command is walked.
    pub(crate) fn enter(&mut self, index: usize) {
        self.index = index;
        if let Some(place) = self.places.at(index) {
            self.at = place;
        }
    }

    /// Goes to a field of the hash at this place of the request.
    pub(crate) fn enter_field(&mut self, index: usize, field: &'a [u8]) {
        if let Some(place) = self.places.at(index) {
            self.at = Place {
                field: Some(field),
                ..place
            };
        }
    }

    /// Shows a channel; a value that follows is a message on it.
    pub(crate) fn channel(&mut self, channel: &'a mut Key) -> Result<()> {
        channel.walk(self)?;
        self.at.is_message = true;
        Ok(())
    }

    /// Shows a member whose bytes are borrowed again later.
    pub(crate) fn member(&mut self, member: &mut Member) -> Result<()> {
        self.visitor.member(member)
    }

    /// The place of the first step of the branch that the transaction at hand took.
    pub(crate) fn branch(&self, applied: bool) -> usize {
        self.places.branch(self.index, applied)
    }
}

/// What a walk can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts(u8);

impl Parts {
    /// Nothing that a layer may touch.
    pub const NONE: Self = Self(0);
    /// Keys or prefixes.
    pub const KEYS: Self = Self(1);
    /// Values.
    pub const VALUES: Self = Self(2);
    /// Marks.
    pub const MARKS: Self = Self(4);
    /// Deadlines.
    pub const TTLS: Self = Self(8);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of these can be found.
    pub const fn hold(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }
}

impl BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// A type that shows its parts to a [`Visitor`]. An argument or reply in the command table that
/// lacks it does not compile, so no new command can slip past a layer.
pub trait Walk {
    /// What there is to find.
    const PARTS: Parts;

    /// Shows the parts.
    ///
    /// # Errors
    /// The visitor's.
    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()>;

    /// Itself, if it is a key.
    fn as_key(&self) -> Option<&Key> {
        None
    }

    /// Shows the errors of a batch's items.
    #[expect(unused_variables, reason = "most have none")]
    fn failures(&self, see: &mut dyn FnMut(&Error)) {}
}
