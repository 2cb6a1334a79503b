//! The functions that generated scripts share.

/// A script around this text: what it uses of the functions and of the clock comes before it.
pub(crate) fn complete(body: &str) -> String {
    let used = used(body);
    let mut script = "local call,K,A=redis.call,KEYS,ARGV\n".to_owned();
    if has_word(body, "now")
        || used
            .iter()
            .any(|text| code(text).any(|line| has_word(line, "now")))
    {
        script.push_str("local time=call('TIME')\nlocal now=time[1]*1000000+time[2]\n");
    }
    for line in used.iter().rev().flat_map(|text| code(text)) {
        script.push_str(line);
        script.push('\n');
    }
    script.push_str(body);
    script
}

/// The commands that a text runs, those of the functions that it uses included.
pub(super) fn commands(text: &str) -> impl Iterator<Item = &str> {
    let texts = std::iter::once(text).chain(used(text));
    let calls = texts.flat_map(|text| text.split("call('").skip(1));
    calls.filter_map(|call| Some(call.split_once('\'')?.0))
}

/// The functions that a text uses, the last one first.
fn used(body: &str) -> Vec<&'static str> {
    let mut used: Vec<&str> = Vec::new();
    // A function uses only those before it.
    for (name, text) in functions().rev() {
        let calls = |text: &str| code(text).any(|line| has_word(line, name));
        if calls(body) || used.iter().any(|text| calls(text)) {
            used.push(text);
        }
    }
    used
}

/// Each function with its name, in the order of the file.
fn functions() -> impl DoubleEndedIterator<Item = (&'static str, &'static str)> {
    let blocks: Vec<&str> = include_str!("library.lua").split("--[[").skip(1).collect();
    blocks
        .into_iter()
        .filter_map(|block| block.split_once("]]\n"))
}

/// The lines of a text without those that are comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines();
    lines.filter(|line| !line.starts_with("--") && !line.is_empty())
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
    use super::{commands, complete, functions, has_word};

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
        // A word of a comment is no call.
        assert!(!complete("permit('SET',K[1])").contains("TIME"));
    }

    #[test]
    fn commands_are_found_in_functions_too() {
        let of = |text| commands(text).collect::<Vec<_>>();
        assert_eq!(of("call('SET',K[1]) x=call('DEL',K[2])"), ["SET", "DEL"]);
        assert_eq!(of("x=add(K[1],1) y=get(K[1])"), ["INCRBY", "GET", "GET"]);
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
