use super::Kv;
use crate::{Cursor, Error, Key, Prefixes, Result, ScanFrom};
use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt, stream};

/// How many keys a stream asks for at a time.
const PAGE: u32 = 500;

enum Next {
    Page(ScanFrom),
    End,
}

impl From<Option<Cursor>> for Next {
    fn from(next: Option<Cursor>) -> Self {
        match next {
            Some(cursor) => Self::Page(ScanFrom::Cursor(cursor)),
            None => Self::End,
        }
    }
}

impl Kv {
    /// Streams the keys that start with a prefix, of any type, page by page.
    ///
    /// A key that is there throughout comes at least once; where a store repeats itself, twice. The
    /// keys are those of the context in which this is called, wherever the stream is polled.
    ///
    /// # Errors
    /// As [`scan_page`](Self::scan_page), after which the stream ends.
    pub fn scan(
        &self,
        prefix: impl Into<Prefixes>,
    ) -> impl Stream<Item = Result<Key>> + Send + Unpin + 'static {
        // The pages are fetched wherever the stream is polled, which may be another tenant's task.
        let kv = self.bind(self.caller().unwrap_or_default());
        let prefixes = prefix.into();
        stream::try_unfold(Next::Page(ScanFrom::Start), move |next| {
            let (kv, prefixes) = (kv.clone(), prefixes.clone());
            async move {
                let Next::Page(from) = next else {
                    return Ok::<_, Error>(None);
                };
                let page = kv.scan_page(prefixes, from, PAGE).await?;
                let keys = stream::iter(page.keys).map(Ok::<_, Error>);
                Ok(Some((keys, page.next.into())))
            }
        })
        .try_flatten()
        .boxed()
    }
}
