//! A transaction as its shape, its keys and its arguments.
//!
//! The arguments stand in the order of the steps, as many as [`shape`](super::shape) says; the lists
//! come behind them, so that their lengths move nothing else.

use super::shape::{self, Bound, Length, Life, Place, Shape};
use crate::{
    encode::{Text, bound, deadline_millis, digits, marked, score},
    error::{Answer, Failure},
};
use kv_core::{
    Expiry, Guard, Key, Op, Read, RelativeBound, RelativeRange, RelativeScore, ScoreBound, Ttl, Txn,
};
use std::collections::HashMap;

/// An argument: the caller's bytes, or a number.
pub(crate) enum Arg<'a> {
    Bytes(&'a [u8]),
    Text(Text),
}

impl AsRef<[u8]> for Arg<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

/// Takes transactions apart, one at a time.
#[derive(Default)]
pub(crate) struct Encoder<'a> {
    pub(crate) shape: Shape,
    pub(crate) keys: Vec<&'a Key>,
    pub(crate) args: Vec<Arg<'a>>,
    lists: Vec<Arg<'a>>,
    /// Where keys are, once there are so many that looking through them is slow.
    places: HashMap<&'a Key, Place>,
    /// The first member or field, and where it stands.
    name: Option<(&'a [u8], Place)>,
}

/// From how many keys on they are looked up by their hash.
const MANY_KEYS: usize = 16;

impl<'a> Encoder<'a> {
    pub(crate) fn txn(&mut self, txn: &'a Txn) -> Answer<()> {
        self.shape.clear();
        self.keys.clear();
        self.args.clear();
        self.lists.clear();
        self.places.clear();
        self.name = None;
        for guard in &txn.when {
            self.when(guard)?;
        }
        for op in &txn.then {
            let encoded = (self.place_if(op.key()), self.op(op)?);
            self.shape.then.push(encoded);
        }
        for read in &txn.otherwise {
            let encoded = (self.place_if(read.key()), self.read(read)?);
            self.shape.otherwise.push(encoded);
        }
        self.shape.keys = self.keys.len() as Place;
        self.args.append(&mut self.lists);
        Ok(())
    }

    pub(crate) fn when(&mut self, guard: &'a Guard) -> Answer<()> {
        let encoded = (self.place(guard.key()), self.guard(guard)?);
        self.shape.when.push(encoded);
        Ok(())
    }

    /// How many bytes there are to send.
    pub(super) fn size(&self) -> usize {
        let keys: usize = self.keys.iter().map(|key| key.as_bytes().len()).sum();
        let args: usize = self.args.iter().map(|arg| arg.as_ref().len()).sum();
        keys + args
    }

    /// The place of a key, which is noted if it is new.
    pub(crate) fn place(&mut self, key: &'a Key) -> Place {
        let known = match self.keys.len() {
            ..=MANY_KEYS => self.keys.iter().position(|it| *it == key),
            _ => self.places.get(key).map(|&it| usize::from(it)),
        };
        if let Some(place) = known {
            return place as Place;
        }
        let place = self.keys.len() as Place;
        self.keys.push(key);
        match self.keys.len() {
            ..=MANY_KEYS => {}
            length if length == MANY_KEYS + 1 => {
                let places = self.keys.iter().zip(0..);
                self.places.extend(places.map(|(key, place)| (*key, place)));
            }
            _ => {
                self.places.insert(key, place);
            }
        }
        place
    }

    fn guard(&mut self, guard: &'a Guard) -> Answer<shape::Guard> {
        use shape::Guard as Shape;
        Ok(match guard {
            Guard::Exists { .. } => Shape::Exists,
            // Whatever is there is not nothing.
            Guard::Absent { .. } | Guard::ValueIs { mark: None, .. } => Shape::Absent,
            Guard::ValueIs {
                mark: Some(mark), ..
            } => {
                self.bytes(mark.as_bytes());
                Shape::Value
            }
            Guard::FieldIs { field, mark, .. } => {
                self.name(field.as_bytes());
                match mark {
                    None => Shape::NoField,
                    Some(mark) => {
                        self.bytes(mark.as_bytes());
                        Shape::Field
                    }
                }
            }
            Guard::FieldExists { field, .. } => {
                self.name(field.as_bytes());
                Shape::HasField
            }
            Guard::ScoreIs {
                member,
                score: wanted,
                ..
            } => {
                self.name(member.as_bytes());
                match wanted {
                    None => Shape::NoMember,
                    Some(wanted) => {
                        self.text(score(*wanted));
                        Shape::Score
                    }
                }
            }
            Guard::MemberExists { member, .. } => {
                self.name(member.as_bytes());
                Shape::HasMember
            }
            Guard::ScoreWithin { member, range, .. } => {
                self.name(member.as_bytes());
                Shape::Within(self.number(range.min)?, self.number(range.max)?)
            }
            Guard::CountBelow { range, limit, .. } => {
                let (min, max) = self.range(range)?;
                self.text(digits(*limit));
                Shape::Count(min, max)
            }
            Guard::AtMost { field, limit, .. } => {
                let shape = match field {
                    None => Shape::AtMost,
                    Some(field) => {
                        self.name(field.as_bytes());
                        Shape::FieldAtMost
                    }
                };
                self.text(digits(*limit));
                shape
            }
            _ => return Err(Failure::unsupported("this condition")),
        })
    }

    fn op(&mut self, op: &'a Op) -> Answer<shape::Step> {
        use shape::Step;
        Ok(match op {
            Op::Set { content, ttl, .. } => {
                self.bytes(content.as_bytes());
                Step::Set(self.life(*ttl)?)
            }
            Op::Delete { .. } => Step::Delete,
            Op::DeleteIf { mark, .. } => {
                self.bytes(mark.as_bytes());
                Step::DeleteIf
            }
            Op::Increment {
                by, ttl_if_created, ..
            } => {
                self.text(digits(*by));
                Step::Increment(self.life(*ttl_if_created)?)
            }
            Op::HSet { fields, .. } => {
                let fields = fields.iter();
                let pairs = fields.map(|(field, content)| [field.as_bytes(), content.as_bytes()]);
                Step::HSet(self.list(pairs))
            }
            Op::HDel { fields, .. } => {
                Step::HDel(self.list(fields.iter().map(|it| [it.as_bytes()])))
            }
            Op::HIncrement { field, by, .. } => {
                self.name(field.as_bytes());
                self.text(digits(*by));
                Step::HIncrement
            }
            Op::ZAdd {
                members,
                notify_if_first,
                ..
            } => {
                let relative = members.iter().any(|(_, score)| score.is_relative());
                let length = match &**members {
                    [(member, score)] => {
                        self.text(relative_score("", *score)?);
                        self.name(member.as_bytes());
                        Length::One
                    }
                    members => {
                        self.text(digits(members.len() as u64 * 2));
                        // In a mixed list those told by the clock are marked.
                        for (member, score) in members {
                            self.lists.push(Arg::Text(relative_score("n", *score)?));
                            self.lists.push(Arg::Bytes(member.as_bytes()));
                        }
                        Length::Many
                    }
                };
                if let Some(notice) = notify_if_first {
                    self.bytes(notice.channel.as_bytes());
                    self.bytes(notice.payload.as_bytes());
                }
                let wakes = notify_if_first.is_some();
                Step::ZAdd {
                    length,
                    relative,
                    wakes,
                }
            }
            Op::ZRem { members, .. } => {
                Step::ZRem(self.list(members.iter().map(|it| [it.as_bytes()])))
            }
            Op::ZRemRange { range, limit, .. } => {
                let (min, max) = self.range(range)?;
                self.text(digits(*limit));
                Step::ZRemRange(min, max)
            }
            Op::Expire { expiry, .. } => match expiry {
                Expiry::In(span) | Expiry::Held(span) => {
                    self.text(digits(span.as_millis()));
                    Step::ExpireIn
                }
                Expiry::At(deadline) => {
                    self.text(digits(deadline_millis(*deadline)));
                    Step::ExpireAt
                }
                _ => return Err(Failure::unsupported("this deadline")),
            },
            Op::Persist { .. } => Step::Persist,
            Op::Notify(notice) => {
                self.bytes(notice.channel.as_bytes());
                self.bytes(notice.payload.as_bytes());
                Step::Notify
            }
            Op::NextToken { ttl, .. } => Step::NextToken(self.life(*ttl)?),
            Op::Read(read) => Step::Read(self.read(read)?),
            _ => return Err(Failure::unsupported("this step")),
        })
    }

    fn read(&mut self, read: &'a Read) -> Answer<shape::Read> {
        use shape::Read as Shape;
        Ok(match read {
            Read::Get { .. } | Read::GetMark { .. } => Shape::Get,
            Read::Ttl { .. } => Shape::Ttl,
            Read::HGet { field, .. } | Read::HGetMark { field, .. } => {
                self.name(field.as_bytes());
                Shape::HGet
            }
            Read::ZScore { member, .. } => {
                self.name(member.as_bytes());
                Shape::ZScore
            }
            Read::ZCount { range, .. } => {
                let (min, max) = self.range(range)?;
                Shape::ZCount(min, max)
            }
            Read::ZRange { range, limit, .. } => {
                let (min, max) = self.range(range)?;
                self.text(digits(*limit));
                Shape::ZRange(min, max)
            }
            Read::LastToken { .. } => Shape::LastToken,
            Read::Now => Shape::Now,
            _ => return Err(Failure::unsupported("this read")),
        })
    }

    fn place_if(&mut self, key: Option<&'a Key>) -> Place {
        key.map_or(0, |key| self.place(key))
    }

    fn bytes(&mut self, bytes: &'a [u8]) {
        self.push(Arg::Bytes(bytes));
    }

    fn text(&mut self, text: Text) {
        self.push(Arg::Text(text));
    }

    fn push(&mut self, arg: Arg<'a>) {
        self.args.push(arg);
        self.shape.slots.push(self.args.len() as Place);
    }

    /// A member or a field. Most transactions are about one job, one holder: the first name is not
    /// sent again.
    fn name(&mut self, name: &'a [u8]) {
        let slot = match self.name {
            Some((first, slot)) if first == name => slot,
            _ => {
                self.bytes(name);
                self.name.get_or_insert((name, self.args.len() as Place));
                return;
            }
        };
        self.shape.slots.push(slot);
    }

    /// A single item goes among the arguments; others make a list, whose length goes there.
    fn list<const N: usize>(
        &mut self,
        mut items: impl ExactSizeIterator<Item = [&'a [u8]; N]>,
    ) -> Length {
        let count = items.len();
        if count == 1 {
            let mut item = items.next().into_iter().flatten();
            item.next().into_iter().for_each(|name| self.name(name));
            item.for_each(|value| self.bytes(value));
            return Length::One;
        }
        self.lists.extend(items.flatten().map(Arg::Bytes));
        self.text(digits((count * N) as u64));
        Length::Many
    }

    fn life(&mut self, ttl: Ttl) -> Answer<Life> {
        Ok(match ttl {
            Ttl::Unset | Ttl::Never => Life::Clear,
            Ttl::Keep => Life::Keep,
            Ttl::In(span) | Ttl::Held(span) => {
                self.text(digits(span.as_millis()));
                Life::In
            }
            Ttl::At(deadline) => {
                self.text(digits(deadline_millis(deadline)));
                Life::At
            }
            _ => return Err(Failure::unsupported("this time to live")),
        })
    }

    /// The ends of a range as the server's own commands take them.
    fn range(&mut self, range: &RelativeRange) -> Answer<(Bound, Bound)> {
        let mut end = |it: RelativeBound| match it {
            RelativeBound::Included(RelativeScore::Exact(score)) => {
                self.text(bound(ScoreBound::Included(score)));
                Ok(Bound::Included)
            }
            // The text says that it is left out.
            RelativeBound::Excluded(RelativeScore::Exact(score)) => {
                self.text(bound(ScoreBound::Excluded(score)));
                Ok(Bound::Included)
            }
            it => self.number(it),
        };
        Ok((end(range.min)?, end(range.max)?))
    }

    /// One end of a range as a number.
    fn number(&mut self, end: RelativeBound) -> Answer<Bound> {
        self.text(relative_score("", end.score())?);
        Ok(match (end, end.score().is_relative()) {
            (RelativeBound::Included(_), false) => Bound::Included,
            (RelativeBound::Excluded(_), false) => Bound::Excluded,
            (RelativeBound::Included(_), true) => Bound::Now,
            (RelativeBound::Excluded(_), true) => Bound::ExcludedNow,
        })
    }
}

/// A score, or behind a mark how much later than now it is.
pub(crate) fn relative_score(mark: &'static str, it: RelativeScore) -> Answer<Text> {
    match it {
        RelativeScore::Exact(exact) => Ok(score(exact)),
        RelativeScore::Now(offset) => Ok(marked(mark, offset)),
        _ => Err(Failure::unsupported("this score")),
    }
}
