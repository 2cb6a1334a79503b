//! Listing keys page by page.
//!
//! The server gives as many keys at a time as it likes, the contract as many as were asked for: the
//! surplus travels in the page's cursor. The servers of a cluster are visited in the order of their
//! lowest slots; the cursor names the one that the scan has reached.

use crate::{
    cluster::Address,
    decode, encode,
    encode::digits,
    error::{Answer, Failure},
    link::{Link, Server},
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
/// The first byte of every cursor of a server alone ...
const FORMAT: u8 = 1;
/// ... and of a cluster.
const CLUSTER_FORMAT: u8 = 2;

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
        ScanFrom::Cursor(cursor) => State::decode(cursor.as_bytes()).ok_or_else(foreign)?,
        _ => return Err(Error::unsupported("scan_page")),
    };
    if prefixes.as_slice().is_empty() {
        return Ok(ScanPage::default());
    }
    state.keys = within(state.keys, prefixes).collect();
    fill(link, prefixes, &mut state, limit).await?;
    let rest = state.keys.split_off(state.keys.len().min(limit as usize));
    let page = std::mem::replace(&mut state.keys, rest);
    let next = (!state.is_at_end() || !state.keys.is_empty()).then(|| state.encode());
    Ok(ScanPage::new(page.into(), next))
}

/// One SCAN.
pub(crate) async fn step(
    link: &Link,
    server: &Server,
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
    let mut reply = decode::list(link.command_at(server, &command).await?)?.into_iter();
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
    /// The server that it has reached.
    place: Place,
    /// Where that server goes on; 0 at its start.
    cursor: u64,
    /// Keys that the servers gave and no page had room for.
    keys: VecDeque<Key>,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Place {
    /// Before the first server.
    #[default]
    Start,
    /// At the only one.
    Only,
    /// At the one of a cluster that had this as its lowest slot, and this address.
    Primary(u16, Address),
    /// Behind the last one.
    End,
}

impl Place {
    fn of(server: &Server) -> Self {
        match server {
            Server::Only => Self::Only,
            Server::Primary(visit) => {
                let (lowest, address) = visit.name();
                Self::Primary(lowest, address.clone())
            }
        }
    }

    fn name(&self) -> Option<(u16, &Address)> {
        match self {
            Self::Primary(lowest, address) => Some((*lowest, address)),
            Self::Start | Self::Only | Self::End => None,
        }
    }
}

impl State {
    fn is_at_end(&self) -> bool {
        self.place == Place::End
    }

    fn encode(&self) -> Cursor {
        let length = |key: &Key| key.as_bytes().len() + 4;
        let mut token = Vec::with_capacity(9 + self.keys.iter().map(length).sum::<usize>());
        match self.place.name() {
            None => token.push(FORMAT),
            Some((lowest, address)) => {
                token.push(CLUSTER_FORMAT);
                token.extend_from_slice(&lowest.to_be_bytes());
                token.extend_from_slice(&address.port.to_be_bytes());
                put(&mut token, address.host.as_bytes());
            }
        }
        token.extend_from_slice(&self.cursor.to_be_bytes());
        self.keys
            .iter()
            .for_each(|key| put(&mut token, key.as_bytes()));
        Cursor::new(token)
    }

    fn decode(token: &[u8]) -> Option<Self> {
        let (&format, rest) = token.split_first()?;
        let (place, rest) = match format {
            FORMAT => (Place::Only, rest),
            CLUSTER_FORMAT => {
                let (lowest, rest) = rest.split_first_chunk()?;
                let (port, rest) = rest.split_first_chunk()?;
                let (host, rest) = take(rest)?;
                let address = Address::new(str::from_utf8(host).ok()?, u16::from_be_bytes(*port));
                (Place::Primary(u16::from_be_bytes(*lowest), address), rest)
            }
            _ => return None,
        };
        let (cursor, mut rest) = rest.split_first_chunk()?;
        let cursor = u64::from_be_bytes(*cursor);
        // The start of a server alone is the start of the scan, which has no cursor.
        let place = match (place, cursor) {
            (Place::Only, 0) => Place::End,
            (place, _) => place,
        };
        let mut keys = VecDeque::new();
        while !rest.is_empty() {
            let (key, behind) = take(rest)?;
            keys.push_back(Key::try_from(key).ok()?);
            rest = behind;
        }
        Some(Self {
            place,
            cursor,
            keys,
        })
    }
}
/// Gathers more keys than the page has room for, if there are: so the last page knows that it is.
async fn fill(link: &Link, prefixes: &Prefixes, state: &mut State, limit: u32) -> Result<()> {
    let mut server = match &state.place {
        Place::End => return Ok(()),
        Place::Start => link.first_server().await?,
        place => link.server_named(place.name())?.ok_or_else(foreign)?,
    };
    // Keys that nobody has now would be missing, and the scan would seem to be complete.
    link.all_served()?;
    // Its successor knows nothing of its cursors.
    let place = Place::of(&server);
    if state.place != place {
        state.place = place;
        state.cursor = 0;
    }
    let pattern = encode::pattern(prefixes.as_slice());
    let mut seen: HashSet<Key> = state.keys.iter().cloned().collect();
    let mut count = limit.saturating_add(1).clamp(FEWEST, MOST);
    let watch = Stopwatch::start();
    for _ in 0..ROUND_TRIPS {
        if state.keys.len() > limit as usize {
            break;
        }
        let step = step(link, &server, pattern.as_deref(), state.cursor, count).await?;
        state.cursor = step.next;
        let before = state.keys.len();
        let own = within(step.keys, prefixes).filter(|key| seen.insert(key.clone()));
        state.keys.extend(own);
        if step.next == 0 {
            link.all_served()?;
            let Some(next) = link.server_behind(&server) else {
                state.place = Place::End;
                break;
            };
            state.place = Place::of(&next);
            server = next;
        }
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

fn put(token: &mut Vec<u8>, bytes: &[u8]) {
    // The server's longest key fits.
    token.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    token.extend_from_slice(bytes);
}

fn take(token: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = token.split_first_chunk()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

fn foreign() -> Error {
    invalid("the cursor is not one of this store")
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::{Address, CLUSTER_FORMAT, FORMAT, Place, State};
    use kv_core::Key;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #[test]
        fn a_token_keeps_its_place(place in places(), cursor in 1..=u64::MAX, keys in vec(vec(any::<u8>(), 1..9), 0..9)) {
            let keys = keys.into_iter().map(|key| Key::new(key).unwrap());
            let cursor = if place == Place::End { 0 } else { cursor };
            let state = State { place, cursor, keys: keys.collect() };
            let token = state.encode();
            prop_assert_eq!(State::decode(token.as_bytes()), Some(state));
        }

        #[test]
        fn a_damaged_token_never_panics(token in vec(any::<u8>(), 0..40)) {
            let _ = State::decode(&token);
            let _ = State::decode(&[&[FORMAT], &*token].concat());
            let _ = State::decode(&[&[CLUSTER_FORMAT], &*token].concat());
        }
    }

    fn places() -> impl Strategy<Value = Place> {
        prop_oneof![
            Just(Place::Only),
            Just(Place::End),
            (any::<u16>(), any::<u16>(), ".{0,9}")
                .prop_map(|(slot, port, host)| Place::Primary(slot, Address::new(host, port))),
        ]
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
