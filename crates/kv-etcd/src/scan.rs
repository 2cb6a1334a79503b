//! Listing keys page by page, in the order of their bytes, and deleting them.

use crate::{
    answers,
    batch::{self, in_part},
    error::{Answer, Failure},
    layout::{Place, Range, Record, header},
    optimistic::{Listing, MOST_OPS, Optimist, Query, Seen, What},
};
use etcd_client::{Txn, TxnOpResponse};
use kv_core::{Cursor, Error, ErrorKind, Key, Prefix, Prefixes, Result, ScanFrom, ScanPage};

/// How many rounds one page may take before it is cut short.
const ROUNDS: u32 = 20;
/// How many keys are deleted in one step.
const STEP: u32 = 500;
/// The first byte of every cursor.
const FORMAT: u8 = 1;

/// One page.
pub(crate) async fn page(
    store: &Optimist,
    prefixes: &Prefixes,
    from: ScanFrom,
    limit: u32,
) -> Result<ScanPage> {
    if limit == 0 {
        let message = "a page must hold at least one key; give a limit above zero";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let mut after = match from {
        ScanFrom::Start => Vec::new(),
        ScanFrom::After(key) => key.as_bytes().to_vec(),
        ScanFrom::Cursor(cursor) => match cursor.as_bytes().split_first() {
            Some((&FORMAT, key)) if !key.is_empty() => key.to_vec(),
            _ => {
                let message = "the cursor is not one of this store; begin the scan anew";
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
        },
        _ => return Err(Error::unsupported("scan_page")),
    };
    let limit = limit as usize;
    let mut keys = Vec::new();
    let mut rounds = 0;
    let prefixes = outermost(prefixes);
    for &prefix in &prefixes {
        loop {
            let round = Round::read(store, prefix, &after, limit + 1 - keys.len()).await?;
            rounds += 1;
            let horizon = round.horizon.clone();
            keys.extend(round.living(store).await?);
            if keys.len() > limit {
                keys.truncate(limit);
                let next = keys.last().map(cursor);
                note(store, &prefixes, &keys);
                return Ok(ScanPage::new(keys, next));
            }
            let Some(horizon) = horizon else {
                break;
            };
            after = horizon.into_bytes().to_vec();
            if rounds >= ROUNDS {
                let next = Cursor::new([&[FORMAT], &*after].concat());
                return Ok(ScanPage::new(keys, Some(next)));
            }
        }
    }
    note(store, &prefixes, &keys);
    Ok(ScanPage::new(keys, None))
}

/// Deletes the keys of the ranges, in steps; how many.
pub(crate) async fn clear(store: &Optimist, prefixes: &Prefixes) -> Result<u64> {
    let mut cleared = 0;
    let done = clear_all(store, prefixes, &mut cleared).await;
    done.map_err(|error| in_part(error, "cleared so far", cleared))?;
    Ok(cleared)
}

/// The refusal to clear a store that no prefix confines.
pub(crate) fn denied() -> Error {
    Error::new(
        ErrorKind::Denied,
        "clearing all keys needs `allow_clear_all = true` in the provider's configuration; with a prefix only its own keys are cleared",
    )
}

async fn clear_all(store: &Optimist, prefixes: &Prefixes, cleared: &mut u64) -> Result<()> {
    let mut from = ScanFrom::Start;
    loop {
        let page = page(store, prefixes, from, STEP).await?;
        *cleared += batch::delete(store, page.keys).await?;
        match page.next {
            Some(next) => from = ScanFrom::Cursor(next),
            None => break,
        }
    }
    // What is past its deadline, or was left behind by structures that ended.
    for prefix in outermost(prefixes) {
        let below = store.layout.below(prefix.as_bytes());
        let ranges = below
            .strings
            .into_iter()
            .chain([below.records, below.elements]);
        for range in ranges {
            store.link.delete(range).await?;
        }
    }
    Ok(())
}

/// What one round of reading found: candidates up to a horizon, in order.
struct Round {
    found: Vec<(Key, Candidate)>,
    /// The last key that this round is complete up to; `None` if it is to the end.
    horizon: Option<Key>,
}

/// What may be a key.
enum Candidate {
    /// A string that nothing ends.
    String,
    /// A string on a lease, whose header has to be looked at; where it lies.
    Leased(Vec<u8>),
    /// A structure, if it has elements.
    Structure,
}

impl Round {
    async fn read(store: &Optimist, prefix: &Prefix, after: &[u8], limit: usize) -> Answer<Self> {
        let below = store.layout.below(prefix.as_bytes());
        let behind = |range: Range, raw: Vec<u8>| match after.is_empty() || raw < range.from_key {
            true => range,
            false => range.after(&raw),
        };
        let strings = below.strings.into_iter();
        let strings = strings.map(|range| (behind(range, store.layout.string(after)), What::Keys));
        let records = behind(below.records, store.layout.record(after));
        let queries: Vec<_> = strings
            .chain([(records, What::All)])
            .filter(|(range, _)| !range.is_empty())
            .map(|(range, what)| Query {
                range,
                limit: limit as i64,
                what,
            })
            .collect();
        let listings = read(store, &queries).await?;
        let now = store.clock.now();
        let length = listings.iter().map(|it| it.entries.len()).sum();
        let mut found: Vec<(Key, Candidate)> = Vec::with_capacity(length);
        let mut horizon: Option<Key> = None;
        for listing in listings {
            if (listing.entries.len() as u64) < listing.count {
                let key = |(raw, _): &(Vec<u8>, Seen)| place_key(store.layout.place(raw)?);
                let last = listing.entries.iter().rev().find_map(key);
                horizon = [horizon, last].into_iter().flatten().min();
            }
            for (raw, seen) in listing.entries {
                match store.layout.place(&raw) {
                    Some(Place::String(key)) => found.push(match seen.lease {
                        0 => (key, Candidate::String),
                        _ => (key, Candidate::Leased(raw)),
                    }),
                    Some(Place::Record(key)) if !is_past(&seen, now)? => {
                        found.push((key, Candidate::Structure));
                    }
                    _ => {}
                }
            }
        }
        if let Some(horizon) = &horizon {
            found.retain(|(key, _)| key <= horizon);
        }
        // Each listing is in order, the strings before the structures that they hide.
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Ok(Self { found, horizon })
    }

    /// The candidates that are there.
    async fn living(self, store: &Optimist) -> Answer<Vec<Key>> {
        let queries = self
            .found
            .iter()
            .filter_map(|(key, candidate)| match candidate {
                Candidate::String => None,
                Candidate::Leased(raw) => Some(Query {
                    range: Range {
                        to_key: crate::layout::range::successor(raw),
                        from_key: raw.clone(),
                    },
                    limit: 1,
                    what: What::All,
                }),
                Candidate::Structure => Some(Query {
                    range: store.layout.elements(key.as_bytes()),
                    limit: 1,
                    what: What::Keys,
                }),
            });
        let queries: Vec<_> = queries.collect();
        let mut answers = read(store, &queries).await?.into_iter();
        let now = store.clock.now();
        let mut keys = Vec::new();
        for (key, candidate) in self.found {
            let mut next = || answers.next().unwrap_or_default().entries.pop();
            let lives = match candidate {
                Candidate::String => true,
                Candidate::Leased(_) => match next() {
                    Some((_, seen)) => !header::decode(seen.value, 0)?.end.is_past(now),
                    None => false,
                },
                Candidate::Structure => next().is_some(),
            };
            if lives {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

/// Reads ranges, some at a time.
async fn read(store: &Optimist, queries: &[Query]) -> Answer<Vec<Listing>> {
    let mut listings = Vec::with_capacity(queries.len());
    for queries in queries.chunks(MOST_OPS) {
        let ops: Vec<_> = queries.iter().map(|query| query.op(0)).collect();
        let response = store.link.txn(Txn::new().and_then(ops)).await;
        let mut response = response.map_err(Failure::of_a_read)?;
        for answer in answers::take(&mut response, queries.len())? {
            match answer {
                TxnOpResponse::Get(found) => listings.push(Listing::of(found)),
                _ => return Err(Failure::unexpected_reply()),
            }
        }
    }
    Ok(listings)
}

/// Remembers a page whose keys may be read as a range: between two prefixes lie keys of others.
fn note(store: &Optimist, prefixes: &[&Prefix], page: &[Key]) {
    let (Some(first), Some(last)) = (page.first(), page.last()) else {
        return;
    };
    let holds = |prefix: &Prefix, key: &Key| prefix.contains(key.as_bytes());
    if prefixes
        .iter()
        .any(|it| holds(it, first) && holds(it, last))
    {
        store.hints.listed.note(page);
    }
}

/// The prefixes that lie in no other, in order: their ranges do not overlap.
fn outermost(prefixes: &Prefixes) -> Vec<&Prefix> {
    let mut sorted: Vec<_> = prefixes.as_slice().iter().collect();
    sorted.sort();
    sorted.dedup_by(|later, earlier| earlier.contains(later.as_bytes()));
    sorted
}

fn place_key(place: Place) -> Option<Key> {
    match place {
        Place::String(key) | Place::Record(key) => Some(key),
        Place::Element(_) | Place::Message(_) => None,
    }
}

fn is_past(seen: &Seen, now: kv_core::Timestamp) -> Answer<bool> {
    Ok(Record::decode(&seen.value)?.end.is_past(now))
}

fn cursor(key: &Key) -> Cursor {
    Cursor::new([&[FORMAT], key.as_bytes()].concat())
}
