//! The settings of a lock, for what is made of locks.

/// Writes them as methods that hand them on with `self.each(change)`, where `change` takes a lock.
macro_rules! lock_settings {
    () => {
        /// For how long it is held without being renewed; see [`Lock::lease`](crate::Lock::lease).
        pub fn lease(self, lease: std::time::Duration) -> Self {
            self.each(|lock| lock.lease(lease))
        }

        /// How much longer the store keeps others out; see [`Lock::grace`](crate::Lock::grace).
        pub fn grace(self, grace: std::time::Duration) -> Self {
            self.each(|lock| lock.grace(grace))
        }

        /// The longest that it is held; see [`Lock::max_hold`](crate::Lock::max_hold).
        pub fn max_hold(self, most: std::time::Duration) -> Self {
            self.each(|lock| lock.max_hold(most))
        }

        /// The longest that the work may give no sign of life; see
        /// [`Lock::heartbeat_within`](crate::Lock::heartbeat_within).
        pub fn heartbeat_within(self, most: std::time::Duration) -> Self {
            self.each(|lock| lock.heartbeat_within(most))
        }

        /// What operators learn of who holds it; see [`Lock::metadata`](crate::Lock::metadata).
        pub fn metadata(self, metadata: impl Into<bytes::Bytes>) -> Self {
            let metadata = metadata.into();
            self.each(|lock| lock.metadata(metadata.clone()))
        }
    };
}

pub(crate) use lock_settings;
