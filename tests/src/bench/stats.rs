/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// The interval's lower end.
    pub lo: f64,
    /// The interval's upper end.
    pub hi: f64,
}

impl Estimate {
    /// The estimate from some numbers; `None` without any.
    ///
    /// Fewer than six numbers have no such interval: theirs is all of them.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let cut = cut(sorted.len());
        Some(Self {
            median: (sorted[last / 2] + sorted[sorted.len() / 2]) / 2.0,
            lo: sorted[cut],
            hi: sorted[last - cut],
        })
    }
}

/// How many of the smallest and of the largest of `count` numbers to leave off, so that what is left
/// spans the true median with at least 95 % probability: how many numbers lie below it is binomial.
fn cut(count: usize) -> usize {
    let mut probability = 0.5_f64.powi(count as i32);
    let mut tail = 0.0;
    for below in 0..count {
        tail += probability;
        if tail > 0.025 {
            return below.saturating_sub(1);
        }
        probability *= (count - below) as f64 / (below + 1) as f64;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::{Estimate, cut};

    #[test]
    fn cuts_agree_with_the_tables() {
        // From the usual table of the sign test: the rank of the lower end, less one.
        for (count, rank) in [(6, 1), (9, 2), (15, 4), (20, 6), (25, 8), (40, 14)] {
            assert_eq!(cut(count) + 1, rank, "{count}");
        }
    }

    #[test]
    fn few_numbers_span_all_of_themselves() {
        let estimate = Estimate::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((estimate.lo, estimate.median, estimate.hi), (1.0, 2.0, 3.0));
        assert_eq!(Estimate::of([]), None);
    }

    #[test]
    fn a_median_between_two_numbers_is_their_mean() {
        assert_eq!(Estimate::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn an_outlier_moves_nothing() {
        let calm = (1..=15).map(f64::from);
        let upset = (1..15).map(f64::from).chain([1e9]);
        assert_eq!(Estimate::of(calm), Estimate::of(upset));
    }
}
