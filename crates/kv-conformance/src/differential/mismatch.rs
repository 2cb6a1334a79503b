use super::{
    answer::escape,
    lane::{Lane, Parting},
    step::Step,
};
use kv_core::{Kv, Mark, Place, Result, Value, Visitor};
use std::fmt;

/// How many earlier steps on the same keys are shown.
const HISTORY: usize = 12;

/// Two stores that answered the same command differently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// The seed that makes the same trace again.
    pub seed: u64,
    /// The lane.
    pub lane: usize,
    /// The position of the command in its lane.
    pub index: usize,
    /// The command's method.
    pub operation: &'static str,
    /// The command.
    pub step: String,
    /// What each store said, the reference first.
    pub said: Vec<Said>,
    /// The last commands before it that touch its keys, oldest first.
    pub history: Vec<String>,
    /// A short trace that shows the same on fresh keys; none if it did not show again.
    pub shortest: Option<Vec<String>>,
}

/// What one store said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Said {
    /// The store and its layers.
    pub store: String,
    /// Its reply.
    pub reply: String,
}

impl Mismatch {
    pub(super) fn new(
        seed: u64,
        divergence: &Divergence,
        shortest: Option<&[Step]>,
        stores: &[&Kv],
    ) -> Self {
        let step = divergence.failing_step();
        let mut history = divergence.related();
        history.pop();
        let recent = history.len().saturating_sub(HISTORY);
        let said = stores.iter().zip(&divergence.failed.answers);
        Self {
            seed,
            lane: divergence.lane.number(),
            index: divergence.failed.index,
            operation: step.name(),
            step: describe(step),
            said: said
                .map(|(kv, answer)| Said {
                    store: format!("{kv:?}"),
                    reply: answer.text(),
                })
                .collect(),
            history: history[recent..].iter().map(describe).collect(),
            shortest: shortest.map(|steps| steps.iter().map(describe).collect()),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, lane, index) = (self.seed, self.lane, self.index);
        writeln!(
            f,
            "stores differ: seed {seed}, lane {lane}, command {index}"
        )?;
        writeln!(f, "  {}", self.step)?;
        for said in &self.said {
            writeln!(f, "    {}: {}", said.store, said.reply)?;
        }
        match &self.shortest {
            Some(steps) => {
                writeln!(f, "the shortest trace found, on fresh keys:")?;
                show(f, steps)
            }
            None => {
                writeln!(
                    f,
                    "it did not show again on fresh keys; before it came, on its keys:"
                )?;
                show(f, &self.history)
            }
        }
    }
}

/// A lane whose stores parted.
#[derive(Debug)]
pub(super) struct Divergence {
    pub(super) lane: Lane,
    pub(super) steps: Vec<Step>,
    pub(super) failed: Parting,
}

impl Divergence {
    pub(super) fn failing_step(&self) -> &Step {
        &self.steps[self.failed.index]
    }

    pub(super) fn until_failure(&self) -> &[Step] {
        &self.steps[..=self.failed.index]
    }

    /// The steps up to the failing one that touch its keys, or any key.
    pub(super) fn related(&self) -> Vec<Step> {
        let keys = self.failing_step().keys();
        let meets = |step: &&Step| {
            let others = step.keys();
            keys.is_empty() || others.is_empty() || !others.is_disjoint(&keys)
        };
        self.until_failure().iter().filter(meets).cloned().collect()
    }
}

fn show(f: &mut fmt::Formatter<'_>, steps: &[String]) -> fmt::Result {
    const MOST: usize = 40;
    let skipped = steps.len().saturating_sub(MOST);
    if skipped > 0 {
        writeln!(f, "  … {skipped} earlier ones")?;
    }
    for step in &steps[skipped..] {
        writeln!(f, "  {step}")?;
    }
    Ok(())
}

/// The command with its values, which its `Debug` hides.
fn describe(step: &Step) -> String {
    #[derive(Default)]
    struct Contents(Vec<String>);
    impl Contents {
        fn note(&mut self, bytes: &[u8]) {
            const CUT: usize = 40;
            let cut = &bytes[..bytes.len().min(CUT)];
            let dots = if bytes.len() > CUT { "…" } else { "" };
            self.0.push(format!("{}{dots}", escape(cut)));
        }
    }
    impl Visitor for Contents {
        fn value(&mut self, _: Place<'_>, value: &mut Value) -> Result<()> {
            self.note(value.as_bytes());
            Ok(())
        }

        fn mark(&mut self, _: Place<'_>, mark: &mut Mark) -> Result<()> {
            self.note(mark.as_bytes());
            Ok(())
        }
    }
    let Step::Call(command) = step else {
        return format!("{step:?}");
    };
    let mut contents = Contents::default();
    // The visitor never fails.
    let _ = command.clone().visit(&mut contents);
    if contents.0.is_empty() {
        return format!("{command:?}");
    }
    format!("{command:?} with {}", contents.0.join(", "))
}
