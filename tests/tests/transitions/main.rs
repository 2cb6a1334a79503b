//! Every transition that the scheduler, the locks, the limiter and the cache need, as the literal
//! command it is: run on each store for its effects, its refusals and what a re-send does, and
//! counted. The table of `docs/decisions/0001-transitions.md` lists the same rows.
#![allow(clippy::unwrap_used, reason = "all of it is test code")]

mod cache;
mod limits;
mod lock;
mod scheduler;
mod site;
mod steps;

use self::site::{Row, Site};

const TABLE: &str = include_str!("../../../docs/decisions/0001-transitions.md");

fn rows() -> Vec<Row> {
    let mut rows = scheduler::rows();
    rows.extend(lock::rows());
    rows.extend(limits::rows());
    rows.extend(cache::rows());
    rows
}

#[test]
fn the_document_lists_the_rows_of_the_tests_and_no_others() {
    let listed: Vec<&str> = TABLE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name)
        .collect();
    let built: Vec<&str> = rows().iter().map(|row| row.name).collect();
    assert_eq!(listed, built);
}

/// Once to let the server meet the script, then counted; a plan on etcd takes several exchanges.
async fn every_row_is_one_round_trip(site: Site) {
    for Row { name, step } in rows() {
        site.run(step.clone()).await.unwrap();
        let (result, calls, trips) = site.counted(site.run(step)).await;
        result.unwrap();
        assert_eq!(calls, 1, "{name}: calls");
        if let Some(trips) = trips {
            assert_eq!(trips, 1, "{name}: round trips");
        }
    }
}

/// The counter counts: without this, a row of two trips might pass for one.
async fn two_calls_are_two_round_trips(site: Site) {
    let [first, second] = [0, 1].map(|row| rows().swap_remove(row).step);
    for step in [&first, &second] {
        site.run(step.clone()).await.unwrap();
    }
    let work = async {
        site.run(first).await.unwrap();
        site.run(second).await.unwrap();
    };
    let ((), calls, trips) = site.counted(work).await;
    assert_eq!((calls, trips.unwrap_or(2)), (2, 2));
}

on_each_store! { every_row_is_one_round_trip two_calls_are_two_round_trips }
