//! What can be scheduled.

use crate::TaskOptions;
use serde::{Serialize, de::DeserializeOwned};

/// What can be scheduled: a payload, the name of what is to be done with it, and what comes of it.
///
/// ```
/// # use kv_scheduler::{Task, TaskOptions, Retry};
/// # use serde::{Serialize, Deserialize};
/// #[derive(Serialize, Deserialize)]
/// struct Mail {
///     to: String,
/// }
///
/// impl Task for Mail {
///     const KIND: &'static str = "mail";
///     type Output = ();
///
///     fn options() -> TaskOptions {
///         TaskOptions::new().queue("mail").retry(Retry::default().attempts(8))
///     }
/// }
/// ```
pub trait Task: Serialize + DeserializeOwned + Send + 'static {
    /// The name on the store. It stays when the type is renamed.
    const KIND: &'static str;

    /// What a handler returns; stored if the task's [`Retention`](crate::Retention) says so.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// What tasks of this kind are scheduled with where the caller says nothing else.
    fn options() -> TaskOptions {
        TaskOptions::default()
    }
}
