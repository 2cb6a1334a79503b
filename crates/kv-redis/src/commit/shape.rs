//! The shape of a transaction: all that its script depends on, and nothing that users write.

/// Which of the keys, counted from 0 in the order in which they are first named.
pub(crate) type Place = u16;

/// What the steps of a transaction are, and which of them share a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) when: Vec<(Place, Guard)>,
    pub(super) then: Vec<(Place, Step)>,
    pub(super) otherwise: Vec<(Place, Read)>,
    pub(super) keys: Place,
    /// Where each argument stands, counted from 1: a name that comes again is sent once.
    pub(super) slots: Vec<Place>,
}

/// A condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    Exists,
    Absent,
    Value,
    Field,
    NoField,
    HasField,
    Score,
    NoMember,
    HasMember,
    Within(Bound, Bound),
    Count(Bound, Bound),
    AtMost,
    FieldAtMost,
}

/// A step of the branch that is taken if the conditions hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Set(Life),
    Delete,
    DeleteIf,
    Increment(Life),
    HSet(Length),
    HDel(Length),
    HIncrement,
    ZAdd {
        length: Length,
        /// Some score is told by the server's clock.
        relative: bool,
        /// Somebody is told if the first member changes.
        wakes: bool,
    },
    ZRem(Length),
    ZRemRange(Bound, Bound),
    ExpireIn,
    ExpireAt,
    Persist,
    Notify,
    NextToken(Life),
    Read(Read),
}

/// A read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Read {
    Get,
    Ttl,
    HGet,
    ZScore,
    ZCount(Bound, Bound),
    ZRange(Bound, Bound),
    LastToken,
    Now,
}

/// One element, which is the usual case and needs no list, or any number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Length {
    One,
    Many,
}

/// The time to live of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Clear,
    Keep,
    In,
    At,
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bound {
    Included,
    Excluded,
    /// Told by the server's clock.
    Now,
    /// Told by the server's clock, and left out itself.
    ExcludedNow,
}

/// What a key must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Type {
    Text,
    Hash,
    Set,
}

impl Shape {
    pub(super) fn clear(&mut self) {
        self.when.clear();
        self.then.clear();
        self.otherwise.clear();
        self.keys = 0;
        self.slots.clear();
    }

    /// Whether the reply tells the server's time.
    pub(super) fn tells_time(&self) -> bool {
        self.when.iter().any(|(_, it)| it.is_relative())
            || self.then.iter().any(|(_, it)| it.is_relative())
            || self.otherwise.iter().any(|(_, it)| it.is_relative())
    }
}

impl Guard {
    /// How many arguments it has.
    pub(super) fn args(self) -> usize {
        match self {
            Self::Exists | Self::Absent => 0,
            Self::Value
            | Self::NoField
            | Self::HasField
            | Self::NoMember
            | Self::HasMember
            | Self::AtMost => 1,
            Self::Field | Self::Score | Self::FieldAtMost => 2,
            Self::Within(..) | Self::Count(..) => 3,
        }
    }

    fn is_relative(self) -> bool {
        match self {
            Self::Within(min, max) | Self::Count(min, max) => {
                min.is_relative() || max.is_relative()
            }
            _ => false,
        }
    }
}

impl Step {
    /// How many arguments it has, its list not counted.
    pub(super) fn args(self) -> usize {
        match self {
            Self::Delete | Self::Persist => 0,
            Self::DeleteIf | Self::ExpireIn | Self::ExpireAt => 1,
            Self::HIncrement | Self::Notify => 2,
            Self::ZRemRange(..) => 3,
            Self::Set(life) | Self::Increment(life) => 1 + life.args(),
            Self::NextToken(life) => life.args(),
            Self::HSet(Length::One) => 2,
            Self::HSet(Length::Many) | Self::HDel(_) | Self::ZRem(_) => 1,
            Self::ZAdd { length, wakes, .. } => {
                let pair = match length {
                    Length::One => 2,
                    Length::Many => 1,
                };
                pair + if wakes { 2 } else { 0 }
            }
            Self::Read(read) => read.args(),
        }
    }

    /// The place among its arguments of the length of its list.
    pub(super) fn list(self) -> Option<usize> {
        match self {
            Self::HSet(Length::Many)
            | Self::HDel(Length::Many)
            | Self::ZRem(Length::Many)
            | Self::ZAdd {
                length: Length::Many,
                ..
            } => Some(0),
            _ => None,
        }
    }

    /// What its key must hold, if anything in particular.
    pub(super) fn needs(self) -> Option<Type> {
        match self {
            Self::Set(_)
            | Self::Delete
            | Self::DeleteIf
            | Self::ExpireIn
            | Self::ExpireAt
            | Self::Persist
            | Self::Notify => None,
            Self::Increment(_) | Self::NextToken(_) => Some(Type::Text),
            Self::HSet(_) | Self::HDel(_) | Self::HIncrement => Some(Type::Hash),
            Self::ZAdd { .. } | Self::ZRem(_) | Self::ZRemRange(..) => Some(Type::Set),
            Self::Read(read) => read.needs(),
        }
    }

    /// What its key may hold for the first time after it.
    pub(super) fn creates(self) -> Option<Type> {
        match self {
            Self::Set(_) | Self::Increment(_) | Self::NextToken(_) => Some(Type::Text),
            Self::HSet(_) | Self::HIncrement => Some(Type::Hash),
            Self::ZAdd { .. } => Some(Type::Set),
            _ => None,
        }
    }

    /// Whether the reply has an answer for it.
    pub(super) fn answers(self) -> bool {
        !matches!(self, Self::Set(_) | Self::Notify)
    }

    /// Whether its answer is 0 or 1.
    pub(super) fn is_flag(self) -> bool {
        matches!(
            self,
            Self::Delete
                | Self::DeleteIf
                | Self::ExpireIn
                | Self::ExpireAt
                | Self::Persist
                | Self::HSet(Length::One)
                | Self::HDel(Length::One)
                | Self::ZRem(Length::One)
                | Self::ZAdd {
                    length: Length::One,
                    ..
                }
        )
    }

    fn is_relative(self) -> bool {
        match self {
            Self::ZAdd { relative, .. } => relative,
            Self::ZRemRange(min, max) => min.is_relative() || max.is_relative(),
            Self::Read(read) => read.is_relative(),
            _ => false,
        }
    }
}

impl Read {
    /// How many arguments it has.
    pub(super) fn args(self) -> usize {
        match self {
            Self::Get | Self::Ttl | Self::LastToken | Self::Now => 0,
            Self::HGet | Self::ZScore => 1,
            Self::ZCount(..) => 2,
            Self::ZRange(..) => 3,
        }
    }

    pub(super) fn needs(self) -> Option<Type> {
        match self {
            Self::Ttl | Self::Now => None,
            Self::Get | Self::LastToken => Some(Type::Text),
            Self::HGet => Some(Type::Hash),
            Self::ZScore | Self::ZCount(..) | Self::ZRange(..) => Some(Type::Set),
        }
    }

    fn is_relative(self) -> bool {
        match self {
            Self::ZCount(min, max) | Self::ZRange(min, max) => {
                min.is_relative() || max.is_relative()
            }
            Self::Now => true,
            _ => false,
        }
    }
}

impl Life {
    fn args(self) -> usize {
        match self {
            Self::Clear | Self::Keep => 0,
            Self::In | Self::At => 1,
        }
    }
}

impl Bound {
    fn is_relative(self) -> bool {
        matches!(self, Self::Now | Self::ExcludedNow)
    }
}
