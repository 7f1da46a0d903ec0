//! Proving a place without a key.

use larder::mirror::{Needed, ScrubOptions, scrub};
use larder::model::Subset;
use larder::storage::{PutMode, Storage};

use super::{lab, lasting};

#[test]
fn every_kind_of_object_is_read_and_proved() {
    let lab = lab(20);
    let report = scrub(&*lab.memory, &ScrubOptions::default(), &lab.runtime()).expect("scrubs");
    assert!(report.is_whole());
    assert_eq!(report.read, report.there);
    assert_eq!(report.there.objects as usize + 1, lasting(&lab.memory).len(), "all but `repo`");
    for name in lasting(&lab.memory) {
        for change in 0..3 {
            let hurt = lab.memory.fork();
            hurt.damage(&name, |bytes| match change {
                0 => bytes[30] ^= 4,
                1 => bytes.truncate(40),
                _ => bytes.push(0),
            });
            let report = scrub(&hurt, &ScrubOptions::default(), &lab.runtime()).expect("scrubs");
            let bad: Vec<&str> = report.bad.iter().map(|bad| bad.name.as_str()).collect();
            assert_eq!(bad, [name.as_str()], "change {change}");
        }
    }
}

#[test]
fn parts_together_are_everything() {
    let lab = lab(21);
    let mut sum = 0;
    for number in 1..=3 {
        let subset = Some(Subset::Part { number, parts: 3 });
        let options = ScrubOptions { subset, ..ScrubOptions::default() };
        sum += scrub(&*lab.memory, &options, &lab.runtime()).expect("scrubs").read.objects;
    }
    assert_eq!(sum as usize + 1, lasting(&lab.memory).len());
}

#[test]
fn who_has_a_key_sees_what_is_missing_too() {
    let lab = lab(22);
    let needed = Needed::of(&lab.open()).expect("reads the index");
    let names = lasting(&lab.memory);
    let pack = names.iter().find(|name| name.starts_with("data/")).expect("a pack").clone();
    lab.memory.remove(&pack);
    lab.memory.put("data/notes.txt", &[b"x"], PutMode::Content).expect("puts");
    let blind = scrub(&*lab.memory, &ScrubOptions::default(), &lab.runtime()).expect("scrubs");
    assert!(blind.is_whole());
    assert_eq!(blind.foreign_names, ["data/notes.txt"]);
    let options = ScrubOptions { needed: Some(needed), ..ScrubOptions::default() };
    let report = scrub(&*lab.memory, &options, &lab.runtime()).expect("scrubs");
    assert_eq!((report.missing, report.missing_count), (vec![pack], 1));
}
