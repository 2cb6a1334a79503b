//! Listing keys page by page.
//!
//! The server gives as many keys at a time as it likes, the contract as many as were asked for: the
//! surplus travels in the page's cursor.

use crate::{
    decode, encode,
    encode::digits,
    error::{Answer, Failure},
    link::Link,
};
use kv_core::{Cursor, Error, ErrorKind, Key, Prefixes, Result, ScanFrom, ScanPage, Stopwatch};
use redis::{RedisWrite, Value};
use std::collections::{HashSet, VecDeque};

/// How many round trips one page may take before it is cut short.
const ROUND_TRIPS: u32 = 100;
/// How many entries of the server's table one round trip looks at, at least ...
const FEWEST: u32 = 16;
/// ... and at most.
const MOST: u32 = 1000;
/// The first byte of every cursor.
const FORMAT: u8 = 1;

/// What one SCAN answers.
pub(crate) struct Step {
    pub(crate) keys: Vec<Key>,
    /// Where the next one begins; 0 at the end.
    pub(crate) next: u64,
}

pub(crate) async fn page(
    link: &Link,
    prefixes: &Prefixes,
    from: ScanFrom,
    limit: u32,
) -> Result<ScanPage> {
    if limit == 0 {
        return Err(invalid("the limit of a scan must be at least 1"));
    }
    let mut state = match from {
        ScanFrom::Start => State::default(),
        ScanFrom::Cursor(cursor) => State::decode(cursor.as_bytes())
            .ok_or_else(|| invalid("the cursor is not one of this store"))?,
        _ => return Err(Error::unsupported("scan_page")),
    };
    if prefixes.as_slice().is_empty() {
        return Ok(ScanPage::default());
    }
    state.keys = within(state.keys, prefixes).collect();
    fill(link, prefixes, &mut state, limit).await?;
    let rest = state.keys.split_off(state.keys.len().min(limit as usize));
    let page = std::mem::replace(&mut state.keys, rest);
    let next = (state.cursor != Some(0) || !state.keys.is_empty()).then(|| state.encode());
    Ok(ScanPage::new(page.into(), next))
}

/// One SCAN.
pub(crate) async fn step(
    link: &Link,
    pattern: Option<&[u8]>,
    cursor: u64,
    count: u32,
) -> Answer<Step> {
    let mut command = encode::command("SCAN", 5, 48 + pattern.map_or(0, <[u8]>::len));
    command.write_arg(digits(cursor).as_bytes());
    if let Some(pattern) = pattern {
        command.write_arg(b"MATCH");
        command.write_arg(pattern);
    }
    command.write_arg(b"COUNT");
    command.write_arg(digits(count).as_bytes());
    let mut reply = decode::list(link.command(&command).await?)?.into_iter();
    let (Some(Value::BulkString(next)), Some(keys)) = (reply.next(), reply.next()) else {
        return Err(Failure::unexpected_reply());
    };
    let next = str::from_utf8(&next).ok().and_then(|it| it.parse().ok());
    let keys = decode::strings(keys)?.into_iter().flatten();
    Ok(Step {
        // An empty key, which only another program can have written, cannot be named here.
        keys: keys
            .filter_map(|it| Key::new(it.into_bytes()).ok())
            .collect(),
        next: next.ok_or_else(Failure::unexpected_reply)?,
    })
}

/// The keys that lie in the ranges: the server's pattern may match more.
pub(crate) fn within(
    keys: impl IntoIterator<Item = Key>,
    prefixes: &Prefixes,
) -> impl Iterator<Item = Key> {
    keys.into_iter().filter(|key| prefixes.contain(key))
}

/// Where a scan is.
#[derive(Debug, Default, PartialEq)]
struct State {
    /// Where the server goes on: none at the start, 0 at the end.
    cursor: Option<u64>,
    /// Keys that the server gave and no page had room for.
    keys: VecDeque<Key>,
}

impl State {
    fn encode(&self) -> Cursor {
        let length = |key: &Key| key.as_bytes().len() + 4;
        let mut token = Vec::with_capacity(9 + self.keys.iter().map(length).sum::<usize>());
        token.push(FORMAT);
        token.extend_from_slice(&self.cursor.unwrap_or_default().to_be_bytes());
        for key in &self.keys {
            // The server's longest key fits.
            token.extend_from_slice(&(key.as_bytes().len() as u32).to_be_bytes());
            token.extend_from_slice(key.as_bytes());
        }
        Cursor::new(token)
    }

    fn decode(token: &[u8]) -> Option<Self> {
        let (&FORMAT, rest) = token.split_first()? else {
            return None;
        };
        let (cursor, mut rest) = rest.split_first_chunk()?;
        let mut keys = VecDeque::new();
        while !rest.is_empty() {
            let (length, behind) = rest.split_first_chunk()?;
            let (key, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            keys.push_back(Key::try_from(key).ok()?);
            rest = behind;
        }
        let cursor = Some(u64::from_be_bytes(*cursor));
        Some(Self { cursor, keys })
    }
}

/// Gathers more keys than the page has room for, if there are: so the last page knows that it is.
async fn fill(link: &Link, prefixes: &Prefixes, state: &mut State, limit: u32) -> Answer<()> {
    let pattern = encode::pattern(prefixes.as_slice());
    let mut seen: HashSet<Key> = state.keys.iter().cloned().collect();
    let mut count = limit.saturating_add(1).clamp(FEWEST, MOST);
    let watch = Stopwatch::start();
    for _ in 0..ROUND_TRIPS {
        if state.cursor == Some(0) || state.keys.len() > limit as usize {
            break;
        }
        let cursor = state.cursor.unwrap_or_default();
        let step = step(link, pattern.as_deref(), cursor, count).await?;
        state.cursor = Some(step.next);
        let before = state.keys.len();
        let own = within(step.keys, prefixes).filter(|key| seen.insert(key.clone()));
        state.keys.extend(own);
        // Where our keys are rare, longer strides.
        if state.keys.len() == before {
            count = MOST.min(count * 2);
        }
        if watch.elapsed() >= link.response_timeout()? / 2 {
            break;
        }
    }
    Ok(())
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::{FORMAT, State};
    use kv_core::Key;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn a_token_keeps_its_place(cursor in any::<u64>(), keys in vec(vec(any::<u8>(), 1..9), 0..9)) {
            let keys = keys.into_iter().map(|key| Key::new(key).unwrap());
            let state = State { cursor: Some(cursor), keys: keys.collect() };
            let token = state.encode();
            prop_assert_eq!(State::decode(token.as_bytes()), Some(state));
        }

        #[test]
        fn a_damaged_token_never_panics(token in vec(any::<u8>(), 0..40)) {
            let _ = State::decode(&token);
            let _ = State::decode(&[&[FORMAT], &*token].concat());
        }
    }

    #[test]
    fn a_foreign_token_is_refused() {
        let short = [&[FORMAT], &[0; 7][..]].concat();
        let empty_key = [&[FORMAT], &[0; 12][..]].concat();
        let cut_key = [&[FORMAT], &[0; 8][..], &[0, 0, 0, 9, b'k']].concat();
        for token in [
            b"".to_vec(),
            vec![FORMAT],
            vec![9; 9],
            short,
            empty_key,
            cut_key,
        ] {
            assert_eq!(State::decode(&token), None, "{token:?}");
        }
    }
}
