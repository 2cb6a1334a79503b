//! What the parties tell, and whether the barrier held.

use crate::party::Passage;

/// Prints who waited how long; whether all is well.
pub(crate) fn print(parties: u16, passages: &[Passage], cleared: u64) -> bool {
    let mut by_arrival: Vec<&Passage> = passages.iter().collect();
    by_arrival.sort_unstable_by_key(|it| it.arrived);
    let first = by_arrival.first().map_or(0, |it| it.arrived);
    let last = by_arrival.last().map_or(0, |it| it.arrived);
    println!(
        "\n{:>5} {:>12} {:>12} {:>20}",
        "rank", "came at", "waited", "after the last came"
    );
    for it in &by_arrival {
        println!(
            "{:>5} {:>9.1} ms {:>9.1} ms {:>17.2} ms",
            it.rank,
            millis(it.arrived - first),
            it.waited.as_secs_f64() * 1e3,
            millis(it.released - last),
        );
    }
    let everybody = by_arrival.iter().map(|it| it.released).max().unwrap_or(0);
    println!(
        "\nfrom the last arrival to everybody's release: {:.2} ms\n",
        millis(everybody - last)
    );
    let everyone = usize::from(parties);
    let checks = [
        ("everybody came and went on", passages.len() == everyone),
        (
            "nobody before the last had come",
            by_arrival.iter().all(|it| it.released >= last),
        ),
        (
            "everybody saw everybody",
            by_arrival.iter().all(|it| it.seen == everyone),
        ),
        (
            "the keys of this meeting, and no others, are gone",
            cleared == u64::from(parties),
        ),
    ];
    for (what, held) in checks {
        println!("{} {what}", if held { "ok    " } else { "FAILED" });
    }
    checks.iter().all(|(_, held)| *held)
}

fn millis(micros: i64) -> f64 {
    micros as f64 / 1e3
}
