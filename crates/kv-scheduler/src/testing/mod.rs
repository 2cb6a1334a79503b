//! For tests of what schedules and does tasks: on a store in memory, with a clock that moves when told.
//!
//! Behind the feature `testing`, which belongs into `[dev-dependencies]`.
//!
//! | what is to be shown | how |
//! |---|---|
//! | the code under test schedules the right tasks | [`assert_scheduled!`](crate::assert_scheduled), [`assert_not_scheduled!`](crate::assert_not_scheduled), [`scheduled`] |
//! | the handlers do what they should | [`Worker::drain`](crate::Worker::drain): what is due now |
//! | what happens in the next hours: delays, retries, lapsed leases | [`TestScheduler::drain_for`]: moves the clock from one due time to the next |
//! | the code under test and its handlers, as if they called each other | [`inline`] |
//! | nothing is lost when the store fails | `FaultsLayer::seed(7)` of `kv-conformance`, as a layer in [`TestScheduler::connect`] |
//!
//! ```
//! use kv_core::Kv;
//! use kv_memory::{MemoryConfig, MemoryStore};
//! use kv_scheduler::{Retry, Scheduler, Task, TaskError, TaskOptions, Worker};
//! use kv_scheduler::{assert_not_scheduled, assert_scheduled, testing::TestScheduler};
//! # use serde::{Serialize, Deserialize};
//! use std::time::Duration;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Mail {
//!     to: String,
//! }
//!
//! impl Task for Mail {
//!     const KIND: &'static str = "mail";
//!     type Output = ();
//! }
//!
//! /// The code under test.
//! async fn sign_up(scheduler: &Scheduler, name: &str) -> kv_core::Result<()> {
//!     scheduler.enqueue(Mail { to: name.into() }).await?;
//!     Ok(())
//! }
//!
//! async fn send_mail(_: Mail) -> Result<(), TaskError> {
//!     Err("no route to the server".into())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> kv_core::Result<()> {
//! let test = TestScheduler::connect(|clock| {
//!     Kv::builder(MemoryStore::with_clock(MemoryConfig::default(), clock))
//! })
//! .await?;
//! sign_up(&test, "ann").await?;
//! assert_scheduled!(test, Mail { to } if to == "ann");
//! assert_not_scheduled!(test, Mail { to } if to == "bob");
//!
//! // 20 attempts, the last about half a day later: at once.
//! let worker = Worker::new(&test).handle(send_mail);
//! let report = test.drain_for(&worker, Duration::from_secs(24 * 3600)).await?;
//! assert_eq!((report.retried, report.dead), (19, 1));
//! # Ok(())
//! # }
//! ```

mod clock;
mod differential;
mod expectation;
mod inline;
mod scheduled;
mod scheduler;

#[doc(hidden)]
pub use self::differential::trace;
pub(crate) use self::inline::run_inline;
pub use self::{
    expectation::Expectation,
    inline::inline,
    scheduled::{Scheduled, scheduled, scheduled_in},
    scheduler::TestScheduler,
};
