//! Who did what when, as the leader of which term.

use kv_core::Timestamp;
use kv_lock::Fence;
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// What a candidate tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// As the leader it has written; it began to at this time.
    Worked(Fence, Timestamp),
    /// It leads no more, and did not ask for it.
    Lost(Fence),
}

/// All that was told.
#[derive(Debug, Default)]
pub(crate) struct Record {
    works: Vec<(Timestamp, Fence)>,
    losses: usize,
}

impl Record {
    pub(crate) fn add(&mut self, told: Told) {
        match told {
            Told::Worked(term, at) => self.works.push((at, term)),
            Told::Lost(_) => self.losses += 1,
        }
    }

    /// Whether the last who worked did so in this term.
    pub(crate) fn is_last(&self, term: Fence) -> bool {
        self.works.last().is_some_and(|&(_, it)| it == term)
    }

    /// How much the last has worked.
    pub(crate) fn works(&self) -> usize {
        let last = self.works.last().map(|&(_, term)| term);
        let works = self.works.iter().rev();
        works.take_while(|&&(_, it)| Some(it) == last).count()
    }

    pub(crate) fn losses(&self) -> usize {
        self.losses
    }

    pub(crate) fn terms(&self) -> usize {
        self.spans().len()
    }

    /// Prints the terms, and whether each began after the one before had ended.
    pub(crate) fn judge(&self) -> bool {
        let mut before: Option<Timestamp> = None;
        let mut is_well = true;
        println!(
            "\n{:<22}{:>8}{:>12}{:>22}",
            "fence", "writes", "led for", "nobody led for"
        );
        for (term, Span { first, last, works }) in self.spans() {
            let nobody = before.map(|it| first.saturating_since(it));
            is_well &= before.is_none_or(|it| it <= first);
            before = before.max(Some(last));
            let (led, nobody) = (millis(Some(last.saturating_since(first))), millis(nobody));
            println!("{:<22}{works:>8}{led:>12}{nobody:>22}", term.get());
        }
        println!(
            "{}",
            if is_well {
                "nobody wrote as the leader after a later one had begun"
            } else {
                "A LEADER WROTE AFTER A LATER ONE HAD BEGUN"
            }
        );
        is_well
    }

    fn spans(&self) -> BTreeMap<Fence, Span> {
        let mut spans = BTreeMap::<Fence, Span>::new();
        for &(at, term) in &self.works {
            let span = spans.entry(term).or_insert(Span {
                first: at,
                last: at,
                works: 0,
            });
            span.first = span.first.min(at);
            span.last = span.last.max(at);
            span.works += 1;
        }
        spans
    }
}

/// The writes of one leader.
struct Span {
    first: Timestamp,
    last: Timestamp,
    works: usize,
}

fn millis(span: Option<Duration>) -> String {
    span.map_or_else(|| "-".to_owned(), |it| format!("{} ms", it.as_millis()))
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worked(term, at) => write!(f, "{term} {}", at.as_micros()),
            Self::Lost(term) => write!(f, "{term} lost"),
        }
    }
}

impl FromStr for Told {
    type Err = super::Failure;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let (term, rest) = line
            .split_once(' ')
            .ok_or("this is no line of a candidate")?;
        let term = Fence::from_number(term.parse()?);
        Ok(match rest {
            "lost" => Self::Lost(term),
            at => Self::Worked(term, Timestamp::from_micros(at.parse()?)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::Record;

    fn judged(lines: &[&str]) -> bool {
        let mut record = Record::default();
        for line in lines {
            record.add(line.parse().unwrap());
        }
        record.judge()
    }

    #[test]
    fn who_writes_after_a_later_leader_has_begun_is_found() {
        assert!(judged(&["7 1", "7 2", "9 3", "9 4"]));
        // As it came, or as it was: what was told late does not count as late.
        assert!(judged(&["7 1", "9 3", "7 2", "9 4"]));
        assert!(!judged(&["7 1", "9 3", "7 4", "9 5"]));
        assert!(!judged(&["9 1", "7 2"]));
    }
}
