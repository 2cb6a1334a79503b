//! Short ways to write the steps of transactions, and to see what they left behind.

use crate::{
    bench::Bench,
    failure::{Verdict, ensure_eq},
};
use kv_core::{
    Capability, Content, ErrorKind, Field, Key, Mark, Member, Op, Read, RelativeScore, Result,
    Score, Scores, TimeToLive, Ttl, Txn, Value,
};

/// Writes a value; says nothing about a deadline.
pub(super) fn set(key: &Key, value: &str) -> Op {
    Op::Set {
        key: key.clone(),
        content: Content::Value(value.into()),
        ttl: Ttl::Unset,
    }
}

/// Writes a mark that lives for ever.
pub(super) fn mark(key: &Key, mark: &str) -> Op {
    Op::Set {
        key: key.clone(),
        content: Content::Mark(mark.into()),
        ttl: Ttl::Never,
    }
}

pub(super) fn delete(key: &Key) -> Op {
    Op::Delete { key: key.clone() }
}

pub(super) fn delete_if(key: &Key, mark: &str) -> Op {
    let (key, mark) = (key.clone(), mark.into());
    Op::DeleteIf { key, mark }
}

pub(super) fn add(key: &Key, by: i64) -> Op {
    Op::Increment {
        key: key.clone(),
        by,
        ttl_if_created: Ttl::Never,
    }
}

pub(super) fn hset<const N: usize>(key: &Key, fields: [(&str, &str); N]) -> Op {
    let field = |(field, value): (&str, &str)| (field.into(), Content::Value(value.into()));
    Op::HSet {
        key: key.clone(),
        fields: fields.map(field).into(),
    }
}

pub(super) fn hset_marks<const N: usize>(key: &Key, fields: [(&str, &str); N]) -> Op {
    let field = |(field, mark): (&str, &str)| (field.into(), Content::Mark(mark.into()));
    Op::HSet {
        key: key.clone(),
        fields: fields.map(field).into(),
    }
}

pub(super) fn hdel<const N: usize>(key: &Key, fields: [&str; N]) -> Op {
    Op::HDel {
        key: key.clone(),
        fields: fields.map(Field::from).into(),
    }
}

pub(super) fn hadd(key: &Key, field: &str, by: i64) -> Op {
    let (key, field) = (key.clone(), field.into());
    Op::HIncrement { key, field, by }
}

pub(super) fn zadd<const N: usize>(key: &Key, members: [(&str, i32); N]) -> Op {
    let member = |(member, score): (&str, i32)| (member.into(), RelativeScore::from(score));
    Op::ZAdd {
        key: key.clone(),
        members: members.map(member).into(),
        notify_if_first: None,
    }
}

pub(super) fn zrem<const N: usize>(key: &Key, members: [&str; N]) -> Op {
    Op::ZRem {
        key: key.clone(),
        members: members.map(Member::from).into(),
    }
}

pub(super) fn persist(key: &Key) -> Op {
    Op::Persist { key: key.clone() }
}

pub(super) fn next_token(key: &Key) -> Op {
    let (key, ttl) = (key.clone(), Ttl::Never);
    Op::NextToken { key, ttl }
}

pub(super) fn get(key: &Key) -> Read {
    Read::Get { key: key.clone() }
}

pub(super) fn get_mark(key: &Key) -> Read {
    Read::GetMark { key: key.clone() }
}

pub(super) fn hget(key: &Key, field: &str) -> Read {
    let (key, field) = (key.clone(), field.into());
    Read::HGet { key, field }
}

pub(super) fn hget_mark(key: &Key, field: &str) -> Read {
    let (key, field) = (key.clone(), field.into());
    Read::HGetMark { key, field }
}

pub(super) fn zscore(key: &Key, member: &str) -> Read {
    let (key, member) = (key.clone(), member.into());
    Read::ZScore { key, member }
}

pub(super) fn last_token(key: &Key) -> Read {
    Read::LastToken { key: key.clone() }
}

pub(super) fn some_mark(text: &str) -> Option<Mark> {
    Some(text.into())
}

pub(super) fn some_score(number: i32) -> Option<Score> {
    Some(number.into())
}

/// One key of each type, filled, and one that is missing.
pub(super) async fn stock(b: &Bench) -> Verdict<[Key; 5]> {
    let keys = [":s", ":n", ":h", ":z", ":x"].map(|name| b.grouped("g", name));
    let [s, n, h, z, _] = &keys;
    let fill = Txn::new()
        .then(set(s, "text"))
        .then(mark(n, "9223372036854775800"))
        .then(hset(h, [("f", "v"), ("text", "abc")]))
        .then(zadd(z, [("m", 1), ("n", 2)]));
    ensure_eq!(
        b.kv.commit_one(fill).await?.applied,
        true,
        "the first transaction"
    );
    Ok(keys)
}

/// Writes of each kind, which all can be done.
pub(super) fn writes([s, n, h, z, x]: &[Key; 5]) -> Txn {
    Txn::new()
        .then(delete(s))
        .then(add(n, 1))
        .then(hset(h, [("f", "other"), ("g", "new")]))
        .then(hdel(h, ["text"]))
        .then(zadd(z, [("m", 7), ("o", 3)]))
        .then(zrem(z, ["n"]))
        .then(set(x, "created"))
}

/// All that the keys hold, whatever their type, and whether they have deadlines: to see that
/// nothing changed.
pub(super) async fn state<'a>(
    b: &Bench,
    keys: impl IntoIterator<Item = &'a Key>,
) -> Verdict<Vec<String>> {
    let kv = &b.kv;
    let mut all = Vec::new();
    for key in keys {
        let bytes = |it: Value| it.as_bytes().escape_ascii().to_string();
        let string = other_type(stored(b, key).await)?;
        let string = string.map(|it| it.unwrap_or("nothing".to_owned()));
        let fields = other_type(kv.hgetall(key).await)?.map(|it| {
            let mut all: Vec<_> = it
                .into_iter()
                .map(|(field, value)| format!("{field:?} = {}", bytes(value)))
                .collect();
            all.sort();
            all
        });
        let members = other_type(kv.zrange(key, 0, -1, Scores::Include).await)?;
        let lives = match kv.time_to_live(key).await? {
            TimeToLive::In(_) => "ends",
            TimeToLive::NoExpiry => "stays",
            TimeToLive::Missing => "missing",
        };
        all.push(format!("`{key}` {string:?} {fields:?} {members:?} {lives}"));
    }
    Ok(all)
}

/// The bytes of the string as they are on the store, escaped: of one that was not written as a value,
/// which a layer of the stack may take for a damaged one.
pub(super) async fn stored(b: &Bench, key: &Key) -> Result<Option<String>> {
    let found = match b.has(Capability::Commit) {
        true => {
            b.kv.commit_one(Txn::new().then(get_mark(key)))
                .await?
                .mark(0)?
        }
        false => b.kv.get(key).await?.map(|it| it.into_bytes().into()),
    };
    Ok(found.map(|it| it.as_bytes().escape_ascii().to_string()))
}

/// Fails unless the key holds exactly these bytes, written as a mark or counted.
pub(super) async fn holds_mark(b: &Bench, key: &Key, expected: &str) -> Verdict {
    let found = stored(b, key).await?;
    ensure_eq!(found.as_deref(), Some(expected), "the mark at `{key}`");
    Ok(())
}

/// Nothing if the key holds another type.
fn other_type<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(it) => Ok(Some(it)),
        Err(error) if error.kind() == ErrorKind::WrongType => Ok(None),
        Err(error) => Err(error),
    }
}
