//! Whether a process has heard all that the others have told: by the numbers of what each of them tells.
//!
//! A channel may lose, delay, repeat and reorder. A number that is missing for longer than the grace, a sender that has
//! been silent for too long, one that is heard for the first time, and a stream that says it may have missed something:
//! each means that what was kept before is in doubt, and nothing that is kept after it. So what is told of a channel is
//! one instant, since when all has been heard. While our own messages do not come back in time, nothing is.

use super::message::Boot;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// So many senders are told apart; of more the longest silent is forgotten, which is a doubt.
const SENDERS: usize = 1024;
/// So many numbers of one sender may be ahead of one that is missing.
const AHEAD: usize = 256;

/// How long what is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A number that came late, or out of turn.
    pub(crate) hole: Duration,
    /// A sender of whom nothing is heard.
    pub(crate) silence: Duration,
}

/// What is known of one channel.
#[derive(Debug)]
pub(crate) struct Hearing {
    patience: Patience,
    senders: HashMap<Boot, Sender>,
    /// Since then all was heard; `None` while the channel is not listened to.
    sound_since: Option<Duration>,
    /// When the last of our own that came back was sent.
    echo: Duration,
}

#[derive(Debug)]
struct Sender {
    /// All up to this one were heard, or are lost for good.
    upto: u64,
    /// Beyond it these were.
    ahead: BTreeSet<u64>,
    /// The last one that the sender is known to have told.
    told: u64,
    /// Since when one is missing.
    missing_since: Option<Duration>,
    heard: Duration,
}

impl Hearing {
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            patience,
            senders: HashMap::new(),
            sound_since: None,
            echo: Duration::ZERO,
        }
    }

    /// The channel is listened to from now on, or may have missed something just now.
    pub(crate) fn listens(&mut self, now: Duration) {
        // Whatever was missed, it was before this.
        self.senders.clear();
        self.sound_since = Some(now);
        self.echo = now;
    }

    /// What this process sent at that time has come back.
    pub(crate) fn echo(&mut self, sent: Duration) {
        self.echo = self.echo.max(sent);
    }

    /// Something with this number of its own was heard.
    pub(crate) fn heard(&mut self, boot: Boot, number: u64, now: Duration) {
        let Some(sender) = self.sender(boot, number, now) else {
            return;
        };
        if number > sender.upto && sender.ahead.len() < AHEAD {
            sender.ahead.insert(number);
        }
        sender.settle(number, now);
    }

    /// A sender says that this was the last one it told.
    pub(crate) fn beat(&mut self, boot: Boot, number: u64, now: Duration) {
        if let Some(sender) = self.sender(boot, number, now) {
            sender.settle(number, now);
        }
    }

    /// Since when all has been heard that was told; `None` if nothing is. To be asked before what is kept is trusted,
    /// and at least as often as a doubt must be noticed.
    pub(crate) fn sound_since(&mut self, now: Duration) -> Option<Duration> {
        let Patience { hole, silence } = self.patience;
        // What comes so late says nothing about now.
        let mut doubt = now.saturating_sub(self.echo) >= silence;
        let is_late = doubt;
        self.senders.retain(|_, sender| {
            let missing = sender.missing_since;
            if missing.is_some_and(|since| now.saturating_sub(since) >= hole) {
                sender.give_up();
                doubt = true;
            }
            let is_silent = now.saturating_sub(sender.heard) >= silence;
            doubt |= is_silent;
            !is_silent
        });
        if doubt && self.sound_since.is_some() {
            self.sound_since = Some(now);
        }
        self.sound_since.filter(|_| !is_late)
    }

    /// A sender that was heard before; one that was not is known from now on.
    fn sender(&mut self, boot: Boot, number: u64, now: Duration) -> Option<&mut Sender> {
        self.sound_since?;
        if !self.senders.contains_key(&boot) {
            if self.senders.len() >= SENDERS {
                let longest = self.senders.iter().min_by_key(|(_, it)| it.heard);
                let longest = longest.map(|(boot, _)| *boot);
                longest.and_then(|it| self.senders.remove(&it));
            }
            // What it told before may have been lost.
            self.sound_since = Some(now);
            let sender = Sender {
                upto: number,
                ahead: BTreeSet::new(),
                told: number,
                missing_since: None,
                heard: now,
            };
            self.senders.insert(boot, sender);
            return None;
        }
        let sender = self.senders.get_mut(&boot)?;
        sender.heard = now;
        Some(sender)
    }
}

impl Sender {
    /// Goes on over what was heard in turn.
    fn settle(&mut self, number: u64, now: Duration) {
        self.told = self.told.max(number);
        while self.ahead.first().is_some_and(|it| *it <= self.upto + 1) {
            self.upto = self.upto.max(self.ahead.pop_first().unwrap_or_default());
        }
        self.missing_since = match self.told > self.upto {
            true => self.missing_since.or(Some(now)),
            false => None,
        };
    }

    /// What is missing is lost.
    fn give_up(&mut self) {
        self.upto = self.told;
        self.ahead.clear();
        self.missing_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Boot = Boot(1);
    const BOB: Boot = Boot(2);

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Ann is known, with so many told, and all was heard since 10 ms.
    fn hearing(told: u64) -> Hearing {
        let mut hearing = Hearing::new(Patience {
            hole: millis(100),
            silence: millis(1000),
        });
        assert_eq!(hearing.sound_since(millis(0)), None);
        hearing.listens(millis(5));
        // That is another test's.
        hearing.echo(millis(100_000));
        hearing.beat(ANN, told, millis(10));
        hearing
    }

    fn sound(hearing: &mut Hearing, now: u64) -> Option<u64> {
        let since = hearing.sound_since(millis(now));
        since.map(|it| it.as_millis() as u64)
    }

    #[test]
    fn what_comes_in_turn_leaves_no_doubt() {
        let mut hearing = hearing(7);
        for (number, at) in [(8, 20), (9, 30), (9, 40), (8, 50)] {
            hearing.heard(ANN, number, millis(at));
        }
        hearing.beat(ANN, 9, millis(60));
        assert_eq!(sound(&mut hearing, 1059), Some(10));
    }

    #[test]
    fn what_comes_out_of_turn_is_waited_for() {
        let mut hearing = hearing(7);
        for (number, at) in [(10, 20), (9, 30), (8, 119)] {
            hearing.heard(ANN, number, millis(at));
            assert_eq!(sound(&mut hearing, at), Some(10));
        }
        assert_eq!(sound(&mut hearing, 130), Some(10));
    }

    #[test]
    fn what_is_missing_for_too_long_is_a_doubt_and_only_once() {
        for lost_with_a_beat in [false, true] {
            let mut hearing = hearing(7);
            match lost_with_a_beat {
                true => hearing.beat(ANN, 8, millis(20)),
                false => hearing.heard(ANN, 9, millis(20)),
            }
            assert_eq!(sound(&mut hearing, 119), Some(10));
            assert_eq!(sound(&mut hearing, 120), Some(120));
            // It may come yet, and means nothing then.
            hearing.heard(ANN, 8, millis(130));
            hearing.heard(ANN, 9, millis(131));
            hearing.heard(ANN, 10, millis(132));
            assert_eq!(sound(&mut hearing, 300), Some(120));
        }
    }

    #[test]
    fn the_first_missing_one_counts_and_not_the_last() {
        let mut hearing = hearing(7);
        hearing.heard(ANN, 9, millis(20));
        hearing.heard(ANN, 11, millis(100));
        assert_eq!(sound(&mut hearing, 120), Some(120));
    }

    #[test]
    fn who_is_silent_for_too_long_is_a_doubt_and_forgotten() {
        let mut hearing = hearing(7);
        assert_eq!(sound(&mut hearing, 1009), Some(10));
        assert_eq!(sound(&mut hearing, 1010), Some(1010));
        assert_eq!(sound(&mut hearing, 5000), Some(1010));
        // Who is heard again may have told something meanwhile.
        hearing.beat(ANN, 7, millis(6000));
        assert_eq!(sound(&mut hearing, 6000), Some(6000));
    }

    #[test]
    fn who_is_heard_first_may_have_told_something_before() {
        let mut hearing = hearing(7);
        hearing.heard(BOB, 1, millis(50));
        assert_eq!(sound(&mut hearing, 60), Some(50));
        hearing.heard(BOB, 2, millis(70));
        assert_eq!(sound(&mut hearing, 80), Some(50));
    }

    #[test]
    fn a_channel_that_may_have_missed_something_begins_anew() {
        let mut hearing = hearing(7);
        hearing.listens(millis(20));
        assert_eq!(sound(&mut hearing, 20), Some(20));
        // Nobody is known yet, and so nothing is missing.
        hearing.heard(ANN, 9, millis(30));
        assert_eq!(sound(&mut hearing, 500), Some(30));
    }

    #[test]
    fn what_comes_back_late_says_nothing_about_now() {
        let mut hearing = Hearing::new(Patience {
            hole: millis(100),
            silence: millis(1000),
        });
        hearing.listens(millis(5));
        hearing.echo(millis(500));
        assert_eq!(sound(&mut hearing, 1499), Some(5));
        assert_eq!(sound(&mut hearing, 1500), None);
        hearing.echo(millis(499));
        assert_eq!(sound(&mut hearing, 1600), None);
        hearing.echo(millis(700));
        assert_eq!(sound(&mut hearing, 1601), Some(1600));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut hearing = hearing(0);
        for number in (2..).step_by(2).take(2 * AHEAD) {
            hearing.heard(ANN, number, millis(20));
        }
        assert_eq!(hearing.senders[&ANN].ahead.len(), AHEAD);
        for boot in 2..3000 {
            hearing.beat(Boot(boot), 1, millis(30));
        }
        assert_eq!(hearing.senders.len(), SENDERS);
        assert_eq!(sound(&mut hearing, 40), Some(30));
    }
}
