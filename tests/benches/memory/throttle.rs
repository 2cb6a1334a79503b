//! A rate limit in this process against one that lives in no other.

use crate::{Store, block_on, reference_governor::limiter};
use kv_core::{Key, Rule, Throttle};
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use std::{hint::black_box, time::Duration};

const KEYS: usize = 1_000;
/// The level rises all the time and never reaches the burst: every call is allowed and writes.
const RATE: u32 = 100;
const BURST: u32 = 1_000_000;

pub(crate) fn rows(suite: &mut Suite) {
    let names: Vec<String> = (0..KEYS).map(|it| format!("key:{it:012}")).collect();
    let claim = Claim::ratio("memory/throttle/governor", 0.5);
    suite.hold(&[claim], || {
        Ok(Contest {
            ours: ours(&names)?,
            reference: governor(&names),
            size: Size::Span(Duration::from_millis(100)),
            meter: None,
        })
    });
}

fn ours(names: &[String]) -> Outcome<Side<'_>> {
    let store = Store::open()?;
    let keys = names.iter().map(|name| Ok(Key::new(name.clone())?));
    let keys = keys.collect::<Outcome<Vec<_>>>()?;
    let rule = Rule::gcra(RATE.into(), Duration::from_secs(1), BURST.into())?;
    Ok(Side::new(move |ops| {
        block_on(async {
            for key in keys.iter().cycle().take(ops as usize) {
                let answer = store.kv.throttle(Throttle::new().limit(key, rule)).await?;
                if !black_box(answer).allowed {
                    return Err("denied".into());
                }
            }
            Ok(())
        })?
    }))
}

fn governor(names: &[String]) -> Side<'_> {
    let limiter = limiter(RATE, BURST);
    Side::new(move |ops| {
        for name in names.iter().cycle().take(ops as usize) {
            black_box(limiter.check_key(name)).map_err(|_| "denied")?;
        }
        Ok(())
    })
}
