//! A child process that cannot outlive us, not even if we are killed.
//!
//! A shell stands between. Its standard input is a pipe whose other end only we hold: when that
//! closes, because we closed it or because we died, the shell kills the program and removes the
//! directory. No signal handler and no `unsafe` is needed for that.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

/// `$0` is the directory, the rest is the command.
///
/// The watcher reads the pipe to its end. `ended.PID` tells it and us that the program is gone and
/// that its id must not be signalled any more; the shell itself stays, to clean up in the end.
///
/// When we die, the shell's process group has no owner any more; if the program is stopped at that
/// moment, the system wakes the group with SIGHUP, which must not end those who clean up.
const SHELL: &str = r#"
trap '' HUP
exec 3<&0
"$@" </dev/null >>"$0/log" 2>&1 3<&- &
program=$!
echo "$program"
(
    last=
    while read -r word <&3; do last=$word; done
    [ -e "$0/ended.$program" ] || kill -9 "$program"
    [ "$last" = keep ]
) &
watcher=$!
exec 3<&-
wait "$program"
: >"$0/ended.$program"
wait "$watcher" || rm -rf -- "$0"
"#;

/// How much of the log goes into an error.
const TAIL_LINES: usize = 15;

#[derive(Debug)]
pub(super) struct Supervised {
    shell: Child,
    id: u32,
    pipe: Option<ChildStdin>,
    ended: PathBuf,
    log: PathBuf,
    /// Where this process's part of the log begins.
    log_start: u64,
}

impl Supervised {
    /// Starts `program`, with both its outputs in [`log_path`].
    pub(super) fn spawn(
        program: &Path,
        arguments: &[OsString],
        directory: &Path,
    ) -> io::Result<Self> {
        let log = log_path(directory);
        let log_start = fs::metadata(&log).map_or(0, |log| log.len());
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(SHELL)
            .arg(directory)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C is for the command that uses the server: it may still need it to say goodbye.
            .process_group(0)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot run sh: {error}")))?;
        let pipe = shell.stdin.take();
        let mut line = String::new();
        if let Some(output) = shell.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let Ok(id) = line.trim().parse() else {
            return Err(io::Error::other("sh ended before it started anything"));
        };
        let ended = directory.join(format!("ended.{id}"));
        Ok(Self {
            shell,
            id,
            pipe,
            ended,
            log,
            log_start,
        })
    }

    /// The program's process, as long as it has not ended.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Without its directory the program is as good as gone, and nothing could tell us its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.exists() || !self.log.parent().is_some_and(Path::exists)
    }

    /// An error that shows the end of the log; of kind `AddrInUse` if the log says so.
    pub(super) fn failure(&self, program: &Path, what: &str) -> io::Error {
        let log = self
            .read_log()
            .unwrap_or_else(|error| format!("(no log: {error})"));
        let kind = if log.to_lowercase().contains("address already in use") {
            io::ErrorKind::AddrInUse
        } else {
            io::ErrorKind::Other
        };
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n    ");
        io::Error::new(
            kind,
            format!(
                "{} {what}; its log ends with:\n    {tail}",
                program.display()
            ),
        )
    }

    /// Ends the program if it is still there, and leaves the directory to a successor.
    pub(super) fn make_way(mut self) -> io::Result<()> {
        if let Some(pipe) = &mut self.pipe {
            pipe.write_all(b"keep\n")?;
        }
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        drop(self.pipe.take());
        self.shell.wait()?;
        // The next program in this directory may get the same id.
        match fs::remove_file(&self.ended) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn read_log(&self) -> io::Result<String> {
        let mut log = File::open(&self.log)?;
        log.seek(SeekFrom::Start(self.log_start))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Nobody is left to tell; the shell does its work even if we cannot wait for it.
        let _ = self.close();
    }
}

pub(super) fn log_path(directory: &Path) -> PathBuf {
    directory.join("log")
}

/// Sends a signal by its name, such as `STOP`. The shell's `kill` is the way without `unsafe`.
pub(super) fn signal(pid: u32, name: &str) -> io::Result<()> {
    let output = Command::new("sh")
        .args(["-c", r#"kill -s "$0" "$1""#, name, &pid.to_string()])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!(
        "cannot send SIG{name} to process {pid}: {why}"
    )))
}

/// Whether a signal has stopped the process; `None` where the system does not tell.
pub(super) fn is_paused(pid: u32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The state follows the name, which is in parentheses and may hold anything.
    let (_, rest) = status.rsplit_once(')')?;
    Some(rest.trim_start().starts_with('T'))
}

#[cfg(test)]
mod tests {
    use super::{super::directory::Directory, *};
    use std::{
        env, thread,
        time::{Duration, Instant},
    };

    fn poll(what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what} does not happen");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn sleeper(directory: &Directory) -> (Supervised, u32) {
        let script = ["-c", "echo $$; exec sleep 1000"].map(OsString::from);
        let process = Supervised::spawn(Path::new("sh"), &script, directory.path()).unwrap();
        let mut pid = 0;
        poll("the program's first line", || {
            let id = process.read_log().unwrap_or_default().trim().parse();
            pid = id.unwrap_or_default();
            pid != 0
        });
        (process, pid)
    }

    fn is_there(pid: u32) -> bool {
        Command::new("sh")
            .args(["-c", r#"kill -0 "$0" 2>&-"#, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    }

    #[test]
    fn dropping_it_ends_the_program_and_removes_the_directory() {
        let directory = Directory::create("kv-supervised").unwrap();
        let (process, pid) = sleeper(&directory);
        assert!(is_there(pid) && !process.has_ended());
        drop(process);
        assert!(!is_there(pid) && !directory.path().exists());
    }

    #[test]
    fn closing_the_pipe_is_enough() {
        // As when we are killed: nobody waits, nobody removes anything.
        let directory = Directory::create("kv-supervised").unwrap();
        let (mut process, pid) = sleeper(&directory);
        drop(process.pipe.take());
        poll("the end of the program", || !is_there(pid));
        poll("the removal of the directory", || {
            !directory.path().exists()
        });
    }

    #[test]
    fn a_hangup_does_not_end_those_who_clean_up() {
        let directory = Directory::create("kv-supervised").unwrap();
        let (mut process, pid) = sleeper(&directory);
        let group = format!("-{}", process.shell.id());
        let sent = Command::new("sh")
            .args(["-c", r#"kill -s HUP -- "$0""#, &group])
            .status();
        assert!(sent.unwrap().success());
        // It is delivered at once to those who wait; give those time who would die of it.
        thread::sleep(Duration::from_millis(50));
        assert!(is_there(pid));
        drop(process.pipe.take());
        poll("the end of the program", || !is_there(pid));
        poll("the removal of the directory", || {
            !directory.path().exists()
        });
    }

    /// Runs itself again as the owner: only a process of its own can be killed.
    #[test]
    fn a_killed_owner_takes_even_a_stopped_program_along() {
        const ROLE: &str = "KV_SUPERVISED_OWNER";
        if env::var_os(ROLE).is_some() {
            let directory = Directory::create("kv-supervised").unwrap();
            let (_process, pid) = sleeper(&directory);
            signal(pid, "STOP").unwrap();
            poll("the stop", || is_paused(pid) != Some(false));
            println!("\nowner {pid} {}", directory.path().display());
            thread::sleep(Duration::from_secs(60));
            return;
        }
        let module = module_path!().split_once("::").unwrap().1;
        let name = format!("{module}::a_killed_owner_takes_even_a_stopped_program_along");
        let mut owner = Command::new(env::current_exe().unwrap())
            .args([name.as_str(), "--exact", "--nocapture"])
            .env(ROLE, "")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(owner.stdout.take().unwrap());
        let line = output
            .lines()
            .map_while(Result::ok)
            .find(|line| line.starts_with("owner "));
        let line = line.expect("the owner starts its program");
        let mut words = line.split(' ').skip(1);
        let pid = words.next().unwrap().parse().unwrap();
        let directory = PathBuf::from(words.next().unwrap());
        assert!(is_there(pid) && directory.exists());
        owner.kill().unwrap();
        owner.wait().unwrap();
        poll("the end of the program", || !is_there(pid));
        poll("the removal of the directory", || !directory.exists());
    }

    #[test]
    fn a_successor_finds_the_directory() {
        let directory = Directory::create("kv-supervised").unwrap();
        let (process, pid) = sleeper(&directory);
        process.make_way().unwrap();
        assert!(!is_there(pid) && directory.path().exists());
        let (process, successor) = sleeper(&directory);
        assert!(is_there(successor) && !process.has_ended());
    }

    #[test]
    fn notices_the_end_of_the_program_and_shows_its_last_words() {
        let directory = Directory::create("kv-supervised").unwrap();
        let script = ["-c", "echo bind: Address already in use; exit 1"].map(OsString::from);
        let process = Supervised::spawn(Path::new("sh"), &script, directory.path()).unwrap();
        poll("the end of the program", || process.has_ended());
        let error = process.failure(Path::new("sh"), "ended");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("bind: Address"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_has_ended() {
        let directory = Directory::create("kv-supervised").unwrap();
        let process = Supervised::spawn(Path::new("./none"), &[], directory.path()).unwrap();
        poll("the end of the program", || process.has_ended());
    }

    #[test]
    fn stops_and_continues_a_program() {
        let directory = Directory::create("kv-supervised").unwrap();
        let (process, pid) = sleeper(&directory);
        signal(pid, "STOP").unwrap();
        poll("the stop", || is_paused(pid) != Some(false));
        signal(pid, "CONT").unwrap();
        poll("its going on", || is_paused(pid) != Some(true));
        assert!(!process.has_ended());
    }
}
