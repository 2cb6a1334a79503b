//! Time and sleeping go through `kv_core::Clock`, so that tests can turn it.

use super::{Finding, Source, sources::contains_word};
use std::ffi::OsStr;

/// Put together here, so that a search for them finds only their users.
const NOW: &str = concat!("Instant", "::now");
const DIRECT: [&str; 4] = [
    concat!("SystemTime", "::now"),
    concat!("tokio::time", "::sleep"),
    concat!("tokio::time", "::sleep_until"),
    NOW,
];

/// Its reports measure how long a case really took.
const MAY_MEASURE: &str = "kv-conformance";

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| is_ruled(source)) {
        for (line, text) in source.code_lines() {
            let direct = DIRECT.into_iter().find(|call| contains_word(text, call));
            if let Some(call) = direct.filter(|call| !is_allowed(source, call)) {
                let what = format!("`{call}`; ask `kv_core::Clock`");
                findings.push(Finding::new(&source.path, line, what));
            }
        }
    }
    findings
}

/// `crates/*/src`, but not the clock itself.
fn is_ruled(source: &Source) -> bool {
    let in_source = source.path.iter().nth(2) == Some(OsStr::new("src"));
    let is_clock = source
        .path
        .with_extension("")
        .iter()
        .any(|part| part == "clock");
    source.has_extension("rs") && source.crate_name().is_some() && in_source && !is_clock
}

fn is_allowed(source: &Source, call: &str) -> bool {
    call == NOW && source.crate_name() == Some(MAY_MEASURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_on_each_call() {
        let text = DIRECT.join("();\n");
        let sources = [Source::new("crates/kv-lock/src/lease.rs", &text)];
        assert_eq!(check(&sources).len(), DIRECT.len());
        let sleeping = Source::new("crates/kv-conformance/src/case.rs", DIRECT[1]);
        assert_eq!(check(&[sleeping]).len(), 1);
    }

    #[test]
    fn green_in_the_clock_in_tests_and_in_comments() {
        let text = DIRECT.join("();\n");
        let sources = [
            Source::new("crates/kv-core/src/clock.rs", &text),
            Source::new("crates/kv-core/src/clock/system.rs", &text),
            Source::new("crates/kv-core/benches/get.rs", &text),
            Source::new("tests/tests/faults.rs", &text),
            Source::new("crates/kv-lock/src/lease.rs", &format!("/// not {NOW}")),
            Source::new("crates/kv-conformance/src/report.rs", NOW),
        ];
        assert_eq!(check(&sources), []);
    }
}
