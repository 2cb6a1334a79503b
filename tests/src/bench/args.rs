use super::Outcome;

/// The command line of a benchmark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// How rows are printed.
    pub output: Output,
    /// How long rows run.
    pub effort: Effort,
    /// Rows run if their name contains any of these; all if there are none.
    pub filters: Vec<String>,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Table,
    /// One object a line.
    Json,
}

/// How long rows run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// So many pairs.
    Full {
        /// How many.
        pairs: usize,
    },
    /// One tiny pair, to see that the row still runs.
    Smoke,
}

impl Args {
    /// Parses a command line without its program.
    ///
    /// # Errors
    /// For a flag that is unknown or lacks its number.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Outcome<Self> {
        let mut parsed = Self {
            output: Output::Table,
            effort: Effort::Full { pairs: 15 },
            filters: Vec::new(),
        };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match &*arg {
                // Cargo passes it to every benchmark.
                "--bench" => {}
                "--json" => parsed.output = Output::Json,
                "--smoke" => parsed.effort = Effort::Smoke,
                "--pairs" => {
                    let pairs = args.next().and_then(|it| it.parse().ok());
                    match pairs {
                        Some(pairs @ 1..=999) => parsed.effort = Effort::Full { pairs },
                        _ => return Err("--pairs needs a number from 1 to 999".into()),
                    }
                }
                flag if flag.starts_with('-') => {
                    return Err(format!(
                        "unknown flag {flag}; known are --json, --smoke, --pairs N and parts of names"
                    )
                    .into());
                }
                _ => parsed.filters.push(arg),
            }
        }
        Ok(parsed)
    }

    /// Whether a row of this name is to run.
    pub fn want(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter))
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, Effort, Output};

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned)).map_err(|it| it.to_string())
    }

    #[test]
    fn a_line_with_everything_parses() {
        let args = parse("--json --pairs 31 redis/get --bench zpop").unwrap();
        assert_eq!(args.output, Output::Json);
        assert_eq!(args.effort, Effort::Full { pairs: 31 });
        assert!(args.want("redis/get/64") && args.want("redis/ct/zpop/64"));
        assert!(!args.want("redis/set/64"));
    }

    #[test]
    fn without_filters_every_row_runs() {
        assert!(parse("--bench --smoke").unwrap().want("anything"));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--fast", "--pairs", "--pairs 0", "--pairs many"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
