//! The list of cases, section by section.

mod batches;
mod bodies;
mod claims;
mod commits;
mod compare;
mod conditional;
mod counters;
mod deadlines;
mod expiry;
mod guards;
mod hashes;
mod keys;
mod large;
mod malformed;
mod messages;
mod moves;
mod moving;
mod ops;
mod pace;
mod pages;
mod pops;
mod ranges;
mod rollback;
mod scan;
mod sorted_sets;
mod steps;
mod streams;
mod throttle;
mod timed_moves;
mod timed_steps;
mod tokens;
mod values;
mod wakes;
mod watches;

use crate::case::Case;

/// The numbers of the list that this suite answers for, in order. What is missing needs a cluster,
/// etcd or a broken network, or is a consumer's: see the crate's page. The numbers from 201 on are this
/// suite's own.
pub const IN_SCOPE: &[std::ops::RangeInclusive<u16>] = &[
    1..=29,
    31..=44,
    46..=53,
    55..=61,
    63..=109,
    201..=220,
    230..=244,
    270..=276,
    300..=314,
];

/// Every case, in the order of the list.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let mut cases: Vec<_> = SECTIONS.iter().flat_map(|cases| cases.iter()).collect();
    cases.sort_by_key(|case| case.id);
    cases.into_iter()
}

const SECTIONS: &[&[Case]] = &[
    values::CASES,
    keys::CASES,
    expiry::CASES,
    deadlines::CASES,
    conditional::CASES,
    compare::CASES,
    counters::CASES,
    batches::CASES,
    large::CASES,
    scan::CASES,
    pages::CASES,
    sorted_sets::CASES,
    ranges::CASES,
    pops::CASES,
    hashes::CASES,
    guards::CASES,
    commits::CASES,
    rollback::CASES,
    malformed::CASES,
    steps::CASES,
    timed_steps::CASES,
    tokens::CASES,
    moves::CASES,
    timed_moves::CASES,
    moving::CASES,
    bodies::CASES,
    claims::CASES,
    watches::CASES,
    streams::CASES,
    wakes::CASES,
    messages::CASES,
    throttle::CASES,
    pace::CASES,
];

/// Makes a file's part of the list out of async functions.
macro_rules! cases {
    ($($section:literal $id:literal $title:literal [$($needs:ident),*] $run:ident;)*) => {
        pub(super) const CASES: &[$crate::case::Case] = &[$(
            $crate::case::Case::new(
                $id,
                $section,
                $title,
                &[$(kv_core::Capability::$needs),*],
                |bench| Box::pin($run(bench)),
            ),
        )*];
    };
}

use cases;

#[cfg(test)]
mod tests {
    use super::{IN_SCOPE, all};

    #[test]
    fn every_case_in_scope_is_there_once() {
        let listed: Vec<u16> = all().map(|case| case.id).collect();
        let scope: Vec<u16> = IN_SCOPE.iter().cloned().flatten().collect();
        assert_eq!(listed, scope);
    }

    #[test]
    fn sections_follow_the_numbers() {
        for case in all() {
            let section = match case.id {
                0..=15 => 'A',
                16..=30 => 'B',
                31..=45 => 'C',
                46..=54 => 'D',
                55..=65 => 'E',
                66..=76 => 'F',
                77..=90 => 'G',
                91..=96 => 'H',
                97..=102 | 201..=269 => 'I',
                300..=314 => 'T',
                _ => 'J',
            };
            assert_eq!(case.section, section, "{case}");
        }
    }

    #[test]
    fn titles_are_distinct() {
        let mut titles: Vec<_> = all().map(|case| case.title).collect();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), all().count());
    }
}
