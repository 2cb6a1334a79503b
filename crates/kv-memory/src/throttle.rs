//! Rate limits: the contract's own decision, under the lock of the keys' one shard.

use crate::{
    access::Inner,
    bound::Growth,
    entry::{Data, Entry},
    moment::Moment,
    refusal::Refusal,
    shard::{Books, Shard, Slot},
};
use kv_core::{
    Error, ErrorKind, Limit, LimitState, Result, StateWrite, Throttle, Throttled, Timestamp, Value,
};
use std::{mem, slice};

/// A state and its deadline on the way to a key.
#[derive(Clone, Copy)]
struct Put<'a> {
    slot: Slot<'a>,
    state: &'a [u8],
    deadline: i64,
}

impl Inner {
    pub(crate) fn throttle(&self, request: &Throttle) -> Result<Throttled> {
        let [first, others @ ..] = &request.limits[..] else {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a throttle needs at least one limit",
            ));
        };
        if others.is_empty() {
            return self.throttle_alone(request, first);
        }
        // The keys share a group, and with it the shard.
        let others: Vec<Slot<'_>> = others.iter().map(|it| self.locate(&it.key).1).collect();
        self.write(&first.key, |shard, slot, now| {
            let slots = || slice::from_ref(&slot).iter().chain(&others);
            // What refuses a limit names its key; only a want of room is about all of them.
            let mut unread = slots();
            let step = request.decide(Timestamp::from_micros(now.micros()), |key| {
                let text = unread.next().map(|slot| shard.string(*slot, now));
                let text = text
                    .transpose()
                    .map_err(|refusal| refusal.into_error(key))?;
                Ok(text.flatten())
            });
            let step = match step {
                Ok(step) => step,
                Err(error) => return Ok(Err(error)),
            };
            let puts = || {
                let writes = slots().zip(&step.writes);
                writes.filter_map(|(slot, write)| Put::of(*slot, write))
            };
            // Taken together, so that either all are written or none is.
            shard.reserve_puts(puts(), now)?;
            puts().for_each(|put| shard.put(put, now));
            for (slot, write) in slots().zip(&step.writes) {
                if *write == StateWrite::Delete {
                    shard.delete(*slot, now);
                }
            }
            Ok(Ok(step.reply))
        })?
    }
}

impl Inner {
    /// One limit: its key is looked up once, and nothing is listed.
    fn throttle_alone(&self, request: &Throttle, limit: &Limit) -> Result<Throttled> {
        self.write(&limit.key, |shard, slot, now| {
            let at = Timestamp::from_micros(now.micros());
            let reply = |state: LimitState| Throttled::new(at, state.allowed, vec![state]);
            let Some((mut found, books)) = shard.occupied(slot, now) else {
                let (state, write) = match request.decide_alone(limit, at, None) {
                    Ok(step) => step,
                    Err(error) => return Ok(Err(error)),
                };
                if let Some(put) = Put::of(slot, &write) {
                    let reserved = shard.reserve_entry(slot, || put.state.len())?;
                    shard.insert(slot, Data::String(put.state.into()), put.deadline, reserved);
                }
                return Ok(Ok(reply(state)));
            };
            let entry = found.get_mut();
            let text = entry.data.as_string()?.as_bytes();
            let before = text.len();
            let (state, write) = match request.decide_alone(limit, at, Some(text)) {
                Ok(step) => step,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(put) = Put::of(slot, &write) {
                let growth = || put.state.len().saturating_sub(before);
                let reserved = books.reserve_growth(entry, growth)?;
                books.overwrite(entry, put, reserved);
            } else if write == StateWrite::Delete {
                books.forget(slot.hash, found.remove().0);
            }
            Ok(Ok(reply(state)))
        })?
    }
}

impl<'a> Put<'a> {
    fn of(slot: Slot<'a>, write: &'a StateWrite) -> Option<Self> {
        match write {
            StateWrite::Put { state, deadline } => Some(Self {
                slot,
                state: state.as_bytes(),
                deadline: deadline.as_micros(),
            }),
            _ => None,
        }
    }
}

impl Shard {
    fn reserve_puts<'a>(
        &self,
        puts: impl Iterator<Item = Put<'a>>,
        now: &Moment<'_>,
    ) -> Result<(), Refusal> {
        let growth = || {
            puts.fold(Growth::default(), |sum, put| {
                let (entries, bytes) = match self.get(put.slot, now) {
                    Some(entry) => (0, put.state.len().saturating_sub(entry.data.cost())),
                    None => (1, Entry::cost_of(put.slot.key, put.state.len())),
                };
                Growth {
                    entries: sum.entries + entries,
                    bytes: sum.bytes + bytes,
                    whole: sum.bytes + bytes,
                }
            })
        };
        self.books.reserve(growth).map(drop)
    }

    /// Writes a state, for which room was reserved.
    fn put(&mut self, put: Put<'_>, now: &Moment<'_>) {
        let Put {
            slot,
            state,
            deadline,
        } = put;
        let Some((mut found, books)) = self.occupied(slot, now) else {
            let reserved = Entry::cost_of(slot.key, state.len());
            self.insert(slot, Data::String(state.into()), deadline, reserved);
            return;
        };
        let entry = found.get_mut();
        let reserved = state.len().saturating_sub(entry.data.cost());
        books.overwrite(entry, put, reserved);
    }
}

impl Books {
    /// Writes a state over the last one, for whose growth so many bytes were reserved.
    fn overwrite(&mut self, entry: &mut Entry, put: Put<'_>, reserved: usize) {
        let Put {
            slot,
            state,
            deadline,
        } = put;
        let before = entry.data.cost();
        overwrite(&mut entry.data, state);
        self.settle(reserved, before, state.len());
        self.set_deadline(slot.hash, entry, deadline);
        self.note(slot.key);
    }
}

/// Makes a content this string, in the same place if it has the same length and nobody else holds it:
/// a state's next one does as a rule.
fn overwrite(content: &mut Data, state: &[u8]) {
    if let Data::String(value) = content
        && value.as_bytes().len() == state.len()
        && let Ok(mut bytes) = mem::take(value).into_bytes().try_into_mut()
    {
        bytes.copy_from_slice(state);
        *value = Value::new(bytes);
        return;
    }
    *content = Data::String(Value::from(state));
}
