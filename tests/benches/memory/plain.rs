//! The bare map as a store: what of a ratio is the way through `Kv`, and what the memory store.

use crate::reference_map::Sharded;
use kv_core::{
    Capabilities, Capability, CapabilitySet, Error, ErrorKind, Key, Result, SetOptions, SetReply,
    Store, Value,
};

/// Reads and writes strings, and knows nothing else: no deadlines, no conditions, no other types.
pub(crate) struct PlainStore(pub(crate) Sharded);

impl Store for PlainStore {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(CapabilitySet::NONE.with(Capability::Strings))
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        Ok(self.0.get(text(&key)?).map(Value::new))
    }

    async fn set_with(&self, key: Key, value: Value, _: SetOptions) -> Result<SetReply> {
        self.0.set(text(&key)?, value.into_bytes());
        Ok(SetReply::applied())
    }
}

fn text(key: &Key) -> Result<&str> {
    str::from_utf8(key.as_bytes())
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, "the key is not text"))
}
