//! Moving all members of a move or none.
//!
//! For many members that are the last fields of a hash with a deadline, too: its record goes with them,
//! so who leaves must be certain.

use super::{Due, Move};
use crate::optimistic::{Planned, Query, Slot, View, What};
use kv_core::{Bodies, Fate, Member};

impl Move<'_> {
    /// Writes the move; answers where the bodies of each member are read.
    pub(super) fn write(
        &self,
        view: &mut View<'_>,
        due: &[Due],
        hashes: &[Option<&Bodies>],
    ) -> Planned<Vec<Vec<Option<Slot>>>> {
        let step = self.step;
        // First, so that what is taken is read before it is deleted.
        let body = |view: &mut View<'_>, bodies: &Bodies, member: &Member| {
            let raw = view.layout.field(bodies.key.as_bytes(), member.as_bytes());
            (bodies.fate != Fate::Drop).then(|| view.read(Query::point(&raw, What::All)))
        };
        let mut bodies = Vec::with_capacity(due.len());
        for due in due {
            let own = hashes.iter().map(|it| body(view, (*it)?, &due.member));
            bodies.push(own.collect());
        }
        for (source, from) in step.sources.iter().enumerate() {
            let own: Vec<_> = due.iter().filter(|it| it.source == source).collect();
            if own.is_empty() {
                continue;
            }
            // Within a set a member only gets another score.
            if step.target.as_ref() != Some(&from.key) {
                let members = own.iter().map(|it| (&it.member, it.score));
                view.zrem_known(&from.key, members)?;
            }
            if let Some(tally) = &from.tally {
                let counts: Vec<_> = own
                    .iter()
                    .filter_map(|it| Some((it.member.as_bytes(), it.tally?.to_string())))
                    .collect();
                let fields: Vec<(&[u8], &[u8])> = counts
                    .iter()
                    .map(|(member, count)| (*member, count.as_bytes()))
                    .collect();
                view.hset(tally, &fields)?;
            }
        }
        if let (Some(target), false) = (&step.target, due.is_empty()) {
            let score = step.score.at(view.now);
            let members: Vec<_> = due.iter().map(|it| (it.member.clone(), score)).collect();
            view.zadd(target, &members)?;
        }
        for hash in step.hashes.iter().filter(|it| it.fate != Fate::Keep) {
            let fields: Vec<_> = due.iter().map(|it| it.member.as_bytes()).collect();
            if !fields.is_empty() {
                view.hdel(&hash.key, &fields)?;
            }
        }
        Ok(bodies)
    }
}
