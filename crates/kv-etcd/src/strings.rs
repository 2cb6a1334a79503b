//! Commands about one key that holds a string, or whatever it holds.

use crate::{
    error::{Answer, Failure},
    layout::{header, header::End},
    number,
    optimistic::{Optimist, Planned, View},
    place::{Ending, Found, ending_of},
    written,
};
use kv_core::{Key, SetOptions, SetReply, Ttl, Value, When};

/// Reads a string: one exchange if there is one.
pub(crate) async fn get(store: &Optimist, key: &Key) -> Answer<Option<Value>> {
    let mut response = store
        .link
        .get(store.layout.string(key.as_bytes()), None)
        .await?;
    if let Some(found) = response.take_kvs().pop() {
        let revision = found.mod_revision();
        let (_, value) = found.into_key_value();
        let content = header::decode(value.into(), revision)?;
        if !content.end.is_past(store.clock.now()) {
            return Ok(Some(content.value.into()));
        }
    }
    // Nothing, or a structure, which is an error.
    let plan = |view: &mut View<'_>| match view.look_inside(key)? {
        Found::Nothing => Ok(None),
        Found::String(content, _) => Ok(Some(content.value.into())),
        Found::Structure(..) => Err(Failure::wrong_type().into()),
    };
    let (value, _) = store.run(key.as_bytes(), plan).await?;
    Ok(value)
}

/// Writes a string: one exchange if it is unconditional.
pub(crate) async fn set(
    store: &Optimist,
    key: &Key,
    value: Value,
    options: &SetOptions,
) -> Answer<SetReply> {
    let ttl = match (&options.when, options.ttl) {
        (When::Always, Ttl::Unset | Ttl::Never) => {
            let raw = store.layout.string(key.as_bytes());
            let value = header::encode(value.as_bytes(), End::Never);
            let kept = written::worth_keeping(&value);
            let answer = store.link.put(raw.clone(), value, None).await?;
            store.wrote(&raw, kept, &answer);
            return Ok(SetReply::applied());
        }
        (When::Always, ttl @ (Ttl::In(_) | Ttl::Held(_))) => ttl,
        _ => {
            let plan = |view: &mut View<'_>| {
                match options.when {
                    // Who asks for that expects it as a rule.
                    When::IfAbsent => view.guess_nothing(key),
                    _ => view.recall_string(key),
                }
                view.set(key, value.as_bytes(), options)
            };
            return Ok(store.run(key.as_bytes(), plan).await?.0);
        }
    };
    set_ending(store, key, value, ttl).await
}

/// Adds to a counter.
pub(crate) async fn increment(
    store: &Optimist,
    key: &Key,
    by: i64,
    ttl_if_created: Ttl,
) -> Answer<i64> {
    let plan = |view: &mut View<'_>| {
        view.recall_string(key);
        view.increment(key, by, ttl_if_created)
    };
    Ok(store.run(key.as_bytes(), plan).await?.0)
}

/// Writes a string with a deadline.
async fn set_ending(store: &Optimist, key: &Key, value: Value, ttl: Ttl) -> Answer<SetReply> {
    let plan = |view: &mut View<'_>| {
        let Some(Ending { end, lease }) = view.ending(ttl, Ending::NEVER)? else {
            return Ok(());
        };
        let content = header::encode(value.as_bytes(), end);
        view.put(view.layout.string(key.as_bytes()), content, lease)?;
        view.hide_nothing(key)
    };
    store.run(key.as_bytes(), plan).await?;
    Ok(SetReply::applied())
}

impl View<'_> {
    /// Writes a string on a condition.
    pub(crate) fn set(
        &mut self,
        key: &Key,
        value: &[u8],
        options: &SetOptions,
    ) -> Planned<SetReply> {
        let found = match options.when {
            When::Always if options.ttl != Ttl::Keep => None,
            _ => Some(self.look_inside(key)?),
        };
        let current = |found: Option<Found>| match found {
            Some(Found::String(content, _)) => Some(Value::from(content.value)),
            _ => None,
        };
        let allowed = match (&options.when, &found) {
            (When::Always, _) | (When::IfAbsent, Some(Found::Nothing)) => true,
            (When::IfPresent, Some(Found::String(..))) => true,
            (When::IfValue(mark), Some(Found::String(content, _))) => {
                content.value == mark.as_bytes()
            }
            (When::IfAbsent | When::IfPresent | When::IfValue(_), _) => false,
            _ => return Err(Failure::unsupported("this condition").into()),
        };
        if !allowed {
            return Ok(SetReply::refused(current(found)));
        }
        let before = match &found {
            Some(Found::String(content, seen)) => ending_of(content, seen),
            Some(Found::Structure(record, seen)) => Ending {
                end: record.end,
                lease: seen.lease,
            },
            _ => Ending::NEVER,
        };
        self.write_string(key, value, options.ttl, before)?;
        Ok(SetReply::applied())
    }

    /// Adds to a counter.
    pub(crate) fn increment(&mut self, key: &Key, by: i64, ttl_if_created: Ttl) -> Planned<i64> {
        let (before, ttl, ending) = match self.look_inside(key)? {
            Found::Nothing => (0, ttl_if_created, Ending::NEVER),
            Found::String(content, seen) => {
                let number = number::parse(&content.value).ok_or_else(Failure::not_an_integer)?;
                (number, Ttl::Keep, ending_of(&content, &seen))
            }
            Found::Structure(..) => return Err(Failure::wrong_type().into()),
        };
        let sum = before.checked_add(by).ok_or_else(Failure::overflow)?;
        self.write_string(key, sum.to_string().as_bytes(), ttl, ending)?;
        Ok(sum)
    }

    /// Deletes a string that has exactly these bytes; answers whether it did.
    pub(crate) fn delete_if(&mut self, key: &Key, bytes: &[u8]) -> Planned<bool> {
        match self.look(key)? {
            Found::String(content, _) if content.value == bytes => self.discard(key),
            _ => Ok(false),
        }
    }

    /// Writes a string over whatever is at the key.
    pub(crate) fn write_string(
        &mut self,
        key: &Key,
        value: &[u8],
        ttl: Ttl,
        before: Ending,
    ) -> Planned<()> {
        self.write_raw(key, |end| header::encode(value, end), ttl, before)
    }

    /// The same with what is written for each end.
    pub(crate) fn write_raw(
        &mut self,
        key: &Key,
        encode: impl FnOnce(End) -> Vec<u8>,
        ttl: Ttl,
        before: Ending,
    ) -> Planned<()> {
        let string = self.layout.string(key.as_bytes());
        let Some(Ending { end, lease }) = self.ending(ttl, before)? else {
            self.delete(string)?;
            return self.hide_nothing(key);
        };
        self.put(string, encode(end), lease)?;
        match end {
            End::Never => Ok(()),
            _ => self.hide_nothing(key),
        }
    }
}
