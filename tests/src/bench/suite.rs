use super::{Args, Claim, Contest, Effort, Outcome, Output, Pairs, Row};
use std::{env, fs, process::ExitCode};

/// A benchmark program: its arguments, its rows, and how it ended.
#[derive(Debug)]
pub struct Suite {
    args: Args,
    failed: usize,
    met: usize,
    missed: usize,
    told: usize,
}

impl Suite {
    /// Begins with the process's own arguments.
    ///
    /// # Errors
    /// If they do not parse.
    pub fn begin() -> Outcome<Self> {
        let args = Args::parse(env::args().skip(1))?;
        tell_load("at the start");
        if args.output == Output::Table {
            println!("{}", Row::heading());
        }
        Ok(Self {
            args,
            failed: 0,
            met: 0,
            missed: 0,
            told: 0,
        })
    }

    /// Whether a row of this name is to run.
    pub fn want(&self, name: &str) -> bool {
        self.args.want(name)
    }

    /// How long rows run.
    pub fn effort(&self) -> Effort {
        self.args.effort
    }

    /// How much of something to make: all of it, or just enough to see that it works.
    pub fn amount(&self, all: u64) -> u64 {
        match self.args.effort {
            Effort::Full { .. } => all,
            Effort::Smoke => all.min(500),
        }
    }

    /// Holds a contest and prints what it says about those of the claims that are wanted; does
    /// nothing if none is.
    pub fn hold<'a>(&mut self, claims: &[Claim], contest: impl FnOnce() -> Outcome<Contest<'a>>) {
        let wanted = |claim: &&Claim| self.args.want(&claim.name);
        let claims: Vec<_> = claims.iter().filter(wanted).collect();
        let Some(first) = claims.first() else {
            return;
        };
        let effort = self.args.effort;
        let measured = contest().and_then(|contest| Pairs::measure(contest, effort));
        match measured {
            Ok(pairs) => {
                for claim in claims {
                    self.report(Row::of(claim, &pairs));
                }
            }
            Err(failure) => self.fail(&first.name, failure),
        }
    }

    /// Prints a row.
    pub fn report(&mut self, row: Option<Row>) {
        let Some(row) = row else {
            return;
        };
        match row.met {
            Some(true) => self.met += 1,
            Some(false) => self.missed += 1,
            None => self.told += 1,
        }
        match self.args.output {
            Output::Table => println!("{row}"),
            Output::Json => match serde_json::to_string(&row) {
                Ok(line) => println!("{line}"),
                Err(failure) => self.fail(&row.name, failure),
            },
        }
    }

    /// Notes that something could not be measured.
    pub fn fail(&mut self, name: &str, failure: impl std::fmt::Display) {
        self.failed += 1;
        eprintln!("{name}: {failure}");
    }

    /// Ends the program: well, unless something could not be measured. A missed target is a result,
    /// not a failure.
    pub fn end(self) -> ExitCode {
        tell_load("at the end");
        let Self {
            met,
            missed,
            told,
            failed,
            args,
        } = self;
        match args.effort {
            Effort::Full { .. } => {
                eprintln!("{met} met, {missed} missed, {told} not judged, {failed} failed to run");
            }
            Effort::Smoke => eprintln!("{} rows ran, {failed} failed to run", met + missed + told),
        }
        match failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

fn tell_load(when: &str) {
    // Only Linux says it this way; elsewhere a reader has to look himself.
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        eprintln!("load average {when}: {}", load.trim_end());
    }
}
