//! Which slot a key lies in, by the rule that all servers of a cluster share.

use redis::{Arg, Cmd};

/// How many slots a cluster has.
pub(super) const SLOTS: u16 = 16_384;

/// The key by which a command is sent to its server; none where any server can answer.
///
/// All keys of a command lie in one slot, so the first one tells.
pub(super) fn key_of(command: &Cmd) -> Option<&[u8]> {
    let mut args = command.args_iter();
    let at = match args.next()? {
        // The text or hash of a script and the number of its keys come first.
        Arg::Simple(b"EVALSHA" | b"EVAL") => 2,
        _ => 0,
    };
    match args.nth(at)? {
        Arg::Simple(key) => Some(key),
        _ => None,
    }
}

/// The slot of a key: of what stands in its first braces, if that is not empty, else of all of it.
pub(super) fn of(key: &[u8]) -> u16 {
    crc16(tag(key).unwrap_or(key)) % SLOTS
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let inside = &key[open + 1..];
    let close = inside.iter().position(|&byte| byte == b'}')?;
    (close > 0).then_some(&inside[..close])
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let at = (crc >> 8) ^ u16::from(byte);
        crc << 8 ^ TABLE[usize::from(at)]
    })
}

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    const POLYNOMIAL: u16 = 0x1021;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{crc16, key_of, of};
    use crate::encode;

    #[test]
    fn slots_are_those_of_the_server() {
        // The check value of this CRC.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let cases: [(&str, u16); 5] = [
            ("foo", 12182),
            ("bar", 5061),
            ("somekey", 11058),
            ("foo{hash_tag}", 2515),
            ("bar{hash_tag}", 2515),
        ];
        for (key, slot) in cases {
            assert_eq!(of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn what_stands_in_the_first_braces_decides() {
        let same = [
            ("{user1000}.following", "user1000"),
            ("a{b}{c}", "b"),
            ("foo{{bar}}zap", "{bar"),
        ];
        for (key, tag) in same {
            assert_eq!(of(key.as_bytes()), of(tag.as_bytes()), "{key}");
        }
        for whole in ["foo{}{bar}", "{}", "a{b", "}a{"] {
            assert_eq!(
                of(whole.as_bytes()),
                crc16(whole.as_bytes()) % 16_384,
                "{whole}"
            );
        }
    }

    #[test]
    fn commands_are_sent_by_their_first_key() {
        let get = encode::with("GET", [b"k"]);
        assert_eq!(key_of(&get), Some(&b"k"[..]));
        let script = encode::with("EVALSHA", [b"hash", b"2", b"k1", b"k2", b"arg"]);
        assert_eq!(key_of(&script), Some(&b"k1"[..]));
        assert_eq!(key_of(&encode::with("TIME", [])), None);
        assert_eq!(key_of(&encode::with("EVAL", [b"text", b"0"])), None);
    }
}
