use super::{Effort, Failure, Outcome};
use cpu_time::ProcessTime;
use std::time::{Duration, Instant};

/// One of the two that are compared.
#[expect(missing_debug_implementations, reason = "holds closures")]
pub struct Side<'a> {
    prepare: Box<dyn FnMut(u64) -> Outcome + 'a>,
    run: Box<dyn FnMut(u64) -> Outcome + 'a>,
}

impl<'a> Side<'a> {
    /// A side that does so many operations when it is run.
    pub fn new(run: impl FnMut(u64) -> Outcome + 'a) -> Self {
        Self {
            prepare: Box::new(|_| Ok(())),
            run: Box::new(run),
        }
    }

    /// With something to do, unmeasured, before so many operations.
    #[must_use]
    pub fn prepared_by(mut self, prepare: impl FnMut(u64) -> Outcome + 'a) -> Self {
        self.prepare = Box::new(prepare);
        self
    }

    fn turn(&mut self, ops: u64, meter: Option<&dyn Meter>) -> Outcome<Turn> {
        (self.prepare)(ops)?;
        let read = || meter.map(|it| it.read()).transpose();
        let before = read()?;
        let (clock, cpu) = (Instant::now(), ProcessTime::try_now()?);
        (self.run)(ops)?;
        let (wall, client_cpu) = (clock.elapsed(), cpu.try_elapsed()?);
        let after = read()?;
        Ok(Turn {
            ops,
            wall,
            client_cpu,
            server: before.zip(after).map(|(before, after)| Reading {
                calls: after.calls.saturating_sub(before.calls),
                cpu: after.cpu.saturating_sub(before.cpu),
            }),
        })
    }
}

/// Reads what a server has done so far.
pub trait Meter {
    /// The counters now.
    ///
    /// # Errors
    /// If the server does not tell.
    fn read(&self) -> Outcome<Reading>;
}

/// A server's counters, or what was added to them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// How many commands it executed, those inside scripts included.
    pub calls: u64,
    /// How much CPU it used.
    pub cpu: Duration,
}

/// What is to be measured.
#[expect(missing_debug_implementations, reason = "holds closures")]
pub struct Contest<'a> {
    /// The contender.
    pub ours: Side<'a>,
    /// What it is compared with.
    pub reference: Side<'a>,
    /// How much one turn does.
    pub size: Size,
    /// The server's counters, if there is a server.
    pub meter: Option<Box<dyn Meter + 'a>>,
}

/// How much one turn does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As many operations as the reference does in this time.
    Span(Duration),
    /// So many operations.
    Ops(u64),
}

/// What one turn took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// How many operations were done.
    pub ops: u64,
    /// How long they took.
    pub wall: Duration,
    /// The CPU that this process used meanwhile, user and system, all threads.
    pub client_cpu: Duration,
    /// What the server did meanwhile, if there is one.
    pub server: Option<Reading>,
}

impl Turn {
    /// Operations a second.
    pub fn rate(&self) -> f64 {
        self.ops as f64 / self.wall.as_secs_f64()
    }

    /// Nanoseconds an operation.
    pub fn nanos(&self) -> f64 {
        self.per_op(self.wall) * 1e9
    }

    /// Microseconds of this process's CPU an operation.
    pub fn client_micros(&self) -> f64 {
        self.per_op(self.client_cpu) * 1e6
    }

    /// Microseconds of the server's CPU an operation.
    pub fn server_micros(&self) -> Option<f64> {
        self.server.map(|it| self.per_op(it.cpu) * 1e6)
    }

    /// Commands of the server an operation.
    pub fn server_calls(&self) -> Option<f64> {
        self.server.map(|it| it.calls as f64 / self.ops as f64)
    }

    fn per_op(&self, span: Duration) -> f64 {
        span.as_secs_f64() / self.ops as f64
    }
}

/// The turns of a contender and of its reference, pair by pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// The contender's turns.
    pub ours: Vec<Turn>,
    /// The reference's turns, each beside the contender's at the same place.
    pub reference: Vec<Turn>,
}

impl Pairs {
    /// Lets both do the same in turns.
    ///
    /// # Errors
    /// If either fails.
    pub fn measure(contest: Contest<'_>, effort: Effort) -> Outcome<Self> {
        const TINY: u64 = 64;
        let Contest {
            mut ours,
            mut reference,
            size,
            meter,
        } = contest;
        let meter = meter.as_deref();
        let (pairs, ops) = match (effort, size) {
            (Effort::Smoke, Size::Ops(ops)) => (1, ops),
            (Effort::Smoke, Size::Span(_)) => (1, TINY),
            (Effort::Full { pairs }, Size::Ops(ops)) => (pairs, ops),
            (Effort::Full { pairs }, Size::Span(span)) => {
                let ops = calibrate(&mut reference, span)?;
                ours.turn(ops, None)?;
                (pairs, ops)
            }
        };
        let mut measured = Self::default();
        for pair in 0..pairs {
            if pair % 2 == 0 {
                measured.ours.push(ours.turn(ops, meter)?);
                measured.reference.push(reference.turn(ops, meter)?);
            } else {
                measured.reference.push(reference.turn(ops, meter)?);
                measured.ours.push(ours.turn(ops, meter)?);
            }
        }
        Ok(measured)
    }

    /// Both turns of each pair.
    pub fn iter(&self) -> impl Iterator<Item = (&Turn, &Turn)> {
        self.ours.iter().zip(&self.reference)
    }
}

/// How many operations a side does in this time, once it is warm.
fn calibrate(side: &mut Side<'_>, span: Duration) -> Result<u64, Failure> {
    let mut ops = 64;
    loop {
        let turn = side.turn(ops, None)?;
        let left = span.as_secs_f64() / turn.wall.as_secs_f64().max(1e-6);
        if left < 4.0 {
            return Ok(((ops as f64 * left) as u64).max(1));
        }
        ops = (ops as f64 * left.min(16.0) / 2.0) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::{Contest, Pairs, Side, Size};
    use crate::bench::Effort;
    use std::{cell::RefCell, thread, time::Duration};

    fn contest<'a>(ours: Side<'a>, reference: Side<'a>, ops: u64) -> Contest<'a> {
        Contest {
            ours,
            reference,
            size: Size::Ops(ops),
            meter: None,
        }
    }

    #[test]
    fn sides_take_turns_and_swap_them() {
        let log = RefCell::new(String::new());
        let side = |letter| {
            let log = &log;
            Side::new(move |ops| {
                assert_eq!(ops, 10);
                log.borrow_mut().push(letter);
                Ok(())
            })
        };
        let contest = contest(side('a'), side('b'), 10);
        let pairs = Pairs::measure(contest, Effort::Full { pairs: 4 }).unwrap();
        assert_eq!(pairs.iter().count(), 4);
        assert_eq!(*log.borrow(), "abbaabba");
    }

    #[test]
    fn preparation_is_not_measured() {
        const LONG: Duration = Duration::from_secs(1);
        let side = || {
            Side::new(|_| Ok(())).prepared_by(|_| {
                thread::sleep(LONG);
                Ok(())
            })
        };
        let pairs = Pairs::measure(contest(side(), side(), 1), Effort::Smoke).unwrap();
        assert!(pairs.ours[0].wall < LONG && pairs.reference[0].wall < LONG);
    }

    #[test]
    fn a_side_that_fails_ends_it() {
        let ours = Side::new(|_| Err("no server".into()));
        let reference = Side::new(|_| Ok(()));
        let pairs = Pairs::measure(contest(ours, reference, 1), Effort::Smoke);
        assert_eq!(pairs.unwrap_err().to_string(), "no server");
    }
}
