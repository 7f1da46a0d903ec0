//! The rules of a policy, applied once to the snapshots of one group.

use std::collections::HashSet;

use jiff::Zoned;

use super::candidate::Candidate;
use super::reason::Rule;
use crate::model::Age;
use crate::model::{Count, RetentionPolicy};

/// A snapshot that counts.
#[derive(Clone)]
pub(super) struct Item<'c> {
    /// Which of the group's candidates.
    pub(super) at: usize,
    pub(super) candidate: &'c Candidate,
    /// When it counts, on the local clock.
    pub(super) time: Zoned,
}

/// Tells which rules keep which of `items`, which are sorted, the newest first.
pub(super) fn apply(
    policy: &RetentionPolicy,
    items: &[Item<'_>],
    now: &Zoned,
) -> Vec<(usize, Rule)> {
    let mut kept = Vec::new();
    let Some(newest) = items.first() else { return kept };
    if let Some(of) = policy.keep_last {
        let places = items.iter().zip(1..).take_while(|(_, number)| of.allows(*number));
        kept.extend(places.map(|(item, number)| (item.at, Rule::Last { number, of })));
    }
    for (period, of) in policy.counts() {
        let mut seen = HashSet::new();
        let mut last_kept = None;
        for item in items {
            if !of.allows(seen.len() + 1) {
                break;
            }
            if seen.insert(period.bucket(&item.time)) {
                last_kept = Some(item.at);
                kept.push((item.at, Rule::Period { period, number: seen.len(), of }));
            }
        }
        // Until there are as many as asked for, the oldest of all stays: otherwise a yearly
        // snapshot would go whenever a newer one of its year comes.
        let is_full = matches!(of, Count::Some(count) if seen.len() >= count.get() as usize);
        if let Some(oldest) = items.last().filter(|oldest| last_kept != Some(oldest.at))
            && !is_full
        {
            kept.push((oldest.at, Rule::Oldest { period, found: seen.len(), of }));
        }
    }
    let within = |age: Age| {
        let since = age.before(&newest.time);
        items.iter().take_while(move |item| item.time.timestamp() >= since)
    };
    if let Some(age) = policy.keep_within {
        kept.extend(within(age).map(|item| (item.at, Rule::Within(age))));
    }
    for (period, age) in policy.withins() {
        let mut seen = HashSet::new();
        let first_of_each = within(age).filter(|item| seen.insert(period.bucket(&item.time)));
        let rule = Rule::PeriodWithin { period, within: age };
        kept.extend(first_of_each.map(|item| (item.at, rule.clone())));
    }
    if let Some(days) = policy.retention_days {
        let since = Age::days(days.get()).before(now);
        let recent = items.iter().filter(|item| item.time.timestamp() >= since);
        kept.extend(recent.map(|item| (item.at, Rule::RetentionDays(days.get()))));
        let mut seen = HashSet::new();
        let of_series = |item: &&Item<'_>| {
            let mut roots = item.candidate.roots.clone();
            roots.sort();
            seen.insert((item.candidate.host.clone(), roots))
        };
        let newest_ones = items.iter().filter(of_series);
        kept.extend(newest_ones.map(|item| (item.at, Rule::NewestOfSeries)));
    }
    kept
}

/// The rules that look at one snapshot only, whatever its time.
pub(super) fn named(policy: &RetentionPolicy, candidate: &Candidate) -> Vec<Rule> {
    let has_all = |tags: &&Vec<String>| tags.iter().all(|tag| candidate.tags.contains(tag));
    let tags = policy.keep_tags.iter().filter(has_all).map(|tags| Rule::Tags(tags.clone()));
    let is_named = policy.keep_ids.contains(&candidate.id);
    tags.chain(is_named.then_some(Rule::Id)).collect()
}
