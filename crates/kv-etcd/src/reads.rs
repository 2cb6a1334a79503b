//! Reading many strings at a time.

use crate::{
    answers,
    error::{Answer, Cause, Failure},
    layout::{Layout, Range, header},
    optimistic::{MOST_OPS, Optimist},
};
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use kv_core::{Key, Timestamp, Value};

/// Reads several strings at once; a structure and a missing key are both `None`.
pub(crate) async fn get_many(store: &Optimist, keys: &[Key]) -> Answer<Vec<Option<Value>>> {
    if store.hints.listed.is_page(keys) {
        if let Some(values) = neighbours(store, keys).await? {
            return Ok(values);
        }
        store.hints.listed.forget(keys);
    }
    let mut values = Vec::with_capacity(keys.len());
    for keys in keys.chunks(MOST_OPS) {
        let gets: Vec<_> = keys
            .iter()
            .map(|key| TxnOp::get(store.layout.string(key.as_bytes()), None))
            .collect();
        let response = store.link.txn(Txn::new().and_then(gets)).await;
        let mut response = response.map_err(Failure::of_a_read)?;
        let now = store.clock.now();
        for answer in answers::take(&mut response, keys.len())? {
            let TxnOpResponse::Get(mut found) = answer else {
                return Err(Failure::unexpected_reply());
            };
            values.push(value(found.take_kvs().pop(), now)?);
        }
    }
    Ok(values)
}

/// The same as one range, if no others lie between them.
async fn neighbours(store: &Optimist, keys: &[Key]) -> Answer<Option<Vec<Option<Value>>>> {
    let Some(range) = around(&store.layout, keys) else {
        return Ok(None);
    };
    let options = GetOptions::new().with_limit(keys.len() as i64);
    let mut found = match store.link.list(&range, options).await {
        // A part of them fits.
        Err(failure) if failure.cause() == Cause::LargeAnswer => return Ok(None),
        found => found?,
    };
    let now = store.clock.now();
    let count = found.count();
    let found = found.take_kvs();
    if found.len() as i64 != count {
        return Ok(None);
    }
    let mut found = found.into_iter().peekable();
    let of_key = |key: &Key| {
        let raw = store.layout.string(key.as_bytes());
        while found.next_if(|it| *it.key() < *raw).is_some() {}
        value(found.next_if(|it| *it.key() == *raw), now)
    };
    keys.iter().map(of_key).collect::<Answer<_>>().map(Some)
}

/// The strings from the first of some keys to the last. Between those that begin with `00` and others
/// lies what is no string.
fn around(layout: &Layout, keys: &[Key]) -> Option<Range> {
    let (first, last) = (keys.first()?.as_bytes(), keys.last()?.as_bytes());
    let in_order = keys.is_sorted_by(|one, next| one.as_bytes() < next.as_bytes());
    let range = Range::prefix(layout.string(first)).up_to(&layout.string(last));
    (in_order && !first.starts_with(&[0])).then_some(range)
}

fn value(found: Option<KeyValue>, now: Timestamp) -> Answer<Option<Value>> {
    let Some(found) = found else {
        return Ok(None);
    };
    let revision = found.mod_revision();
    let content = header::decode(found.into_key_value().1.into(), revision)?;
    Ok((!content.end.is_past(now)).then(|| content.value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_in_order_lie_in_a_range() {
        let layout = Layout::new("root/");
        let around = |keys: &[&'static str]| {
            let keys: Vec<_> = keys.iter().map(|it| Key::new(*it).unwrap()).collect();
            around(&layout, &keys)
        };
        let range = around(&["a", "b", "c"]).unwrap();
        assert_eq!(range.from_key, b"root/a");
        assert_eq!(range.to_key, b"root/c\0");
        for keys in [&["a", "c", "b"][..], &["a", "a"], &["\0a", "a"], &[]] {
            assert_eq!(around(keys), None, "{keys:?}");
        }
    }
}
