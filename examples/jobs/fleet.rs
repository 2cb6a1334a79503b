//! Several processes share the work, and one is killed in the midst of it.

use crate::{
    Failure,
    tasks::{Mail, send_aloud},
};
use kv_core::{Clock, SystemClock};
use kv_scheduler::{Scheduler, Worker};
use std::{
    collections::HashMap,
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// What a dead process had comes back after this time.
const LEASE: Duration = Duration::from_secs(2);

/// Tells a copy of this program that it is one of the workers, and on which queues.
const WORKER: &str = "JOBS_WORKER";

/// The namespace that this process is to work for, if it is one of the workers.
pub(crate) fn namespace() -> Option<String> {
    env::var(WORKER).ok()
}

/// Works until its input ends.
pub(crate) async fn serve(scheduler: &Scheduler) -> Result<(), Failure> {
    let (ended, signal) = oneshot::channel::<()>();
    thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        // The coordinator never writes; its end is the signal, however it comes.
        _ = input.read_line(&mut String::new());
        drop(ended);
    });
    let worker = Worker::new(scheduler)
        .queue("mail", 16)
        .lease(LEASE)
        .handle(send_aloud);
    worker.run_until(async { _ = signal.await }).await?;
    Ok(())
}

/// Schedules mails, has so many processes send them, kills one, and tells what became of the mails.
pub(crate) async fn run(
    scheduler: &Scheduler,
    namespace: &str,
    processes: usize,
    mails: u32,
) -> Result<bool, Failure> {
    let tasks = (0..mails).map(|number| scheduler.enqueue(Mail { number }));
    for scheduled in scheduler.enqueue_many(tasks).await {
        scheduled?;
    }
    println!("scheduled {mails} mails for {processes} processes");
    let (told, mut sent) = mpsc::unbounded_channel();
    let mut workers = (0..processes)
        .map(|_| Process::start(namespace, told.clone()))
        .collect::<Result<Vec<_>, Failure>>()?;
    drop(told);

    let mut times: HashMap<u32, u32> = HashMap::new();
    let admin = scheduler.admin("mail")?;
    loop {
        let wait = SystemClock.sleep(Duration::from_millis(20));
        tokio::select! {
            number = sent.recv() => {
                let number = number.ok_or("all processes have ended; do they share the store?")?;
                *times.entry(number).or_default() += 1;
                if workers.len() == processes && times.len() > mails as usize / 3 {
                    let victim = workers.swap_remove(0);
                    let pid = victim.kill()?;
                    println!("killed process {pid} after {} mails", times.len());
                }
            }
            () = wait => {
                let counts = admin.counts().await?;
                if counts.pending + counts.running == 0 {
                    break;
                }
            }
        }
    }
    for worker in workers {
        worker.end()?;
    }
    while let Some(number) = sent.recv().await {
        *times.entry(number).or_default() += 1;
    }
    let twice = times.values().filter(|&&it| it > 1).count();
    let dead = admin.counts().await?.dead;
    println!(
        "{} different mails are out, {twice} of them twice; {dead} failed for good",
        times.len()
    );
    Ok(times.len() == mails as usize && dead == 0)
}

/// A copy of this program.
struct Process {
    child: Child,
    input: ChildStdin,
}

impl Process {
    fn start(namespace: &str, told: mpsc::UnboundedSender<u32>) -> Result<Self, Failure> {
        let mut child = Command::new(env::current_exe()?)
            .args(env::args_os().skip(1))
            .env(WORKER, namespace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let input = input.ok_or("a process has no input")?;
        let output = output.ok_or("a process has no output")?;
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A line that was cut off by the kill is no mail that is out.
                if let Ok(number) = line.parse() {
                    _ = told.send(number);
                }
            }
        });
        Ok(Self { child, input })
    }

    fn kill(mut self) -> Result<u32, Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.child.id())
    }

    fn end(self) -> Result<(), Failure> {
        let Self { mut child, input } = self;
        drop(input);
        match child.wait()?.success() {
            true => Ok(()),
            false => Err("a process has failed".into()),
        }
    }
}

/// Tells the coordinator that a mail is out.
pub(crate) fn tell(number: u32) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{number}")?;
    output.flush()
}
