//! A clock that only grows, and that goes on while the machine sleeps wherever the system has one.

use std::time::Duration;

/// The time since the machine was started.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn uptime() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(target_vendor = "apple")]
    // There it goes on while the machine sleeps, unlike `Instant`.
    const CLOCK: ClockId = ClockId::Monotonic;
    #[cfg(not(target_vendor = "apple"))]
    const CLOCK: ClockId = ClockId::Boottime;
    // Neither is ever negative.
    let time = clock_gettime(CLOCK);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The time since this was first asked. Windows counts sleep in it, others may not.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn uptime() -> Duration {
    use crate::Stopwatch;
    use std::sync::LazyLock;
    static START: LazyLock<Stopwatch> = LazyLock::new(Stopwatch::start);
    START.elapsed()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::uptime;
    use std::{fs, time::Duration};

    /// The system's own tells the same; it counts the time asleep.
    #[test]
    fn it_is_the_clock_that_counts_sleep() {
        let theirs = || {
            let text = fs::read_to_string("/proc/uptime").unwrap();
            let seconds = text.split(' ').next().unwrap().parse().unwrap();
            Duration::from_secs_f64(seconds)
        };
        // It tells hundredths.
        let (before, now) = (theirs(), uptime() + Duration::from_millis(10));
        assert!(before <= now, "{before:?}, {now:?}");
        assert!(uptime() <= theirs() + Duration::from_millis(20));
    }
}
