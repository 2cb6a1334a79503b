//! What is stored at a limit's key: a letter for the rule, then whole numbers, as text that people
//! and scripts can read.
//!
//! | text | rule | numbers |
//! |---|---|---|
//! | `g<t>` `g<t> <r>` `g<t> <r> <h>` | GCRA | the instant at which the bucket is empty, in µs; the rest below one µs, in parts of `count`; how far a reservation reached beyond the burst, in µs |
//! | `f<L> <id> <used>` | fixed window | its length in µs, which one since the epoch, what was used of it |
//! | `s<L> <id> <cur> <prev>` | sliding counter | the same, what was used of this window and of the one before |

use super::rule::EXACT;
use std::fmt;

/// A state that was read, or is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Gcra {
        tat: u64,
        rest: u64,
        beyond: u64,
    },
    Fixed {
        length: u64,
        id: u64,
        used: u64,
    },
    Sliding {
        length: u64,
        id: u64,
        current: u64,
        previous: u64,
    },
}

/// The text of a limit's state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StateText {
    bytes: [u8; Self::ROOM],
    length: u8,
}

impl State {
    /// Parses a state; `None` for what no version of this contract wrote.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (rule, mut rest) = text.split_first()?;
        let (mut numbers, mut count) = ([0; 4], 0);
        loop {
            let (number, after) = leading_number(rest)?;
            *numbers.get_mut(count)? = number;
            count += 1;
            rest = match after {
                [] => break,
                [b' ', next @ ..] => next,
                _ => return None,
            };
        }
        Some(match (rule, &numbers[..count]) {
            (b'g', &[tat]) => Self::gcra(tat, 0, 0),
            (b'g', &[tat, rest]) => Self::gcra(tat, rest, 0),
            (b'g', &[tat, rest, beyond]) => Self::gcra(tat, rest, beyond),
            (b'f', &[length, id, used]) => Self::Fixed { length, id, used },
            (b's', &[length, id, current, previous]) => Self::Sliding {
                length,
                id,
                current,
                previous,
            },
            _ => return None,
        })
    }

    pub(super) fn print(self) -> StateText {
        match self {
            Self::Gcra {
                tat,
                rest: 0,
                beyond: 0,
            } => StateText::join(b'g', &[tat]),
            Self::Gcra {
                tat,
                rest,
                beyond: 0,
            } => StateText::join(b'g', &[tat, rest]),
            Self::Gcra { tat, rest, beyond } => StateText::join(b'g', &[tat, rest, beyond]),
            Self::Fixed { length, id, used } => StateText::join(b'f', &[length, id, used]),
            Self::Sliding {
                length,
                id,
                current,
                previous,
            } => StateText::join(b's', &[length, id, current, previous]),
        }
    }

    fn gcra(tat: u64, rest: u64, beyond: u64) -> Self {
        Self::Gcra { tat, rest, beyond }
    }
}

impl StateText {
    /// A letter and four numbers of 20 digits with three spaces.
    const ROOM: usize = 84;

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    fn join(rule: u8, numbers: &[u64]) -> Self {
        let mut text = Self {
            bytes: [0; Self::ROOM],
            length: 0,
        };
        text.push(&[rule]);
        for (at, number) in numbers.iter().enumerate() {
            if at > 0 {
                text.push(b" ");
            }
            text.push_number(*number);
        }
        text
    }

    /// The room is enough for all that is pushed.
    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u8;
    }

    /// Two digits a step: `fmt` takes several times as long, on the path of every call.
    fn push_number(&mut self, mut number: u64) {
        let mut digits = [b'0'; 20];
        let mut start = digits.len();
        while number >= 10 {
            let pair = (number % 100) as u8;
            number /= 100;
            start -= 2;
            digits[start] += pair / 10;
            digits[start + 1] += pair % 10;
        }
        if number > 0 || start == digits.len() {
            start -= 1;
            digits[start] += number as u8;
        }
        self.push(&digits[start..]);
    }
}

impl AsRef<[u8]> for StateText {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for StateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateText({})", self.as_bytes().escape_ascii())
    }
}

/// Decimal digits, at least one, of a number that every store holds exactly; and what follows them.
fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut length) = (0_u64, 0);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number * 10 + u64::from(digit);
        if number >= EXACT {
            return None;
        }
        length += 1;
    }
    let rest = text.get(length..)?;
    (length > 0).then_some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn what_is_printed_reads_back() {
        let gcra = |tat, rest, beyond| State::Gcra { tat, rest, beyond };
        let most = super::EXACT - 1;
        let states = [
            (gcra(5, 0, 0), "g5"),
            (gcra(5, 7, 0), "g5 7"),
            (gcra(5, 0, 9), "g5 0 9"),
            (
                State::Fixed {
                    length: 1,
                    id: 2,
                    used: 0,
                },
                "f1 2 0",
            ),
            (
                State::Sliding {
                    length: most,
                    id: most,
                    current: most,
                    previous: most,
                },
                "s9007199254740991 9007199254740991 9007199254740991 9007199254740991",
            ),
        ];
        for (state, text) in states {
            assert_eq!(state.print().as_bytes(), text.as_bytes());
            assert_eq!(State::parse(text.as_bytes()), Some(state));
        }
    }

    #[test]
    fn numbers_of_every_length_are_printed_as_fmt_does() {
        let powers = (0..20).map(|exponent| 10_u64.pow(exponent));
        for number in powers.flat_map(|it| [it - 1, it, it + 1]).chain([u64::MAX]) {
            let text = State::gcra(number, number, number).print();
            let expected = match number {
                0 => "g0".to_owned(),
                _ => format!("g{number} {number} {number}"),
            };
            assert_eq!(text.as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn anything_else_is_no_state() {
        let texts = [
            "",
            "g",
            "5",
            "x5",
            "G5",
            "g-5",
            "g+5",
            "g5.0",
            "g5 ",
            "g 5",
            "g5  7",
            "g5 7 9 1",
            "g5\n",
            "g1e3",
            "g9007199254740992",
            "g99999999999999999999999",
            "f1 2",
            "f1 2 3 4",
            "s1 2 3",
            "s1 2 3 4 5",
            "s1 2 3 4 5 6",
            "f1 2 x",
        ];
        for text in texts {
            assert_eq!(State::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(State::parse(b"g5\0"), None);
    }
}
