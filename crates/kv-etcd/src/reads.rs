//! Reading many strings at a time.

use crate::{
    answers,
    error::{Answer, Cause, Failure},
    layout::{Layout, Range, header},
    optimistic::{MOST_OPS, Optimist},
};
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse};
use kv_core::{ErrorKind, Key, Timestamp, Value};

/// How many others a range may hold, besides one for every four keys that are wanted.
const STRANGERS: usize = 8;

/// Reads several strings at once; a structure and a missing key are both `None`.
pub(crate) async fn get_many(store: &Optimist, keys: &[Key]) -> Answer<Vec<Option<Value>>> {
    let mut listed = store.hints.listed.is_page(keys);
    let mut values = Vec::with_capacity(keys.len());
    for part in keys.chunks(MOST_OPS) {
        if listed {
            let found = neighbours(store, part).await;
            // Whoever tries again after a failure must not run into the same one.
            if !matches!(found, Ok(Some(_))) {
                store.hints.listed.forget(keys);
                listed = false;
            }
            if let Some(found) = found? {
                values.extend(found);
                continue;
            }
        }
        values.extend(each(store, part).await?);
    }
    Ok(values)
}

/// Reads strings one by one, all in one exchange.
async fn each(store: &Optimist, keys: &[Key]) -> Answer<Vec<Option<Value>>> {
    let gets: Vec<_> = keys
        .iter()
        .map(|key| TxnOp::get(store.layout.string(key.as_bytes()), None))
        .collect();
    let response = store.link.txn(Txn::new().and_then(gets)).await;
    let mut response = response.map_err(Failure::of_a_read)?;
    let now = store.clock.now();
    let of_answer = |answer| match answer {
        TxnOpResponse::Get(mut found) => value(found.take_kvs().pop(), now),
        _ => Err(Failure::unexpected_reply()),
    };
    let answers = answers::take(&mut response, keys.len())?;
    answers.map(of_answer).collect()
}

/// The same as one range, if not too many others lie between them.
async fn neighbours(store: &Optimist, keys: &[Key]) -> Answer<Option<Vec<Option<Value>>>> {
    let Some(range) = around(&store.layout, keys) else {
        return Ok(None);
    };
    // Strings past their deadlines lie there until they are collected, and are on no page.
    let most = keys.len() + keys.len() / 4 + STRANGERS;
    let options = GetOptions::new().with_limit(most as i64);
    let mut found = match store.link.list(&range, options).await {
        // Without the others it may fit, and be permitted.
        Err(failure)
            if failure.cause() == Cause::LargeAnswer || failure.kind() == ErrorKind::Denied =>
        {
            return Ok(None);
        }
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
