//! Nothing knows the machine it was written on.

use super::{Finding, Source};

/// Put together here, so that this file does not find itself.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        for (line, text) in source.lines() {
            if let Some(path) = MACHINE_PATHS
                .into_iter()
                .find(|path| contains_path(text, path))
            {
                let what = format!("`{path}` is a path of one machine; make it relative");
                findings.push(Finding::new(&source.path, line, what));
            }
        }
    }
    findings
}

/// Whether the path begins there; `target/NAME/` and `{}/NAME/` are relative to something.
fn contains_path(line: &str, path: &str) -> bool {
    let continues = |c: char| c.is_alphanumeric() || "._-*})>]".contains(c);
    line.match_indices(path)
        .any(|(start, _)| !line[..start].chars().next_back().is_some_and(continues))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn red_on_paths_of_this_machine() {
        let text = format!(
            "let a = \"{}x\";\nsee `{}y`\n",
            MACHINE_PATHS[0], MACHINE_PATHS[1]
        );
        let lines: Vec<usize> = check(&[Source::new("a.md", &text)])
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [1, 2]);
    }

    #[test]
    fn green_on_relative_paths() {
        let text = format!("a{}x {{}}{1}y ..{1}z", MACHINE_PATHS[0], MACHINE_PATHS[1]);
        assert_eq!(check(&[Source::new("a.rs", &text)]), []);
    }
}
