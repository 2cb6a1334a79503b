//! In which form payloads and results are stored.

use kv_core::{Codec, Result, Value};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// In which form payloads and results are stored. Each task says so itself, so a kind may change its
/// form while old tasks wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PayloadCodec {
    /// JSON: readable with any tool.
    #[default]
    #[serde(rename = "j")]
    Json,
    /// MessagePack with named fields: shorter, and as tolerant of added fields.
    #[serde(rename = "m")]
    MessagePack,
}

impl PayloadCodec {
    pub(crate) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Value> {
        self.codec().encode(value)
    }

    pub(crate) fn decode<T: DeserializeOwned>(self, value: &Value) -> Result<T> {
        self.codec().decode(value)
    }

    fn codec(self) -> Codec {
        match self {
            Self::Json => Codec::JSON,
            Self::MessagePack => Codec::MESSAGE_PACK,
        }
    }
}
