use super::answer::Answer;
use kv_core::{COMMANDS, CapabilitySet, ErrorKind};
use std::{collections::BTreeMap, fmt};

/// What a differential test that passed did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The seed that makes the same trace again.
    pub seed: u64,
    /// Commands, each executed on every store.
    pub commands: u64,
    /// Commands whose reply shows that they changed the state. Some more did without showing it.
    pub changed: u64,
    /// Replies that told more than that nothing was there.
    pub telling: u64,
    /// Commands by method.
    pub by_command: BTreeMap<&'static str, u64>,
    /// Replies that were errors, by kind.
    pub by_error: BTreeMap<String, u64>,
    /// What all stores can do.
    pub can: CapabilitySet,
}

/// What a run must reach to have tested something: shares of all commands.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Floors {
    /// Of commands that changed the state.
    pub changed: f64,
    /// Of replies that told something.
    pub telling: f64,
}

impl Default for Floors {
    /// A fifth of the commands, and two fifths of the replies.
    fn default() -> Self {
        Self {
            changed: 0.2,
            telling: 0.4,
        }
    }
}

impl Summary {
    pub(super) fn new(seed: u64, can: CapabilitySet) -> Self {
        Self {
            seed,
            commands: 0,
            changed: 0,
            telling: 0,
            by_command: BTreeMap::new(),
            by_error: BTreeMap::new(),
            can,
        }
    }

    pub(super) fn note(&mut self, name: &'static str, answer: &Answer) {
        self.commands += 1;
        self.changed += u64::from(answer.changed);
        self.telling += u64::from(answer.telling);
        *self.by_command.entry(name).or_default() += 1;
        if let Some(kind) = answer.failed {
            *self.by_error.entry(format!("{kind:?}")).or_default() += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.changed += other.changed;
        self.telling += other.telling;
        for (name, count) in &other.by_command {
            *self.by_command.entry(name).or_default() += count;
        }
        for (kind, count) in &other.by_error {
            *self.by_error.entry(kind.clone()).or_default() += count;
        }
    }

    /// The commands of the table that were not called, though all stores have them.
    pub fn uncalled(&self) -> Vec<&'static str> {
        let there = COMMANDS.iter().filter(|spec| self.can.has(spec.needs));
        there
            .map(|spec| spec.name)
            .filter(|name| !self.by_command.contains_key(name))
            .collect()
    }

    /// Refuses a run that tested too little.
    ///
    /// # Errors
    /// A text that names what was missing: commands of the table that were not called, too few
    /// changes or too few telling replies.
    pub fn check(&self, floors: Floors) -> Result<(), String> {
        let uncalled = self.uncalled();
        if !uncalled.is_empty() {
            return Err(format!("never called: {}", uncalled.join(", ")));
        }
        let share = |count: u64| count as f64 / self.commands.max(1) as f64;
        for (what, count, floor) in [
            ("changed the state", self.changed, floors.changed),
            ("had a telling reply", self.telling, floors.telling),
        ] {
            if share(count) < floor {
                let commands = self.commands;
                return Err(format!(
                    "only {count} of {commands} commands {what}, below the floor of {floor}"
                ));
            }
        }
        Ok(())
    }

    /// Whether an error of this kind was among the replies.
    pub fn saw(&self, kind: ErrorKind) -> bool {
        self.by_error.contains_key(&format!("{kind:?}"))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            commands,
            changed,
            telling,
            ..
        } = self;
        writeln!(
            f,
            "seed {seed}: {commands} commands gave the same replies; {changed} changed the state, \
             {telling} replies told something"
        )?;
        let counts = self.by_command.iter();
        let counts: Vec<_> = counts
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        writeln!(f, "  commands: {}", counts.join(", "))?;
        let errors = self.by_error.iter();
        let errors: Vec<_> = errors
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        write!(f, "  errors: {}", errors.join(", "))
    }
}
