//! What callers do with tags.

use super::{Change, TagName, sight};
use crate::{
    again::Target, cache::Cache, events::By, key::CacheKey, shared::CacheValue, under_way::UnderWay,
};
use futures_util::future::join;
use kv_core::Result;

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// A handle on the same cache: what is loaded or written by it has these tags, besides those that it had and those
    /// that loaders [name](crate::LoadContext::tag). What is there already keeps those that it has.
    ///
    /// ```
    /// use kv_cache::{Cache, Near};
    /// use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pages = Cache::<str, String>::builder("pages").near(Near::megabytes(1)).build()?;
    /// let shop = pages.tagged(["shop/7"])?;
    /// let load = |text: &'static str| async move { Ok::<_, Infallible>(text.to_owned()) };
    /// shop.cached("/", load("old")).await?;
    /// shop.cached("/about", load("old")).await?;
    /// pages.remove_tag("shop/7").await?;
    /// assert_eq!(*pages.cached("/about", load("new")).await?, "new");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](kv_core::ErrorKind::InvalidArgument) for more than 32 tags, and for one that is
    /// empty or longer than 1,024 bytes.
    pub fn tagged<T: CacheKey>(&self, tags: impl IntoIterator<Item = T>) -> Result<Self> {
        let mut all: Vec<TagName> = self.tags.iter().flat_map(|it| it.iter().cloned()).collect();
        all.extend(tags.into_iter().map(|it| name(&it)));
        all.sort_unstable();
        all.dedup();
        sight::check(&all)?;
        Ok(Self {
            tags: Some(all.into()),
            ..self.clone()
        })
    }

    /// Removes all entries with this tag, at the cost of one call to the store however many there are. When this has
    /// returned, nobody gets one of them here any more, and nothing whose load began before is kept anywhere. Other
    /// processes are told, as by [`remove`](Self::remove).
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn remove_tag(&self, tag: &(impl CacheKey + ?Sized)) -> Result<()> {
        self.change(Some(name(tag)), Change::Removed).await
    }

    /// Makes all entries with this tag stale, as [`expire`](Self::expire) does one, at the cost of one call. What is being
    /// loaded is kept, and stale.
    ///
    /// # Errors
    /// As [`expire`](Self::expire).
    pub async fn expire_tag(&self, tag: &(impl CacheKey + ?Sized)) -> Result<()> {
        self.change(Some(name(tag)), Change::Expired).await
    }

    /// Removes all entries of this caller: those that a tenant's calls can reach. The cost is one call.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn clear(&self) -> Result<()> {
        self.change(None, Change::Removed).await
    }

    /// Makes all entries of this caller stale, as [`expire`](Self::expire) does one, at the cost of one call.
    ///
    /// # Errors
    /// As [`expire`](Self::expire).
    pub async fn expire_all(&self) -> Result<()> {
        self.change(None, Change::Expired).await
    }

    /// Lets nobody have what this process has of this caller's entries: they are asked for at the store again, or loaded
    /// where there is none. Their room is freed when they are asked for, or when others need it.
    ///
    /// # Errors
    /// Those of who resolves names: one that calls without a tenant where there must be one.
    pub fn clear_near(&self) -> Result<()> {
        let scope = self.shared.scope()?;
        self.shared.change_tag(&scope, None, Change::Removed);
        Ok(())
    }

    async fn change(&self, tag: Option<TagName>, change: Change) -> Result<()> {
        let shared = &self.shared;
        if let Some(tag) = &tag {
            sight::check(std::slice::from_ref(tag))?;
        }
        let scope = shared.scope()?;
        shared.change_tag(&scope, tag.as_ref(), change);
        let Some(far) = &shared.far else {
            shared.tell_tag(tag.as_ref(), change, By::Us);
            return Ok(());
        };
        let far = far.caller(|kv, deadline| shared.channel(kv, deadline));
        let name = scope.physical(tag.as_ref());
        let target = Target::Tag(Box::new(far.clone()), scope.clone(), tag.clone());
        let under_way = UnderWay::new(shared, &name, target.clone(), change);
        let beside = shared.target_on_second(&name, &target, change);
        let (done, ()) = join(far.change(tag.as_ref(), change), beside).await;
        // What was read from the store meanwhile.
        shared.change_tag(&scope, tag.as_ref(), change);
        under_way.ended(&done);
        shared.tell_tag(tag.as_ref(), change, By::Us);
        done
    }
}

fn name(tag: &(impl CacheKey + ?Sized)) -> TagName {
    let mut name = Vec::new();
    tag.write(&mut name);
    name.into()
}
