//! Moving due members between sorted sets.

mod each;
mod planned;
mod rest;
mod whole;

use self::planned::{PlannedMove, Written};
use crate::{
    commit::element,
    error::{Answer, Failure},
    layout::{Kind, Range, header, score},
    number,
    optimistic::{Done, Interrupt, Optimist, Planned, Seen, View},
    zsets::parse,
};
use kv_core::{
    Bodies, ClaimOrder, Guard, Key, Member, Moved, Result, Score, Source, ZMove, ZMoved,
};
use std::collections::HashSet;

/// How many conditions a move may come to; etcd takes 128. What is beyond waits for the next call.
const CONDITIONS: usize = 120;
/// From how many times as many members claimers choose that need not take the lowest.
const SPREAD: u64 = 8;

/// How often a move is tried of whose members others took every single one meanwhile.
const TRIES: u32 = 20;

/// Moves members.
pub(crate) async fn zmove(store: &Optimist, step: Box<ZMove>) -> Result<ZMoved> {
    let first = step.sources.first().map(|source| &source.key);
    let about = |failure: Failure| match first {
        Some(key) => failure.about(key),
        None => failure.into(),
    };
    let mut tries = 0;
    loop {
        tries += 1;
        let (planned, done) = plan(store, &step).await.map_err(about)?;
        let planned = planned.map_err(|(failure, key)| failure.about(&key))?;
        let wanted = planned.moved.members.len();
        let moved = planned.resolve(store, &done).await.map_err(about)?;
        if !moved.members.is_empty() || wanted == 0 || tries >= TRIES {
            return Ok(moved);
        }
    }
}

async fn plan(store: &Optimist, step: &ZMove) -> Answer<(Judged<PlannedMove>, Done)> {
    let group = step.sources.first().map_or(&b""[..], |it| it.key.group());
    // Chosen once, so that running the plan again chooses the same.
    let seed = fastrand::u64(..);
    let plan = |view: &mut View<'_>| Move { step, seed }.run(view);
    match step.order {
        // Those who all want the same members had better wait for each other.
        ClaimOrder::Strict => store.run_in_turn(group, plan).await,
        ClaimOrder::Relaxed => store.run(group, plan).await,
    }
}

/// A move to plan.
struct Move<'a> {
    step: &'a ZMove,
    seed: u64,
}

/// Whether members move on their own conditions or all together.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Each,
    Whole,
}

/// A member that is due.
struct Due {
    source: usize,
    score: Score,
    member: Member,
    tally: Option<i64>,
}

type Judged<T> = std::result::Result<T, (Failure, Key)>;

impl Move<'_> {
    fn run(&self, view: &mut View<'_>) -> Planned<Judged<PlannedMove>> {
        let step = self.step;
        self.expect(view);
        for guard in &step.when {
            match view.holds(guard) {
                Ok(true) => {}
                Ok(false) => {
                    let moved = ZMoved::refused(view.now);
                    return Ok(Ok(PlannedMove {
                        moved,
                        written: Written::Each(Vec::new()),
                        left: Vec::new(),
                    }));
                }
                Err(Interrupt::Failed(failure)) => return Ok(Err((failure, guard.key().clone()))),
                Err(other) => return Err(other),
            }
        }
        if let Err(refused) = self.check_types(view)? {
            return Ok(Err(refused));
        }
        let hashes = self.hashes(view)?;
        let mut how = How::Each;
        let mut due = self.due(view, how)?;
        self.expect_counts(view, &due);
        if let Err(refused) = self.count(view, &mut due, how)? {
            return Ok(Err(refused));
        }
        let mark = view.mark();
        if !self.leave_each(view, &due)? {
            view.restore(&mark);
            how = How::Whole;
            due = self.due(view, how)?;
            if let Err(refused) = self.count(view, &mut due, how)? {
                return Ok(Err(refused));
            }
        }
        let written = match how {
            How::Each => Written::Each(self.write_each(view, &due, &hashes)?),
            How::Whole => Written::Whole(self.write(view, &due, &hashes)?),
        };
        let left = self.look_at_the_rest(view)?;
        let after = step.target.as_ref().map(|_| step.score.at(view.now));
        let members = due.into_iter().map(|due| {
            let mut moved = Moved::new(due.member, due.source, due.score);
            (moved.after, moved.tally) = (after, due.tally);
            moved
        });
        let moved = ZMoved::new(members.collect(), view.now, None, false);
        Ok(Ok(PlannedMove {
            moved,
            written,
            left,
        }))
    }

    /// Has what the move is bound to look at first read in one go: what is at its keys, and the heads
    /// of its sources.
    fn expect(&self, view: &mut View<'_>) {
        let step = self.step;
        let guarded = step.when.iter().map(Guard::key);
        let keys = guarded.chain(self.structures().map(|(key, _)| key));
        let raw: Vec<_> = keys
            .map(Key::as_bytes)
            .flat_map(|key| [view.layout.string(key), view.layout.record(key)])
            .collect();
        view.expect(raw);
        let elements = step.when.iter().filter_map(|it| element(view.layout, it));
        view.expect(elements.collect::<Vec<_>>());
        for from in &step.sources {
            let (range, limit) = self.reach(view, from, step.limit as usize);
            // What is not read yet is wanted now.
            let _ = view.head(&from.key, &range, limit);
        }
        if let (Some(target), Some(_)) = (&step.target, step.capacity) {
            view.expect_count(&view.layout.index(target.as_bytes()));
        }
    }

    /// Has the counts of all members and their places in the target read in one go.
    fn expect_counts(&self, view: &mut View<'_>, due: &[Due]) {
        let step = self.step;
        let tally = |it: &Due| {
            let key = step.sources[it.source].tally.as_ref()?;
            Some(view.layout.field(key.as_bytes(), it.member.as_bytes()))
        };
        let place = |it: &Due| {
            let key = step.target.as_ref()?;
            Some(view.layout.member(key.as_bytes(), it.member.as_bytes()))
        };
        let tallies = due.iter().filter_map(tally);
        let raw: Vec<_> = tallies.chain(due.iter().filter_map(place)).collect();
        view.expect(raw);
    }

    /// The structures that the move is about.
    fn structures(&self) -> impl Iterator<Item = (&Key, Kind)> {
        let step = self.step;
        let sets = step.sources.iter().map(|it| &it.key).chain(&step.target);
        let tallies = step.sources.iter().filter_map(|it| it.tally.as_ref());
        let hashes = tallies.chain(step.hashes.iter().map(|it| &it.key));
        sets.map(|key| (key, Kind::SortedSet))
            .chain(hashes.map(|key| (key, Kind::Hash)))
    }

    fn check_types(&self, view: &mut View<'_>) -> Planned<Judged<()>> {
        for (key, kind) in self.structures() {
            match view.structure(key, kind) {
                Ok(_) => {}
                Err(Interrupt::Failed(failure)) => return Ok(Err((failure, key.clone()))),
                Err(other) => return Err(other),
            }
        }
        Ok(Ok(()))
    }

    /// The hashes that are there, in their order: fields of one that has ended can be left until the
    /// lease ends.
    fn hashes(&self, view: &mut View<'_>) -> Planned<Vec<Option<&Bodies>>> {
        let hashes = self.step.hashes.iter();
        let there = hashes.map(|it| Ok(view.structure(&it.key, Kind::Hash)?.map(|_| it)));
        there.collect()
    }

    /// What is to move: from each source its lowest members, each member once.
    fn due(&self, view: &mut View<'_>, how: How) -> Planned<Vec<Due>> {
        let step = self.step;
        let mut room = usize::MAX;
        if let (Some(target), Some(capacity)) = (&step.target, step.capacity) {
            let index = view.layout.index(target.as_bytes());
            let count = match view.structure(target, Kind::SortedSet)? {
                Some(_) => {
                    let count = view.count(&index)?;
                    // Others may take some out meanwhile, which does no harm; but none may come in.
                    view.rely_unwritten(index);
                    count
                }
                // What is left of one that has ended takes no room.
                None => 0,
            };
            room = usize::try_from(capacity.saturating_sub(count)).unwrap_or(usize::MAX);
        }
        let most = match how {
            How::Each => step.limit as usize,
            How::Whole => (step.limit as usize).min(self.conditions_left(view)),
        };
        let mut chosen: HashSet<Member> = HashSet::new();
        let mut due: Vec<Due> = Vec::new();
        for (source, from) in step.sources.iter().enumerate() {
            // What is in the target already takes no room there.
            let counts = step.target.as_ref() != Some(&from.key);
            let left = most - due.len();
            let wanted = if counts { left.min(room) } else { left };
            // Of one that has ended there can be members left until the lease ends.
            if wanted == 0 || view.structure(&from.key, Kind::SortedSet)?.is_none() {
                continue;
            }
            // So many of them that enough are left without those of the sources before.
            let found = self.lowest(view, from, wanted + due.len())?;
            let before = due.len();
            for (member, score) in found {
                if due.len() - before == wanted {
                    break;
                }
                if chosen.insert(member.clone()) {
                    if how == How::Whole {
                        let key = from.key.as_bytes();
                        let entry = view.layout.entry(key, score, member.as_bytes());
                        view.point(&entry)?;
                    }
                    due.push(Due {
                        source,
                        score,
                        member,
                        tally: None,
                    });
                }
            }
            if counts {
                room -= due.len() - before;
            }
        }
        Ok(due)
    }

    /// How many members there is room for in one transaction.
    fn conditions_left(&self, view: &View<'_>) -> usize {
        let step = self.step;
        let each = 1
            + usize::from(step.sources.iter().any(|it| it.tally.is_some()))
            + usize::from(step.target.is_some());
        let conditions = view.conditions();
        (CONDITIONS.saturating_sub(conditions + 4 * step.sources.len()) / each).max(1)
    }

    /// The lowest due members of a source, or, if any will do, some of the due ones.
    fn lowest(
        &self,
        view: &mut View<'_>,
        from: &Source,
        wanted: usize,
    ) -> Planned<Vec<(Member, Score)>> {
        let key = &from.key;
        let (range, limit) = self.reach(view, from, wanted);
        let listed = view.head(key, &range, limit)?;
        let entries = &listed.entries;
        // Whole blocks, so that two claimers that choose differently never meet.
        let blocks = entries.len().div_ceil(wanted).max(1);
        let start = (self.seed as usize % blocks) * wanted;
        let taken = &entries[start.min(entries.len())..(start + wanted).min(entries.len())];
        if self.step.order == ClaimOrder::Strict {
            // Nothing lower may come in before the move is made; with none left, nothing at all.
            view.rely_unwritten(match taken.last() {
                Some((last, _)) if taken.len() == wanted => range.up_to(last),
                _ => range,
            });
        }
        let parse = |(raw, _): &(Vec<u8>, Seen)| Ok(parse(view.layout, key, raw)?);
        taken.iter().map(parse).collect()
    }

    /// The part of a source's index that is due, and how many members of it are looked at to take so
    /// many.
    fn reach(&self, view: &View<'_>, from: &Source, wanted: usize) -> (Range, u64) {
        let max = from.max.at(view.now);
        let key = from.key.as_bytes();
        let range = view.layout.scores(key, None, score::behind(max));
        (range, wanted as u64 * spread(self.step.order))
    }

    /// Counts each move where its source has a tally.
    fn count(&self, view: &mut View<'_>, due: &mut [Due], how: How) -> Planned<Judged<()>> {
        for due in due {
            let Some(key) = &self.step.sources[due.source].tally else {
                continue;
            };
            let raw = view.layout.field(key.as_bytes(), due.member.as_bytes());
            let seen = match (view.structure(key, Kind::Hash)?, how) {
                (None, _) => None,
                (Some(_), How::Each) => view.glance(&raw)?,
                (Some(_), How::Whole) => view.point(&raw)?,
            };
            let text = seen
                .map(|seen| header::decode(seen.value, seen.revision))
                .transpose()?;
            let sum = match text.map(|text| number::parse(&text.value)) {
                None => 1,
                Some(None) => return Ok(Err((Failure::not_an_integer(), key.clone()))),
                Some(Some(count)) => match count.checked_add(1) {
                    Some(sum) => sum,
                    None => return Ok(Err((Failure::overflow(), key.clone()))),
                },
            };
            due.tally = Some(sum);
        }
        Ok(Ok(()))
    }
}

fn spread(order: ClaimOrder) -> u64 {
    match order {
        ClaimOrder::Strict => 1,
        ClaimOrder::Relaxed => SPREAD,
    }
}
