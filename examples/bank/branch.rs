//! Several tellers at work, of whom one after the other is paused.

use crate::{
    Failure,
    teller::{Account, News, Way},
};
use kv_core::Kv;
use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc as blocking,
    thread,
};
use tokio::sync::mpsc;

/// Tells a copy of this program that it is one of the tellers, and of which account.
const TELLER: &str = "BANK_TELLER";

/// The account that this process is to pay into, if it is one of the tellers.
pub(crate) fn account(kv: &Kv) -> Result<Option<Account>, Failure> {
    let Ok(text) = env::var(TELLER) else {
        return Ok(None);
    };
    let (way, number) = text.split_once(' ').ok_or("no account")?;
    let way = match way {
        "fenced" => Way::Fenced,
        _ => Way::Bare,
    };
    Ok(Some(Account::new(kv, number.parse()?, way)))
}

pub(crate) struct Branch {
    tellers: Vec<Teller>,
    news: mpsc::UnboundedReceiver<(usize, News)>,
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) paid: u64,
    pub(crate) refused: u64,
}

enum Teller {
    /// A thread with a runtime of its own, which stands still as a whole while it is not told to go on.
    Thread {
        go_on: blocking::Sender<()>,
        thread: thread::JoinHandle<Result<(), Failure>>,
    },
    Process {
        child: Child,
        input: ChildStdin,
    },
}

impl Branch {
    pub(crate) fn of_threads(account: &Account, count: usize) -> Result<Self, Failure> {
        let (told, news) = mpsc::unbounded_channel();
        let tellers = (0..count).map(|number| Teller::thread(account, number, told.clone()));
        let tellers = tellers.collect();
        Ok(Self { tellers, news })
    }

    pub(crate) fn of_processes(account: &Account, count: usize) -> Result<Self, Failure> {
        let (told, news) = mpsc::unbounded_channel();
        let tellers = (0..count).map(|number| Teller::process(account, number, told.clone()));
        let tellers = tellers.collect::<Result<_, _>>()?;
        Ok(Self { tellers, news })
    }

    /// Pauses so many of them, each until others have paid in twice.
    pub(crate) async fn pause(&mut self, pauses: u32) -> Result<Report, Failure> {
        let mut report = Report::default();
        for _ in 0..pauses {
            let paused = loop {
                let (teller, news) = self.news(&mut report).await?;
                if news == News::HasRead {
                    self.tellers[teller].stop()?;
                    break teller;
                }
            };
            let mut others = 0;
            while others < 2 {
                let (teller, news) = self.news(&mut report).await?;
                match news {
                    News::HasRead => self.tellers[teller].pass(),
                    News::HasPaid if teller != paused => others += 1,
                    _ => {}
                }
            }
            self.tellers[paused].go_on()?;
            loop {
                let (teller, news) = self.news(&mut report).await?;
                match news {
                    News::HasRead => self.tellers[teller].pass(),
                    _ if teller == paused => break,
                    _ => {}
                }
            }
        }
        Ok(report)
    }

    /// Lets all of them come to their end.
    pub(crate) async fn end(mut self, report: &mut Report) -> Result<(), Failure> {
        let tellers = std::mem::take(&mut self.tellers);
        let ends: Vec<_> = tellers
            .into_iter()
            .map(|teller| tokio::task::spawn_blocking(|| teller.end()))
            .collect();
        while let Some((_, news)) = self.news.recv().await {
            report.count(news);
        }
        for end in ends {
            end.await??;
        }
        Ok(())
    }

    async fn news(&mut self, report: &mut Report) -> Result<(usize, News), Failure> {
        let news = self.news.recv().await.ok_or("all tellers have gone")?;
        report.count(news.1);
        Ok(news)
    }
}

impl Report {
    fn count(&mut self, news: News) {
        match news {
            News::HasRead => {}
            News::HasPaid => self.paid += 1,
            News::WasRefused => self.refused += 1,
        }
    }
}

impl Teller {
    fn thread(
        account: &Account,
        number: usize,
        told: mpsc::UnboundedSender<(usize, News)>,
    ) -> Self {
        let (go_on, may_go_on) = blocking::channel();
        let account = account.clone();
        let work = async move |may_go_on: &blocking::Receiver<()>| -> Result<(), Failure> {
            let lock = account.lock()?;
            let is_over = std::cell::Cell::new(false);
            while !is_over.get() {
                let say = |news| {
                    // Nobody minds what is said after the end.
                    _ = told.send((number, news));
                    if news == News::HasRead {
                        // The whole runtime waits here, and what renews the lock with it.
                        is_over.set(may_go_on.recv().is_err());
                    }
                };
                // The lock may be lost before anything is done.
                _ = account.pay_in(&lock, say).await;
            }
            Ok(())
        };
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(work(&may_go_on))
        });
        Self::Thread { go_on, thread }
    }

    fn process(
        account: &Account,
        number: usize,
        told: mpsc::UnboundedSender<(usize, News)>,
    ) -> Result<Self, Failure> {
        let way = match account.way {
            Way::Fenced => "fenced",
            Way::Bare => "bare",
        };
        let mut child = Command::new(env::current_exe()?)
            .args(env::args_os().skip(1))
            .env(TELLER, format!("{way} {}", account.number))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let input = input.ok_or("a process has no input")?;
        let output = output.ok_or("a process has no output")?;
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Ok(news) = line.parse() {
                    _ = told.send((number, news));
                }
            }
        });
        Ok(Self::Process { child, input })
    }

    /// It stands still, right where it is.
    fn stop(&self) -> Result<(), Failure> {
        match self {
            // Its thread waits already.
            Self::Thread { .. } => Ok(()),
            Self::Process { child, .. } => signal(child, "STOP"),
        }
    }

    fn go_on(&self) -> Result<(), Failure> {
        match self {
            Self::Thread { .. } => {
                self.pass();
                Ok(())
            }
            Self::Process { child, .. } => signal(child, "CONT"),
        }
    }

    /// It is not to stand still.
    fn pass(&self) {
        if let Self::Thread { go_on, .. } = self {
            // If it has ended, its end tells why.
            _ = go_on.send(());
        }
    }

    fn end(self) -> Result<(), Failure> {
        match self {
            Self::Thread { go_on, thread } => {
                drop(go_on);
                thread.join().map_err(|_| "a teller has panicked")?
            }
            Self::Process { mut child, input } => {
                drop(input);
                match child.wait()?.success() {
                    true => Ok(()),
                    false => Err("a teller has failed".into()),
                }
            }
        }
    }
}

fn signal(child: &Child, signal: &str) -> Result<(), Failure> {
    let mut kill = Command::new("kill");
    kill.arg(format!("-{signal}")).arg(child.id().to_string());
    match kill.status()?.success() {
        true => Ok(()),
        false => Err("a teller could not be paused".into()),
    }
}
