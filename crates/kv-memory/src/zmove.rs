//! Moving due members between sorted sets.

use crate::{
    access::Inner, commit::at, moment::Moment, number, refusal::Failure, shard::Shard, strings,
};
use ahash::RandomState;
use hashbrown::HashSet;
use kv_core::{
    Bodies, Fate, Field, Guard, Key, Member, Moved, Op, RangeOptions, RelativeScore, Result,
    ScoreRange, Scores, Source, Value, ZMove, ZMoved,
};

impl Inner {
    pub(crate) fn zmove(&self, step: &ZMove) -> Result<ZMoved> {
        let now = self.moment();
        let (index, keep) = (self.shard_of(keys(step)), self.spots(keys(step)));
        self.step(index, &keep, |shard| shard.zmove(step, &now))
    }
}

impl Shard {
    fn zmove(&mut self, step: &ZMove, now: &Moment<'_>) -> Result<ZMoved, Failure> {
        let time = now.time();
        if !self.all_hold(&step.when, now)? {
            return Ok(ZMoved::refused(time));
        }
        self.check_types(step, now)?;
        let mut members = self.due(step, now)?;
        self.count(step, &mut members, now)?;
        for member in &mut members {
            let bodies = self.bodies(&step.hashes, &member.member, now)?;
            member.bodies = bodies.into_iter().map(Ok).collect();
        }
        if !members.is_empty() {
            let others = || keys(step).cloned().collect();
            self.apply(&mut ops(step, &members), others, now)?;
        }
        let (mut next, mut more) = (None, false);
        for source in &step.sources {
            let head = self.head(self.slot(&source.key), now);
            let Some(lowest) = head.map_err(at(&source.key))?.and_then(|it| it.score) else {
                continue;
            };
            next = Some(next.map_or(lowest, |next| lowest.min(next)));
            more |= lowest <= now.score(source.max);
        }
        Ok(ZMoved::new(members, time, next, more))
    }

    fn check_types(&self, step: &ZMove, now: &Moment<'_>) -> Result<(), Failure> {
        let sources = step.sources.iter().map(|it| &it.key);
        for key in sources.chain(&step.target) {
            self.zset(self.slot(key), now).map_err(at(key))?;
        }
        let tallies = step.sources.iter().filter_map(|it| it.tally.as_ref());
        for key in tallies.chain(step.hashes.iter().map(|it| &it.key)) {
            self.hash(self.slot(key), now).map_err(at(key))?;
        }
        Ok(())
    }

    /// What is to move: from each source its lowest members, each member once.
    fn due(&self, step: &ZMove, now: &Moment<'_>) -> Result<Vec<Moved>, Failure> {
        let mut room = usize::MAX;
        if let (Some(target), Some(capacity)) = (&step.target, step.capacity) {
            let zset = self.zset(self.slot(target), now).map_err(at(target))?;
            let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
            room = capacity.saturating_sub(zset.map_or(0, |it| it.len()));
        }
        let after = step.target.as_ref().map(|_| now.score(step.score));
        let mut chosen: HashSet<Member, RandomState> = HashSet::default();
        let mut due: Vec<Moved> = Vec::new();
        for (index, source) in step.sources.iter().enumerate() {
            // What is in the target already takes no room there.
            let counts = step.target.as_ref() != Some(&source.key);
            let left = step.limit as usize - due.len();
            let wanted = if counts { left.min(room) } else { left };
            let zset = self.zset(self.slot(&source.key), now);
            let Some(zset) = zset.map_err(at(&source.key))? else {
                continue;
            };
            if wanted == 0 {
                continue;
            }
            let range = ScoreRange::up_to(now.score(source.max));
            // So many of them that enough are left without those of the sources before.
            let limit = u32::try_from(wanted + due.len()).unwrap_or(u32::MAX);
            let options = RangeOptions::default().limit(limit).scores(Scores::Include);
            let before = due.len();
            for found in zset.by_score(range, &options) {
                let Some(score) = found.score else {
                    continue;
                };
                if due.len() - before == wanted {
                    break;
                }
                if chosen.insert(found.member.clone()) {
                    let mut moved = Moved::new(found.member, index, score);
                    moved.after = after;
                    due.push(moved);
                }
            }
            if counts {
                room -= due.len() - before;
            }
        }
        Ok(due)
    }

    /// Counts each move where its source has a tally.
    fn count(&self, step: &ZMove, members: &mut [Moved], now: &Moment<'_>) -> Result<(), Failure> {
        for moved in members {
            let Some(tally) = &step.sources[moved.source].tally else {
                continue;
            };
            let hash = self.hash(self.slot(tally), now).map_err(at(tally))?;
            let text = hash.and_then(|it| it.get(&field(&moved.member)));
            let sum = text.map_or(Ok(1), |text| strings::add(text, 1).map(|it| it.0));
            moved.tally = Some(sum.map_err(at(tally))?);
        }
        Ok(())
    }

    fn bodies(
        &self,
        hashes: &[Bodies],
        member: &Member,
        now: &Moment<'_>,
    ) -> Result<Vec<Option<Value>>, Failure> {
        let field = field(member);
        let body = |bodies: &Bodies| {
            if bodies.fate == Fate::Drop {
                return Ok(None);
            }
            let hash = self.hash(self.slot(&bodies.key), now);
            let hash = hash.map_err(at(&bodies.key))?;
            Ok(hash.and_then(|it| it.get(&field)).cloned())
        };
        hashes.iter().map(body).collect()
    }
}

/// All keys of a move.
fn keys(step: &ZMove) -> impl Iterator<Item = &Key> {
    let sources = step.sources.iter();
    let sources = sources.flat_map(|it| [Some(&it.key), it.tally.as_ref()]);
    let others = step.hashes.iter().map(|it| &it.key);
    let others = others.chain(step.when.iter().map(Guard::key));
    sources.flatten().chain(&step.target).chain(others)
}

/// The writes that make up the move.
fn ops(step: &ZMove, members: &[Moved]) -> Vec<Op> {
    let mut ops = Vec::new();
    for (index, source) in step.sources.iter().enumerate() {
        let own: Vec<_> = members.iter().filter(|it| it.source == index).collect();
        if !own.is_empty() {
            ops.extend(leave(step, source, &own));
        }
    }
    if let Some(key) = step.target.clone() {
        let scored = |it: &Moved| {
            let score = it.after.unwrap_or(it.before);
            (it.member.clone(), RelativeScore::Exact(score))
        };
        ops.push(Op::ZAdd {
            key,
            members: members.iter().map(scored).collect(),
            notify_if_first: None,
        });
    }
    let emptied = step.hashes.iter().filter(|it| it.fate != Fate::Keep);
    ops.extend(emptied.map(|it| Op::HDel {
        key: it.key.clone(),
        fields: members.iter().map(|it| field(&it.member)).collect(),
    }));
    ops
}

/// The writes at a source.
fn leave(step: &ZMove, source: &Source, own: &[&Moved]) -> impl Iterator<Item = Op> {
    let key = source.key.clone();
    let members = own.iter().map(|it| it.member.clone()).collect();
    // Within a set a member only gets another score.
    let stays = step.target.as_ref() == Some(&key);
    let remove = (!stays).then_some(Op::ZRem { key, members });
    let counted = |it: &&Moved| Some((field(&it.member), number::print(it.tally?).into()));
    let count = source.tally.clone().map(|key| Op::HSet {
        key,
        fields: own.iter().filter_map(counted).collect(),
    });
    remove.into_iter().chain(count)
}

fn field(member: &Member) -> Field {
    Field::new(member.clone().into_bytes())
}
