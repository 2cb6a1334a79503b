//! Looking at keys: whether they are there, how long still, and what they hold.
//!
//! In the usual mode of tracking every look also arms the next push for its key, also if the key is
//! missing or is of a type that the look does not fit.

use crate::{
    cluster, decode, encode,
    error::{Answer, Failure},
};
use bytes::Bytes;
use kv_core::{ErrorKind, Value};
use redis::{Cmd, Value as Reply};
use std::time::Duration;

/// What is asked of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Whether it is there and how long.
    Presence,
    /// Also what it holds, if that is a string.
    Content,
}

/// What a look found.
#[derive(Clone, Debug)]
pub(super) enum Look {
    Missing,
    Present {
        value: Option<Value>,
        /// How long it lives still.
        left: Option<Duration>,
        /// All that a structure holds, where that had to be asked.
        dump: Option<Value>,
    },
    /// It came or went while we looked: another push is under way.
    Torn,
    /// The server does not permit this user the key, or in a cluster another one has it.
    Refused(Failure),
}

/// The commands of one look.
pub(super) fn ask(key: &Bytes, ask: Ask) -> impl Iterator<Item = Cmd> {
    let content = (ask == Ask::Content).then(|| encode::with("GET", [key]));
    content.into_iter().chain([encode::with("PTTL", [key])])
}

/// Reads the answers of one look.
pub(super) fn read(replies: &mut impl Iterator<Item = Reply>, ask: Ask) -> Answer<Look> {
    let mut next = || replies.next().ok_or_else(Failure::unexpected_reply);
    let content = match ask {
        Ask::Content => Some(next()?),
        Ask::Presence => None,
    };
    let millis = next()?;
    if let Some(sent_back) = content
        .iter()
        .chain([&millis])
        .find(|it| cluster::is_sent_back(it))
    {
        let failure = decode::single(sent_back.clone()).err();
        return failure
            .map(Look::Refused)
            .ok_or_else(Failure::unexpected_reply);
    }
    let content = content.map(|it| decode::single(it).and_then(decode::string));
    let millis = match decode::single(millis).and_then(decode::integer) {
        Err(failure) if failure.kind() == ErrorKind::Denied => return Ok(Look::Refused(failure)),
        millis => millis?,
    };
    let (was_there, value) = match content {
        None => (None, None),
        Some(Ok(value)) => (Some(value.is_some()), value),
        Some(Err(failure)) if failure.kind() == ErrorKind::WrongType => (Some(true), None),
        // A user who may look at deadlines alone learns of changes without values.
        Some(Err(failure)) if failure.kind() == ErrorKind::Denied => (None, None),
        Some(Err(failure)) => return Err(failure),
    };
    let is_there = millis != -2;
    if was_there.is_some_and(|it| it != is_there) {
        return Ok(Look::Torn);
    }
    if !is_there {
        return Ok(Look::Missing);
    }
    let left = u64::try_from(millis).ok().map(Duration::from_millis);
    let dump = None;
    Ok(Look::Present { value, left, dump })
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::parse_redis_value;

    fn found(text: &str) -> Look {
        let Reply::Array(replies) = parse_redis_value(text.as_bytes()).unwrap() else {
            panic!("{text}");
        };
        read(&mut replies.into_iter(), Ask::Content).unwrap()
    }

    #[test]
    fn a_look_tells_strings_structures_and_what_is_gone() {
        let string = found("*2\r\n$1\r\nv\r\n:-1\r\n");
        assert!(matches!(string, Look::Present { value: Some(v), left: None, .. } if v == "v"));
        let structure = found("*2\r\n-WRONGTYPE Operation\r\n:1500\r\n");
        let span = Duration::from_millis(1500);
        assert!(
            matches!(structure, Look::Present { value: None, left: Some(left), .. } if left == span)
        );
        assert!(matches!(found("*2\r\n_\r\n:-2\r\n"), Look::Missing));
    }

    #[test]
    fn a_key_that_comes_or_goes_between_the_answers_is_looked_at_again() {
        assert!(matches!(found("*2\r\n$1\r\nv\r\n:-2\r\n"), Look::Torn));
        assert!(matches!(found("*2\r\n_\r\n:-1\r\n"), Look::Torn));
    }
}
