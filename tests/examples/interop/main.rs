//! Interop of string keys on etcd with a client that nobody here wrote: `aetcd`, for Python.
//!
//! ```text
//! cargo xtask interop        # brings etcd and the client along
//! ```
//!
//! Each check has both sides at the same keys; what the other side sees is told in a table. The exit
//! code is 1 if anything is not as documented.

mod deadlines;
mod peer;
mod site;
mod strings;
mod waits;

use site::{Checked, Site};
use std::{env, error::Error, ffi::OsString, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well.
async fn run() -> Result<bool, Box<dyn Error>> {
    let usage = "run `cargo xtask interop`, which knows the server and the Python to use";
    let python: OsString = env::args_os().nth(1).ok_or(usage)?;
    let url = env::var("KV_ETCD_URL").map_err(|_| usage)?;
    let site = Site::start(&url, &python).await?;
    let mut journal = Journal::default();
    check_all(&site, &mut journal).await;
    site.end().await?;
    Ok(journal.close())
}

async fn check_all(site: &Site, journal: &mut Journal) {
    /// The name of the function is the name of the check.
    macro_rules! check {
        ($($module:ident::$name:ident)*) => {
            $(journal.enter(stringify!($name), $module::$name(site).await);)*
        };
    }
    check! {
        strings::written_here_read_there
        strings::written_there_read_here
        strings::listed_on_both_sides
        strings::deleted_here
        strings::deleted_there
        strings::compared_and_set
        strings::created_once
        strings::counted_together
        strings::marked_values_are_told_apart
        waits::python_watches_what_we_do
        waits::we_watch_what_python_does
        waits::wait_for_key_wakes
        waits::wait_for_value_wakes
        waits::wait_for_keys_wakes
        deadlines::header_is_read_and_the_lease_removes_it
        deadlines::held_ends_with_the_lease
        deadlines::a_header_written_there_counts_here
        deadlines::a_lease_of_python_removes_a_plain_string
        deadlines::written_over_loses_its_deadline
    }
}

/// What was checked.
#[derive(Default)]
struct Journal {
    checks: usize,
    failed: usize,
}

impl Journal {
    fn enter(&mut self, name: &str, checked: Checked) {
        let name = name.replace('_', " ");
        self.checks += 1;
        match checked {
            Ok(seen) => println!("ok      {name:<45} {seen}"),
            Err(error) => {
                self.failed += 1;
                println!("FAILED  {name:<45} {error}");
            }
        }
    }

    /// Whether all is well.
    fn close(self) -> bool {
        println!("\n{} checks, {} failed", self.checks, self.failed);
        self.checks > 0 && self.failed == 0
    }
}
