//! What cases look at most often.

use super::Bench;
use crate::failure::{Failure, Verdict, ensure, ensure_eq};
use kv_core::{Key, TimeToLive};
use std::time::Duration;

impl Bench {
    /// Fails unless the key holds exactly these bytes.
    ///
    /// # Errors
    /// The failure.
    #[track_caller]
    pub fn holds<'a>(
        &'a self,
        key: &'a Key,
        expected: impl AsRef<[u8]>,
    ) -> impl Future<Output = Verdict> + Send + 'a {
        let expected = Some(expected.as_ref().escape_ascii().to_string());
        let mismatch = Failure::new(String::new());
        async move {
            let found = self.kv.get(key).await?;
            let found = found.map(|value| value.as_bytes().escape_ascii().to_string());
            match found == expected {
                true => Ok(()),
                false => Err(mismatch.saying(format!(
                    "`{key}`: expected {}, got {}",
                    cut(expected),
                    cut(found)
                ))),
            }
        }
    }

    /// Fails if a string is at the key.
    ///
    /// # Errors
    /// The failure.
    pub async fn lacks(&self, key: &Key) -> Verdict {
        let found = self.kv.get(key).await?;
        let found = found.map(|value| value.as_bytes().escape_ascii().to_string());
        ensure!(
            found.is_none(),
            "`{key}`: expected nothing, got {}",
            cut(found)
        );
        Ok(())
    }

    /// Fails unless the key has the deadline that a write without one gets in this stack: none, or
    /// that of a layer.
    ///
    /// # Errors
    /// The failure.
    pub async fn has_default_deadline(&self, key: &Key) -> Verdict {
        let left = self.kv.time_to_live(key).await?;
        match (self.settings().unset_ttl, left) {
            (None, TimeToLive::NoExpiry) => Ok(()),
            (Some(ttl), TimeToLive::In(left)) if left <= ttl && left > ttl / 2 => Ok(()),
            (ttl, left) => Err(Failure::new(format!(
                "`{key}`: expected the deadline of a write that sets none ({ttl:?}), got {left:?}"
            ))),
        }
    }

    /// What is left of a key's life.
    ///
    /// # Errors
    /// A failure if the key is not there or has no deadline.
    pub async fn left(&self, key: &Key) -> Verdict<Duration> {
        match self.kv.time_to_live(key).await? {
            TimeToLive::In(left) => Ok(left),
            other => Err(Failure::new(format!(
                "`{key}`: expected a deadline, got {other:?}"
            ))),
        }
    }

    /// Fails unless a key without deadline is there.
    ///
    /// # Errors
    /// The failure.
    pub async fn lives_for_ever(&self, key: &Key) -> Verdict {
        let left = self.kv.time_to_live(key).await?;
        ensure_eq!(left, TimeToLive::NoExpiry, "`{key}`: the time to live");
        Ok(())
    }
}

fn cut(text: Option<String>) -> String {
    match text {
        None => "nothing".to_owned(),
        Some(text) if text.len() <= 80 => format!("\"{text}\""),
        Some(text) => format!("\"{}…\" ({} characters)", &text[..80], text.len()),
    }
}
