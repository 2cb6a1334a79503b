//! The functions that generated scripts share.

/// A script around this text: what it uses of the functions and of the clock comes before it.
pub(crate) fn complete(body: &str) -> String {
    let mut used: Vec<&str> = Vec::new();
    // A function uses only those before it.
    for (name, text) in functions().rev() {
        let calls = |text: &str| has_word(text, name);
        if calls(body) || used.iter().any(|text| calls(text)) {
            used.push(text);
        }
    }
    let mut script = "local call,K,A=redis.call,KEYS,ARGV\n".to_owned();
    if has_word(body, "now") || used.iter().any(|text| has_word(text, "now")) {
        script.push_str("local time=call('TIME')\nlocal now=time[1]*1000000+time[2]\n");
    }
    let lines = used.iter().rev().flat_map(|text| text.lines());
    for line in lines.filter(|line| !line.starts_with("--") && !line.is_empty()) {
        script.push_str(line);
        script.push('\n');
    }
    script.push_str(body);
    script
}

/// Each function with its name, in the order of the file.
fn functions() -> impl DoubleEndedIterator<Item = (&'static str, &'static str)> {
    let blocks: Vec<&str> = include_str!("library.lua").split("--[[").skip(1).collect();
    blocks
        .into_iter()
        .filter_map(|block| block.split_once("]]\n"))
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        // One dot goes to a table's field; two join texts.
        let field = before.ends_with('.') && !before.ends_with("..");
        !field
            && !before.bytes().next_back().is_some_and(part)
            && !after.bytes().next().is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::{complete, functions, has_word};

    #[test]
    fn a_script_has_what_it_uses_and_no_more() {
        let script = complete("return after(call('GET',K[1]))");
        for (name, used) in [
            ("token", true),
            ("succ", true),
            ("int", true),
            ("rel", false),
        ] {
            let declared = script.contains(&format!("local function {name}("));
            assert_eq!(declared, used, "{name} in {script}");
        }
        assert!(
            script.contains("'TIME'") && !script.contains("-- "),
            "{script}"
        );
        assert!(!complete("return 1").contains("TIME"));
    }

    #[test]
    fn every_function_is_named_as_its_block() {
        for (name, text) in functions() {
            assert!(text.contains(&format!("local function {name}(")), "{name}");
        }
        assert!(!has_word("string.format(x)", "at") && has_word("x=at(1)", "at"));
        assert!(!has_word("it.at(1)", "at") && has_word("'('..at(1)", "at"));
    }
}
