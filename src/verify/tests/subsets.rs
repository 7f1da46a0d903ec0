use super::*;

#[test]
fn parts_are_disjoint_and_together_everything() {
    let lab = Lab::filled();
    let read = |subset| {
        let options =
            CheckOptions { read_data: ReadData::Subset(subset), ..CheckOptions::default() };
        lab.check(&options).checked.packs_read
    };
    let parts: u64 = (1..=3).map(|number| read(Subset::Part { number, parts: 3 })).sum();
    assert_eq!(parts, 4);
    assert_eq!(read(Subset::Percent(0.1)), 1);
    assert_eq!(read(Subset::Percent(100.0)), 4);
    assert_eq!(read(Subset::Bytes(1)), 1);
    assert_eq!(read(Subset::Bytes(1 << 40)), 4);
}

#[test]
fn subsets_are_read_as_people_write_them() {
    assert_eq!("5%".parse(), Ok(Subset::Percent(5.0)));
    assert_eq!("2.5 %".parse(), Ok(Subset::Percent(2.5)));
    assert_eq!("1/7".parse(), Ok(Subset::Part { number: 1, parts: 7 }));
    assert_eq!("2G".parse(), Ok(Subset::Bytes(2 << 30)));
    for wrong in ["", "0%", "101%", "-1%", "nan%", "0/7", "8/7", "1/0", "a/b", "0", "x"] {
        assert!(wrong.parse::<Subset>().is_err(), "{wrong}");
    }
}

#[test]
fn only_the_chosen_snapshots_are_walked_and_only_their_packs_read() {
    let lab = Lab::new();
    let first = lab.snapshot(1, |maker| vec![file("a", vec![maker.chunk(&noise(1, 3000))])]);
    let second = lab.snapshot(2, |maker| vec![file("b", vec![maker.chunk(&noise(2, 3000))])]);
    let options = |id| CheckOptions {
        snapshots: Some(vec![id]),
        read_data: ReadData::All,
        ..CheckOptions::default()
    };
    let report = lab.check(&options(second));
    assert_eq!((report.checked.snapshots, report.checked.packs_read), (1, 2));
    let unknown = check(&lab.open(), &options(BackupId([9; 16])), &runtime(1));
    assert!(matches!(unknown, Err(Error::NotFound { what: "snapshot", .. })));
    assert_ne!(first, second);
}
