//! The Lua scripts: each works on one key and is one atomic step.

use redis::Script;
use std::sync::LazyLock;

macro_rules! scripts {
    ($($(#[doc = $doc:literal])* $name:ident = $file:literal;)*) => {$(
        $(#[doc = $doc])*
        pub(crate) static $name: Lua = Lua {
            code: include_str!(concat!("scripts/", $file, ".lua")),
            hash: LazyLock::new(|| {
                Script::new(include_str!(concat!("scripts/", $file, ".lua"))).get_hash().to_owned()
            }),
        };
    )*};
}

scripts! {
    /// Writes a string if the one at the key has certain bytes.
    SET_IF_VALUE = "set_if_value";
    /// Pops members of a sorted set.
    POP = "pop";
    /// Pops members of a sorted set, with their scores.
    POP_WITH_SCORES = "pop_with_scores";
    /// Adds to a counter that, if new, lives until an instant.
    INCREMENT_UNTIL = "increment_until";
    /// Decides about rate limits.
    THROTTLE = "throttle";
    /// Decides about one rate limit of the usual kind.
    THROTTLE_GCRA = "throttle_gcra";
}

/// A script and the hash by which the server knows it once it has seen it.
pub(crate) struct Lua {
    pub(crate) code: &'static str,
    hash: LazyLock<String>,
}

impl Lua {
    /// What EVALSHA names the script by.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }
}
