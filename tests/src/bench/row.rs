use super::{Estimate, Pairs, Turn};
use serde::Serialize;
use std::fmt;

/// What a row says of its contender, and how that is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The row's name; it begins with the crate's.
    pub name: String,
    /// What of a turn is looked at.
    pub figure: Figure,
    /// What is compared with the target.
    pub judged: Judged,
    /// What the interval has to reach.
    pub target: f64,
}

/// What of a turn is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Operations a second.
    Rate,
    /// Nanoseconds an operation.
    Nanos,
    /// Microseconds of client CPU an operation.
    ClientMicros,
    /// Microseconds of server CPU an operation.
    ServerMicros,
    /// Megabytes, measured elsewhere than in turns.
    Megabytes,
}

/// What is compared with the target, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Judged {
    /// Ours divided by the reference's, at least the target.
    #[serde(rename = "ours/reference, at least")]
    Ratio,
    /// Ours divided by the reference's, at most the target.
    #[serde(rename = "ours/reference, at most")]
    Cost,
    /// Ours less the reference's, at most the target.
    #[serde(rename = "ours-reference, at most")]
    Added,
    /// Ours alone, at most the target.
    #[serde(rename = "ours, at most")]
    Ours,
    /// Ours alone, at least the target.
    #[serde(rename = "ours, at least")]
    OursAtLeast,
}

impl Claim {
    /// The contender has at least this part of the reference's throughput.
    pub fn ratio(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::Rate,
            judged: Judged::Ratio,
            target,
        }
    }

    /// An operation takes the contender at most so many nanoseconds more.
    pub fn nanos_added(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::Nanos,
            judged: Judged::Added,
            target,
        }
    }

    /// An operation costs the contender at most so many microseconds of client CPU more.
    pub fn client_micros_added(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::ClientMicros,
            judged: Judged::Added,
            target,
        }
    }

    /// An operation costs the server at most so many times what the reference's does.
    pub fn server_ratio(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::ServerMicros,
            judged: Judged::Cost,
            target,
        }
    }

    /// An operation costs the server at most so many microseconds of CPU.
    pub fn server_micros(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::ServerMicros,
            judged: Judged::Ours,
            target,
        }
    }

    /// The contender does at least so many operations a second.
    pub fn rate(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::Rate,
            judged: Judged::OursAtLeast,
            target,
        }
    }

    /// The contender takes at most so many megabytes.
    pub fn megabytes(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::Megabytes,
            judged: Judged::Ours,
            target,
        }
    }
}

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
    /// What the interval has to reach.
    pub target: f64,
    /// Whether it does.
    pub met: bool,
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
            Figure::Nanos | Figure::Megabytes => turn.nanos(),
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
            },
            ratio: median,
            lo,
            hi,
            target: claim.target,
            met: match claim.judged {
                Judged::Ratio | Judged::OursAtLeast => hi >= claim.target,
                Judged::Added | Judged::Ours | Judged::Cost => lo <= claim.target,
            },
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
            format!("{way} {}", digits(self.target)),
            if self.met { "met" } else { "MISSED" },
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

    #[test]
    fn a_ratio_is_met_when_its_interval_reaches_up_to_the_target() {
        let figures = [(80.0, 100.0), (90.0, 100.0), (85.0, 100.0)];
        assert!(row(&Claim::ratio("x", 0.90), &figures).met);
        assert!(!row(&Claim::ratio("x", 0.91), &figures).met);
    }

    #[test]
    fn a_cost_is_met_when_its_interval_reaches_down_to_the_target() {
        let figures = [(300.0, 200.0), (330.0, 200.0), (310.0, 200.0)];
        assert!(row(&Claim::nanos_added("x", 100.0), &figures).met);
        assert!(!row(&Claim::nanos_added("x", 99.0), &figures).met);
        assert!(!row(&Claim::megabytes("x", 299.0), &figures).met);
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
