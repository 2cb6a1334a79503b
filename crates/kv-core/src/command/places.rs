//! Where the values of a command and of its reply belong.

use super::{Command, Visitor};
use crate::{Field, Key, Op, Read, Result};

/// Where a value belongs; unknown only in a reply whose request was not noted down.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Place<'a> {
    /// Its key.
    pub key: Option<&'a Key>,
    /// Its field, if the key holds a hash.
    pub field: Option<&'a [u8]>,
    /// Whether it is a message on a channel of that name: nothing that lies at the key.
    pub is_message: bool,
}

/// The keys and fields of a command, in order: noted before it is sent, so that the values in its
/// reply can be told where they belong.
#[derive(Clone, Debug, Default)]
pub struct Places {
    slots: Vec<(Option<Key>, Option<Field>)>,
    /// Where the branches of each transaction begin: `then` and `otherwise`.
    branches: Vec<[usize; 2]>,
}

impl Places {
    pub(crate) fn at(&self, index: usize) -> Option<Place<'_>> {
        let (key, field) = self.slots.get(index)?;
        Some(Place {
            key: key.as_ref(),
            field: field.as_ref().map(Field::as_bytes),
            is_message: false,
        })
    }

    pub(crate) fn branch(&self, txn: usize, applied: bool) -> usize {
        let missing = self.slots.len();
        let branches = self.branches.get(txn);
        branches.map_or(missing, |it| it[usize::from(!applied)])
    }

    /// One slot for each step, so that the answer to a step finds its own.
    fn of_txns(txns: &[crate::Txn]) -> Self {
        let slot = |key: Option<&Key>, field: Option<&Field>| (key.cloned(), field.cloned());
        let mut places = Self::default();
        for txn in txns {
            let first = places.slots.len();
            places.slots.extend(txn.then.iter().map(|op| match op {
                Op::Read(read) => slot(read.key(), read.field()),
                op => slot(op.key(), None),
            }));
            places.branches.push([first, places.slots.len()]);
            let reads = txn.otherwise.iter();
            let reads = reads.map(|it: &Read| slot(it.key(), it.field()));
            places.slots.extend(reads);
        }
        places
    }
}

impl Command {
    /// The places that the reply's values will belong to.
    pub fn places(&self) -> Places {
        if let Self::Commit { txns } = self {
            return Places::of_txns(txns);
        }
        let mut note = Note(Places::default());
        // The visitor never fails, and the walk itself cannot.
        let _ = self.clone().visit(&mut note);
        note.0
    }
}

struct Note(Places);

impl Visitor for Note {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        self.0.slots.push((Some(key.clone()), None));
        Ok(())
    }

    fn field(&mut self, field: &mut Field) -> Result<()> {
        match self.0.slots.last_mut() {
            Some((_, first @ None)) => *first = Some(field.clone()),
            Some((key, Some(_))) => {
                let next = (key.clone(), Some(field.clone()));
                self.0.slots.push(next);
            }
            None => {}
        }
        Ok(())
    }
}
