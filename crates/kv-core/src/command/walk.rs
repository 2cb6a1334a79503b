//! How a layer reaches keys, values and deadlines without knowing the command.

use super::{Command, Cursor, Reply, ScanFrom, ScanPage, ScoredMember, SetReply};
use crate::{
    Expiry, Field, Key, Mark, Member, Order, Prefixes, RangeOptions, Result, Score, ScoreBound,
    ScoreRange, Scores, SetOptions, TimeToLive, Timestamp, Ttl, Value, When,
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

/// Where a value belongs; unknown only in a reply whose request was not noted down.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Place<'a> {
    /// Its key.
    pub key: Option<&'a Key>,
    /// Its field, if the key holds a hash.
    pub field: Option<&'a Field>,
}

/// The keys and fields of a command, in order: noted before it is sent, so that the values in its
/// reply can be told where they belong.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<(Key, Option<Field>)>);

impl Command {
    /// Shows every part of the command to a visitor.
    ///
    /// # Errors
    /// The visitor's.
    pub fn visit(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        self.walk(&mut Walker::new(visitor, &Places(Vec::new())))
    }

    /// The places that the reply's values will belong to.
    pub fn places(&self) -> Places {
        struct Note(Places);
        impl Visitor for Note {
            fn key(&mut self, key: &mut Key) -> Result<()> {
                self.0.0.push((key.clone(), None));
                Ok(())
            }

            fn field(&mut self, field: &mut Field) -> Result<()> {
                match self.0.0.last_mut() {
                    Some((_, first @ None)) => *first = Some(field.clone()),
                    Some((key, Some(_))) => {
                        let next = (key.clone(), Some(field.clone()));
                        self.0.0.push(next);
                    }
                    None => {}
                }
                Ok(())
            }
        }
        let mut note = Note(Places::default());
        // The visitor never fails, and the walk itself cannot.
        let _ = self.clone().visit(&mut note);
        note.0
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
    at: Place<'a>,
}

impl<'v, 'a> Walker<'v, 'a> {
    fn new(visitor: &'v mut dyn Visitor, places: &'a Places) -> Self {
        Self {
            visitor,
            places,
            at: Place::default(),
        }
    }

    /// Goes to the place of a reply's element; there are none while a command is walked.
    fn enter(&mut self, index: usize) {
        if let Some((key, field)) = self.places.0.get(index) {
            self.at = Place {
                key: Some(key),
                field: field.as_ref(),
            };
        }
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
}

impl Walk for Key {
    const PARTS: Parts = Parts::KEYS;

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
        walker.at.field = Some(self);
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

/// The elements of a reply belong to the places of the request, one each.
impl<T: Walk> Walk for Vec<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.iter_mut().enumerate().try_for_each(|(index, it)| {
            walker.enter(index);
            it.walk(walker)
        })
    }
}

impl<T: Walk> Walk for Result<T> {
    const PARTS: Parts = T::PARTS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.iter_mut().try_for_each(|it| it.walk(walker))
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
