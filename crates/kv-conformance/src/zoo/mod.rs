//! The zoo: stores that break one thing each, and must be caught by the case that is there for it.
//!
//! A saboteur is a layer around a correct store. A suite that passes one is no suite: whoever adds a
//! case adds the store that it is to catch.

mod batches;
mod commits;
mod conditional;
mod counters;
mod expiry;
mod hand;
mod hashes;
mod listen;
mod messages;
mod moves;
mod scan;
mod sorted_sets;
mod steps;
mod throttle;
mod tokens;
mod values;
mod watches;

use kv_core::Layer;
use std::{fmt, sync::Arc};

/// A way to break a store.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Saboteur {
    /// Its name.
    pub name: &'static str,
    /// The numbers of the cases that must fail, each of them.
    pub caught_by: &'static [u16],
    layer: fn() -> Arc<dyn Layer>,
}

impl Saboteur {
    /// A layer that breaks the store it is put around; a new one for every handle.
    pub fn layer(&self) -> Arc<dyn Layer> {
        (self.layer)()
    }
}

impl fmt::Debug for Saboteur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Saboteur({} -> {:?})", self.name, self.caught_by)
    }
}

/// Every saboteur.
pub fn all() -> impl Iterator<Item = &'static Saboteur> {
    GROUPS.iter().flat_map(|group| group.iter())
}

/// The cases without a saboteur: kv-core itself refuses what they try, before a store is asked, or
/// they ask no store.
pub const WITHOUT_SABOTEUR: &[u16] = &[9, 14, 65, 80, 97, 102, 242];

const GROUPS: &[&[Saboteur]] = &[
    values::SABOTEURS,
    expiry::SABOTEURS,
    conditional::SABOTEURS,
    counters::SABOTEURS,
    batches::SABOTEURS,
    scan::SABOTEURS,
    sorted_sets::SABOTEURS,
    hashes::SABOTEURS,
    commits::SABOTEURS,
    steps::SABOTEURS,
    tokens::SABOTEURS,
    moves::SABOTEURS,
    messages::SABOTEURS,
    watches::SABOTEURS,
    throttle::SABOTEURS,
];

/// Makes a file's part of the zoo out of async functions.
macro_rules! saboteurs {
    ($($name:literal [$($case:literal),+] $run:ident;)*) => {
        pub(super) const SABOTEURS: &[super::Saboteur] = &[$(
            super::Saboteur {
                name: $name,
                caught_by: &[$($case),+],
                layer: || super::hand::layer($name, |hand, command| Box::pin($run(hand, command))),
            },
        )*];
    };
}

use saboteurs;

#[cfg(test)]
mod tests {
    use super::{WITHOUT_SABOTEUR, all};
    use std::collections::BTreeSet;

    #[test]
    fn every_case_has_a_saboteur() {
        let caught: BTreeSet<u16> = all().flat_map(|it| it.caught_by).copied().collect();
        let cases = crate::all_cases().map(|case| case.id);
        let without: Vec<u16> = cases.filter(|id| !caught.contains(id)).collect();
        assert_eq!(without, WITHOUT_SABOTEUR);
    }

    #[test]
    fn names_are_distinct() {
        let names: BTreeSet<_> = all().map(|it| it.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
