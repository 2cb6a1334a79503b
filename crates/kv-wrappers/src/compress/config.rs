use kv_core::{Error, ErrorKind, Result};
use serde::Deserialize;

/// How values are compressed, and what is done with those that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CompressConfig {
    /// What new values are compressed with; both can be read at any time.
    pub algorithm: Algorithm,
    /// The level of zstd, 3 unless set: more is smaller and slower. LZ4 has none.
    #[cfg_attr(feature = "schema", schemars(range(min = -131_072, max = 22)))]
    pub level: Option<i32>,
    /// Shorter values are stored as they are; in bytes.
    pub threshold_bytes: usize,
    /// The longest value that is written, and that a stored one may unpack to; in bytes, below 4 GiB.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 4_294_967_295_u32)))]
    pub max_unpacked_bytes: usize,
    /// What a value is taken for that this layer did not write.
    pub legacy: LegacyValues,
}

impl Default for CompressConfig {
    /// zstd at its level 3 from 1 KiB on, up to 64 MiB; values of another origin are refused.
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Zstd,
            level: None,
            threshold_bytes: 1 << 10,
            max_unpacked_bytes: 64 << 20,
            legacy: LegacyValues::Refuse,
        }
    }
}

impl CompressConfig {
    /// With this algorithm.
    #[must_use]
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// With this level of zstd.
    #[must_use]
    pub fn level(mut self, level: i32) -> Self {
        self.level = Some(level);
        self
    }

    /// Compressing values of this length and longer, in bytes.
    #[must_use]
    pub fn threshold_bytes(mut self, bytes: usize) -> Self {
        self.threshold_bytes = bytes;
        self
    }

    /// With values up to this length, in bytes.
    #[must_use]
    pub fn max_unpacked_bytes(mut self, bytes: usize) -> Self {
        self.max_unpacked_bytes = bytes;
        self
    }

    /// With this treatment of values that the layer did not write.
    #[must_use]
    pub fn legacy(mut self, legacy: LegacyValues) -> Self {
        self.legacy = legacy;
        self
    }

    /// The level for zstd, once all settings fit together.
    pub(super) fn checked_level(&self) -> Result<i32> {
        let config = |message: String| Error::new(ErrorKind::Config, message);
        if self.max_unpacked_bytes == 0 || u32::try_from(self.max_unpacked_bytes).is_err() {
            return Err(config(format!(
                "max_unpacked_bytes must be from 1 to {}; 67108864 is usual",
                u32::MAX
            )));
        }
        let levels = zstd::compression_level_range();
        match (self.algorithm, self.level) {
            (Algorithm::Lz4, Some(_)) => Err(config(
                "lz4 has no level; drop `level`, or choose algorithm = \"zstd\"".to_owned(),
            )),
            (_, None) => Ok(zstd::DEFAULT_COMPRESSION_LEVEL),
            (_, Some(level)) if levels.contains(&level) && level != 0 => Ok(level),
            (_, Some(level)) => Err(config(format!(
                "zstd has no level {level}; choose one from 1 to {}, or a negative one down to {} that is faster still",
                levels.end(),
                levels.start()
            ))),
        }
    }
}

/// What values are compressed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Algorithm {
    /// Smaller than LZ4, and slower to write.
    #[default]
    Zstd,
    /// Faster than zstd, and larger.
    Lz4,
}

/// What a value is taken for that a layer did not write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LegacyValues {
    /// For damage: reading it fails.
    #[default]
    Refuse,
    /// For one from the time before the layer, to be read as it is. A frame is a frame still, also a
    /// damaged one.
    Read,
}
