//! How a layer reaches keys, values and deadlines without knowing the command.

use super::{Command, Cursor, Place, Places, Reply, ScanFrom, ScanPage, ScoredMember, SetReply};
use crate::{
    Error, Expiry, Field, Key, Mark, Member, Order, Prefixes, RangeOptions, Result, Score,
    ScoreBound, ScoreRange, Scores, SetOptions, TimeToLive, Timestamp, Ttl, Value, When,
};
use std::ops::BitOr;

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
    fn new(visitor: &'v mut dyn Visitor, places: &'a Places) -> Self {
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

impl Walk for Key {
    const PARTS: Parts = Parts::KEYS;

    fn as_key(&self) -> Option<&Key> {
        Some(self)
    }

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.key(self)?;
        walker.at = Place {
            key: Some(self),
            field: None,
        };
        Ok(())
    }
}

impl Walk for Prefixes {
    const PARTS: Parts = Parts::KEYS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.prefixes(self)
    }
}

impl Walk for Value {
    const PARTS: Parts = Parts::VALUES;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.value(walker.at, self)
    }
}

impl Walk for Mark {
    const PARTS: Parts = Parts::MARKS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.mark(walker.at, self)
    }
}

impl Walk for Field {
    const PARTS: Parts = Parts::NONE;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.field(self)?;
        walker.at.field = Some(self.as_bytes());
        Ok(())
    }
}

impl Walk for Member {
    const PARTS: Parts = Parts::NONE;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.member(self)
    }
}

impl Walk for Ttl {
    const PARTS: Parts = Parts::TTLS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.ttl(self)
    }
}

impl Walk for Expiry {
    const PARTS: Parts = Parts::TTLS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.expiry(self)
    }
}

impl<T: Walk> Walk for Option<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.iter_mut().try_for_each(|it| it.walk(walker))
    }
}

impl<T: Walk> Walk for Box<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        (**self).walk(walker)
    }
}

/// The elements of a reply belong to the places of the request, one each.
impl<T: Walk> Walk for Vec<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.iter_mut().enumerate().try_for_each(|(index, it)| {
            walker.enter(index);
            it.walk(walker)
        })
    }

    fn failures(&self, see: &mut dyn FnMut(&Error)) {
        self.iter().for_each(|it| it.failures(see));
    }
}

impl<T: Walk> Walk for Result<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.iter_mut().try_for_each(|it| it.walk(walker))
    }

    fn failures(&self, see: &mut dyn FnMut(&Error)) {
        self.as_ref().err().into_iter().for_each(see);
    }
}

impl<A: Walk, B: Walk> Walk for (A, B) {
    const PARTS: Parts = A::PARTS.and(B::PARTS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.0.walk(walker)?;
        self.1.walk(walker)
    }
}

impl Walk for SetOptions {
    const PARTS: Parts = Parts::MARKS.and(Parts::TTLS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.ttl.walk(walker)?;
        match &mut self.when {
            When::IfValue(mark) => mark.walk(walker),
            When::Always | When::IfAbsent | When::IfPresent => Ok(()),
        }
    }
}

impl Walk for SetReply {
    const PARTS: Parts = Parts::VALUES;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.current.walk(walker)
    }
}

impl Walk for ScanFrom {
    const PARTS: Parts = Parts::KEYS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        match self {
            Self::After(key) => key.walk(walker),
            Self::Start | Self::Cursor(_) => Ok(()),
        }
    }
}

impl Walk for ScanPage {
    const PARTS: Parts = Parts::KEYS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.keys.iter_mut().try_for_each(|key| key.walk(walker))
    }
}

impl Walk for ScoredMember {
    const PARTS: Parts = Parts::NONE;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.member.walk(walker)
    }
}

macro_rules! opaque {
    ($($ty:ty),* $(,)?) => {$(
        impl Walk for $ty {
            const PARTS: Parts = Parts::NONE;

            fn walk<'a>(&'a mut self, _: &mut Walker<'_, 'a>) -> Result<()> {
                Ok(())
            }
        }
    )*};
}

opaque!(
    (),
    crate::RelativeRange,
    crate::RelativeScore,
    Cursor,
    Order,
    RangeOptions,
    Score,
    ScoreBound,
    ScoreRange,
    Scores,
    TimeToLive,
    Timestamp,
    bool,
    i64,
    u32,
    u64,
);
