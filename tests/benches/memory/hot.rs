//! What `Kv` adds to a read that is in the processor's caches.

use crate::{Store, block_on, reference_map::Sharded};
use bytes::Bytes;
use kv_core::Key;
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use std::{hint::black_box, time::Duration};

const KEYS: usize = 1_000;

pub(crate) fn rows(suite: &mut Suite) {
    let names: Vec<String> = (0..KEYS).map(|it| format!("key:{it:012}")).collect();
    let claim = Claim::nanos_added("memory/get/hot", 120.0);
    suite.hold(&[claim], || {
        Ok(Contest {
            ours: ours(&names)?,
            reference: bare(&names),
            size: Size::Span(Duration::from_millis(100)),
            meter: None,
        })
    });
}

fn ours(names: &[String]) -> Outcome<Side<'_>> {
    let store = Store::open()?;
    let keys = names.iter().map(|name| Ok(Key::new(name.clone())?));
    let keys = keys.collect::<Outcome<Vec<_>>>()?;
    block_on(async {
        for key in &keys {
            store.kv.set(key, vec![b'v'; 100]).await?;
        }
        Outcome::Ok(())
    })??;
    Ok(Side::new(move |ops| {
        block_on(async {
            for key in keys.iter().cycle().take(ops as usize) {
                black_box(store.kv.get(key).await?).ok_or("a key is missing")?;
            }
            Ok(())
        })?
    }))
}

fn bare(names: &[String]) -> Side<'_> {
    let map = Sharded::new();
    for name in names {
        map.set(name, Bytes::from(vec![b'v'; 100]));
    }
    Side::new(move |ops| {
        for name in names.iter().cycle().take(ops as usize) {
            black_box(map.get(name)).ok_or("a key is missing")?;
        }
        Ok(())
    })
}
