//! What a computation came to, by the values that it was made of.

use crate::{cache::Cache, error::LoadError, key::CacheKey, load::Loaded, shared::CacheValue};
use kv_core::{NameTemplate, Result, TemplateError};
use std::{
    fmt::{self, Display},
    sync::Arc,
};

/// Entries whose names are made of values by a template; [`Cache::keyed`] makes it.
pub struct Keyed<V> {
    cache: Cache<str, V>,
    template: NameTemplate,
}

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// What the future comes to, or came to not long ago: [`get_or_load`](Self::get_or_load) for who needs nothing of
    /// the loader's context. The future is dropped where it is not needed.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn cached<T, E>(
        &self,
        key: &K,
        load: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<Arc<V>, LoadError<E>>
    where
        T: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        self.get_or_load(key, |_| load).await
    }
}

impl<V: CacheValue> Cache<str, V> {
    /// Entries whose names are made of values by a template, which is read once: different values are different
    /// entries, whatever is in them.
    ///
    /// ```
    /// use kv_cache::{Cache, Near};
    /// use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = Cache::<str, u32>::builder("prices").near(Near::megabytes(1)).build()?;
    /// let prices = cache.keyed("{shop}/{product}")?;
    /// let apple = [("shop", &7 as _), ("product", &"apple" as _)];
    /// let price = prices.cached(&apple, async { Ok::<u32, Infallible>(3) }).await?;
    /// assert_eq!(*price, 3);
    /// // It has changed.
    /// prices.remove(&apple).await?;
    /// assert_eq!(*prices.cached(&apple, async { Ok::<u32, Infallible>(4) }).await?, 4);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As reading a [`NameTemplate`].
    pub fn keyed(&self, template: &str) -> Result<Keyed<V>, TemplateError> {
        Ok(Keyed {
            cache: self.clone(),
            template: template.parse()?,
        })
    }
}

impl<V: CacheValue> Keyed<V> {
    /// What the future comes to, or came to not long ago for these values: [`Cache::cached`].
    ///
    /// # Errors
    /// As [`Cache::get_or_load`]; [`LoadError::Refused`] unless there is one value for each name in the template.
    pub fn cached<T, E>(
        &self,
        values: &[(&str, &dyn Display)],
        load: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> impl Future<Output = Result<Arc<V>, LoadError<E>>> + Send
    where
        T: Into<Loaded<V>>,
        E: Send + Sync + 'static,
    {
        let name = self.template.name(values);
        async move {
            let name = name.map_err(|error| LoadError::Refused(error.into()))?;
            self.cache.cached(name.as_str(), load).await
        }
    }

    /// Removes the entry of these values: [`Cache::remove`].
    ///
    /// # Errors
    /// As [`Cache::remove`], and as [`NameTemplate::name`].
    pub fn remove(
        &self,
        values: &[(&str, &dyn Display)],
    ) -> impl Future<Output = Result<()>> + Send {
        let name = self.template.name(values);
        async move { self.cache.remove(name?.as_str()).await }
    }

    /// Makes the entry of these values stale: [`Cache::expire`].
    ///
    /// # Errors
    /// As [`Cache::expire`], and as [`NameTemplate::name`].
    pub fn expire(
        &self,
        values: &[(&str, &dyn Display)],
    ) -> impl Future<Output = Result<()>> + Send {
        let name = self.template.name(values);
        async move { self.cache.expire(name?.as_str()).await }
    }
}

impl<V> Clone for Keyed<V> {
    fn clone(&self) -> Self {
        Self {
            cache: self.cache.clone(),
            template: self.template.clone(),
        }
    }
}

impl<V> fmt::Debug for Keyed<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("cache", &self.cache)
            .field("template", &self.template)
            .finish()
    }
}
