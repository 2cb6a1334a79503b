//! What traces are made of: small pools, so that commands meet, with the edges among them.

use fastrand::Rng;
use kv_core::{
    Expiry, Field, Lifetime, Member, RelativeRange, RelativeScore, Score, ScoreBound, ScoreRange,
    Timestamp, Ttl, Value,
};
use std::time::Duration;

/// The plain keys of a lane, below its prefix.
pub(super) const NAMES: &[&[u8]] = &[
    b"plain",
    b"count",
    b"hash",
    b"zset",
    b"t[1]*x/k",
    b"t1yx/k",
    b"a/b",
    b"a//b",
    b"a",
    b"a?b",
    b"back\\slash",
    b"^caret",
    b"sp ace",
    b"new\nline",
    "emoji \u{1f511}".as_bytes(),
    b"bin\xff\x00\x80",
];

/// The rest of the keys that start with a tag, which begins with the lane's prefix.
pub(super) const TAGGED: &[&[u8]] = &[
    b"jobs}:due",
    b"jobs}:lease",
    b"jobs}:body",
    b"jobs}",
    b"j*}x",
    b"a/}b",
    b"%7D}y",
    b"never closed",
    b"jobs}:text",
    b"jobs}:tries",
    b"jobs}:tally",
    b"jobs}:claimed",
    b"j*}s",
    b"j*}n",
    b"j*}h",
    b"j*}z",
    b"jobs}:more",
    b"jobs}:sum",
    b"jobs}:state",
    b"jobs}:late",
];

/// The groups in which several keys are touched at once: what their keys start with.
pub(super) const GROUPS: &[&[u8]] = &[b"jobs}", b"j*}"];

/// What keys that are scanned or cleared start with.
pub(super) const RANGES: &[&[u8]] = &[
    b"", b"a", b"a/", b"a//", b"t[1]*x/", b"t?", b"*", b"jobs}", b"jobs}:", b"j*", b"new\n",
    b"none",
];

const TEXTS: &[&[u8]] = &[
    b"",
    b"0",
    b"1",
    b"-1",
    b"42",
    b"-0",
    b"+1",
    b"01",
    b" 1",
    b"1 ",
    b"1.5",
    b"1e3",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"abc",
    b"{\"json\":true}",
    b"\x00\xff\xfe",
    b"\r\n$-1\r\n",
    "gr\u{fc}\u{df} \u{1f511}".as_bytes(),
];

/// Members and fields.
pub(super) const ELEMENTS: &[&[u8]] = &[
    b"",
    b"D",
    b"d",
    b"dd",
    "\u{e9}".as_bytes(),
    b"n",
    b"*",
    b"\x00",
    b"\xff\xfe",
    b"long member, longer than what a compact encoding holds: ................................",
];

const SCORES: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    1.0,
    2.0,
    -1.0,
    1.5,
    0.1,
    1e-7,
    1e300,
    -1e300,
    f64::MIN_POSITIVE,
    9_007_199_254_740_992.0,
    1_718_000_000_123.456,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

/// In seconds: the shortest deadline, far beyond the end of the test.
pub(super) const HOUR: u64 = 3600;

pub(super) fn value(rng: &mut Rng) -> Value {
    match rng.u8(0..20) {
        0 => vec![rng.u8(..); rng.usize(0..2000)].into(),
        1..4 => rng.i32(-5..100).to_string().into(),
        _ => pick(rng, TEXTS).into(),
    }
}

pub(super) fn field(rng: &mut Rng) -> Field {
    pick(rng, ELEMENTS).into()
}

pub(super) fn member(rng: &mut Rng) -> Member {
    pick(rng, ELEMENTS).into()
}

pub(super) fn score(rng: &mut Rng) -> Score {
    let number = pick(rng, SCORES);
    Score::new(number).expect("no score in the list is NaN")
}

pub(super) fn range(rng: &mut Rng) -> ScoreRange {
    if rng.u8(0..4) == 0 {
        return ScoreRange::ALL;
    }
    let mut bound = || match rng.u8(0..3) {
        0 => ScoreBound::Excluded(score(rng)),
        _ => ScoreBound::Included(score(rng)),
    };
    ScoreRange::new(bound(), bound())
}

/// Mostly plain ones: what the stores' clocks tell can be compared by the hour only.
pub(super) fn relative_range(rng: &mut Rng) -> RelativeRange {
    match rng.u8(0..8) {
        0 => RelativeRange::up_to(relative_score(rng)),
        // Nothing was written at a later instant, so whether the bound is in makes no difference.
        1 => RelativeRange::above(relative_score(rng)),
        _ => range(rng).into(),
    }
}

/// Some hours from now.
pub(super) fn relative_score(rng: &mut Rng) -> RelativeScore {
    RelativeScore::Now(rng.i64(-3..4) * (HOUR as i64) * 1_000_000)
}

pub(super) fn rank(rng: &mut Rng) -> i64 {
    match rng.u8(0..10) {
        0 => i64::MIN,
        1 => i64::MAX,
        2 => 0,
        3 => -1,
        _ => rng.i64(-12..12),
    }
}

pub(super) fn limit(rng: &mut Rng) -> u32 {
    pick(rng, &[0, 1, 1, 2, 3, 7, 100, 201, 250, 1000])
}

pub(super) fn step(rng: &mut Rng) -> i64 {
    match rng.u8(0..12) {
        0 => i64::MAX,
        1 => i64::MIN,
        2 => 0,
        _ => rng.i64(-10..100),
    }
}

pub(super) fn ttl(rng: &mut Rng, now: Timestamp) -> Ttl {
    match rng.u8(0..20) {
        0..8 => Ttl::Unset,
        8..10 => Ttl::Never,
        10..13 => Ttl::Keep,
        13..16 => Ttl::In(lifetime(rng)),
        16 => Ttl::Held(lifetime(rng)),
        17..19 => Ttl::At(future(rng, now)),
        _ => Ttl::At(past(rng, now)),
    }
}

pub(super) fn expiry(rng: &mut Rng, now: Timestamp) -> Expiry {
    match rng.u8(0..10) {
        0..4 => Expiry::In(lifetime(rng)),
        4..6 => Expiry::Held(lifetime(rng)),
        6..9 => Expiry::At(future(rng, now)),
        _ => Expiry::At(past(rng, now)),
    }
}

pub(super) fn pick<T: Copy>(rng: &mut Rng, pool: &[T]) -> T {
    pool[rng.usize(..pool.len())]
}

/// Hours apart, so that a wrong one is not taken for a late one.
fn lifetime(rng: &mut Rng) -> Lifetime {
    let span = match rng.u8(0..6) {
        0 => return Lifetime::MAX,
        1 => Duration::from_micros(HOUR * 2_000_000 + 1),
        hours => Duration::from_secs(HOUR * (1 + u64::from(hours))),
    };
    Lifetime::new(span).expect("hours are neither zero nor a thousand years")
}

fn future(rng: &mut Rng, now: Timestamp) -> Timestamp {
    now.saturating_add(Duration::from_secs(HOUR * rng.u64(10..20)))
}

fn past(rng: &mut Rng, now: Timestamp) -> Timestamp {
    let hour = HOUR as i64 * 1_000_000;
    let micros = [now.as_micros() - hour, 1_000_000, 1, 0, -hour];
    Timestamp::from_micros(pick(rng, &micros))
}
