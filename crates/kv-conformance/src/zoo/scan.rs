//! Stores that lose, invent or reach for foreign keys.

use super::{hand::Hand, saboteurs};
use crate::bench::pause;
use kv_core::{Command, Cursor, Key, Prefix, Prefixes, Reply, Result, ScanFrom, ScanPage, Visitor};
use std::time::Duration;
use tokio::sync::RwLock;

saboteurs! {
    "the last key of a full page is lost" [66] page_end_lost;
    "a page may be longer than asked" [66] long_pages;
    "scanned keys are upper case" [67] upper_case;
    "a scan reaches a sibling" [68] scan_off_by_one;
    "a clear reaches a sibling" [68, 73] clear_off_by_one;
    "a prefix is a pattern, for a scan" [69] scan_by_pattern;
    "a prefix is a pattern, for a clear" [69] clear_by_pattern;
    "a cursor is a position" [70] cursor_is_a_position;
    "a scan behind a key begins at it" [71] begins_at_the_key;
    "a scan behind a missing key is empty" [71] nothing_behind_missing;
    "structures are not listed" [72] structures_hidden;
    "a second key for every structure is listed" [72] index_listed;
    "clear leaves structures" [72] clear_leaves_structures;
    "everything may be cleared" [74] clears_everything;
    "clear counts pages" [73, 75] clear_counts_pages;
    "clear holds up everybody" [76] clear_holds_up;
}

async fn page_end_lost(on: Hand<'_>, command: Command) -> Result<Reply> {
    let limit = match &command {
        Command::Scan { limit, .. } => *limit as usize,
        _ => usize::MAX,
    };
    match on.ask(command).await? {
        Reply::Scan(mut page) => {
            if page.keys.len() == limit {
                page.keys.pop();
            }
            Ok(Reply::Scan(page))
        }
        reply => Ok(reply),
    }
}

async fn long_pages(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if let Command::Scan { limit, .. } = &mut command {
        *limit = (*limit).max(100);
    }
    on.ask(command).await
}

async fn upper_case(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Scan(mut page) => {
            for key in &mut page.keys {
                *key = Key::new(key.as_bytes().to_ascii_uppercase())?;
            }
            Ok(Reply::Scan(page))
        }
        reply => Ok(reply),
    }
}

/// Cuts the last byte off every prefix.
struct OffByOne;

impl Visitor for OffByOne {
    fn prefixes(&mut self, prefixes: &mut Prefixes) -> Result<()> {
        let cut = |prefix: &Prefix| {
            let bytes = prefix.as_bytes();
            Prefix::from(&bytes[..bytes.len().saturating_sub(1)])
        };
        *prefixes = prefixes.as_slice().iter().map(cut).collect();
        Ok(())
    }
}

async fn scan_off_by_one(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if matches!(command, Command::Scan { .. }) {
        command.visit(&mut OffByOne)?;
    }
    on.ask(command).await
}

async fn clear_off_by_one(on: Hand<'_>, mut command: Command) -> Result<Reply> {
    if matches!(command, Command::Clear { .. }) {
        command.visit(&mut OffByOne)?;
    }
    on.ask(command).await
}

/// The keys that a store finds which takes prefixes for patterns.
async fn matching(on: &Hand<'_>, prefixes: &Prefixes) -> Result<Vec<Key>> {
    let literal = |prefix: &Prefix| {
        let bytes = prefix.as_bytes();
        let special = bytes.iter().position(|byte| b"*?[\\".contains(byte));
        Prefix::from(&bytes[..special.unwrap_or(bytes.len())])
    };
    let wide = prefixes.as_slice().iter().map(literal).collect();
    let keys = on.keys(&wide).await?;
    let found = |key: &Key| {
        prefixes.as_slice().iter().any(|prefix| {
            let pattern = [prefix.as_bytes(), b"*"].concat();
            glob(&pattern, key.as_bytes())
        })
    };
    Ok(keys.into_iter().filter(found).collect())
}

/// Whether a text fits a pattern of `*`, `?`, `[…]` and `\`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        ([b'\\', byte, rest @ ..], [first, text @ ..]) => byte == first && glob(rest, text),
        ([b'[', rest @ ..], [first, text @ ..]) => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else {
                return false;
            };
            rest[..end].contains(first) && glob(&rest[end + 1..], text)
        }
        ([b'?', rest @ ..], [_, text @ ..]) => glob(rest, text),
        ([byte, rest @ ..], [first, text @ ..]) => byte == first && glob(rest, text),
        (_, []) => false,
    }
}

async fn scan_by_pattern(on: Hand<'_>, command: Command) -> Result<Reply> {
    match command {
        Command::Scan { prefixes, .. } => {
            let keys = matching(&on, &prefixes).await?;
            Ok(Reply::Scan(ScanPage::new(keys, None)))
        }
        other => on.ask(other).await,
    }
}

async fn clear_by_pattern(on: Hand<'_>, command: Command) -> Result<Reply> {
    match command {
        Command::Clear { prefixes } => {
            let keys = matching(&on, &prefixes).await?;
            Ok(Reply::Clear(on.count(Command::Delete { keys }).await?))
        }
        other => on.ask(other).await,
    }
}

async fn cursor_is_a_position(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::Scan {
        prefixes,
        from,
        limit,
    } = command
    else {
        return on.ask(command).await;
    };
    let start = match &from {
        ScanFrom::Cursor(cursor) => {
            let digits = String::from_utf8_lossy(cursor.as_bytes()).into_owned();
            digits.parse().unwrap_or(0)
        }
        _ => 0,
    };
    let all = on.keys(&prefixes).await?;
    let keys: Vec<Key> = all
        .iter()
        .skip(start)
        .take(limit as usize)
        .cloned()
        .collect();
    let end = start + keys.len();
    let next = (end < all.len()).then(|| Cursor::new(end.to_string()));
    Ok(Reply::Scan(ScanPage::new(keys, next)))
}

async fn begins_at_the_key(on: Hand<'_>, command: Command) -> Result<Reply> {
    let at = match &command {
        Command::Scan {
            from: ScanFrom::After(key),
            ..
        } => Some(key.clone()),
        _ => None,
    };
    match (on.ask(command).await?, at) {
        (Reply::Scan(mut page), Some(key)) => {
            page.keys.pop();
            page.keys.insert(0, key);
            Ok(Reply::Scan(page))
        }
        (reply, _) => Ok(reply),
    }
}

async fn nothing_behind_missing(on: Hand<'_>, command: Command) -> Result<Reply> {
    if let Command::Scan {
        from: ScanFrom::After(key),
        ..
    } = &command
        && !on.exists(key).await?
    {
        return Ok(Reply::Scan(ScanPage::default()));
    }
    on.ask(command).await
}

async fn structures_hidden(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Scan(page) => {
            let mut strings = Vec::with_capacity(page.keys.len());
            for key in page.keys {
                if on.get(&key).await.is_ok() {
                    strings.push(key);
                }
            }
            Ok(Reply::Scan(ScanPage::new(strings, page.next)))
        }
        reply => Ok(reply),
    }
}

async fn index_listed(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Scan(mut page) => {
            for key in page.keys.clone() {
                if on.get(&key).await.is_err() {
                    page.keys
                        .push(Key::new([key.as_bytes(), b":index"].concat())?);
                }
            }
            Ok(Reply::Scan(page))
        }
        reply => Ok(reply),
    }
}

async fn clear_leaves_structures(on: Hand<'_>, command: Command) -> Result<Reply> {
    let Command::Clear { prefixes } = command else {
        return on.ask(command).await;
    };
    let mut strings = Vec::new();
    for key in on.keys(&prefixes).await? {
        if on.get(&key).await.is_ok() {
            strings.push(key);
        }
    }
    Ok(Reply::Clear(
        on.count(Command::Delete { keys: strings }).await?,
    ))
}

/// It says so only: the zoo clears nobody's store.
async fn clears_everything(on: Hand<'_>, command: Command) -> Result<Reply> {
    match &command {
        Command::Clear { prefixes } if prefixes.as_slice().iter().any(Prefix::is_all) => {
            Ok(Reply::Clear(0))
        }
        _ => on.ask(command).await,
    }
}

async fn clear_counts_pages(on: Hand<'_>, command: Command) -> Result<Reply> {
    match on.ask(command).await? {
        Reply::Clear(count) => Ok(Reply::Clear(count.div_ceil(100))),
        reply => Ok(reply),
    }
}

async fn clear_holds_up(on: Hand<'_>, command: Command) -> Result<Reply> {
    // One for all handles, as a server's one thread is.
    static GATE: RwLock<()> = RwLock::const_new(());
    if !matches!(command, Command::Clear { .. }) {
        let _pass = GATE.read().await;
        return on.ask(command).await;
    }
    let _alone = GATE.write().await;
    let reply = on.ask(command).await;
    pause(Duration::from_millis(500)).await;
    reply
}
