//! How answers become what the contract promises. Bytes are moved, not copied.

use crate::error::{Answer, Failure};
use kv_core::{Score, ScoredMember, Scores, SetReply, TimeToLive, Value as Bytes, When};
use redis::Value;
use std::time::Duration;

/// The answer to one command of a pipeline, which may be an error.
pub(crate) fn single(reply: Value) -> Answer<Value> {
    match reply {
        Value::ServerError(error) => Err(Failure::server(&error)),
        reply => Ok(reply),
    }
}

/// A string or nothing.
pub(crate) fn string(reply: Value) -> Answer<Option<Bytes>> {
    match reply {
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::Nil => Ok(None),
        Value::SimpleString(text) => Ok(Some(text.into())),
        Value::Okay => Ok(Some("OK".into())),
        _ => Err(Failure::unexpected_reply()),
    }
}

/// Strings, each of which may be missing.
pub(crate) fn strings(reply: Value) -> Answer<Vec<Option<Bytes>>> {
    list(reply)?.into_iter().map(string).collect()
}

/// A whole number.
pub(crate) fn integer(reply: Value) -> Answer<i64> {
    match reply {
        Value::Int(number) => Ok(number),
        Value::BulkString(text) => parsed(&text),
        _ => Err(Failure::unexpected_reply()),
    }
}

/// How many.
pub(crate) fn count(reply: Value) -> Answer<u64> {
    u64::try_from(integer(reply)?).map_err(|_| Failure::unexpected_reply())
}

/// Whether something was there.
pub(crate) fn flag(reply: Value) -> Answer<bool> {
    Ok(integer(reply)? != 0)
}

/// What PTTL answers.
pub(crate) fn time_to_live(reply: Value) -> Answer<TimeToLive> {
    Ok(match integer(reply)? {
        -2 => TimeToLive::Missing,
        -1 => TimeToLive::NoExpiry,
        // A key in its last millisecond is still there.
        millis => TimeToLive::In(Duration::from_millis(millis.max(1).unsigned_abs())),
    })
}

/// A list.
pub(crate) fn list(reply: Value) -> Answer<Vec<Value>> {
    match reply {
        Value::Array(items) | Value::Set(items) => Ok(items),
        _ => Err(Failure::unexpected_reply()),
    }
}

/// Pairs, which the newer protocol answers as a map and the older one as a list.
pub(crate) fn pairs(reply: Value) -> Answer<Vec<(Bytes, Bytes)>> {
    let present = |it| string(it)?.ok_or_else(Failure::unexpected_reply);
    match reply {
        Value::Map(pairs) => pairs
            .into_iter()
            .map(|(name, value)| Ok((present(name)?, present(value)?)))
            .collect(),
        reply => {
            let mut rest = list(reply)?.into_iter();
            let mut pairs = Vec::with_capacity(rest.len() / 2);
            while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
                pairs.push((present(name)?, present(value)?));
            }
            Ok(pairs)
        }
    }
}

/// A score or nothing.
pub(crate) fn score(reply: Value) -> Answer<Option<Score>> {
    let number = match reply {
        Value::Nil => return Ok(None),
        Value::Double(number) => number,
        Value::Int(number) => number as f64,
        Value::BulkString(text) => parsed(&text)?,
        Value::SimpleString(text) => parsed(text.as_bytes())?,
        _ => return Err(Failure::unexpected_reply()),
    };
    Score::new(number)
        .map(Some)
        .map_err(|_| Failure::unexpected_reply())
}

/// Members, with scores if they were asked for: in pairs or in one flat list.
pub(crate) fn members(reply: Value, scores: Scores) -> Answer<Vec<ScoredMember>> {
    let items = list(reply)?;
    if scores == Scores::Omit {
        return items.into_iter().map(|it| member(it, None)).collect();
    }
    if matches!(items.first(), Some(Value::Array(_))) {
        return items.into_iter().map(pair).collect();
    }
    let mut rest = items.into_iter();
    let mut members = Vec::with_capacity(rest.len() / 2);
    while let (Some(name), Some(number)) = (rest.next(), rest.next()) {
        members.push(member(name, score(number)?)?);
    }
    Ok(members)
}

fn pair(reply: Value) -> Answer<ScoredMember> {
    let mut parts = list(reply)?.into_iter();
    match (parts.next(), parts.next()) {
        (Some(name), Some(number)) => member(name, score(number)?),
        _ => Err(Failure::unexpected_reply()),
    }
}

fn member(reply: Value, score: Option<Score>) -> Answer<ScoredMember> {
    let name = string(reply)?.ok_or_else(Failure::unexpected_reply)?;
    Ok(ScoredMember::new(name.into_bytes(), score))
}

/// The answer to what `encode::set`, or the script for a value, asked.
pub(crate) fn set(answer: Answer<Value>, when: &When) -> Answer<SetReply> {
    let reply = match answer {
        // A structure refuses every condition.
        Err(failure)
            if failure.kind() == kv_core::ErrorKind::WrongType && *when != When::Always =>
        {
            return Ok(SetReply::refused(None));
        }
        answer => answer?,
    };
    match (when, reply) {
        (When::Always, Value::Okay)
        | (When::IfAbsent, Value::Nil)
        | (When::IfPresent, Value::BulkString(_))
        | (When::IfValue(_), Value::Int(1)) => Ok(SetReply::applied()),
        (When::IfAbsent, Value::BulkString(current)) => Ok(SetReply::refused(Some(current.into()))),
        (When::IfPresent, Value::Nil) => Ok(SetReply::refused(None)),
        (When::IfValue(_), Value::Array(current)) => {
            let current = current.into_iter().next().map(string).transpose()?;
            Ok(SetReply::refused(current.flatten()))
        }
        _ => Err(Failure::unexpected_reply()),
    }
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> Answer<T> {
    let number = str::from_utf8(text).ok().and_then(|it| it.parse().ok());
    number.ok_or_else(Failure::unexpected_reply)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_core::{ErrorKind, Mark};
    use redis::parse_redis_value;

    fn reply(text: &str) -> Value {
        parse_redis_value(text.as_bytes()).unwrap()
    }

    #[test]
    fn both_protocols_give_the_same_members() {
        let old = "*4\r\n$1\r\na\r\n$17\r\n1718000000123.456\r\n$1\r\nb\r\n$3\r\ninf\r\n";
        let new = "*2\r\n*2\r\n$1\r\na\r\n,1718000000123.456\r\n*2\r\n$1\r\nb\r\n,inf\r\n";
        let expected = vec![
            ScoredMember::new("a", Some(Score::new(1_718_000_000_123.456).unwrap())),
            ScoredMember::new("b", Some(Score::MAX)),
        ];
        for text in [old, new] {
            assert_eq!(members(reply(text), Scores::Include).unwrap(), expected);
        }
        assert_eq!(members(reply("*0\r\n"), Scores::Include).unwrap(), []);
        let names = members(reply("*1\r\n$0\r\n\r\n"), Scores::Omit).unwrap();
        assert_eq!(names, [ScoredMember::new("", None)]);
    }

    #[test]
    fn both_protocols_give_the_same_pairs() {
        for text in [
            "*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
            "%1\r\n$1\r\nf\r\n$1\r\nv\r\n",
        ] {
            assert_eq!(pairs(reply(text)).unwrap(), [("f".into(), "v".into())]);
        }
    }

    #[test]
    fn a_conditional_write_tells_what_stood_in_the_way() {
        let ask = |text: &str, when: &When| set(single(reply(text)), when);
        let wrong = "-WRONGTYPE Operation against a key\r\n";
        let mark = When::IfValue(Mark::from("m"));
        let (yes, no) = (SetReply::applied(), SetReply::refused);
        assert_eq!(ask("+OK\r\n", &When::Always).unwrap(), yes);
        assert_eq!(ask("_\r\n", &When::IfAbsent).unwrap(), yes);
        assert_eq!(ask("$-1\r\n", &When::IfPresent).unwrap(), no(None));
        assert_eq!(
            ask("$1\r\nv\r\n", &When::IfAbsent).unwrap(),
            no(Some("v".into()))
        );
        assert_eq!(ask("$1\r\nv\r\n", &When::IfPresent).unwrap(), yes);
        assert_eq!(ask(":1\r\n", &mark).unwrap(), yes);
        assert_eq!(ask("*0\r\n", &mark).unwrap(), no(None));
        assert_eq!(
            ask("*1\r\n$1\r\nv\r\n", &mark).unwrap(),
            no(Some("v".into()))
        );
        for when in [When::IfAbsent, When::IfPresent, mark] {
            assert_eq!(ask(wrong, &when).unwrap(), no(None));
        }
        let error = ask(wrong, &When::Always).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongType);
        let odd = ask(":2\r\n", &When::Always).unwrap_err();
        assert_eq!(odd.kind(), ErrorKind::Unexpected);
    }

    #[test]
    fn numbers_beyond_what_floats_hold_are_exact() {
        let text = "$19\r\n9007199254740993000\r\n";
        assert_eq!(integer(reply(text)).unwrap(), 9_007_199_254_740_993_000);
        assert!(integer(reply("$1\r\nx\r\n")).is_err());
        assert!(count(reply(":-1\r\n")).is_err());
    }
}
