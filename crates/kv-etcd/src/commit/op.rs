//! Steps of a transaction.

use crate::{
    error::{Answer, Failure},
    layout::{Layout, header, score},
    number,
    optimistic::{Count, Done, Interrupt, Planned, Slot, View},
    place::{Ending, Found, ending_of},
};
use kv_core::{Key, Member, Notice, Op, OpReply, Score, ScoredMember, SetOptions, Ttl, When};
use std::time::Duration;

/// For how long a message lies on the store: those who watch get it when it is written.
const MESSAGE_LIVES: Duration = Duration::from_secs(60);

/// The answer of a step, once the transaction is done.
#[derive(Debug)]
pub(super) enum Pending {
    Ready(OpReply),
    /// How many keys were not there.
    New(Count),
    /// How many keys were there.
    There(Count),
    /// The revision of the transaction.
    Token,
    /// How many keys a range holds.
    Counted(Slot),
    /// The members in a part of an index, whose keys begin with a prefix of this length.
    Listed {
        slot: Slot,
        prefix: usize,
    },
}

impl Pending {
    pub(super) fn resolve(self, done: &Done) -> Answer<OpReply> {
        Ok(match self {
            Self::Ready(reply) => reply,
            Self::New(count) => OpReply::Count(count.absent(done)),
            Self::There(count) => OpReply::Count(count.there(done)),
            Self::Token => OpReply::Token(done.revision.unsigned_abs()),
            Self::Counted(slot) => OpReply::Count(done.listing(slot)?.count),
            Self::Listed { slot, prefix } => {
                let entries = done.listing(slot)?.entries.into_iter();
                let members: Option<_> = entries.map(|(key, _)| member(&key, prefix)).collect();
                OpReply::Members(members.ok_or_else(no_entry)?)
            }
        })
    }
}

impl View<'_> {
    /// Plans one step.
    pub(super) fn execute(&mut self, op: &Op) -> Planned<Pending> {
        Ok(Pending::Ready(match op {
            Op::Set { key, content, ttl } => {
                let options = SetOptions::from(*ttl).when(When::Always);
                self.set(key, content.as_bytes(), &options)?;
                OpReply::Done
            }
            Op::Delete { key } => OpReply::Flag(self.discard(key)?),
            Op::DeleteIf { key, mark } => OpReply::Flag(self.delete_if(key, mark.as_bytes())?),
            Op::Increment {
                key,
                by,
                ttl_if_created,
            } => OpReply::Integer(self.increment(key, *by, *ttl_if_created)?),
            Op::HSet { key, fields } => {
                let pairs = fields
                    .iter()
                    .map(|(field, content)| (field.as_bytes(), content.as_bytes()));
                let pairs: Vec<_> = pairs.collect();
                return Ok(Pending::New(self.hset(key, &pairs)?));
            }
            Op::HDel { key, fields } => {
                let fields: Vec<_> = fields.iter().map(kv_core::Field::as_bytes).collect();
                return Ok(Pending::There(self.hdel(key, &fields)?));
            }
            Op::HIncrement { key, field, by } => {
                OpReply::Integer(self.hincrement(key, field.as_bytes(), *by)?)
            }
            Op::ZAdd {
                key,
                members,
                notify_if_first,
            } => {
                let now = self.now;
                let members: Vec<_> = members
                    .iter()
                    .map(|(member, score)| (member.clone(), score.at(now)))
                    .collect();
                let Some(notice) = notify_if_first else {
                    return Ok(Pending::New(self.zadd(key, &members)?));
                };
                return Ok(Pending::New(self.zadd_telling(key, &members, notice)?));
            }
            Op::ZRem { key, members } => {
                return Ok(Pending::There(self.zrem(key, members)?));
            }
            Op::ZRemRange { key, range, limit } => {
                let range = range.at(self.now);
                return Ok(Pending::There(self.zremrange(key, range, *limit)?));
            }
            Op::Expire { key, expiry } => OpReply::Flag(self.expire(key, *expiry)?),
            Op::Persist { key } => OpReply::Flag(self.persist(key)?),
            Op::Notify(notice) => {
                self.notify(notice)?;
                OpReply::Done
            }
            Op::NextToken { key, ttl } => {
                return self.next_token(key, *ttl);
            }
            Op::Read(read) => return self.answer_then(read),
            _ => return Err(Failure::unsupported("this step").into()),
        }))
    }

    /// Sends a message: those who watch the channel see the key that is written.
    pub(crate) fn notify(&mut self, notice: &Notice) -> Planned<()> {
        let lease = self.lease(MESSAGE_LIVES)?;
        let channel = notice.channel.as_bytes();
        let free = (0..u16::MAX)
            .map(|number| self.layout.message(channel, number))
            .find(|key| !self.wrote(key))
            .ok_or(Interrupt::Separate)?;
        self.put(free, notice.payload.as_bytes().to_vec(), lease)
    }

    /// Adds members, and sends the message if one of them comes to be the first.
    fn zadd_telling(
        &mut self,
        key: &Key,
        members: &[(Member, Score)],
        notice: &Notice,
    ) -> Planned<Count> {
        let before = self.first(key)?;
        let added = self.zadd(key, members)?;
        let head = self.first(key)?;
        let given = |head: &(Member, Score)| members.iter().any(|(it, _)| *it == head.0);
        if head != before && head.as_ref().is_some_and(given) {
            self.notify(notice)?;
        }
        Ok(added)
    }

    /// Takes the next token: the revision of its record, which is above every one before. Only if
    /// somebody put the record ahead of that, it is counted on.
    fn next_token(&mut self, key: &Key, ttl: Ttl) -> Planned<Pending> {
        let raw = self.layout.string(key.as_bytes());
        if self.wrote(&raw) {
            // One transaction, one revision.
            return Err(Interrupt::Separate);
        }
        let (last, before, known) = match self.look_inside(key)? {
            Found::Structure(..) => return Err(Failure::wrong_type().into()),
            Found::String(content, seen) => {
                let last = number::parse(&content.value).filter(|&it| it > 0);
                let last = last.ok_or_else(Failure::not_an_integer)?;
                (last, ending_of(&content, &seen), seen.revision)
            }
            Found::Nothing => (0, Ending::NEVER, 0),
        };
        // The revision that this is written at is above all that are known.
        if last > self.revision().max(known) {
            let next = last.checked_add(1).ok_or_else(Failure::overflow)?;
            self.write_string(key, next.to_string().as_bytes(), ttl, before)?;
            return Ok(Pending::Ready(OpReply::Token(next.unsigned_abs())));
        }
        self.write_raw(key, header::encode_token, ttl, before)?;
        Ok(Pending::Token)
    }
}

/// Whether a step writes a string whatever is there.
pub(super) fn is_blind(op: &Op) -> bool {
    matches!(op, Op::Set { ttl, .. } if *ttl != Ttl::Keep)
}

/// The members that a step adds: as a rule they are new.
pub(super) fn added(layout: &Layout, op: &Op) -> Vec<Vec<u8>> {
    match op {
        Op::ZAdd { .. } => elements(layout, op),
        _ => Vec::new(),
    }
}

/// The elements that a step looks at.
pub(super) fn elements(layout: &Layout, op: &Op) -> Vec<Vec<u8>> {
    match op {
        Op::HIncrement { key, field, .. } => vec![layout.field(key.as_bytes(), field.as_bytes())],
        Op::ZAdd { key, members, .. } => {
            let members = members.iter();
            members
                .map(|(member, _)| layout.member(key.as_bytes(), member.as_bytes()))
                .collect()
        }
        Op::ZRem { key, members } => {
            let members = members.iter();
            members
                .map(|member| layout.member(key.as_bytes(), member.as_bytes()))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The member at a key of an index.
fn member(key: &[u8], prefix: usize) -> Option<ScoredMember> {
    let (bytes, member) = key.get(prefix..)?.split_first_chunk()?;
    let score = score::decode(*bytes)?;
    Some(ScoredMember::new(member.to_vec(), Some(score)))
}

fn no_entry() -> Failure {
    Failure::codec("a sorted set holds an entry that this version does not know")
}
