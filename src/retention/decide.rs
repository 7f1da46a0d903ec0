//! From candidates and a policy to decisions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::candidate::Candidate;
use super::group::{GroupBy, GroupName};
use super::reason::Reason;
use super::rules::{Item, apply, named};
use crate::error::{Error, Result};
use crate::model::RetentionPolicy;
use crate::model::{Age, BackupId};

/// What a decision depends on beside snapshots and policy.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The time, by the clock of storage, milliseconds since 1970.
    pub now_ms: i64,
    /// Where days begin.
    pub time_zone: TimeZone,
    /// What storage has shown for less than this is kept.
    pub min_age: Age,
    /// What a group is.
    pub group_by: GroupBy,
    /// The caller said that a group may lose all its snapshots.
    pub allow_empty: bool,
}

/// What is decided about one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which: its place among the candidates (forged ones may share an id).
    pub at: usize,
    /// Its id.
    pub id: BackupId,
    /// Why it is kept; empty if it is to be forgotten.
    pub reasons: Vec<Reason>,
}

impl Decision {
    /// Whether it is kept.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// What is decided about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// What its snapshots have in common.
    pub name: GroupName,
    /// About each of them, the oldest first.
    pub decisions: Vec<Decision>,
    /// Nothing would be left that is good and older than the minimum age.
    pub is_emptied: bool,
}

/// What is decided about all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPlan {
    /// By group, in order of their names.
    pub groups: Vec<GroupPlan>,
}

impl RetentionPlan {
    /// All decisions.
    pub fn decisions(&self) -> impl Iterator<Item = &Decision> {
        self.groups.iter().flat_map(|group| &group.decisions)
    }

    /// The snapshots to forget.
    pub fn forgotten(&self) -> impl Iterator<Item = &Decision> {
        self.decisions().filter(|decision| !decision.is_kept())
    }
}

/// Decides about every candidate. Their order plays no part.
///
/// # Errors
/// [`Error::Usage`] for a policy that makes no sense, and for one that would leave a group without
/// a good snapshot where [`Setting::allow_empty`] is not set.
pub fn plan(
    candidates: &[Candidate],
    policy: &RetentionPolicy,
    setting: &Setting,
) -> Result<RetentionPlan> {
    policy.check()?;
    let mut groups: BTreeMap<GroupName, Vec<Member<'_>>> = BTreeMap::new();
    for member in candidates.iter().enumerate() {
        groups.entry(setting.group_by.name(member.1)).or_default().push(member);
    }
    let groups: Vec<GroupPlan> = groups
        .into_iter()
        .map(|(name, members)| plan_group(name, members, policy, setting))
        .collect();
    let emptied = groups.iter().find(|group| group.is_emptied);
    match emptied {
        Some(group) if !setting.allow_empty => Err(Error::usage_hint(
            format!("these rules would forget every snapshot of {}", group.name),
            "look at the rules again with `--dry-run --allow-empty`; `--allow-empty` goes on",
        )),
        _ => Ok(RetentionPlan { groups }),
    }
}

/// A candidate and its place among all.
type Member<'c> = (usize, &'c Candidate);

fn plan_group(
    name: GroupName,
    mut members: Vec<Member<'_>>,
    policy: &RetentionPolicy,
    setting: &Setting,
) -> GroupPlan {
    // Newest first. Of two with one time the one that storage knew earlier goes first: a forged
    // twin never takes the place of the real one.
    members.sort_by_key(|(_, member)| {
        let time_ms = member.retention_ms().unwrap_or(member.start_ms);
        (Reverse(time_ms), member.first_seen_ms.unwrap_or(i64::MAX), member.id)
    });
    let (places, members): (Vec<usize>, Vec<&Candidate>) = members.into_iter().unzip();
    let clamped = setting.now_ms.clamp(MS_MIN, MS_MAX);
    let now = Timestamp::from_millisecond(clamped).unwrap_or(Timestamp::MAX);
    let now = now.to_zoned(setting.time_zone.clone());
    let young_since_ms = setting.min_age.before(&now).as_millisecond();
    let is_young =
        |member: &Candidate| !setting.min_age.is_zero() && member.is_seen_after(young_since_ms);

    let followed = followed(&members);
    let items: Vec<Item<'_>> = members
        .iter()
        .enumerate()
        .filter(|(at, member)| member.counts() && !followed.contains_key(at))
        .map(|(at, member)| Item {
            at,
            candidate: member,
            time: zoned(member.retention_ms().unwrap_or_default(), &setting.time_zone),
        })
        .collect();
    let mature: Vec<Item<'_>> =
        items.iter().filter(|item| !is_young(item.candidate)).cloned().collect();

    let mut reasons: Vec<Vec<Reason>> =
        members.iter().map(|member| standing(member, is_young(member), setting.min_age)).collect();
    for (at, member) in members.iter().enumerate() {
        reasons[at].extend(named(policy, member).into_iter().map(Reason::Rule));
    }
    for (at, rule) in apply(policy, &items, &now) {
        reasons[at].push(Reason::Rule(rule));
    }
    for (at, rule) in apply(policy, &mature, &now) {
        let has_like =
            |reason: &Reason| matches!(reason, Reason::Rule(other) if other.is_like(&rule));
        if !reasons[at].iter().any(has_like) {
            reasons[at].push(Reason::WithoutYoung(rule));
        }
    }
    for (at, original) in followed {
        if !reasons[original].is_empty() {
            reasons[at].push(Reason::MadeFrom(members[original].id));
        }
    }

    let is_good = |at: &usize| members[*at].counts() && !is_young(members[*at]);
    let goes = |at: &usize| reasons[*at].is_empty();
    let mut all = 0..members.len();
    let is_emptied = all.clone().any(|at| goes(&at)) && !all.any(|at| is_good(&at) && !goes(&at));
    let mut decisions: Vec<Decision> = members
        .iter()
        .zip(places)
        .zip(reasons)
        .map(|((member, at), reasons)| Decision { at, id: member.id, reasons })
        .collect();
    decisions.reverse();
    GroupPlan { name, decisions, is_emptied }
}

/// Why a snapshot is kept whatever the policy says.
fn standing(member: &Candidate, is_young: bool, min_age: Age) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if member.pinned {
        reasons.push(Reason::Pinned);
    }
    if let Some(why) = &member.quarantine {
        reasons.push(Reason::Quarantined(why.clone()));
    }
    if member.suspect {
        reasons.push(Reason::Suspect);
    }
    if member.retention_ms().is_none() {
        reasons.push(Reason::OutOfTime(member.time_standing()));
    }
    if is_young {
        reasons.push(Reason::Young(min_age));
    }
    reasons
}

/// Which snapshots count with the one they were made from: those whose original, or an earlier
/// record of their own id, is in the group and counts. Follows chains to their first.
fn followed(members: &[&Candidate]) -> HashMap<usize, usize> {
    // Storage must have known the original first, or two forged ones could point at each other.
    let rank = |at: usize| (members[at].first_seen_ms, members[at].id, at);
    // Only one that claims the same time takes its place.
    let mut places: HashMap<(BackupId, i64), usize> = HashMap::new();
    for at in (0..members.len()).filter(|at| members[*at].counts()) {
        let place = places.entry((members[at].id, members[at].start_ms)).or_insert(at);
        if rank(at) < rank(*place) {
            *place = at;
        }
    }
    let original = |at: usize| {
        let member = members[at];
        let place_of = |id: BackupId| places.get(&(id, member.start_ms)).copied();
        let twins = [Some(member.id), member.original].into_iter().flatten().filter_map(place_of);
        twins.filter(|place| rank(*place) < rank(at)).min_by_key(|place| rank(*place))
    };
    let follow = |at: usize| {
        let mut place = original(at)?;
        while let Some(next) = original(place) {
            place = next;
        }
        Some((at, place))
    };
    (0..members.len()).filter_map(follow).collect()
}

/// The times that both records and calendars know, with room to count back from.
const MS_MIN: i64 = -377_000_000_000_000;
const MS_MAX: i64 = 253_400_000_000_000;

fn zoned(time_ms: i64, zone: &TimeZone) -> jiff::Zoned {
    let time = Timestamp::from_millisecond(time_ms.clamp(MS_MIN, MS_MAX));
    time.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
}
