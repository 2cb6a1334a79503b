#![doc = include_str!("../README.md")]

mod args;
mod command;
mod exit;
mod output;
mod store;
mod text;

use clap::{CommandFactory, Parser};
use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

pub use self::exit::Exit;

use self::{
    args::{Args, Invocation, StoreArgs, limits::LimitVerb},
    exit::Failure,
    output::{Form, Output},
};

/// The whole program, on this process's arguments and streams.
pub fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return Exit::Failed.into();
        }
    };
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let exit = runtime.block_on(run(env::args_os(), &mut out, &mut err));
    exit.into()
}

/// One command: the first of the arguments is the program's name. What is found goes to `out`, what
/// else there is to say to `err`.
///
/// # Cancel safety
/// As that of the command on the store.
pub async fn run<A>(
    args: impl IntoIterator<Item = A>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Exit
where
    A: Into<OsString> + Clone,
{
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => return parsed(&error, out, err),
    };
    let done = execute(args, out, err).await;
    done.unwrap_or_else(|failure| failure.tell(err))
}

async fn execute(args: Args, out: &mut dyn Write, err: &mut dyn Write) -> Result<Exit, Failure> {
    let form = match args.json {
        true => Form::Programs,
        false => Form::People,
    };
    let mut out = Output::new(out, err, form);
    let verb = match args.invocation {
        Invocation::Store(verb) => verb,
        Invocation::Tasks(tasks) => {
            let (kv, settings) = store::open_scheduler(&args.store, &mut out).await?;
            let context = store::context(&args.store);
            let done = command::tasks(&kv, tasks, &settings, context, &mut out).await;
            kv.close().await;
            return done;
        }
        Invocation::Locks(locks) => {
            store::keys_can_be_named(&args.store)?;
            let kv = store::open_locks(&args.store, &mut out).await?;
            let done = command::locks(&kv, locks.verb, &mut out).await;
            kv.close().await;
            return done;
        }
        Invocation::Limits(limits) => {
            return self::limits(&args.store, limits.verb, &mut out).await;
        }
        Invocation::Cache(caches) => {
            store::keys_can_be_named(&args.store)?;
            let stores = store::open_cache(&args.store, caches.name(), &mut out).await?;
            let done = command::cache::run(&stores, caches.verb, &mut out).await;
            stores.close().await;
            return done;
        }
        Invocation::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "kv", &mut script);
            out.raw(&script)?;
            return Ok(Exit::Found);
        }
    };
    store::keys_can_be_named(&args.store)?;
    let kv = store::open(&args.store, &mut out).await?;
    let done = command::run(&kv, verb, &mut out).await;
    kv.close().await;
    done
}

async fn limits(
    choice: &StoreArgs,
    verb: LimitVerb,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let (factory, settings) = store::limit_settings(choice)?;
    let verb = match verb {
        LimitVerb::Ls => return command::limits::ls(&settings, out),
        LimitVerb::OfSubject(verb) => verb,
    };
    let kv = store::open_limits(choice, &factory, &settings, out).await?;
    let done = command::limits::run(&kv, &settings, verb, out).await;
    kv.close().await;
    done
}

/// What the parser has to say: help and the version are no errors.
fn parsed(error: &clap::Error, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let say = |stream: &mut dyn Write| write!(stream, "{error}").and_then(|()| stream.flush());
    // Where nobody listens there is nobody to tell.
    if error.use_stderr() {
        let _ = say(err);
        return Exit::Failed;
    }
    let _ = say(out);
    Exit::Found
}
