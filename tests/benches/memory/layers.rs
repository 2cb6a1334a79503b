//! What each layer adds to a call, on the same store with it and without.

use crate::{
    block_on,
    reference_layers::{HOUR, Writes, full, layers, transforming},
};
use bytes::Bytes;
use kv_core::{Context, Key, Kv, KvBuilder, Lifetime, Ttl};
use kv_memory::MemoryStore;
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use std::{fmt::Write as _, hint::black_box, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// How many keys a side goes round.
const KEYS: usize = 1_000;

/// How many bytes of values there are at most.
const BYTES: usize = 16 << 20;

pub(crate) fn rows(suite: &mut Suite) {
    let value = Bytes::from(vec![b'v'; 100]);
    for subject in layers().into_iter().chain([full()]) {
        let claim = |op| {
            let name = format!("layers/{}/{op}", subject.name);
            Claim::nanos_added(name, subject.limits.nanos)
        };
        let ways = || {
            let store = MemoryStore::default();
            let with = (subject.around)(Kv::builder(store.clone()))?;
            let with = Way::open(with, &value)?;
            let without = Way::open(Kv::builder(store), &value)?;
            without.fill()?;
            if subject.writes != Writes::Refused {
                with.fill()?;
            }
            Outcome::Ok((with, without))
        };
        suite.hold(&[claim("get")], || {
            let (with, without) = ways()?;
            Ok(contest(with.get(), without.get()))
        });
        if subject.writes == Writes::Refused {
            continue;
        }
        suite.hold(&[claim("set")], || {
            let by_hand = match subject.writes {
                Writes::WithDeadline => vec![Ttl::In(Lifetime::new(HOUR)?)],
                Writes::WithSpreadDeadline => spread()?,
                _ => vec![Ttl::Unset],
            };
            let (with, without) = ways()?;
            Ok(contest(with.set(vec![Ttl::Unset]), without.set(by_hand)))
        });
    }
    for (name, around) in transforming() {
        for size in [128, 4 << 10, 64 << 10] {
            let value = text(size);
            let claim = |op| Claim::nanos_added(format!("layers/{name}/{op}/{size}"), 0.0).told();
            // Each on a store of its own: neither reads what the other writes.
            let ways = || {
                let with = around(Kv::builder(MemoryStore::default()))?;
                let with = Way::open(with, &value)?;
                let without = Way::open(Kv::builder(MemoryStore::default()), &value)?;
                with.fill()?;
                without.fill()?;
                Outcome::Ok((with, without))
            };
            suite.hold(&[claim("get")], || {
                let (with, without) = ways()?;
                Ok(contest(with.get(), without.get()))
            });
            suite.hold(&[claim("set")], || {
                let (with, without) = ways()?;
                let unset = || vec![Ttl::Unset];
                Ok(contest(with.set(unset()), without.set(unset())))
            });
        }
    }
}

/// A way to a store.
struct Way {
    kv: Kv,
    keys: Vec<Key>,
    value: Bytes,
    _home: Runtime,
}

impl Way {
    fn open(builder: KvBuilder, value: &Bytes) -> Outcome<Self> {
        let home = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let kv = home.block_on(builder.connect())?;
        let count = (BYTES / value.len()).min(KEYS);
        let keys = (0..count).map(|it| Ok(Key::new(format!("key:{it:012}"))?));
        Ok(Self {
            // Also where nobody asks for it, so that both carry it.
            kv: kv.bind(Context::tenant("tenant-123")),
            keys: keys.collect::<Outcome<_>>()?,
            value: value.clone(),
            _home: home,
        })
    }

    /// Writes what reads find.
    fn fill(&self) -> Outcome {
        block_on(async {
            for key in &self.keys {
                self.kv.set(key, self.value.clone()).await?;
            }
            Ok(())
        })?
    }

    fn get(self) -> Side<'static> {
        Side::new(move |ops| {
            block_on(async {
                for key in self.keys.iter().cycle().take(ops as usize) {
                    black_box(self.kv.get(key).await?).ok_or("a key is missing")?;
                }
                Ok(())
            })?
        })
    }

    fn set(self, ttls: Vec<Ttl>) -> Side<'static> {
        Side::new(move |ops| {
            block_on(async {
                let keys = self.keys.iter().cycle().take(ops as usize);
                for (key, ttl) in keys.zip(ttls.iter().cycle()) {
                    self.kv.set_with(key, self.value.clone(), *ttl).await?;
                }
                Ok(())
            })?
        })
    }
}

fn contest(ours: Side<'static>, reference: Side<'static>) -> Contest<'static> {
    Contest {
        ours,
        reference,
        size: Size::Span(Duration::from_millis(100)),
        meter: None,
    }
}

/// What a layer makes of an hour that spreads it: a store has more to do with deadlines that differ.
fn spread() -> Outcome<Vec<Ttl>> {
    let mut random = fastrand::Rng::with_seed(7);
    let ttls = (0..1021).map(|_| {
        let span = HOUR.mul_f64(1.0 - 0.1 * random.f64());
        Ok(Ttl::In(Lifetime::new(span)?))
    });
    ttls.collect()
}

/// As much of it as services keep: records whose fields differ.
fn text(bytes: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    let mut text = String::with_capacity(bytes + 100);
    while text.len() < bytes {
        let (id, amount) = (random.u32(..), random.u16(..));
        // Writing to a string does not fail.
        let _ = write!(
            text,
            r#"{{"id":"{id:08x}","state":"delivered","amount":{amount}}},"#
        );
    }
    text.truncate(bytes);
    Bytes::from(text)
}
