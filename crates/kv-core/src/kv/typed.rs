//! Typed values through the handle's codec.

use super::Kv;
use crate::{Key, Result, SetOptions, SetReply, command::Arg};
use serde::{Serialize, de::DeserializeOwned};

impl Kv {
    /// Reads a typed value; `None` if nothing is there.
    ///
    /// # Errors
    /// [`ErrorKind::Codec`](crate::ErrorKind::Codec) if the bytes are not of this type; else as
    /// [`get`](Self::get).
    pub async fn get_as<T: DeserializeOwned>(&self, key: impl Arg<Key>) -> Result<Option<T>> {
        let key: Key = key.into_arg().map_err(|it| it.with_operation("get_as"))?;
        let Some(value) = self.get(key.clone()).await? else {
            return Ok(None);
        };
        let typed = self.codec.decode(&value);
        typed
            .map(Some)
            .map_err(|error| error.with_operation("get_as").with_key(&key))
    }

    /// Writes a typed value.
    ///
    /// # Errors
    /// As [`set_as_with`](Self::set_as_with).
    pub async fn set_as<T: Serialize + ?Sized>(&self, key: impl Arg<Key>, value: &T) -> Result<()> {
        let written = self.set_as_with(key, value, SetOptions::default());
        written.await.map(drop)
    }

    /// Writes a typed value, with a time to live and a condition.
    ///
    /// # Errors
    /// [`ErrorKind::Codec`](crate::ErrorKind::Codec) if it cannot be encoded; else as
    /// [`set_with`](Self::set_with).
    pub async fn set_as_with<T: Serialize + ?Sized>(
        &self,
        key: impl Arg<Key>,
        value: &T,
        options: impl Arg<SetOptions>,
    ) -> Result<SetReply> {
        let key: Key = key.into_arg().map_err(|it| it.with_operation("set_as"))?;
        let encoded = self.codec.encode(value);
        let value = encoded.map_err(|error| error.with_operation("set_as").with_key(&key))?;
        self.set_with(key, value, options).await
    }
}
