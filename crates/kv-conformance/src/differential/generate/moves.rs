//! Makes moves of members.

use super::{Family, Generator, Group};
use crate::differential::material;
use kv_core::{
    ClaimOrder, Command, Content, Fate, Field, Key, Member, Op, RelativeScore, Txn, ZMove,
};

impl Generator<'_> {
    /// Sets and hashes of the right types with some small members, so that moves have something to do.
    pub(super) fn restock(&mut self, group: &Group) -> Command {
        let (mut clear, mut fill) = (Txn::new(), Txn::new());
        for (key, family) in &group.keys {
            match family {
                Family::SortedSet => {
                    let members = (0..self.rng.usize(2..6)).map(|at| {
                        let member = Member::from(material::ELEMENTS[at]);
                        (member, RelativeScore::from(self.rng.i32(0..3)))
                    });
                    fill = fill.then(Op::ZAdd {
                        key: key.clone(),
                        members: members.collect(),
                        notify_if_first: None,
                    });
                }
                Family::Hash => {
                    let fields = (0..self.rng.usize(1..5)).map(|at| {
                        let text = self.rng.i32(0..9).to_string();
                        let field = Field::from(material::ELEMENTS[at]);
                        (field, Content::Mark(text.into()))
                    });
                    fill = fill.then(Op::HSet {
                        key: key.clone(),
                        fields: fields.collect(),
                    });
                }
                Family::String | Family::Counter => continue,
            }
            clear = clear.then(Op::Delete { key: key.clone() });
        }
        Command::Commit {
            txns: vec![clear, fill],
        }
    }

    pub(super) fn zmove(&mut self, group: &Group) -> Command {
        let limit = self.limit_of_step(&[1, 1, 2, 3, 7, 200]);
        let mut step = ZMove::new(limit);
        for _ in 0..material::pick(&mut self.rng, &[0, 0, 0, 1, 2]) {
            let guard = self.guard(group);
            step = step.when(guard);
        }
        // A key can be a set or a hash, a tally or a body; every store refuses more in the same place.
        let mut sets: Vec<Key> = Vec::new();
        for _ in 0..material::pick(&mut self.rng, &[1, 1, 2, 3]) {
            let key = self.of(group, Family::SortedSet);
            if !sets.contains(&key) {
                sets.push(key);
            }
        }
        let target = match self.rng.u8(0..8) {
            0..2 => None,
            2..4 => Some(sets[self.rng.usize(..sets.len())].clone()),
            _ => Some(self.of(group, Family::SortedSet)),
        };
        let is_set = |key: &Key| sets.contains(key) || target.as_ref() == Some(key);
        let mut tallies: Vec<Key> = Vec::new();
        for source in &sets {
            let max = self.max();
            let tally = self.of(group, Family::Hash);
            step = match self.rng.u8(0..3) == 0 && !is_set(&tally) {
                true => {
                    tallies.push(tally.clone());
                    step.from_counted(source, max, tally)
                }
                false => step.from(source, max),
            };
        }
        for _ in 0..material::pick(&mut self.rng, &[0, 0, 1, 2]) {
            let hash = self.of(group, Family::Hash);
            let named = step.hashes.iter().any(|it| it.key == hash);
            if !named && !is_set(&hash) && !tallies.contains(&hash) {
                let fate = material::pick(&mut self.rng, &[Fate::Keep, Fate::Take, Fate::Drop]);
                step = step.with(hash, fate);
            }
        }
        if let Some(target) = target {
            let score = match self.rng.u8(0..4) {
                0 => material::relative_score(&mut self.rng),
                _ => RelativeScore::Exact(material::score(&mut self.rng)),
            };
            step = step.to(target, score);
            if self.rng.bool() {
                step = step.capacity(self.rng.u64(0..8));
            }
        }
        Command::ZMove {
            step: Box::new(step.order(ClaimOrder::Strict)),
        }
    }

    /// One of these, as far as all stores take it in one step.
    pub(super) fn limit_of_step(&mut self, pool: &[u32]) -> u32 {
        material::pick(&mut self.rng, pool)
    }

    fn max(&mut self) -> RelativeScore {
        match self.rng.u8(0..4) {
            0 => material::relative_score(&mut self.rng),
            _ => RelativeScore::Exact(material::score(&mut self.rng)),
        }
    }
}
