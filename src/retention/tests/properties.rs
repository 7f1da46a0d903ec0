//! What must hold for every policy and every set of snapshots.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::super::*;
use super::{DAY_MS, honest, ms, setting};

fn any_count() -> impl Strategy<Value = Option<Count>> {
    prop_oneof![
        3 => Just(None),
        4 => (1_u32..6).prop_map(|n| std::num::NonZeroU32::new(n).map(Count::Some)),
        1 => Just(Some(Count::Unlimited)),
    ]
}

prop_compose! {
    fn any_policy()(
        keep_last in (1_u32..6).prop_map(|n| std::num::NonZeroU32::new(n).map(Count::Some)),
        hourly in any_count(),
        daily in any_count(),
        weekly in any_count(),
        monthly in any_count(),
        yearly in any_count(),
        within in proptest::option::of(1_u32..40),
        within_weekly in proptest::option::of(1_u32..90),
        days in proptest::option::of(1_u32..60),
        leave_out in any::<bool>(),
    ) -> RetentionPolicy {
        let policy = RetentionPolicy {
            keep_last,
            keep_hourly: hourly,
            keep_daily: daily,
            keep_weekly: weekly,
            keep_monthly: monthly,
            keep_yearly: yearly,
            keep_within: within.map(Age::days),
            keep_within_weekly: within_weekly.map(Age::days),
            retention_days: days.and_then(std::num::NonZeroU32::new),
            ..Default::default()
        };
        let without_last = RetentionPolicy { keep_last: None, ..policy.clone() };
        if leave_out && !without_last.is_empty() { without_last } else { policy }
    }
}

/// The moment at which all decisions of the properties are made.
const NOW: &str = "2026-11-20T10:00:00Z";

/// Honest snapshots of one series over two years, some of them young.
fn any_honest() -> impl Strategy<Value = Vec<Candidate>> {
    let ages =
        prop_oneof![3 => 0_i64..5 * DAY_MS, 3 => 0_i64..60 * DAY_MS, 2 => 0_i64..700 * DAY_MS];
    proptest::collection::vec((ages, any::<bool>()), 1..40).prop_map(|all| {
        let make = |((age, pinned), number)| Candidate {
            pinned: pinned && number % 5 == 0,
            ..honest(number, ms(NOW) - age - 61_000)
        };
        all.into_iter().zip(0..).map(make).collect()
    })
}

/// Snapshots that somebody else planted in the series: young ones, such that claim another time
/// than storage saw, and twins that claim to be made from an honest one.
fn any_forged(honest_ones: Vec<Candidate>) -> impl Strategy<Value = Vec<Candidate>> {
    let one = (
        0..3,
        0_i64..700 * DAY_MS,
        2 * DAY_MS..700 * DAY_MS,
        any::<bool>(),
        any::<proptest::sample::Index>(),
        0_u64..2000,
    );
    proptest::collection::vec(one, 0..30).prop_map(move |all| {
        let make = |(kind, age, drift, is_ahead, original, number): (_, _, _, _, _, u64)| {
            let original: &Candidate =
                &honest_ones[proptest::sample::Index::index(&original, honest_ones.len())];
            let drift: i64 = if is_ahead { drift } else { -drift };
            // The clock of storage cannot be forged: nothing it shows is older than it is.
            let seen = ms(NOW) - if kind == 0 { age % DAY_MS } else { age };
            let start_ms = if kind == 2 { original.start_ms } else { seen + drift };
            let original_seen_ms = original.first_seen_ms.filter(|_| kind == 2);
            let first_seen_ms = if kind == 2 {
                Some(seen).max(original_seen_ms.map(|seen| seen + 1))
            } else {
                Some(seen)
            };
            Candidate {
                start_ms,
                end_ms: start_ms,
                first_seen_ms,
                original: Some(original.id),
                original_seen_ms,
                ..honest(number, 0)
            }
        };
        all.into_iter().map(make).collect()
    })
}

fn kept(candidates: &[Candidate], policy: &RetentionPolicy) -> HashSet<usize> {
    let plan = plan(candidates, policy, &setting(NOW)).expect("a plan");
    plan.decisions().filter(|decision| decision.is_kept()).map(|decision| decision.at).collect()
}

fn is_mature(candidate: &Candidate) -> bool {
    candidate.first_seen_ms.is_some_and(|seen| seen <= ms(NOW) - DAY_MS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn forged_snapshots_push_out_no_mature_one(
        (honest_ones, forged) in any_honest()
            .prop_flat_map(|honest_ones| (Just(honest_ones.clone()), any_forged(honest_ones))),
        policy in any_policy(),
    ) {
        let before = kept(&honest_ones, &policy);
        let mut all = honest_ones.clone();
        all.extend(forged);
        let after = kept(&all, &policy);
        for at in before.iter().filter(|at| is_mature(&honest_ones[**at])) {
            prop_assert!(after.contains(at), "{:?}", honest_ones[*at]);
        }
        for (at, candidate) in honest_ones.iter().enumerate() {
            prop_assert!(is_mature(candidate) || after.contains(&at), "the young stay");
        }
        for (at, candidate) in all.iter().enumerate() {
            let is_kept = candidate.retention_ms().is_some() || after.contains(&at);
            prop_assert!(is_kept, "out of time, so no rule may decide: {candidate:?}");
        }
    }

    #[test]
    fn as_many_are_kept_as_asked_for(candidates in any_honest(), policy in any_policy()) {
        let kept = kept(&candidates, &policy);
        let at_least = |found: usize, of: Option<Count>, all: usize| match of {
            None => true,
            Some(Count::Some(of)) => found >= all.min(of.get() as usize),
            Some(Count::Unlimited) => found == all,
        };
        prop_assert!(at_least(kept.len(), policy.keep_last, candidates.len()));
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        for (period, of) in policy.counts() {
            let bucket = |at: &usize| {
                let time = Timestamp::from_millisecond(candidates[*at].start_ms).expect("in range");
                period.bucket(&time.to_zoned(zone.clone()))
            };
            let all: HashSet<_> = (0..candidates.len()).map(|at| bucket(&at)).collect();
            let found: HashSet<_> = kept.iter().map(bucket).collect();
            prop_assert!(at_least(found.len(), Some(of), all.len()), "{period}");
        }
    }

    #[test]
    fn a_larger_number_keeps_no_less(
        candidates in any_honest(),
        policy in any_policy(),
        which in 0_usize..6,
        more in 1_u32..5,
    ) {
        let mut larger = policy.clone();
        let field = match which {
            0 => &mut larger.keep_last,
            1 => &mut larger.keep_hourly,
            2 => &mut larger.keep_daily,
            3 => &mut larger.keep_weekly,
            4 => &mut larger.keep_monthly,
            _ => &mut larger.keep_yearly,
        };
        *field = match *field {
            None => std::num::NonZeroU32::new(more).map(Count::Some),
            Some(Count::Some(count)) => Some(Count::Some(count.saturating_add(more))),
            Some(Count::Unlimited) => Some(Count::Unlimited),
        };
        let (few, many) = (kept(&candidates, &policy), kept(&candidates, &larger));
        prop_assert!(few.is_subset(&many), "{policy:?} {larger:?}");
    }

    #[test]
    fn the_order_of_candidates_plays_no_part(
        (candidates, shuffled) in any_honest()
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        policy in any_policy(),
    ) {
        let by_id = |candidates: &[Candidate]| {
            let plan = plan(candidates, &policy, &setting(NOW)).expect("a plan");
            let mut all: Vec<_> =
                plan.decisions().map(|d| (d.id, d.reasons.clone())).collect();
            all.sort_by_key(|(id, _)| *id);
            all
        };
        let decided = by_id(&candidates);
        prop_assert_eq!(decided.len(), candidates.len(), "one decision about each");
        prop_assert_eq!(decided, by_id(&shuffled));
    }
}
