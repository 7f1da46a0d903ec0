use super::*;

#[test]
fn unreadable_pages_name_what_is_known_of_them() {
    let lab = Lab::new();
    lab.snapshot(1, tree(1));
    let name = lab.names("meta/").remove(0);
    lab.storage.damage(&name, |bytes| bytes[64..].fill(0));
    let report = lab.check(&CheckOptions::default());
    assert!(!report.is_clean());
    assert_eq!(
        report.hits.snapshots[0].ranges,
        [HitRange { after: None, last: None, entries: None }]
    );
}

#[test]
fn a_missing_leaf_is_named_by_its_borders() {
    let lab = Lab::new();
    lab.raw_snapshot(1, |maker| {
        let entries: Vec<Entry> = ["a", "b", "c", "d"].map(folder).into();
        let mut children: Vec<Child> = entries.chunks(2).map(|part| maker.leaf(part)).collect();
        children[1].page = PageId([9; 32]);
        (maker.page(&encode_inner(1, &children)), 1, entries)
    });
    let report = lab.check(&CheckOptions::default());
    let object = format!("page {}", PageId([9; 32]));
    assert!(report.findings.iter().any(|f| f.object == object), "{:?}", report.findings);
    let range = HitRange { after: Some("/b".into()), last: Some("/d".into()), entries: Some(2) };
    assert_eq!(report.hits.snapshots[0].ranges, [range]);
}

#[test]
fn manifests_that_lie_are_found() {
    type Change = fn(&mut Maker<'_>, &mut Vec<Entry>) -> (PageId, u8);
    let lies: [(&str, Change); 8] = [
        ("a file in no folder", |maker, entries| {
            entries.retain(|e| e.path != b"src/b");
            maker.manifest(entries)
        }),
        ("a file in a file, in the next page", |maker, entries| {
            entries.iter_mut().filter(|e| e.path == b"src/b").for_each(|e| e.kind = FileKind::Fifo);
            maker.manifest(entries)
        }),
        ("pages in the wrong order", |maker, entries| {
            let mut children: Vec<Child> = entries.chunks(3).map(|p| maker.leaf(p)).collect();
            let (first, last) = (children[0].last.clone(), children[1].last.clone());
            children.swap(0, 1);
            (children[0].last, children[1].last) = (first, last);
            (maker.page(&encode_inner(1, &children)), 1)
        }),
        ("another count", |maker, entries| {
            let mut children: Vec<Child> = entries.chunks(3).map(|p| maker.leaf(p)).collect();
            children[1].files += 1;
            (maker.page(&encode_inner(1, &children)), 1)
        }),
        ("a depth that is not so", |maker, entries| (maker.manifest(entries).0, 2)),
        ("a chunk of another length", |maker, entries| {
            let Piece::Chunk(id, len) = maker.chunk(b"some") else { unreachable!() };
            entries.push(file("t", vec![Piece::Chunk(id, len + 1)]));
            maker.manifest(entries)
        }),
        ("a chunk that nobody stored", |maker, entries| {
            entries.push(file("t", vec![Piece::Chunk(ChunkId([1; 32]), 5)]));
            maker.manifest(entries)
        }),
        ("attributes that are a leaf", |maker, entries| {
            entries[0].xattrs = XattrsRef::Page(maker.page(&encode_leaf(&[])));
            maker.manifest(entries)
        }),
    ];
    for (what, lie) in lies {
        let lab = Lab::new();
        lab.raw_snapshot(1, |maker| {
            let mut entries = tree(1)(maker);
            let (root, depth) = lie(maker, &mut entries);
            (root, depth, entries)
        });
        let report = lab.check(&CheckOptions::default());
        assert!(!report.is_clean(), "{what}");
    }
}

/// A page that is good in one snapshot may stand in a place where it is wrong in another.
#[test]
fn shared_pages_are_judged_by_their_place() {
    let lab = Lab::new();
    let parts = |maker: &mut Maker<'_>, swap: bool| {
        let (a, b) = ([folder("a"), folder("b")], [folder("b/c"), folder("d")]);
        let fifo = entry("b", FileKind::Fifo, Content::None);
        let first = if swap { maker.leaf(&[a[0].clone(), fifo]) } else { maker.leaf(&a) };
        let children = [first, maker.leaf(&b)];
        let entries = a.iter().chain(&b).cloned().collect::<Vec<_>>();
        (maker.page(&encode_inner(1, &children)), 1, entries)
    };
    lab.raw_snapshot(1, |maker| parts(maker, false));
    assert!(lab.check(&CheckOptions::default()).is_clean());
    lab.raw_snapshot(2, |maker| parts(maker, true));
    let report = lab.check(&CheckOptions::default());
    assert!(report.findings.iter().any(|f| f.what.contains("no folder")), "{:?}", report.findings);
}
