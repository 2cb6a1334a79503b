//! Reads and writes of a million keys.
//!
//! Measured in two ways. In `memory/map/…` each key depends on what the last read brought, as in a
//! program that does something with what it reads: both sides wait for memory alike. In
//! `memory/independent/…` keys are chosen beforehand: the processor fetches what the next operations
//! need while one still waits for memory, over as many turns of a loop as it can hold in flight. That
//! is several of a bare map's short loop and about one of a whole call through `Kv`, so this way also
//! counts what the bare loop gains by having nothing around it.
//!
//! How much that is tells the bare map put behind `Kv` itself: it keeps only 0.54 to 0.67 of its own
//! speed that way (on one thread). `memory/core/…` holds the memory store against that
//! map, with the same way to go for both: what the store alone makes of it.

use crate::{
    Store, block_on,
    plain::PlainStore,
    reference_map::{Sharded, moka},
};
use bytes::Bytes;
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use std::{thread, time::Duration};

pub(crate) fn rows(suite: &mut Suite) {
    let keys = &Keys::new(suite.amount(1_000_000));
    for (mix, writes) in [("95-5", 0.05), ("50-50", 0.5)] {
        for threads in [1, 2] {
            let dependent = Load {
                keys,
                choice: Choice::Dependent,
                writes,
                threads,
            };
            let independent = Load {
                choice: Choice::Independent,
                ..dependent
            };
            let ratio = |row, target| Claim::ratio(format!("memory/{row}/{mix}/{threads}"), target);
            suite.hold(&[ratio("map", 0.75)], || {
                contest(dependent.ours()?, dependent.bare())
            });
            suite.hold(&[ratio("independent", 0.75)], || {
                contest(independent.ours()?, independent.bare())
            });
            suite.hold(&[ratio("core", 0.9)], || {
                contest(independent.ours()?, independent.plain()?)
            });
            suite.hold(&[ratio("moka", 2.5)], || {
                contest(dependent.ours()?, dependent.moka())
            });
        }
    }
}

/// What both sides are asked: the same names, the same value.
struct Keys {
    names: Vec<String>,
    value: Bytes,
}

/// How they are asked.
#[derive(Clone, Copy)]
struct Load<'a> {
    keys: &'a Keys,
    choice: Choice,
    writes: f64,
    threads: u64,
}

/// Whether the next key depends on what the last read brought.
#[derive(Clone, Copy)]
enum Choice {
    Dependent,
    Independent,
}

enum Step<'a> {
    Get(&'a str),
    Set(&'a str),
}

impl Keys {
    fn new(count: u64) -> Self {
        Self {
            names: (0..count).map(|it| format!("key:{it:012}")).collect(),
            value: Bytes::from(vec![b'v'; 100]),
        }
    }
}

impl<'a> Load<'a> {
    fn ours(self) -> Outcome<Side<'a>> {
        self.through(Store::open()?)
    }

    /// The bare map, called as the memory store is.
    fn plain(self) -> Outcome<Side<'a>> {
        self.through(Store::over(PlainStore(Sharded::new()))?)
    }

    fn through(self, store: Store) -> Outcome<Side<'a>> {
        let Keys { names, value } = self.keys;
        block_on(async {
            for name in names {
                store.kv.set(name, value.clone()).await?;
            }
            Outcome::Ok(())
        })??;
        Ok(Side::new(move |ops| {
            self.spread(ops, |mut steps| {
                block_on(async {
                    while let Some(step) = steps.next() {
                        match step {
                            Step::Get(name) => steps.saw(store.kv.get(name).await?)?,
                            Step::Set(name) => store.kv.set(name, value.clone()).await?,
                        }
                    }
                    Ok(())
                })?
            })
        }))
    }

    fn bare(self) -> Side<'a> {
        let Keys { names, value } = self.keys;
        let map = Sharded::new();
        for name in names {
            map.set(name, value.clone());
        }
        Side::new(move |ops| {
            self.spread(ops, |mut steps| {
                while let Some(step) = steps.next() {
                    match step {
                        Step::Get(name) => steps.saw(map.get(name))?,
                        Step::Set(name) => map.set(name, value.clone()),
                    }
                }
                Ok(())
            })
        })
    }

    fn moka(self) -> Side<'a> {
        let Keys { names, value } = self.keys;
        let cache = moka(names.len() as u64);
        for name in names {
            cache.insert(name.clone(), value.clone());
        }
        Side::new(move |ops| {
            self.spread(ops, |mut steps| {
                while let Some(step) = steps.next() {
                    match step {
                        Step::Get(name) => steps.saw(cache.get(name))?,
                        Step::Set(name) => cache.insert(name.to_owned(), value.clone()),
                    }
                }
                Ok(())
            })
        })
    }

    /// Gives each thread its part of the operations.
    fn spread(self, ops: u64, work: impl Fn(Steps<'a>) -> Outcome + Sync) -> Outcome {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|_| scope.spawn(|| work(self.steps(ops.div_ceil(self.threads)))))
                .collect();
            threads
                .into_iter()
                .try_for_each(|it| it.join().map_err(|_| "a thread panicked")?)
        })
    }

    fn steps(self, count: u64) -> Steps<'a> {
        Steps {
            load: self,
            random: fastrand::Rng::new(),
            left: count,
            seen: 0,
        }
    }
}

fn contest<'a>(ours: Side<'a>, reference: Side<'a>) -> Outcome<Contest<'a>> {
    Ok(Contest {
        ours,
        reference,
        size: Size::Span(Duration::from_millis(200)),
        meter: None,
    })
}

/// Random keys, and what to do with them.
struct Steps<'a> {
    load: Load<'a>,
    random: fastrand::Rng,
    left: u64,
    seen: usize,
}

impl<'a> Steps<'a> {
    fn next(&mut self) -> Option<Step<'a>> {
        self.left = self.left.checked_sub(1)?;
        let names = &self.load.keys.names;
        let name = &names[(self.random.usize(..names.len()) + self.seen) % names.len()];
        Some(match self.random.f64() < self.load.writes {
            true => Step::Set(name),
            false => Step::Get(name),
        })
    }

    /// Notes what was read.
    fn saw(&mut self, value: Option<impl AsRef<[u8]>>) -> Outcome {
        let value = value.ok_or("a key is missing")?;
        if let Choice::Dependent = self.load.choice {
            self.seen = value.as_ref().first().copied().map_or(0, usize::from);
        }
        Ok(())
    }
}
