//! Spans of time for people.

use std::time::Duration;

/// As exact as one wants to read it.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let shown = match seconds {
        0 => Duration::from_millis(span.as_millis() as u64),
        1..3_600 => Duration::from_secs(seconds),
        3_600..86_400 => Duration::from_secs(seconds - seconds % 60),
        _ => Duration::from_secs(seconds - seconds % 3_600),
    };
    humantime::format_duration(shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::span;
    use std::time::Duration;

    #[test]
    fn a_span_is_as_exact_as_one_wants_to_read_it() {
        assert_eq!(span(Duration::from_micros(1_500)), "1ms");
        assert_eq!(span(Duration::from_secs(90_061)), "1day 1h");
    }
}
