//! All candidates: threads of this process, or copies of it.

use crate::{
    Failure, Fate,
    candidate::{self, Order},
    record::Told,
};
use kv_core::Kv;
use kv_lock::LockManager;
use std::{
    collections::HashMap,
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
};
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

/// Tells a copy of this program which candidate of which election it is.
const CANDIDATE: &str = "LEADER_CANDIDATE";

pub(crate) struct Fleet {
    candidates: HashMap<String, Candidate>,
    told: UnboundedReceiver<Told>,
    paused: Option<Paused>,
}

enum Candidate {
    Thread(UnboundedSender<Order>),
    Process { child: Child, input: ChildStdin },
}

enum Paused {
    Thread(mpsc::Sender<()>),
    Process(u32),
}

/// The election and the name of this process, if it is one of the candidates.
pub(crate) fn role() -> Option<(String, String)> {
    let role = env::var(CANDIDATE).ok()?;
    let (run, name) = role.split_once('/')?;
    Some((run.to_owned(), name.to_owned()))
}

/// Is a candidate until its input ends.
pub(crate) async fn serve(locks: &LockManager, run: &str, name: &str) -> Result<(), Failure> {
    let (order, orders) = unbounded_channel();
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    thread::spawn(move || {
        // The coordinator writes a line when the leader is to resign.
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            _ = order.send(Order::Resign);
        }
        drop(ended);
    });
    let tell = |told: Told| {
        let mut output = std::io::stdout().lock();
        // Without a coordinator nobody listens.
        _ = writeln!(output, "{told}").and_then(|()| output.flush());
    };
    tokio::select! {
        served = candidate::serve(locks, run, name, orders, tell) => served,
        _ = end => Ok(()),
    }
}

impl Fleet {
    /// Each has a runtime of its own: it can die and stand still alone.
    pub(crate) fn of_threads(kv: &Kv, run: &str, count: usize) -> Result<Self, Failure> {
        Self::of(count, |name, teller| {
            let (order, orders) = unbounded_channel();
            let (locks, run, name) = (LockManager::new(kv)?, run.to_owned(), name.to_owned());
            thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let tell = |it| _ = teller.send(it);
                runtime.block_on(candidate::serve(&locks, &run, &name, orders, tell))
            });
            Ok(Candidate::Thread(order))
        })
    }

    pub(crate) fn of_processes(run: &str, count: usize) -> Result<Self, Failure> {
        Self::of(count, |name, teller| {
            start(&format!("{run}/{name}"), teller)
        })
    }

    fn of(
        count: usize,
        start: impl Fn(&str, UnboundedSender<Told>) -> Result<Candidate, Failure>,
    ) -> Result<Self, Failure> {
        let (teller, told) = unbounded_channel();
        let start = |number| {
            let name = format!("candidate {number}");
            let candidate = start(&name, teller.clone())?;
            Ok((name, candidate))
        };
        Ok(Self {
            candidates: (1..=count).map(start).collect::<Result<_, Failure>>()?,
            told,
            paused: None,
        })
    }

    pub(crate) async fn told(&mut self) -> Result<Told, Failure> {
        let told = self.told.recv().await;
        told.ok_or_else(|| "all candidates have ended; do they share the store?".into())
    }

    /// Lets this happen to a candidate.
    pub(crate) fn meet(&mut self, name: &str, fate: Fate) -> Result<(), Failure> {
        let candidate = self.candidates.get_mut(name).ok_or("a stranger leads")?;
        match (candidate, fate) {
            (Candidate::Thread(order), Fate::Resigns) => tell(order, Order::Resign)?,
            (Candidate::Thread(order), Fate::IsKilled) => tell(order, Order::Die)?,
            (Candidate::Thread(order), Fate::IsPaused) => {
                let (resume, until) = mpsc::channel();
                tell(order, Order::Stall(until))?;
                self.paused = Some(Paused::Thread(resume));
            }
            (Candidate::Process { input, .. }, Fate::Resigns) => writeln!(input)?,
            (Candidate::Process { child, .. }, Fate::IsKilled) => {
                child.kill()?;
                child.wait()?;
            }
            (Candidate::Process { child, .. }, Fate::IsPaused) => {
                signal(child.id(), "STOP")?;
                self.paused = Some(Paused::Process(child.id()));
            }
        }
        if matches!(fate, Fate::IsKilled) {
            self.candidates.remove(name);
        }
        Ok(())
    }

    /// Who was paused goes on.
    pub(crate) fn resume(&mut self) -> Result<(), Failure> {
        match self.paused.take() {
            Some(Paused::Thread(resume)) => Ok(resume.send(())?),
            Some(Paused::Process(pid)) => signal(pid, "CONT"),
            None => Ok(()),
        }
    }

    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        for (_, candidate) in self.candidates.drain() {
            if let Candidate::Process { mut child, input } = candidate {
                drop(input);
                if !child.wait()?.success() {
                    return Err("a process has failed".into());
                }
            }
        }
        Ok(())
    }
}

impl Drop for Fleet {
    /// One that stands still would stay for ever.
    fn drop(&mut self) {
        _ = self.resume();
    }
}

fn start(role: &str, teller: UnboundedSender<Told>) -> Result<Candidate, Failure> {
    let mut child = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(CANDIDATE, role)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let input = child.stdin.take().ok_or("a process has no input")?;
    let output = child.stdout.take().ok_or("a process has no output")?;
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // A line that was cut off by the kill tells nothing.
            if let Ok(told) = line.parse() {
                _ = teller.send(told);
            }
        }
    });
    Ok(Candidate::Process { child, input })
}

fn tell(candidate: &UnboundedSender<Order>, order: Order) -> Result<(), Failure> {
    let told = candidate.send(order);
    told.map_err(|_| "a candidate has ended".into())
}

fn signal(pid: u32, name: &str) -> Result<(), Failure> {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("could not send {name} to {pid}").into()),
    }
}
