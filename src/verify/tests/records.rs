use super::*;

#[test]
fn a_second_bad_key_or_configuration_is_found() {
    let lab = Lab::filled();
    for folder in ["keys/", "keyring/", "config/"] {
        let name = lab.names(folder).remove(0);
        let mut bytes = lab.storage.bytes(&name).unwrap().to_vec();
        bytes[70] ^= 1;
        let file = name.rsplit('/').next().unwrap();
        let prefix = file.split_once('-').map_or(String::new(), |(number, _)| format!("{number}-"));
        let hash = crate::crypto::object_hash(&[b"another"]);
        let planted = format!("{folder}{prefix}{hash}");
        lab.storage.replace(&planted, &bytes);
        let report = lab.check(&CheckOptions::default());
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        assert_eq!(report.findings[0].object, planted);
        lab.storage.remove(&planted);
    }
}

#[test]
fn a_record_taken_out_of_a_chain_is_noticed() {
    let mut lab = Lab::new();
    let folder = tempfile::tempdir().unwrap();
    lab.state_dir = Some(folder.path().into());
    (1..=3).for_each(|n| _ = lab.snapshot(n, tree(n)));
    assert_eq!(lab.check(&CheckOptions::default()).findings, []);
    let records = lab.names("snapshots/");
    lab.storage.remove(&records[1]);
    let report = lab.check(&CheckOptions::default());
    assert_eq!((report.damaged, report.findings[0].severity), (1, Severity::Damage));
    assert!(report.findings[0].what.contains("is missing"), "{}", report.findings[0]);
}
