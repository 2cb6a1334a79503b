use super::{Claim, Estimate, Figure, Judged, Pairs, Turn};
use serde::Serialize;
use std::fmt;

/// A measured claim.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The claim's name.
    pub name: String,
    /// The contender's median.
    pub ours: f64,
    /// The reference's median.
    pub reference: f64,
    /// What `ours` and `reference` are counted in.
    pub unit: &'static str,
    /// The median of what is judged: the ratio; for other claims the difference, or ours.
    pub ratio: f64,
    /// The lower end of its 95 % interval.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
    /// What the interval has to reach, if anything.
    pub target: Option<f64>,
    /// Whether it does.
    pub met: Option<bool>,
    /// What is judged, and which way.
    pub judged: Judged,
    /// How many pairs there were.
    pub pairs: usize,
    /// What one operation cost beside time.
    #[serde(flatten)]
    pub costs: Costs,
}

/// What one operation cost, medians over the pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Costs {
    /// Microseconds of the contender's process.
    pub ours_client_us: Option<f64>,
    /// Microseconds of the reference's process.
    pub reference_client_us: Option<f64>,
    /// Microseconds of the server, for the contender.
    pub ours_server_us: Option<f64>,
    /// Microseconds of the server, for the reference.
    pub reference_server_us: Option<f64>,
    /// Commands of the server, for the contender.
    pub ours_server_calls: Option<f64>,
    /// Commands of the server, for the reference.
    pub reference_server_calls: Option<f64>,
}

impl Row {
    /// What the pairs say about a claim; `None` without a pair.
    pub fn of(claim: &Claim, pairs: &Pairs) -> Option<Self> {
        let figure = |turn: &Turn| match claim.figure {
            Figure::Rate => turn.rate(),
            Figure::Nanos
            | Figure::Megabytes
            | Figure::Allocations
            | Figure::Calls
            | Figure::Loads
            | Figure::Hits => turn.nanos(),
            Figure::ClientMicros => turn.client_micros(),
            Figure::ServerMicros => turn.server_micros().unwrap_or(f64::NAN),
        };
        let figures = pairs
            .iter()
            .map(|(ours, reference)| (figure(ours), figure(reference)));
        let row = Self::of_figures(claim, figures)?;
        Some(Self {
            costs: Costs::of(pairs),
            ..row
        })
    }

    /// What pairs of figures, the contender's first, say about a claim; `None` without a pair.
    pub fn of_figures(
        claim: &Claim,
        figures: impl IntoIterator<Item = (f64, f64)>,
    ) -> Option<Self> {
        let figures: Vec<_> = figures.into_iter().collect();
        let judged = figures.iter().map(|(ours, reference)| match claim.judged {
            Judged::Ratio | Judged::Cost => ours / reference,
            Judged::Added => ours - reference,
            Judged::Ours | Judged::OursAtLeast => *ours,
        });
        let Estimate { median, lo, hi } = Estimate::of(judged)?;
        Some(Self {
            name: claim.name.clone(),
            ours: Estimate::of(figures.iter().map(|it| it.0))?.median,
            reference: Estimate::of(figures.iter().map(|it| it.1))?.median,
            unit: match claim.figure {
                Figure::Rate => "op/s",
                Figure::Nanos => "ns",
                Figure::ClientMicros | Figure::ServerMicros => "us",
                Figure::Megabytes => "MB",
                Figure::Allocations => "allocations",
                Figure::Calls => "calls",
                Figure::Loads => "loads",
                Figure::Hits => "hits/read",
            },
            ratio: median,
            lo,
            hi,
            target: claim.target,
            met: claim.target.map(|target| match claim.judged {
                Judged::Ratio | Judged::OursAtLeast => hi >= target,
                Judged::Added | Judged::Ours | Judged::Cost => lo <= target,
            }),
            judged: claim.judged,
            pairs: figures.len(),
            costs: Costs::default(),
        })
    }

    /// The heading of a table of rows.
    pub fn heading() -> String {
        format!(
            "{:<28} {:>11} {:>11} {:<4} {:>7} {:>15} {:>8} {:<6} {:>13} {:>13} {:>11}",
            "name",
            "ours",
            "reference",
            "unit",
            "result",
            "95 % interval",
            "target",
            "met",
            "client us/op",
            "server us/op",
            "calls/op",
        )
    }
}

/// One line of the table. Two figures with a bar between are ours and the reference's.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.judged {
            Judged::Ratio | Judged::OursAtLeast => '≥',
            Judged::Added | Judged::Ours | Judged::Cost => '≤',
        };
        let costs = &self.costs;
        write!(
            f,
            "{:<28} {:>11} {:>11} {:<4} {:>7} {:>15} {:>8} {:<6} {:>13} {:>13} {:>11}",
            self.name,
            digits(self.ours),
            digits(self.reference),
            self.unit,
            digits(self.ratio),
            format!("{}–{}", digits(self.lo), digits(self.hi)),
            self.target
                .map_or_else(String::new, |it| format!("{way} {}", digits(it))),
            match self.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "-",
            },
            both(costs.ours_client_us, costs.reference_client_us),
            both(costs.ours_server_us, costs.reference_server_us),
            both(costs.ours_server_calls, costs.reference_server_calls),
        )
    }
}

impl Costs {
    fn of(pairs: &Pairs) -> Self {
        let median = |turns: &[Turn], cost: fn(&Turn) -> Option<f64>| {
            Estimate::of(turns.iter().filter_map(cost)).map(|it| it.median)
        };
        let client = |turn: &Turn| Some(turn.client_micros());
        Self {
            ours_client_us: median(&pairs.ours, client),
            reference_client_us: median(&pairs.reference, client),
            ours_server_us: median(&pairs.ours, Turn::server_micros),
            reference_server_us: median(&pairs.reference, Turn::server_micros),
            ours_server_calls: median(&pairs.ours, Turn::server_calls),
            reference_server_calls: median(&pairs.reference, Turn::server_calls),
        }
    }
}

fn both(ours: Option<f64>, reference: Option<f64>) -> String {
    match (ours, reference) {
        (Some(ours), Some(reference)) => format!("{}|{}", digits(ours), digits(reference)),
        _ => "-".to_owned(),
    }
}

fn digits(number: f64) -> String {
    match number.abs() {
        size if size >= 1000.0 => format!("{number:.0}"),
        size if size >= 100.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Row};

    fn row(claim: &Claim, figures: &[(f64, f64)]) -> Row {
        Row::of_figures(claim, figures.iter().copied()).unwrap()
    }

    fn is_met(claim: &Claim, figures: &[(f64, f64)]) -> bool {
        row(claim, figures).met.unwrap()
    }

    #[test]
    fn what_has_no_target_is_neither_met_nor_missed() {
        let row = row(&Claim::nanos_added("x", 1.0).told(), &[(5.0, 2.0)]);
        assert_eq!((row.ratio, row.target, row.met), (3.0, None, None));
    }

    #[test]
    fn a_ratio_is_met_when_its_interval_reaches_up_to_the_target() {
        let figures = [(80.0, 100.0), (90.0, 100.0), (85.0, 100.0)];
        assert!(is_met(&Claim::ratio("x", 0.90), &figures));
        assert!(!is_met(&Claim::ratio("x", 0.91), &figures));
    }

    #[test]
    fn a_cost_is_met_when_its_interval_reaches_down_to_the_target() {
        let figures = [(300.0, 200.0), (330.0, 200.0), (310.0, 200.0)];
        assert!(is_met(&Claim::nanos_added("x", 100.0), &figures));
        assert!(!is_met(&Claim::nanos_added("x", 99.0), &figures));
        assert!(!is_met(&Claim::megabytes("x", 299.0), &figures));
    }

    #[test]
    fn ratios_are_paired_before_the_median_is_taken() {
        // The machine is twice as fast in the second pair; the ratio does not see it.
        let figures = [(90.0, 100.0), (180.0, 200.0), (90.0, 100.0)];
        let row = row(&Claim::ratio("x", 1.0), &figures);
        assert_eq!((row.ratio, row.lo, row.hi), (0.9, 0.9, 0.9));
    }

    #[test]
    fn a_row_is_one_json_object_with_the_promised_names() {
        let json = serde_json::to_value(row(&Claim::ratio("x/y", 0.5), &[(1.0, 2.0)])).unwrap();
        for name in [
            "name",
            "ours",
            "reference",
            "unit",
            "ratio",
            "lo",
            "hi",
            "target",
            "met",
        ] {
            assert!(!json[name].is_null(), "{name}");
        }
    }
}
