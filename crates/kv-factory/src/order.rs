//! In which order wrappers stand and why, as data: what a configuration is refused for, what
//! `docs/stacks.md` says and what the tests try is all of these tables.
//!
//! Outwards is away from the provider: a call meets the outermost wrapper first.

use std::fmt;

/// Where a wrapper stands in the order that is recommended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Place {
    /// The wrapper's name.
    pub wrapper: &'static str,
    /// Why it stands there.
    pub reason: &'static str,
    /// What changes where it stands elsewhere.
    pub elsewhere: &'static str,
}

/// Two wrappers in an order that is refused.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// The wrapper whose place is refused.
    pub wrapper: &'static str,
    /// On which side of the other it must not stand.
    pub side: Side,
    /// The other.
    pub other: &'static str,
    /// Why it cannot work there.
    pub reason: &'static str,
}

/// A side of another wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no other sides")]
pub enum Side {
    /// Nearer to the provider.
    Inside,
    /// Nearer to the caller.
    Outside,
}

/// A wrapper that is refused a second time in one stack.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Once {
    /// The wrapper's name.
    pub wrapper: &'static str,
    /// What the inner one would do, as the end of a sentence that begins with it.
    pub reason: &'static str,
}

/// Every wrapper, from the provider outwards. What is left out of a stack leaves no gap.
pub const ORDER: &[Place] = &[
    place(
        "timeout",
        "Bounds each attempt: one that hangs becomes an error that those further out can deal with.",
        "Once more outermost, it bounds attempts, pauses and queues together. Only there, it leaves no time for a second attempt, and a breaker inside learns nothing of slow calls.",
    ),
    place(
        "hedge",
        "Doubles a slow attempt: both readings have a timeout of their own, and `retry` sees one attempt.",
        "Outside of `retry` each of the two readings may be repeated.",
    ),
    place(
        "retry",
        "Repeats what failed before anybody takes it for a failure.",
        "Outside of `circuit_breaker` or `concurrency_limit` it does not repeat what they refuse.",
    ),
    place(
        "circuit_breaker",
        "Counts what is left after all attempts: a lost packet is none of the store's failures.",
        "Inside of `retry` it counts attempts, and opens sooner.",
    ),
    place(
        "concurrency_limit",
        "Bounds the calls under way, those in a pause of `retry` too: that is what fills this process.",
        "Inside of `retry` a call in a pause holds no place: it bounds what the store gets. Several may stand in one stack.",
    ),
    place(
        "near_cache",
        "A hit takes no attempt and no place. It keeps keys and values as the store has them: of all tenants, encrypted, packed.",
        "Outside of `encrypt` and `compress` a hit costs no cipher, and values lie readable in memory. Inside of `circuit_breaker` hits count as successes.",
    ),
    place(
        "fallback",
        "Takes over when those further in have given up or refused, and hands the second store what the first one gets: keys of the store, values encrypted.",
        "Outside of `encrypt` the second store gets plain values: it needs one of its own. Outside of `key_resolver` it gets callers' own keys: it needs one of its own, and stores of several namespaces must not share it. Inside of `retry` a read falls back at the first failure. Several may stand in one stack.",
    ),
    place(
        "encrypt",
        "Once a call, however many attempts that takes.",
        "Anywhere: values are bound to the key of the store, so the bytes are the same.",
    ),
    place(
        "compress",
        "Packs what can still be packed: what is encrypted cannot.",
        "Anywhere outside of `encrypt`.",
    ),
    place(
        "single_flight",
        "Readers that join share the attempts, the refusals and the unpacking, too.",
        "Inside of `encrypt` or `compress` each reader opens and unpacks for itself.",
    ),
    place(
        "size_limit",
        "Counts what callers write.",
        "Inside of `compress` and `encrypt` it counts what is stored. Several may stand in one stack.",
    ),
    place(
        "ttl_clamp",
        "Keeps what `default_ttl` fills in within the band, too.",
        "Anywhere inside of `default_ttl`.",
    ),
    place(
        "default_ttl",
        "Fills in what callers left open before anybody looks at it.",
        "Anywhere outside of `ttl_clamp`.",
    ),
    place(
        "read_only",
        "Refuses a write before anything is done for it.",
        "Inside of `fallback` nothing of the second store gets into the first.",
    ),
    place(
        "key_resolver",
        "All further in work on the keys of the store, in which tenants are apart.",
        "Those outside of it see callers' own keys.",
    ),
    place(
        "observe",
        "Sees what callers see: one call, whatever it took, also one that memory answered.",
        "Inside of `retry` it sees attempts, inside of `near_cache` what reaches the store, inside of `key_resolver` the keys of the store.",
    ),
];

/// The orders that are refused.
pub const REFUSED: &[Refused] = &[
    refused(
        "compress",
        Side::Inside,
        "encrypt",
        "it would find nothing to pack in what `encrypt` makes",
    ),
    refused(
        "near_cache",
        Side::Outside,
        "key_resolver",
        "it keeps and watches keys as the store has them, of all tenants",
    ),
    refused(
        "near_cache",
        Side::Outside,
        "single_flight",
        "it would keep what joined a read that began before a change",
    ),
    refused(
        "near_cache",
        Side::Outside,
        "fallback",
        "it would keep what the second store said, which no event of the first one removes",
    ),
    refused(
        "single_flight",
        Side::Inside,
        "retry",
        "those who share an error would each repeat the call and spend the budget",
    ),
    refused(
        "single_flight",
        Side::Inside,
        "hedge",
        "the second reading would only join the first",
    ),
    refused(
        "single_flight",
        Side::Inside,
        "circuit_breaker",
        "one failed read would count as often as it is shared, and open the breaker alone",
    ),
    refused(
        "circuit_breaker",
        Side::Outside,
        "fallback",
        "while it is open it would refuse the very reads that the second store could answer",
    ),
    refused(
        "ttl_clamp",
        Side::Outside,
        "default_ttl",
        "what `default_ttl` fills in would not be kept within the band, or nothing be left for it to fill in",
    ),
];

/// The wrappers that are refused a second time.
pub const ONCE: &[Once] = &[
    once(
        "circuit_breaker",
        "would count the inner one's refusals as the store's failures",
    ),
    once(
        "compress",
        "would find nothing to pack in what the outer one makes",
    ),
    once(
        "default_ttl",
        "would never act, since the outer one fills in every ttl before it",
    ),
    once(
        "encrypt",
        "would encrypt every value twice; to change the key give one of them several `keys`",
    ),
    once("hedge", "would ask for a slow read up to four times"),
    once(
        "key_resolver",
        "would put the prefix in front of every key twice",
    ),
    once("near_cache", "would keep every value twice"),
    once("observe", "would count every call twice under one name"),
    once(
        "read_only",
        "would find nothing to refuse, since no write gets to it",
    ),
    once(
        "retry",
        "would never act a second time, since the inner one marks what it gave up on",
    ),
    once(
        "single_flight",
        "would find nothing to share, since the outer one lets one read through",
    ),
    once(
        "ttl_clamp",
        "would shorten by its jitter what the outer one has shortened",
    ),
];

/// Says why the wrapper at this place in a stack cannot work there, if so.
pub(crate) fn check(position: usize, stack: &[&str]) -> Result<(), String> {
    let (inside, outside) = (&stack[..position], &stack[position + 1..]);
    let wrapper = stack[position];
    let mut twice = ONCE.iter().filter(|it| it.wrapper == wrapper);
    if let (Some(it), true) = (twice.next(), outside.contains(&wrapper)) {
        return Err(format!("stands in the stack twice and {}", it.reason));
    }
    let mut all = REFUSED.iter().filter(|it| it.wrapper == wrapper);
    let found = all.find(|it| match it.side {
        Side::Inside => outside.contains(&it.other),
        Side::Outside => inside.contains(&it.other),
    });
    found.map_or(Ok(()), |it| Err(it.to_string()))
}

/// As the end of a sentence that begins with the wrapper.
impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (side, way) = match self.side {
            Side::Inside => ("inside", "out"),
            Side::Outside => ("outside", "in"),
        };
        let Self { other, reason, .. } = self;
        write!(
            f,
            "stands {side} of `{other}`, where {reason}; put it further {way}"
        )
    }
}

const fn place(wrapper: &'static str, reason: &'static str, elsewhere: &'static str) -> Place {
    Place {
        wrapper,
        reason,
        elsewhere,
    }
}

const fn refused(
    wrapper: &'static str,
    side: Side,
    other: &'static str,
    reason: &'static str,
) -> Refused {
    Refused {
        wrapper,
        side,
        other,
        reason,
    }
}

const fn once(wrapper: &'static str, reason: &'static str) -> Once {
    Once { wrapper, reason }
}
