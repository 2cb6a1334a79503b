//! Makes transactions.

use super::{Family, Generator, Group, several, taken::Taken};
use crate::differential::material;
use kv_core::{
    Command, Content, Field, Guard, Key, Mark, Member, Notice, Op, Read, RelativeScore, Txn, Value,
};

impl Generator<'_> {
    pub(super) fn commit(&mut self, group: &Group) -> Command {
        let count = material::pick(&mut self.rng, &[1, 1, 1, 2, 3, 4]);
        // Stores may tell the time anew for each part of a list, so members written by the clock in
        // several parts could come in another order.
        let clocked = self.rng.usize(..count * 2);
        let txns = (0..count).map(|at| self.txn(group, at == clocked));
        Command::Commit {
            txns: txns.collect(),
        }
    }

    fn txn(&mut self, group: &Group, clocked: bool) -> Txn {
        let mut txn = Txn::new();
        for _ in 0..material::pick(&mut self.rng, &[0, 0, 1, 1, 1, 2, 3]) {
            txn.when.push(self.guard(group));
        }
        // Now and then one that contradicts itself.
        let careless = self.rng.u8(0..60) == 0;
        let mut taken = Taken::default();
        for _ in 0..self.rng.usize(1..7) {
            let op = self.op(group, clocked);
            if taken.takes(&op) || careless {
                txn.then.push(op);
            }
        }
        for _ in 0..material::pick(&mut self.rng, &[0, 1, 1, 2, 3]) {
            let read = self.read(group);
            txn.otherwise.push(read);
        }
        txn
    }

    /// Mostly a key of this family, of any other one where there is none.
    pub(super) fn of(&mut self, group: &Group, family: Family) -> Key {
        let fit: Vec<&Key> = group
            .keys
            .iter()
            .filter(|(_, it)| *it == family)
            .map(|(key, _)| key)
            .collect();
        match fit.len() {
            0 => self.any(group),
            _ if self.rng.u8(0..12) == 0 => self.any(group),
            count => fit[self.rng.usize(..count)].clone(),
        }
    }

    fn any(&mut self, group: &Group) -> Key {
        group.keys[self.rng.usize(..group.keys.len())].0.clone()
    }

    pub(super) fn guard(&mut self, group: &Group) -> Guard {
        match self.rng.u8(0..20) {
            0..2 => Guard::exists(self.any(group)),
            2..4 => Guard::absent(self.any(group)),
            4..7 => {
                let key = self.of(group, Family::String);
                let mark = self.maybe_mark(&key);
                Guard::ValueIs { key, mark }
            }
            7..10 => {
                let key = self.of(group, Family::Hash);
                let field = material::field(&mut self.rng);
                let mark = self.maybe_field_mark(&key, &field);
                Guard::FieldIs { key, field, mark }
            }
            10..12 => {
                let (key, member) = self.member_of(group);
                let score = match self.rng.u8(0..3) {
                    0 => None,
                    _ => Some(material::score(&mut self.rng)),
                };
                Guard::ScoreIs { key, member, score }
            }
            12..14 => {
                let (key, member) = self.member_of(group);
                let range = material::relative_range(&mut self.rng);
                Guard::ScoreWithin { key, member, range }
            }
            14 => {
                let (key, member) = self.member_of(group);
                Guard::MemberExists { key, member }
            }
            15 => {
                let key = self.of(group, Family::Hash);
                Guard::field_exists(key, material::field(&mut self.rng))
            }
            16..18 => {
                let key = self.of(group, Family::SortedSet);
                let range = material::relative_range(&mut self.rng);
                Guard::count_below(key, range, self.rng.u64(0..7))
            }
            18 => {
                let key = self.of(group, Family::Counter);
                Guard::at_most(key, material::step(&mut self.rng))
            }
            _ => {
                let key = self.of(group, Family::Hash);
                let field = material::field(&mut self.rng);
                Guard::field_at_most(key, field, material::step(&mut self.rng))
            }
        }
    }

    fn op(&mut self, group: &Group, clocked: bool) -> Op {
        match self.rng.u8(0..100) {
            0..13 => {
                let key = self.of(group, Family::String);
                let value = material::value(&mut self.rng);
                self.written.insert(key.clone(), value.clone());
                let content = self.content(value);
                let ttl = material::ttl(&mut self.rng, self.now);
                Op::Set { key, content, ttl }
            }
            13..17 => Op::Delete {
                key: self.any(group),
            },
            17..22 => {
                let key = self.of(group, Family::String);
                let mark = self.mark(&key);
                Op::DeleteIf { key, mark }
            }
            22..30 => Op::Increment {
                key: self.of(group, Family::Counter),
                by: material::step(&mut self.rng),
                ttl_if_created: material::ttl(&mut self.rng, self.now),
            },
            30..40 => self.hset(group),
            40..45 => Op::HDel {
                key: self.of(group, Family::Hash),
                fields: several(&mut self.rng, material::field),
            },
            45..51 => Op::HIncrement {
                key: self.of(group, Family::Hash),
                field: material::field(&mut self.rng),
                by: material::step(&mut self.rng),
            },
            51..65 => self.zadd(group, clocked),
            65..70 => Op::ZRem {
                key: self.of(group, Family::SortedSet),
                members: several(&mut self.rng, material::member),
            },
            70..76 => Op::ZRemRange {
                key: self.of(group, Family::SortedSet),
                range: material::relative_range(&mut self.rng),
                limit: self.limit_of_step(&[1, 1, 2, 7, 200]),
            },
            76..80 => Op::Expire {
                key: self.any(group),
                expiry: material::expiry(&mut self.rng, self.now),
            },
            80..82 => Op::Persist {
                key: self.any(group),
            },
            82..84 => Op::Notify(self.notice()),
            84..88 => self.on_a_token(group),
            _ => Op::Read(self.read(group)),
        }
    }

    fn hset(&mut self, group: &Group) -> Op {
        let key = self.of(group, Family::Hash);
        let named = several(&mut self.rng, |rng| {
            (material::field(rng), material::value(rng))
        });
        let mut fields = Vec::with_capacity(named.len());
        for (field, value) in named {
            let place = (key.clone(), field.clone());
            self.fields.insert(place, value.clone());
            fields.push((field, self.content(value)));
        }
        Op::HSet { key, fields }
    }

    fn zadd(&mut self, group: &Group, clocked: bool) -> Op {
        let key = self.of(group, Family::SortedSet);
        let members = several(&mut self.rng, |rng| {
            let score = match clocked && rng.u8(0..3) == 0 {
                true => material::relative_score(rng),
                false => RelativeScore::Exact(material::score(rng)),
            };
            (material::member(rng), score)
        });
        let notify_if_first = match self.rng.u8(0..3) {
            0 => Some(self.notice()),
            _ => None,
        };
        Op::ZAdd {
            key,
            members,
            notify_if_first,
        }
    }

    fn on_a_token(&mut self, group: &Group) -> Op {
        let Some(clocked) = &group.clocked else {
            return Op::Read(Read::Now);
        };
        let key = clocked.token.clone();
        match self.rng.u8(0..10) {
            0..6 => {
                let ttl = material::ttl(&mut self.rng, self.now);
                Op::NextToken { key, ttl }
            }
            6..8 => Op::Read(Read::LastToken { key }),
            _ => Op::Delete { key },
        }
    }

    fn read(&mut self, group: &Group) -> Read {
        match self.rng.u8(0..20) {
            0..3 => Read::Get {
                key: self.of(group, Family::String),
            },
            3..6 => Read::GetMark {
                key: self.of(group, Family::Counter),
            },
            6..8 => Read::HGet {
                key: self.of(group, Family::Hash),
                field: material::field(&mut self.rng),
            },
            8..10 => Read::HGetMark {
                key: self.of(group, Family::Hash),
                field: material::field(&mut self.rng),
            },
            10..12 => {
                let (key, member) = self.member_of(group);
                Read::ZScore { key, member }
            }
            12..14 => Read::ZCount {
                key: self.of(group, Family::SortedSet),
                range: material::relative_range(&mut self.rng),
            },
            14..17 => Read::ZRange {
                key: self.of(group, Family::SortedSet),
                range: material::relative_range(&mut self.rng),
                limit: material::pick(&mut self.rng, &[1, 2, 7, 200]),
            },
            17 => match &group.clocked {
                Some(clocked) => Read::LastToken {
                    key: clocked.token.clone(),
                },
                None => Read::Now,
            },
            18 => Read::Now,
            _ => Read::Ttl {
                key: self.any(group),
            },
        }
    }

    fn member_of(&mut self, group: &Group) -> (Key, Member) {
        let key = self.of(group, Family::SortedSet);
        (key, material::member(&mut self.rng))
    }

    fn maybe_mark(&mut self, key: &Key) -> Option<Mark> {
        match self.rng.u8(0..4) {
            0 => None,
            _ => Some(self.mark(key)),
        }
    }

    fn maybe_field_mark(&mut self, key: &Key, field: &Field) -> Option<Mark> {
        let place = (key.clone(), field.clone());
        match (self.fields.get(&place), self.rng.u8(0..4)) {
            (_, 0) => None,
            (Some(last), 1..) => Some(Mark::new(last.clone().into_bytes())),
            (None, _) => Some(Mark::new(material::value(&mut self.rng).into_bytes())),
        }
    }

    fn content(&mut self, value: Value) -> Content {
        match self.rng.bool() {
            true => Content::Value(value),
            false => Content::Mark(Mark::new(value.into_bytes())),
        }
    }

    fn notice(&mut self) -> Notice {
        Notice::new(self.lane.channel(), material::value(&mut self.rng))
    }
}
