//! What the model says of the protocol, and of the protocol without each of its rules.

// Figures of the model are worth seeing.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;

use super::explore::explore;
use super::state::{Rules, Saving};
use crate::is_long;

const FRESH: Rules = Rules::stale_by(0);
/// Listings that are one tick old: an hour, in the words of SPEC.md.
const STALE: Rules = Rules::stale_by(1);
/// The same hour in two ticks: rules that are off by half an hour show.
const HALVES: Rules = Rules::stale_by(2);
/// A prune beside another one, over a snapshot that was there before and stays.
const KEPT: Rules = Rules { writers: 0, prunes: 2, copies: 2, kept: true, ..FRESH };

const CHUNK: &str = "a snapshot that is not suspect has lost its chunk";
const DONE: &str = "a snapshot that was reported done has lost its chunk";
const BEFORE: &str = "a snapshot that was there before has lost its chunk";
const RECORD: &str = "a snapshot that was undeleted has lost its record";

/// Explores and expects no loss. Returns the steps that were taken.
#[track_caller]
fn assert_safe(name: &str, rules: &Rules) -> BTreeSet<&'static str> {
    let explored = explore(rules);
    println!("{name}: {} states, {} steps cut", explored.states, explored.cut);
    if let Some((loss, steps)) = explored.loss {
        panic!("{name}: {loss}:\n{}", steps.join("\n"));
    }
    explored.taken
}

/// Explores and expects this loss: the model sees what the rule is for.
#[track_caller]
fn assert_loses(name: &str, what: &str, rules: &Rules) {
    let explored = explore(rules);
    println!("{name}: {} states", explored.states);
    let (loss, steps) = explored.loss.unwrap_or_else(|| panic!("{name}: nothing is lost"));
    assert_eq!(loss, what, "{name}:\n{}", steps.join("\n"));
}

#[test]
fn one_writer_and_one_prune_lose_nothing() {
    let mut taken = BTreeSet::new();
    let cases = [
        ("answers get lost", Rules { lost_answers: true, repack: true, ..FRESH }),
        ("undelete", Rules { undelete: true, ..FRESH }),
        ("check", Rules { checker: true, ..FRESH }),
        ("a plan that looks first", Rules { any_plan: false, repack: true, ..FRESH }),
        ("a second finisher", Rules { resume: true, repack: true, ..FRESH }),
        ("undelete, a second finisher", Rules { undelete: true, resume: true, ..FRESH }),
    ];
    for (name, rules) in &cases {
        taken.extend(assert_safe(name, rules));
    }
    // Everything that can happen did.
    for step in [
        "lists marks again",
        "commits, but it takes its time",
        "ends its session",
        "fences a session",
        "finds no record to undelete",
        "finds nothing to copy",
        "finds a suspect",
        "clears",
        "clears its record",
        "repacks",
        "goes on with a mark",
        "needs what is condemned",
        "finds no copy at all",
        "deletes its mark",
    ] {
        assert!(taken.contains(step), "nobody ever {step}: {taken:?}");
    }
}

#[test]
fn two_writers_and_one_prune_lose_nothing() {
    assert_safe("two writers", &Rules { writers: 2, ..FRESH });
    assert_safe("a writer and an undelete", &Rules { writers: 2, undelete: true, ..FRESH });
}

#[test]
fn two_prunes_lose_nothing() {
    assert_safe("two prunes", &Rules { prunes: 2, ..FRESH });
    assert_safe("two prunes, a second finisher", &Rules { repack: true, resume: true, ..KEPT });
}

#[test]
fn stale_listings_lose_nothing() {
    assert_safe("one writer", &Rules { lost_answers: true, ..STALE });
    assert_safe("undelete", &Rules { undelete: true, ..STALE });
    assert_safe("check", &Rules { checker: true, ..STALE });
    assert_safe("one writer, half hours", &HALVES);
    assert_safe("undelete, half hours", &Rules { undelete: true, ..HALVES });
    let two_prunes = Rules { writers: 0, prunes: 2, copies: 2, kept: true, repack: true, ..STALE };
    assert_safe("two prunes", &two_prunes);
}

/// Millions of states each: some minutes, and gigabytes of memory.
#[test]
fn larger_models_lose_nothing() {
    let cases = [
        ("2 writers, copies", Rules { writers: 2, copies: 2, kept: true, ..FRESH }),
        ("2 prunes, repack", Rules { prunes: 2, repack: true, ..FRESH }),
        ("2 prunes, copies", Rules { prunes: 2, copies: 2, ..FRESH }),
        ("2 prunes, kept", Rules { writers: 1, ..KEPT }),
        ("2 prunes, check", Rules { prunes: 2, checker: true, ..FRESH }),
        ("2 prunes, a second finisher", Rules { prunes: 2, resume: true, ..FRESH }),
        ("stale, a second finisher", Rules { resume: true, ..STALE }),
        ("stale, 2 writers", Rules { writers: 2, ..STALE }),
        ("stale, 2 prunes", Rules { prunes: 2, ..STALE }),
    ];
    if is_long() {
        for (name, rules) in &cases {
            assert_safe(name, rules);
        }
    }
}

#[test]
fn every_rule_of_a_writer_is_needed() {
    let cases = [
        ("w2: marks before index and packs", CHUNK, Rules { marks_first: false, ..FRESH }),
        ("w3: nothing condemned is used", CHUNK, Rules { shun_condemned: false, ..FRESH }),
        ("w6: fences are looked at", DONE, Rules { check_fence: false, ..FRESH }),
        ("w7: the end stays", CHUNK, Rules { leave_end: false, ..STALE }),
        (
            "w5: unknown outcomes leave the session open",
            CHUNK,
            Rules { stay_open: false, lost_answers: true, ..FRESH },
        ),
        ("undelete commits anew", RECORD, Rules { undelete: true, undelete_anew: false, ..FRESH }),
        ("a check looks at marks", CHUNK, Rules { checker: true, clear_by_marks: false, ..FRESH }),
    ];
    for (name, what, rules) in &cases {
        assert_loses(name, what, rules);
    }
}

/// p6 saves what is needed whether or not the writer looked: w4 spares it the work.
#[test]
fn a_second_look_at_marks_is_not_needed() {
    assert_safe("one prune", &Rules { look_again: false, ..FRESH });
    assert_safe("two writers", &Rules { look_again: false, writers: 2, ..FRESH });
    assert_safe("stale", &Rules { look_again: false, ..HALVES });
}

#[test]
fn every_rule_of_a_prune_is_needed() {
    let cases = [
        ("p5: sessions are waited for", CHUNK, Rules { wait: false, ..FRESH }),
        ("p5: silent sessions are fenced", CHUNK, Rules { fence: false, ..FRESH }),
        (
            "p5: every mark has its own fences",
            CHUNK,
            Rules { own_fence: false, save_all: false, prunes: 2, ..FRESH },
        ),
        (
            "p6: records are listed again",
            CHUNK,
            Rules { list_again: false, any_plan: false, ..FRESH },
        ),
        ("p6: marks and index are listed again", BEFORE, Rules { recheck: false, ..KEPT }),
        ("p6: condemned orphans are read", BEFORE, Rules { read_condemned: false, ..KEPT }),
        ("p7: fences stay", CHUNK, Rules { keep_fences: false, resume: true, ..FRESH }),
    ];
    for (name, what, rules) in &cases {
        assert_loses(name, what, rules);
    }
}

/// A pack that was condemned once must never count again: somebody who decided long ago that
/// nobody needs it may wake up at any time.
#[test]
fn what_is_condemned_stays_condemned() {
    for saving in [Saving::LeaveOut, Saving::SmallerMark] {
        let one = Rules { saving, resume: true, ..FRESH };
        assert_loses("one mark, two finishers", CHUNK, &one);
        assert_loses("two marks, three finishers", BEFORE, &Rules { saving, resume: true, ..KEPT });
        assert_safe("one finisher for each mark", &Rules { saving, ..KEPT });
    }
}

/// Listings are an hour old, which is two ticks. Some rules have to wait longer than that: what one
/// side misses for an hour and what the other side misses for an hour add up.
#[test]
fn every_wait_is_needed_with_stale_listings() {
    let half_short = [
        ("drop list", CHUNK, Rules { drop_age: 1, ..HALVES }),
        ("end of a session", CHUNK, Rules { end_age: 1, ..HALVES }),
        ("sessions after the mark", CHUNK, Rules { session_margin: 0, ..HALVES }),
        ("fence", DONE, Rules { fence_age: 2, ..HALVES }),
        ("mark", CHUNK, Rules { mark_age: 2, ..HALVES }),
    ];
    for (name, what, rules) in &half_short {
        assert_loses(name, what, rules);
    }
}
