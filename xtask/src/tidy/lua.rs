//! Lua lives in kv-redis only; references and peers of the benchmarks may write their own.

use super::{Finding, Source};

/// Put together here, so that this file does not find itself.
const CALLS: [&str; 2] = [concat!("redis", ".call"), concat!("redis", ".pcall")];

const ALLOWED: [&str; 3] = ["crates/kv-redis", "tests/benches", "xtask/peers"];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let elsewhere = |source: &&Source| !ALLOWED.iter().any(|place| source.path.starts_with(place));
    sources
        .iter()
        .filter(elsewhere)
        .flat_map(check_file)
        .collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let advice = "scripts belong to kv-redis; say it with the contract's commands";
    if source.has_extension("lua") {
        return vec![Finding::new(
            &source.path,
            1,
            format!("a Lua file; {advice}"),
        )];
    }
    if !source.has_extension("rs") {
        return Vec::new();
    }
    source
        .lines()
        .filter(|(_, text)| CALLS.iter().any(|call| text.contains(call)))
        .map(|(line, _)| Finding::new(&source.path, line, format!("Lua in Rust; {advice}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_on_lua_elsewhere() {
        let sources = [
            Source::new("crates/kv-lock/src/release.lua", ""),
            Source::new(
                "crates/kv-lock/src/lease.rs",
                &format!("\n\"{}('GET')\"", CALLS[0]),
            ),
            Source::new("crates/kv-redis-extra/src/a.rs", CALLS[1]),
        ];
        let lines: Vec<usize> = check(&sources).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 1]);
    }

    #[test]
    fn green_where_it_lives() {
        let sources = [
            Source::new("crates/kv-redis/src/scripts/move.lua", CALLS[0]),
            Source::new("crates/kv-redis/src/script.rs", CALLS[0]),
            Source::new("tests/benches/reference/zmove.rs", CALLS[0]),
            Source::new("xtask/peers/bull/src/main.rs", CALLS[0]),
            Source::new("docs/redis.md", CALLS[0]),
        ];
        assert_eq!(check(&sources), []);
    }
}
