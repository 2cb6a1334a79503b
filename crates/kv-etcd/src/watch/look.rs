//! Looking at keys.

use super::looks::Spot;
use crate::{
    answers,
    error::{Answer, Failure},
    layout::{Record, header, header::End},
    optimistic::{Listing, Optimist, Seen},
};
use etcd_client::{GetOptions, Txn, TxnOp, TxnOpResponse};
use kv_core::{Timestamp, Value};

/// How many keys are looked at in one exchange; their values fit an answer.
pub(super) const CHUNK: usize = 32;
/// How many reads that is for each.
const READS: usize = 3;

/// What was found at a key.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Without a value it is a structure, or none that this version can read.
    Present {
        value: Option<Value>,
        deadline: Option<Timestamp>,
    },
    /// What is past its deadline counts as gone.
    Missing { ended: Option<Timestamp> },
}

/// Looks at keys, all at one revision.
pub(super) async fn look(store: &Optimist, spots: &[Spot]) -> Answer<(i64, Vec<Found>)> {
    let ops: Vec<_> = spots.iter().flat_map(|spot| ask(store, spot)).collect();
    let response = store.link.txn(Txn::new().and_then(ops)).await;
    let mut response = response.map_err(Failure::of_a_read)?;
    // After the answer: what ends in between has ended.
    let now = store.clock.now();
    let header = response.header().ok_or_else(Failure::unexpected_reply)?;
    let revision = header.revision();
    let mut answers = answers::take(&mut response, spots.len() * READS)?;
    let mut next = || match answers.next() {
        Some(TxnOpResponse::Get(response)) => Ok(Listing::of(response)),
        _ => Err(Failure::unexpected_reply()),
    };
    let mut found = Vec::with_capacity(spots.len());
    for _ in spots {
        let (string, record, elements) = (next()?, next()?, next()?);
        let only = |listing: Listing| listing.entries.into_iter().next().map(|(_, seen)| seen);
        found.push(judge(
            only(string).as_ref(),
            only(record).as_ref(),
            elements.count > 0,
            now,
        ));
    }
    Ok((revision, found))
}

fn ask(store: &Optimist, spot: &Spot) -> [TxnOp; READS] {
    let elements = store.layout.elements(&spot.key);
    let any = GetOptions::new()
        .with_range(elements.to_key)
        .with_limit(1)
        .with_keys_only();
    [
        TxnOp::get(store.layout.string(&spot.key), None),
        TxnOp::get(store.layout.record(&spot.key), None),
        TxnOp::get(elements.from_key, Some(any)),
    ]
}

fn judge(
    string: Option<&Seen>,
    record: Option<&Seen>,
    has_elements: bool,
    now: Timestamp,
) -> Found {
    const UNREADABLE: Found = Found::Present {
        value: None,
        deadline: None,
    };
    let mut ended = None;
    if let Some(seen) = string {
        let Ok(content) = header::decode(seen.value.clone(), seen.revision) else {
            return UNREADABLE;
        };
        if !content.end.is_past(now) {
            return Found::Present {
                value: Some(content.value.into()),
                deadline: deadline(content.end),
            };
        }
        ended = deadline(content.end);
    }
    let Some(seen) = record.filter(|_| has_elements) else {
        return Found::Missing { ended };
    };
    let Ok(record) = Record::decode(&seen.value) else {
        return UNREADABLE;
    };
    match record.end.is_past(now) {
        true => Found::Missing {
            ended: ended.max(deadline(record.end)),
        },
        false => Found::Present {
            value: None,
            deadline: deadline(record.end),
        },
    }
}

/// The deadline that clocks tell.
pub(super) fn deadline(end: End) -> Option<Timestamp> {
    match end {
        End::At(deadline) => Some(deadline),
        End::Never | End::Lease => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Kind;

    const NOW: Timestamp = Timestamp::from_micros(1_000);
    const PAST: Timestamp = Timestamp::from_micros(1_000);
    const LATER: Timestamp = Timestamp::from_micros(1_001);

    fn seen(value: Vec<u8>) -> Seen {
        Seen {
            value: value.into(),
            revision: 1,
            lease: 0,
        }
    }

    fn string(end: End) -> Seen {
        seen(header::encode(b"v", end))
    }

    fn record(end: End) -> Seen {
        let kind = Kind::Hash;
        seen(Record { kind, end }.encode())
    }

    #[test]
    fn a_string_hides_a_structure_until_it_ends() {
        let structure = record(End::Never);
        let judge = |string: Seen| judge(Some(&string), Some(&structure), true, NOW);
        let there = Found::Present {
            value: Some("v".into()),
            deadline: Some(LATER),
        };
        assert_eq!(judge(string(End::At(LATER))), there);
        let beneath = Found::Present {
            value: None,
            deadline: None,
        };
        assert_eq!(judge(string(End::At(PAST))), beneath);
        assert_eq!(judge(seen(b"\0kv\x09".to_vec())), beneath);
    }

    #[test]
    fn a_structure_is_there_while_it_has_elements_and_time() {
        let judge = |end, has_elements| judge(None, Some(&record(end)), has_elements, NOW);
        let there = Found::Present {
            value: None,
            deadline: Some(LATER),
        };
        assert_eq!(judge(End::At(LATER), true), there);
        assert_eq!(judge(End::At(LATER), false), Found::Missing { ended: None });
        let ended = Some(PAST);
        assert_eq!(judge(End::At(PAST), true), Found::Missing { ended });
    }
}
