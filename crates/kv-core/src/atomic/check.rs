//! What is refused before it is sent.

use super::{Guard, MAX_MEMBERS, Op, Read, Txn, ZMove};
use crate::{Capabilities, Error, ErrorKind, Key, Outcome, Result};
use std::collections::HashMap;

/// A command that can contradict itself or the store's limits.
pub(crate) trait Check {
    /// Refuses it if it does.
    fn check(&self, limits: &Capabilities) -> Result<()>;
}

impl Check for Txn {
    fn check(&self, limits: &Capabilities) -> Result<()> {
        let guards = self.when.iter().map(Guard::key);
        let ops = self.then.iter().filter_map(Op::key);
        let reads = self.otherwise.iter().filter_map(Read::key);
        same_group(guards.chain(ops).chain(reads))?;
        let weight: usize = self.then.iter().map(weight).sum();
        let most = weight.max(self.when.len()).max(self.otherwise.len());
        if most > limits.max_txn_ops {
            let message = format!(
                "the transaction has {most} steps, of which the store takes {}; divide it",
                limits.max_txn_ops
            );
            return Err(Error::new(ErrorKind::TooLarge, message).with_outcome(Outcome::Final));
        }
        let reads = self.then.iter().filter_map(|op| match op {
            Op::Read(read) => Some(read),
            _ => None,
        });
        for read in reads.chain(&self.otherwise) {
            if let Read::ZRange { key, limit, .. } = read {
                members(*limit).map_err(|error| error.with_key(key))?;
            }
        }
        let mut writes = Writes::default();
        self.then.iter().try_for_each(|op| writes.note(op))?;
        self.then.iter().try_for_each(|op| writes.allow_read(op))
    }
}

impl Check for ZMove {
    fn check(&self, limits: &Capabilities) -> Result<()> {
        let sources = self.sources.iter();
        let keys = sources
            .flat_map(|it| [Some(&it.key), it.tally.as_ref()])
            .chain([self.target.as_ref()])
            .flatten()
            .chain(self.hashes.iter().map(|it| &it.key))
            .chain(self.when.iter().map(Guard::key));
        same_group(keys)?;
        members(self.limit)?;
        if self.sources.is_empty() {
            return Err(invalid("a move needs at least one source"));
        }
        if self.capacity.is_some() && self.target.is_none() {
            return Err(invalid("a move without a target has no use for a capacity"));
        }
        let most = self
            .sources
            .len()
            .max(self.hashes.len())
            .max(self.when.len());
        if most > limits.max_txn_ops {
            let message = format!(
                "the move names {most} keys, of which the store takes {}",
                limits.max_txn_ops
            );
            return Err(Error::new(ErrorKind::TooLarge, message).with_outcome(Outcome::Final));
        }
        each_once(self.sources.iter().map(|it| &it.key), "a source")?;
        each_once(self.hashes.iter().map(|it| &it.key), "a hash")?;
        self.check_roles()
    }
}

impl ZMove {
    /// Refuses a key that would have to be a sorted set and a hash, or a tally and a body.
    fn check_roles(&self) -> Result<()> {
        let tallies = || self.sources.iter().filter_map(|it| it.tally.as_ref());
        let bodies = || self.hashes.iter().map(|it| &it.key);
        let sets = self.sources.iter().map(|it| &it.key).chain(&self.target);
        for set in sets {
            if tallies().chain(bodies()).any(|hash| hash == set) {
                return Err(
                    invalid("the key is named both as a sorted set and as a hash").with_key(set),
                );
            }
        }
        match bodies().find(|hash| tallies().any(|tally| tally == *hash)) {
            None => Ok(()),
            Some(hash) => {
                Err(invalid("the key is named both as a tally and as a hash").with_key(hash))
            }
        }
    }
}

/// Refuses keys that do not all start with the same `{tag}`.
pub(crate) fn same_group<'a>(mut keys: impl Iterator<Item = &'a Key>) -> Result<()> {
    let Some(first) = keys.next() else {
        return Ok(());
    };
    let group = first.group();
    match keys.find(|key| key.group() != group) {
        None => Ok(()),
        Some(other) => Err(Error::new(
            ErrorKind::CrossGroup,
            "the keys of one atomic step must start with the same {tag}; build them with KeyGroup",
        )
        .with_key(first)
        .with_context("other key", other)),
    }
}

/// Refuses a key that is named twice.
pub(crate) fn each_once<'a>(keys: impl Iterator<Item = &'a Key>, what: &str) -> Result<()> {
    let mut seen: Vec<&Key> = Vec::new();
    for key in keys {
        if seen.contains(&key) {
            return Err(invalid(format!("{what} is named twice")).with_key(key));
        }
        seen.push(key);
    }
    Ok(())
}

fn members(limit: u32) -> Result<()> {
    match (1..=MAX_MEMBERS).contains(&limit) {
        true => Ok(()),
        false => Err(invalid(format!(
            "the limit {limit} is not between 1 and {MAX_MEMBERS} members; take several steps"
        ))),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// How many elements a step touches.
fn weight(op: &Op) -> usize {
    match op {
        Op::HSet { fields, .. } => fields.len(),
        Op::HDel { fields, .. } => fields.len(),
        Op::ZAdd { members, .. } => members.len(),
        Op::ZRem { members, .. } => members.len(),
        _ => 1,
    }
}

/// What a transaction writes, by key.
#[derive(Default)]
struct Writes<'a> {
    keys: HashMap<&'a Key, Kind<'a>>,
    deadlines: Vec<&'a Key>,
}

/// How a key is written.
enum Kind<'a> {
    /// As a whole, once.
    Whole,
    /// By its fields.
    Hash(Vec<&'a [u8]>),
    /// By its members; also whether a range of them is removed.
    ZSet(Vec<&'a [u8]>, bool),
}

impl<'a> Writes<'a> {
    fn note(&mut self, op: &'a Op) -> Result<()> {
        match op {
            Op::Set { key, .. }
            | Op::Delete { key }
            | Op::DeleteIf { key, .. }
            | Op::Increment { key, .. }
            | Op::NextToken { key, .. } => self.whole(key),
            Op::HSet { key, fields } => self.fields(key, fields.iter().map(|(field, _)| field)),
            Op::HDel { key, fields } => self.fields(key, fields),
            Op::HIncrement { key, field, .. } => self.fields(key, [field]),
            Op::ZAdd { key, members, .. } => {
                self.members(key, members.iter().map(|(member, _)| member))
            }
            Op::ZRem { key, members } => self.members(key, members),
            Op::ZRemRange { key, limit, .. } => {
                members(*limit).map_err(|error| error.with_key(key))?;
                self.range(key)
            }
            Op::Expire { key, .. } | Op::Persist { key } => self.deadline(key),
            Op::Notify(_) | Op::Read(_) => Ok(()),
        }
    }

    fn whole(&mut self, key: &'a Key) -> Result<()> {
        if self.deadlines.contains(&key) || self.keys.insert(key, Kind::Whole).is_some() {
            return Err(twice("the key", key));
        }
        Ok(())
    }

    /// What a transaction writes as a whole it knows, and need not read.
    fn allow_read(&self, op: &'a Op) -> Result<()> {
        let Op::Read(read) = op else {
            return Ok(());
        };
        match read.key() {
            Some(key) if matches!(self.keys.get(key), Some(Kind::Whole)) => Err(invalid(
                "the key is both written as a whole and read in one transaction; its answers tell already",
            )
            .with_key(key)),
            _ => Ok(()),
        }
    }

    fn deadline(&mut self, key: &'a Key) -> Result<()> {
        if self.deadlines.contains(&key) || matches!(self.keys.get(key), Some(Kind::Whole)) {
            return Err(twice("the key", key));
        }
        self.deadlines.push(key);
        Ok(())
    }

    fn fields(
        &mut self,
        key: &'a Key,
        fields: impl IntoIterator<Item = &'a crate::Field>,
    ) -> Result<()> {
        let kind = self
            .keys
            .entry(key)
            .or_insert_with(|| Kind::Hash(Vec::new()));
        let Kind::Hash(seen) = kind else {
            return Err(twice("the key", key));
        };
        let fields = fields.into_iter().map(crate::Field::as_bytes);
        note_each(seen, fields).map_err(|()| twice("a field", key))
    }

    fn members(
        &mut self,
        key: &'a Key,
        members: impl IntoIterator<Item = &'a crate::Member>,
    ) -> Result<()> {
        let kind = self.keys.entry(key);
        let kind = kind.or_insert_with(|| Kind::ZSet(Vec::new(), false));
        let Kind::ZSet(seen, _) = kind else {
            return Err(twice("the key", key));
        };
        let members = members.into_iter().map(crate::Member::as_bytes);
        note_each(seen, members).map_err(|()| twice("a member", key))
    }

    fn range(&mut self, key: &'a Key) -> Result<()> {
        let kind = self.keys.entry(key);
        let kind = kind.or_insert_with(|| Kind::ZSet(Vec::new(), false));
        match kind {
            Kind::ZSet(_, removed @ false) => *removed = true,
            _ => return Err(twice("the key", key)),
        }
        Ok(())
    }
}

fn note_each<'a>(
    seen: &mut Vec<&'a [u8]>,
    items: impl Iterator<Item = &'a [u8]>,
) -> Result<(), ()> {
    let before = seen.len();
    seen.extend(items);
    // Long lists are sorted rather than compared with each other.
    if seen.len() > 16 {
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        return match sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(()),
            false => Ok(()),
        };
    }
    let repeats = |(at, item): (usize, &&[u8])| seen[..at].contains(item);
    match seen.iter().enumerate().skip(before).any(repeats) {
        true => Err(()),
        false => Ok(()),
    }
}

fn twice(what: &str, key: &Key) -> Error {
    invalid(format!(
        "{what} is written twice in one transaction; make it one write, or two transactions"
    ))
    .with_key(key)
}
