use serde::Serialize;

/// What a row says of its contender, and how that is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The row's name; it begins with the crate's.
    pub name: String,
    /// What of a turn is looked at.
    pub figure: Figure,
    /// What is compared with the target.
    pub judged: Judged,
    /// What the interval has to reach; without one the row only tells.
    pub target: Option<f64>,
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
    /// Allocations an operation, counted elsewhere than in turns.
    Allocations,
    /// Calls to the server an operation, counted elsewhere than in turns.
    Calls,
    /// How often something was loaded, counted elsewhere than in turns.
    Loads,
    /// The part of reads that found something, counted elsewhere than in turns.
    Hits,
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
            target: Some(target),
        }
    }

    /// An operation takes the contender at most so many nanoseconds more.
    pub fn nanos_added(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::Nanos,
            judged: Judged::Added,
            target: Some(target),
        }
    }

    /// An operation takes the contender at most so many allocations more.
    pub fn allocations_added(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::Allocations,
            judged: Judged::Added,
            target: Some(target),
        }
    }

    /// An operation costs the contender at most so many microseconds of client CPU more.
    pub fn client_micros_added(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::ClientMicros,
            judged: Judged::Added,
            target: Some(target),
        }
    }

    /// An operation costs the server at most so many times what the reference's does.
    pub fn server_ratio(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::ServerMicros,
            judged: Judged::Cost,
            target: Some(target),
        }
    }

    /// An operation costs the server at most so many microseconds of CPU.
    pub fn server_micros(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::ServerMicros,
            judged: Judged::Ours,
            target: Some(target),
        }
    }

    /// The contender does at least so many operations a second.
    pub fn rate(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::Rate,
            judged: Judged::OursAtLeast,
            target: Some(target),
        }
    }

    /// The contender takes at most so many megabytes.
    pub fn megabytes(name: impl Into<String>, target: f64) -> Self {
        Self {
            name: name.into(),
            figure: Figure::Megabytes,
            judged: Judged::Ours,
            target: Some(target),
        }
    }

    /// The same without a target: what is found out is told, and not judged.
    #[must_use]
    pub fn told(self) -> Self {
        Self {
            target: None,
            ..self
        }
    }
}
