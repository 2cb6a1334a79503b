//! Nothing is left for later.

use super::{Finding, Source, sources::contains_word};

/// Put together here, so that this file does not find itself.
const WORDS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
];

const EXTENSIONS: [&str; 6] = ["rs", "toml", "lua", "sh", "yml", "yaml"];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|source| EXTENSIONS.iter().any(|e| source.has_extension(e)))
    {
        for (line, text) in source.lines() {
            if let Some(word) = WORDS.into_iter().find(|word| contains_word(text, word)) {
                let what = format!("`{word}`; finish it or open an issue");
                findings.push(Finding::new(&source.path, line, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_on_each_word() {
        let text = WORDS.join("(x)\n");
        assert_eq!(check(&[Source::new("a.rs", &text)]).len(), WORDS.len());
    }

    #[test]
    fn green_on_words_that_contain_them() {
        let text = format!("mktemp {0}{0}; my_{1}(x)", WORDS[2], WORDS[3]);
        assert_eq!(
            check(&[Source::new("a.rs", &text), Source::new("a.md", WORDS[0])]),
            []
        );
    }
}
