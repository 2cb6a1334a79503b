use super::Kv;
use crate::{Error, ErrorKind, Result};
use std::{
    any::{TypeId, type_name},
    time::Duration,
};

/// How a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// Whether it answers.
    pub available: bool,
    /// How long the answer took.
    pub latency: Duration,
    /// Why it is not available.
    pub reason: Option<String>,
}

impl Health {
    /// It does not answer.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self {
            available: false,
            latency: Duration::ZERO,
            reason: Some(reason.into()),
        }
    }

    /// It answered after this time, or failed to.
    pub fn measured(latency: Duration, failure: Option<Error>) -> Self {
        Self {
            available: failure.is_none(),
            latency,
            reason: failure.map(|error| error.to_string()),
        }
    }
}

impl Kv {
    /// Establishes the connection, once: later calls return at once.
    ///
    /// # Errors
    /// The provider's if the store cannot be reached, [`ErrorKind::Closed`] after
    /// [`close`](Self::close).
    pub async fn connect(&self) -> Result<()> {
        self.shared.service.connect().await?;
        let service = &self.shared.service;
        self.shared
            .capabilities
            .get_or_init(|| service.capabilities());
        Ok(())
    }

    /// Lets go of connections and background tasks, for all clones. Data stays.
    ///
    /// Later calls answer [`ErrorKind::Closed`]; calls under way end with their own result, at the
    /// latest at their deadline. Closing twice is harmless.
    pub async fn close(&self) {
        self.shared.service.close().await;
    }

    /// How the store is: whether it answers, how fast, and if not, why.
    pub async fn health(&self) -> Health {
        self.shared.service.health().await
    }

    /// Whether the store answers.
    pub async fn is_available(&self) -> bool {
        self.health().await.available
    }

    /// The driver's own handle, through any stack: what the contract does not cover. Layers do not
    /// see what is done with it, so keys have no prefix but [`resolve`](Self::resolve)'s.
    ///
    /// Each provider documents the types it offers.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the store has no handle of this type.
    pub fn native<T: Send + 'static>(&self) -> Result<T> {
        let handle = self.shared.service.native(TypeId::of::<T>());
        match handle.and_then(|handle| handle.downcast().ok()) {
            Some(handle) => Ok(*handle),
            None => Err(Error::new(
                ErrorKind::Unsupported,
                "this store has no such native handle",
            )
            .with_operation("native")
            .with_context("type", type_name::<T>())),
        }
    }

    /// The driver's asynchronous client; the same as [`native`](Self::native).
    ///
    /// # Errors
    /// As [`native`](Self::native).
    pub fn get_final_client<T: Send + 'static>(&self) -> Result<T> {
        self.native()
    }

    /// A new blocking client of the driver, outside this store's lifecycle; the same as
    /// [`native`](Self::native).
    ///
    /// # Errors
    /// As [`native`](Self::native).
    pub fn get_sync_client<T: Send + 'static>(&self) -> Result<T> {
        self.native()
    }
}
