//! The transitions of strings and counters.

use crate::{
    entry::Data,
    moment::{FOREVER, Moment},
    number,
    refusal::Refusal,
    shard::{Shard, Slot},
};
use kv_core::{SetOptions, SetReply, Ttl, Value, When};
use std::mem;

impl Shard {
    pub(crate) fn string(
        &self,
        slot: Slot<'_>,
        now: &Moment<'_>,
    ) -> Result<Option<&Value>, Refusal> {
        let Some(entry) = self.get(slot, now) else {
            return Ok(None);
        };
        entry.data.as_string().map(Some)
    }

    /// Writes a string. The value is taken only if it is written, so that a refused call can be
    /// made again without a copy.
    pub(crate) fn set(
        &mut self,
        slot: Slot<'_>,
        value: &mut Value,
        options: &SetOptions,
        now: &Moment<'_>,
    ) -> Result<SetReply, Refusal> {
        let length = value.as_bytes().len();
        let Some((mut found, books)) = self.occupied(slot, now) else {
            if matches!(options.when, When::IfPresent | When::IfValue(_)) {
                return Ok(SetReply::refused(None));
            }
            let deadline = now.deadline(options.ttl, FOREVER);
            if !now.passed(deadline) {
                let reserved = self.reserve_entry(slot, || length)?;
                self.insert(slot, Data::String(mem::take(value)), deadline, reserved);
            }
            return Ok(SetReply::applied());
        };
        let entry = found.get_mut();
        if let Err(current) = allow(&options.when, &entry.data) {
            return Ok(SetReply::refused(current));
        }
        let deadline = now.deadline(options.ttl, entry.deadline);
        if now.passed(deadline) {
            books.forget(slot.hash, found.remove().0);
            return Ok(SetReply::applied());
        }
        let before = entry.data.cost();
        let reserved = books.reserve_growth(entry, || length.saturating_sub(before))?;
        let old = mem::replace(&mut entry.data, Data::String(mem::take(value)));
        books.settle(reserved, before, length);
        books.set_deadline(slot.hash, entry, deadline);
        books.note(slot.key);
        books.discard(old);
        Ok(SetReply::applied())
    }

    pub(crate) fn increment(
        &mut self,
        slot: Slot<'_>,
        by: i64,
        ttl_if_created: Ttl,
        now: &Moment<'_>,
    ) -> Result<i64, Refusal> {
        let Some((mut found, books)) = self.occupied(slot, now) else {
            let deadline = now.deadline(ttl_if_created, FOREVER);
            if !now.passed(deadline) {
                let value = number::print(by);
                let reserved = self.reserve_entry(slot, || value.as_bytes().len())?;
                self.insert(slot, Data::String(value), deadline, reserved);
            }
            return Ok(by);
        };
        let entry = found.get_mut();
        let (sum, value) = add(entry.data.as_string()?, by)?;
        let (before, after) = (entry.data.cost(), value.as_bytes().len());
        let reserved = books.reserve_growth(entry, || after.saturating_sub(before))?;
        entry.data = Data::String(value);
        books.settle(reserved, before, after);
        books.note(slot.key);
        Ok(sum)
    }
}

/// Adds to a counter; the sum, as a number and as the text to store.
pub(crate) fn add(text: &Value, by: i64) -> Result<(i64, Value), Refusal> {
    let number = number::parse(text.as_bytes()).ok_or(Refusal::NotAnInteger)?;
    let sum = number.checked_add(by).ok_or(Refusal::Overflow)?;
    Ok((sum, number::print(sum)))
}

/// Whether a write may replace this content; if not, what the refusal shows.
fn allow(when: &When, content: &Data) -> Result<(), Option<Value>> {
    if *when == When::Always {
        return Ok(());
    }
    let Data::String(current) = content else {
        return Err(None);
    };
    let allowed = match when {
        When::IfPresent => true,
        When::IfValue(expected) => expected.as_bytes() == current.as_bytes(),
        _ => false,
    };
    match allowed {
        true => Ok(()),
        false => Err(Some(current.clone())),
    }
}
