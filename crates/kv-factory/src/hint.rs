//! What to try instead of a name that is not known.

/// `; did you mean …? known fields: …`, as far as there is something to say.
pub(crate) fn instead<'a>(
    wrong: &str,
    title: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut known: Vec<_> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let list = match known.as_slice() {
        [] => format!("{title}: none"),
        known => format!("{title}: {}", known.join(", ")),
    };
    match nearest(wrong, &known) {
        Some(near) => format!("; did you mean `{near}`? {list}"),
        None => format!("; {list}"),
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = (wrong.chars().count() / 3).max(1);
    known
        .iter()
        .map(|&name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|&(distance, _)| distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::instead;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["redis", "memory"];
        assert_eq!(
            instead("reids", "registered", known),
            "; did you mean `redis`? registered: memory, redis"
        );
        assert_eq!(
            instead("postgres", "registered", known),
            "; registered: memory, redis"
        );
        assert_eq!(instead("x", "registered", []), "; registered: none");
    }
}
