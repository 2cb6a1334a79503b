//! Doc comments as plain Markdown.

/// Drops examples in Rust and the links that only rustdoc can follow.
pub(super) fn without_rustdoc(text: &str) -> String {
    let mut kept = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        match line.trim_start().starts_with("```") {
            true => in_code = !in_code,
            false if !in_code => kept.push(without_links(line)),
            false => {}
        }
    }
    kept.join("\n").trim().to_owned()
}

/// On one line, as a cell of a table needs it.
pub(super) fn cell(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

/// ``[`Retry`](crate::Retry)`` and ``[`Retry`]`` become `` `Retry` ``.
fn without_links(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(start) = rest.find("[`") {
        let Some(length) = rest[start..].find("`]") else {
            break;
        };
        let end = start + length + "`]".len();
        out.push_str(&rest[..start]);
        out.push_str(&rest[start + 1..end - 1]);
        rest = &rest[end..];
        if rest.starts_with('(')
            && let Some(close) = rest.find(')')
        {
            rest = &rest[close + 1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_rustdoc_reads_is_dropped() {
        let text = "Refused with [`Kind::Full`], see [`Retry`](crate::Retry) [now].\n\n```\nlet a = 1;\n```";
        assert_eq!(
            without_rustdoc(text),
            "Refused with `Kind::Full`, see `Retry` [now]."
        );
        assert_eq!(cell("a | b\n  c"), "a \\| b c");
    }
}
