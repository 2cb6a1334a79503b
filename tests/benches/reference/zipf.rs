//! Traffic in which few are asked for often and many seldom, chosen beforehand so that choosing is not measured.

/// So many draws from so many numbers: the one at place *n* is drawn as often as 1/n^0.99 says.
pub(crate) fn zipf(numbers: u64, draws: u64, seed: u64) -> Vec<u32> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=numbers)
        .map(|place| {
            sum += (place as f64).powf(-SKEW);
            sum
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut draw = || {
        let at = random.f64() * sum;
        sums.partition_point(|it| *it < at)
    };
    // What is rounded may be past the last.
    let last = numbers.saturating_sub(1) as usize;
    (0..draws).map(|_| draw().min(last) as u32).collect()
}

const SKEW: f64 = 0.99;
