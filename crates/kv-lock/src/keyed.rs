//! Locks whose names are made of values.

use crate::{Lock, LockManager};
use kv_core::{NameTemplate, TemplateError};
use std::fmt::Display;

/// Locks whose names are made of values; [`LockManager::keyed`] makes it.
#[derive(Clone, Debug)]
pub struct Keyed {
    locks: LockManager,
    template: NameTemplate,
}

impl LockManager {
    /// Locks whose names are made of values by a template, which is read once.
    ///
    /// ```
    /// # use kv_lock::LockManager;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
    /// let locks = LockManager::new(&kv)?;
    /// let orders = locks.keyed("orders/{tenant}/{id}")?;
    /// let order = orders.with(&[("tenant", &"acme"), ("id", &42)])?;
    /// let done = order.wait(Duration::from_secs(5)).run(async { "charged" }).await?;
    /// # assert_eq!(done, "charged");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As reading a [`NameTemplate`].
    pub fn keyed(&self, template: &str) -> Result<Keyed, TemplateError> {
        Ok(Keyed {
            locks: self.clone(),
            template: template.parse()?,
        })
    }
}

impl Keyed {
    /// The lock of these values, each with its name, in any order.
    ///
    /// # Errors
    /// As [`NameTemplate::name`].
    pub fn with(&self, values: &[(&str, &dyn Display)]) -> Result<Lock, TemplateError> {
        Ok(self.locks.lock(self.template.name(values)?))
    }
}
