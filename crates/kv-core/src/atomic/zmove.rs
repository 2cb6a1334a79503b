//! Moving due members from sorted sets to another: how work is claimed.

use super::Guard;
use crate::{
    Error, Key, Member, Places, RelativeScore, Result, Score, Timestamp, Value, Visitor, Walk,
    Walker, command::Parts,
};

/// One atomic step that takes members with the lowest scores from some sorted sets and puts them
/// into another under a new score, all keys in one group.
///
/// The sources are drained in order, each lowest first, without reading more than `limit` members.
/// All of them are read before anything moves; a member that is due in several is moved once, from
/// the first, and stays in the others.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ZMove {
    /// What must hold for anything to move.
    pub when: Vec<Guard>,
    /// Where members come from, each key once.
    pub sources: Vec<Source>,
    /// Where they go, perhaps one of the sources; `None` just takes them out.
    pub target: Option<Key>,
    /// Their score there.
    pub score: RelativeScore,
    /// How many move at most: 1 to [`MAX_MEMBERS`](super::MAX_MEMBERS).
    pub limit: u32,
    /// How many members the target may come to hold. Those that were in the target before move in
    /// any case, since they are counted already.
    pub capacity: Option<u64>,
    /// What to bring along or to delete for each member: its field of these hashes, each key once.
    pub hashes: Vec<Bodies>,
    /// Whether the lowest must come first.
    pub order: ClaimOrder,
}

/// A sorted set that members are taken from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Source {
    /// The sorted set.
    pub key: Key,
    /// Members up to this score are due.
    pub max: RelativeScore,
    /// A hash in which 1 is added to the field of each member that moves from here.
    pub tally: Option<Key>,
}

/// A hash with something about each member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bodies {
    /// The hash.
    pub key: Key,
    /// What happens to the fields of members that move.
    pub fate: Fate,
}

/// What happens to the fields of members that move, and whether the reply brings them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// They stay, and come along.
    #[default]
    Keep,
    /// They are deleted, and come along.
    Take,
    /// They are deleted and neither read nor sent: the reply has `None` for them, there or not.
    Drop,
}

/// In which order members are claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimOrder {
    /// The lowest score first, whoever asks.
    #[default]
    Strict,
    /// Any of the due ones: a store on which claimers would get in each other's way may spread them.
    Relaxed,
}

impl ZMove {
    /// A move of up to `limit` members; the sources are added with [`from`](Self::from).
    pub fn new(limit: u32) -> Self {
        Self {
            when: Vec::new(),
            sources: Vec::new(),
            target: None,
            score: RelativeScore::NOW,
            limit,
            capacity: None,
            hashes: Vec::new(),
            order: ClaimOrder::Strict,
        }
    }

    /// With a condition.
    #[must_use]
    pub fn when(mut self, guard: Guard) -> Self {
        self.when.push(guard);
        self
    }

    /// From this set too, after those named before: members up to `max`.
    #[must_use]
    pub fn from(mut self, key: impl Into<Key>, max: impl Into<RelativeScore>) -> Self {
        let (key, max, tally) = (key.into(), max.into(), None);
        self.sources.push(Source { key, max, tally });
        self
    }

    /// As [`from`](Self::from), counting each member's moves in a hash.
    #[must_use]
    pub fn from_counted(
        mut self,
        key: impl Into<Key>,
        max: impl Into<RelativeScore>,
        tally: impl Into<Key>,
    ) -> Self {
        let (key, max, tally) = (key.into(), max.into(), Some(tally.into()));
        self.sources.push(Source { key, max, tally });
        self
    }

    /// Into this set, with this score.
    #[must_use]
    pub fn to(mut self, key: impl Into<Key>, score: impl Into<RelativeScore>) -> Self {
        self.target = Some(key.into());
        self.score = score.into();
        self
    }

    /// Never more members than this in the target.
    #[must_use]
    pub fn capacity(mut self, members: u64) -> Self {
        self.capacity = Some(members);
        self
    }

    /// With each member's field of this hash; [`Fate::Drop`] deletes it and brings nothing.
    #[must_use]
    pub fn with(mut self, hash: impl Into<Key>, fate: Fate) -> Self {
        let key = hash.into();
        self.hashes.push(Bodies { key, fate });
        self
    }

    /// In this order.
    #[must_use]
    pub fn order(mut self, order: ClaimOrder) -> Self {
        self.order = order;
        self
    }
}

/// What a move did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ZMoved {
    /// Whether the guards held. If not, nothing moved and the rest was not looked at.
    pub applied: bool,
    /// The members that moved, in the order in which they were taken.
    pub members: Vec<Moved>,
    /// The store's time.
    pub now: Timestamp,
    /// The lowest score that is left in any source: when to ask again.
    pub next: Option<Score>,
    /// Whether a source still holds a due member, be it for the limit or the capacity.
    pub more: bool,
}

/// A member that moved.
#[derive(Debug)]
#[non_exhaustive]
pub struct Moved {
    /// The member.
    pub member: Member,
    /// The place of its source in the list of sources.
    pub source: usize,
    /// Its score there.
    pub before: Score,
    /// Its score in the target, if there is one. Together with `tally` it is the fencing token of a
    /// claim; alone it can repeat.
    pub after: Option<Score>,
    /// Its fields of the hashes, one for each hash in their order; `None` where there is no such
    /// field or the fields are dropped. One that a layer cannot make out, say for want of a key, is an
    /// error of its own: the member has moved all the same.
    pub bodies: Vec<Result<Option<Value>>>,
    /// How often it has moved from its source, this time included, where that is counted.
    pub tally: Option<i64>,
}

impl ZMoved {
    /// A move that was made.
    pub fn new(members: Vec<Moved>, now: Timestamp, next: Option<Score>, more: bool) -> Self {
        Self {
            applied: true,
            members,
            now,
            next,
            more,
        }
    }

    /// A move whose guards did not hold.
    pub fn refused(now: Timestamp) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }
}

impl Moved {
    /// A member that moved.
    pub fn new(member: impl Into<Member>, source: usize, before: Score) -> Self {
        Self {
            member: member.into(),
            source,
            before,
            after: None,
            bodies: Vec::new(),
            tally: None,
        }
    }

    /// All bodies, for who has no use for some of them.
    ///
    /// # Errors
    /// That of the first body that could not be made out.
    pub fn all_bodies(&self) -> Result<Vec<Option<Value>>> {
        let bodies = self.bodies.iter();
        let bodies = bodies.map(|it| it.as_ref().map_err(Error::duplicate).cloned());
        bodies.collect()
    }

    /// Shows all parts to a visitor, the bodies each for itself: what is said of one becomes its answer.
    pub(crate) fn visit(&mut self, places: &Places, visitor: &mut dyn Visitor) -> Result<()> {
        visitor.member(&mut self.member)?;
        let field = self.member.as_bytes();
        for (hash, body) in self.bodies.iter_mut().enumerate() {
            let mut walker = Walker::new(visitor, places);
            walker.enter_field(hash, field);
            if let Err(error) = body.walk(&mut walker) {
                *body = Err(error);
            }
        }
        Ok(())
    }
}

/// The hashes come first: their places are where the bodies of the reply belong.
impl Walk for ZMove {
    const PARTS: Parts = Parts::KEYS.and(Parts::MARKS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.hashes
            .iter_mut()
            .try_for_each(|it| it.key.walk(walker))?;
        for source in &mut self.sources {
            source.key.walk(walker)?;
            source.tally.walk(walker)?;
        }
        self.target.walk(walker)?;
        self.when.walk(walker)
    }
}

impl Walk for ZMoved {
    const PARTS: Parts = Parts::VALUES;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.members.iter_mut().try_for_each(|it| it.walk(walker))
    }

    fn failures(&self, see: &mut dyn FnMut(&Error)) {
        self.members.failures(see);
    }
}

impl Walk for Moved {
    const PARTS: Parts = Parts::VALUES;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.member(&mut self.member)?;
        let member = self.member.as_bytes();
        for (hash, body) in self.bodies.iter_mut().enumerate() {
            walker.enter_field(hash, member);
            body.walk(walker)?;
        }
        Ok(())
    }

    fn failures(&self, see: &mut dyn FnMut(&Error)) {
        self.bodies.failures(see);
    }
}
