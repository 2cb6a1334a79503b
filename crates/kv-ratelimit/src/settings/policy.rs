//! A policy in a configuration.

use crate::{
    OnError, Policy, PolicyError, Quota, QuotaError, Tier,
    policy::{DEADLINE, LEASE_AGE},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, num::NonZeroU32, time::Duration};

/// A policy: a quota, and how it is applied. A text instead of a table is the quota alone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PolicySettings {
    /// How much may pass, as [`Quota`] has it in a text. It is parsed with the whole section, since what is wrong with it is
    /// told then.
    pub quota: String,
    /// How often the store is asked.
    pub tier: TierSetting,
    /// The most units that the tier `leased` takes in advance.
    pub max_batch: Option<u64>,
    /// For how long they are good.
    pub lease_age: Option<Duration>,
    /// What is decided when the store cannot be asked.
    pub on_error: OnErrorSetting,
    /// The share of the quota that a process has to itself meanwhile.
    pub local_share: Option<f64>,
    /// How long the store may take to decide.
    pub deadline: Duration,
    /// Whether the policy is only tried out.
    pub shadow: bool,
    /// Subjects that are not limited.
    pub allow: Vec<String>,
    /// Beyond so many times the quota nobody asks the store.
    pub flood_guard: Option<NonZeroU32>,
}

/// How often the store is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TierSetting {
    /// What suits the store: `mirrored`, but `leased` on etcd where the quota can be.
    #[default]
    Auto,
    /// For each request.
    Strict,
    /// For each request but those that are known to be denied.
    Mirrored,
    /// Once for many requests: a process takes units in advance.
    Leased,
    /// Never: each process has the whole quota to itself.
    InProcess,
}

/// What is decided when the store cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnErrorSetting {
    /// Nothing: the caller gets the error.
    #[default]
    Fail,
    /// The request passes.
    Allow,
    /// It does not.
    Deny,
    /// The process has its `local_share` of the quota to itself meanwhile.
    Local,
}

impl PolicySettings {
    /// A quota, applied as suits the store.
    pub fn new(quota: impl fmt::Display) -> Self {
        Self {
            quota: quota.to_string(),
            tier: TierSetting::default(),
            max_batch: None,
            lease_age: None,
            on_error: OnErrorSetting::default(),
            local_share: None,
            deadline: DEADLINE,
            shadow: false,
            allow: Vec::new(),
            flood_guard: None,
        }
    }

    pub(crate) fn policy(&self, name: &str) -> Result<Policy, PolicyError> {
        let quota: Result<Quota, QuotaError> = self.quota.parse();
        let quota = quota.map_err(|error| PolicyError::new(name, error.to_string()))?;
        let mut policy = Policy::new(quota)
            .tier(self.tier(name)?)
            .on_error(self.on_error(name)?)
            .deadline(self.deadline)
            .allow(&self.allow);
        if self.shadow {
            policy = policy.shadow();
        }
        Ok(match self.flood_guard {
            Some(times) => policy.flood_guard(times),
            None => policy,
        })
    }

    fn tier(&self, name: &str) -> Result<Tier, PolicyError> {
        let only_leased = |setting: &str| {
            let reason =
                format!("`{setting}` is about the tier `leased`; set `tier = \"leased\"` too");
            Err(PolicyError::new(name, reason))
        };
        match self.tier {
            TierSetting::Leased => {
                return Ok(Tier::Leased {
                    max_batch: self.max_batch,
                    age: self.lease_age.unwrap_or(LEASE_AGE),
                });
            }
            _ if self.max_batch.is_some() => return only_leased("max_batch"),
            _ if self.lease_age.is_some() => return only_leased("lease_age"),
            _ => {}
        }
        Ok(match self.tier {
            TierSetting::Strict => Tier::Strict,
            TierSetting::Mirrored => Tier::Mirrored,
            TierSetting::InProcess => Tier::InProcess,
            TierSetting::Auto | TierSetting::Leased => Tier::Auto,
        })
    }

    fn on_error(&self, name: &str) -> Result<OnError, PolicyError> {
        let wrong = |reason: &str| Err(PolicyError::new(name, reason));
        match (self.on_error, self.local_share) {
            (OnErrorSetting::Local, Some(share)) => Ok(OnError::Local { share }),
            (OnErrorSetting::Local, None) => wrong(
                "`on_error = \"local\"` needs a `local_share`: 1 by the number of processes, such as 0.25",
            ),
            (_, Some(_)) => wrong("`local_share` is about errors; set `on_error = \"local\"` too"),
            (OnErrorSetting::Fail, None) => Ok(OnError::Fail),
            (OnErrorSetting::Allow, None) => Ok(OnError::Allow),
            (OnErrorSetting::Deny, None) => Ok(OnError::Deny),
        }
    }
}

impl<'de> Deserialize<'de> for PolicySettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = PolicySettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quota such as \"100/min burst 20\", or a table with a `quota`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PolicySettings, E> {
        Ok(PolicySettings::new(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PolicySettings, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(PolicySettings {
            quota: table.quota,
            tier: table.tier,
            max_batch: table.max_batch,
            lease_age: table.lease_age,
            on_error: table.on_error,
            local_share: table.local_share,
            deadline: table.deadline,
            shadow: table.shadow,
            allow: table.allow,
            flood_guard: table.flood_guard,
        })
    }
}

/// A policy: a quota, and how it is applied. A text instead of a table is the quota alone.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Table {
    /// How much may pass, such as `100/min burst 20`, `1000/1h sliding`,
    /// `10000/month calendar Europe/Berlin` or `10 concurrent lease 30s`.
    quota: String,
    /// How often the store is asked.
    #[serde(default)]
    tier: TierSetting,
    /// The most units that the tier `leased` takes in advance; absent means an eighth of the burst.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    max_batch: Option<u64>,
    /// For how long units are good that the tier `leased` takes in advance; what is left then goes
    /// back. Absent means 100ms.
    #[serde(default, with = "humantime_serde")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<kv_core::schema::HumanDuration>", extend("x-minimum" = "1ms", "x-maximum" = "1min"))
    )]
    lease_age: Option<Duration>,
    /// What is decided when the store cannot be asked.
    #[serde(default)]
    on_error: OnErrorSetting,
    /// The share of the quota that each process has to itself while the store cannot be asked, with
    /// `on_error = "local"`; one by the number of processes keeps the sum at the quota.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))
    )]
    local_share: Option<f64>,
    /// How long the store may take to decide.
    #[serde(default = "usual_deadline", with = "humantime_serde")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "kv_core::schema::HumanDuration", extend("x-exclusive-minimum" = "0s"))
    )]
    deadline: Duration,
    /// Whether the policy is only tried out: what it denies passes all the same, and is counted.
    #[serde(default)]
    shadow: bool,
    /// These subjects are not limited; a `*` at the end stands for any text.
    #[serde(default)]
    allow: Vec<String>,
    /// What goes beyond so many times the quota from one process alone is denied there, without asking
    /// the store.
    #[serde(default)]
    flood_guard: Option<NonZeroU32>,
}

fn usual_deadline() -> Duration {
    DEADLINE
}

/// What a table has, or a text.
#[cfg(feature = "schema")]
impl schemars::JsonSchema for PolicySettings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PolicySettings".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = Table::json_schema(generator);
        schema.insert("type".to_owned(), ["string", "object"].into());
        schema
    }
}
