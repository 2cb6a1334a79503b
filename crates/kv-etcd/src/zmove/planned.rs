//! What a move answers.

use super::{each::Moving, rest::Left};
use crate::{
    error::Answer,
    layout::header,
    optimistic::{Done, Optimist, Slot},
};
use kv_core::{Result, Value, ZMoved};

/// A move that was planned.
pub(super) struct PlannedMove {
    pub(super) moved: ZMoved,
    pub(super) written: Written,
    pub(super) left: Vec<Left>,
}

/// How the members are moved, in their order.
pub(super) enum Written {
    /// All or none; where the bodies of each are read.
    Whole(Vec<Vec<Option<Slot>>>),
    /// Each for itself.
    Each(Vec<Moving>),
}

impl PlannedMove {
    /// What was moved, once the transaction is done.
    pub(super) async fn resolve(self, store: &Optimist, done: &Done) -> Answer<ZMoved> {
        let Self {
            mut moved,
            written,
            left,
        } = self;
        let planned = std::mem::take(&mut moved.members).into_iter();
        match written {
            Written::Whole(bodies) => {
                for (mut member, slots) in planned.zip(bodies) {
                    member.bodies = read(done, slots)?;
                    moved.members.push(member);
                }
            }
            Written::Each(moving) => {
                for (mut member, Moving { group, bodies }) in planned.zip(moving) {
                    // Others may have taken it.
                    if let Some(done) = done.group(group)? {
                        member.bodies = read(&done, bodies)?;
                        moved.members.push(member);
                    }
                }
            }
        }
        for left in left {
            left.tell(store, done, &mut moved).await?;
        }
        Ok(moved)
    }
}

fn read(done: &Done, bodies: Vec<Option<Slot>>) -> Answer<Vec<Result<Option<Value>>>> {
    let read = |slot: Option<Slot>| slot.map_or(Ok(None), |slot| body(done, slot)).map(Ok);
    bodies.into_iter().map(read).collect()
}

fn body(done: &Done, slot: Slot) -> Answer<Option<Value>> {
    let found = done.listing(slot)?.entries.pop();
    let content = found
        .map(|(_, seen)| header::decode(seen.value, seen.revision))
        .transpose()?;
    Ok(content.map(|content| Value::new(content.value)))
}
