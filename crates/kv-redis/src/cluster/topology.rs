//! Which server has which slots.

use super::{Address, slot::SLOTS};
use crate::{
    decode,
    error::{Answer, Failure},
};
use redis::Value;
use std::sync::Arc;

/// Slots in a row and the server that has them.
#[derive(Debug, PartialEq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) owner: Address,
}

/// Reads what the server at this address answered to CLUSTER SLOTS.
pub(super) fn ranges(reply: Value, asked: &Address) -> Answer<Vec<Range>> {
    let ranges = decode::list(reply)?.into_iter();
    let ranges = ranges.map(|range| range_of(range, asked));
    Ok(ranges
        .collect::<Answer<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// Without a range whose owner has no name.
fn range_of(reply: Value, asked: &Address) -> Answer<Option<Range>> {
    let mut parts = decode::list(reply)?.into_iter();
    let mut next = || parts.next().ok_or_else(Failure::unexpected_reply);
    let slot = |reply| {
        let slot = u16::try_from(decode::integer(reply)?).ok();
        let slot = slot.filter(|&slot| slot < SLOTS);
        slot.ok_or_else(Failure::unexpected_reply)
    };
    let (first, last) = (slot(next()?)?, slot(next()?)?);
    // The primary comes first, its replicas behind it.
    let mut primary = decode::list(next()?)?.into_iter();
    let (Some(host), Some(port)) = (primary.next(), primary.next()) else {
        return Err(Failure::unexpected_reply());
    };
    let host = decode::string(host)?.unwrap_or_default().into_bytes();
    let host = str::from_utf8(&host).map_err(|_| Failure::unexpected_reply())?;
    let port = u16::try_from(decode::integer(port)?).map_err(|_| Failure::unexpected_reply())?;
    let owner = Address::named(host, port, asked);
    Ok(owner.map(|owner| Range { first, last, owner }))
}

/// The owner of each slot.
pub(super) struct Topology<N> {
    /// Where in `owners` the owner of each slot stands.
    places: Box<[u16]>,
    owners: Vec<Owner<N>>,
    /// Counts how often the cluster was asked.
    pub(super) generation: u64,
}

/// Somebody who has slots.
pub(super) struct Owner<N> {
    pub(super) lowest: u16,
    pub(super) node: Arc<N>,
}

/// The place of the owner of a slot that nobody has.
const NOWHERE: u16 = u16::MAX;

impl<N> Topology<N> {
    /// One in which these have slots, and nobody has the others.
    pub(super) fn new(generation: u64, ranges: &[(u16, u16, Arc<N>)]) -> Self {
        let mut slots = vec![None; usize::from(SLOTS)];
        for (first, last, node) in ranges {
            let range = usize::from(*first)..=usize::from(*last);
            let range = slots.get_mut(range).into_iter().flatten();
            range.for_each(|slot| *slot = Some(node));
        }
        Self::of(generation, slots)
    }

    /// The same, with one slot given to another owner.
    pub(super) fn with(&self, slot: u16, node: &Arc<N>) -> Self {
        let mut slots: Vec<_> = (0..SLOTS).map(|slot| self.owner(slot)).collect();
        if let Some(place) = slots.get_mut(usize::from(slot)) {
            *place = Some(node);
        }
        Self::of(self.generation, slots)
    }

    pub(super) fn owner(&self, slot: u16) -> Option<&Arc<N>> {
        let place = *self.places.get(usize::from(slot))?;
        Some(&self.owners.get(usize::from(place))?.node)
    }

    /// Each owner once, by its lowest slot.
    pub(super) fn owners(&self) -> &[Owner<N>] {
        &self.owners
    }

    /// Whether every slot has an owner.
    pub(super) fn is_whole(&self) -> bool {
        !self.places.contains(&NOWHERE)
    }

    /// Whether every slot has the same owner in both.
    pub(super) fn has_same_owners(&self, other: &Self) -> bool {
        let same = |(one, other): (&Owner<N>, &Owner<N>)| Arc::ptr_eq(&one.node, &other.node);
        self.places == other.places
            && self.owners.len() == other.owners.len()
            && self.owners.iter().zip(&other.owners).all(same)
    }

    fn of(generation: u64, slots: Vec<Option<&Arc<N>>>) -> Self {
        let mut owners: Vec<Owner<N>> = Vec::new();
        let place = |(lowest, node): (u16, Option<&Arc<N>>)| {
            let Some(node) = node else {
                return NOWHERE;
            };
            // Slots in a row have one owner: it is the last one found most often.
            let known = owners.iter().rposition(|it| Arc::ptr_eq(&it.node, node));
            let place = known.unwrap_or_else(|| {
                let node = Arc::clone(node);
                owners.push(Owner { lowest, node });
                owners.len() - 1
            });
            // There are fewer owners than slots.
            place as u16
        };
        let places = (0..SLOTS).zip(slots).map(place).collect();
        Self {
            places,
            owners,
            generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::parse_redis_value;

    #[test]
    fn primaries_are_read_from_both_protocols() {
        let asked = Address::new("seed", 7000);
        // With a replica, with metadata, without a host of its own, and without a name.
        let text = "*4\r\n\
            *4\r\n:0\r\n:99\r\n*4\r\n$2\r\nn1\r\n:1\r\n$2\r\nid\r\n%0\r\n*3\r\n$2\r\nn9\r\n:9\r\n$2\r\nid\r\n\
            *3\r\n:100\r\n:199\r\n*4\r\n$0\r\n\r\n:2\r\n$2\r\nid\r\n*0\r\n\
            *3\r\n:200\r\n:299\r\n*3\r\n$-1\r\n:3\r\n$2\r\nid\r\n\
            *3\r\n:300\r\n:399\r\n*3\r\n$1\r\n?\r\n:4\r\n$2\r\nid\r\n";
        let reply = parse_redis_value(text.as_bytes()).unwrap();
        let range = |first, last, host: &str, port| Range {
            first,
            last,
            owner: Address::new(host, port),
        };
        let expected = [
            range(0, 99, "n1", 1),
            range(100, 199, "seed", 2),
            range(200, 299, "seed", 3),
        ];
        assert_eq!(ranges(reply, &asked).ok().unwrap(), expected);
    }

    #[test]
    fn nonsense_is_refused() {
        let asked = Address::new("seed", 7000);
        for text in [
            "+OK\r\n",
            "*1\r\n*2\r\n:0\r\n:1\r\n",
            "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
            "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n",
            "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\na\r\n:65536\r\n",
        ] {
            let reply = parse_redis_value(text.as_bytes()).unwrap();
            assert!(ranges(reply, &asked).is_err(), "{text:?}");
        }
    }

    #[test]
    fn owners_come_by_their_lowest_slot() {
        let [a, b] = ["a", "b"].map(Arc::new);
        let ranges = [(0, 9, Arc::clone(&b)), (10, 16_382, Arc::clone(&a))];
        let topology = Topology::new(1, &ranges);
        assert!(!topology.is_whole());
        assert_eq!(topology.owner(16_383), None);
        let topology = topology.with(16_383, &b).with(0, &a);
        assert!(topology.is_whole());
        assert_eq!(topology.owner(9), Some(&b));
        let owners: Vec<_> = topology
            .owners()
            .iter()
            .map(|it| (it.lowest, &*it.node))
            .collect();
        assert_eq!(owners, [(0, &"a"), (1, &"b")]);
    }
}
