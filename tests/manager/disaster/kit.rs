//! Kits: what is on the page, and what becomes of the codes on earlier ones.

use larder::crypto::{RecoveryCode, Suite};
use larder::error::{Error, Result, StorageErrorKind};
use larder::manager::disaster::{Kit, KitCode, KitFiles, KitOptions, KitPaper, make_kit};
use larder::repository::{Repository, Unlock};
use larder::storage::fault::{Fault, On, Rule};

use crate::support::{Lab, LabOptions, PASSWORD};

fn try_kit(lab: &Lab, repository: &Repository) -> Result<Kit> {
    make_kit(repository, &KitOptions::default(), &lab.runtime(), &mut |_| Ok(()))
}

fn code_of(kit: &Kit) -> RecoveryCode {
    match &kit.code {
        KitCode::New(code) => RecoveryCode::parse(code).expect("a code"),
        other => panic!("{other:?}"),
    }
}

fn opens(lab: &Lab, kit: &Kit) -> bool {
    lab.try_open_with(&Unlock::Recovery(code_of(kit))).is_ok()
}

#[test]
fn a_new_kit_withdraws_the_code_of_the_one_before() {
    let lab = Lab::seeded(1);
    let repository = lab.open();
    let first = try_kit(&lab, &repository).expect("a kit");
    assert!(opens(&lab, &first));
    let second = try_kit(&lab, &repository).expect("a kit");
    assert!(!opens(&lab, &first) && opens(&lab, &second));
}

/// Whatever goes wrong on the way to the new kit, the one in the drawer is good, or the new one is
/// on disk and good.
#[test]
fn a_kit_that_cannot_be_made_leaves_a_good_one() {
    let lab = Lab::seeded(2);
    let repository = lab.open();
    let first = try_kit(&lab, &repository).expect("a kit");
    let slots = repository.slots().expect("lists").len();
    let full = || Error::local("create", "kit.html", std::io::ErrorKind::StorageFull);
    make_kit(&repository, &KitOptions::default(), &lab.runtime(), &mut |_| Err(full()))
        .expect_err("the disk is full");
    assert!(opens(&lab, &first));
    assert_eq!(repository.slots().expect("lists").len(), slots, "nothing is left of the second");

    for on in [On::Put, On::Delete, On::List, On::Get] {
        for nth in 1..12 {
            let lab = lab.fork();
            let repository = lab.open();
            let rule = Rule {
                on,
                prefix: String::new(),
                nth,
                times: u64::MAX,
                fault: Fault::Fail(StorageErrorKind::Permanent),
            };
            lab.storage.inject(rule);
            let mut stored = None;
            let made = make_kit(&repository, &KitOptions::default(), &lab.runtime(), &mut |kit| {
                stored = Some(kit.clone());
                Ok(())
            });
            lab.storage.heal();
            let is_new_good = stored.as_ref().is_some_and(|kit| opens(&lab, kit));
            assert!(is_new_good || opens(&lab, &first), "{on:?} {nth}: no kit opens anything");
            if made.is_ok() {
                assert!(is_new_good, "{on:?} {nth}");
            }
        }
    }
}

/// The password, and whatever else people type, has no way into a kit.
#[test]
fn a_kit_holds_no_password_and_needs_nothing_from_outside() {
    let lab = Lab::seeded(3);
    lab.backup();
    let repository = lab.open();
    let kit = try_kit(&lab, &repository).expect("a kit");
    for page in [kit.html(), kit.text(), kit.qr_text(), kit.text_qr().expect("it fits")] {
        assert!(!page.contains(PASSWORD));
    }
    let html = kit.html().to_lowercase();
    for outside in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link"]
    {
        let found = html.find(outside).map(|at| &html[at..(at + 60).min(html.len())]);
        assert_eq!(found, None, "the page needs something from outside");
    }
    assert!(format!("{kit:?}").contains("New(..)"), "a code is not for logs");
}

/// Places of copies are on the page as any computer can use them, and never with a password.
#[test]
fn places_of_copies_are_locations_without_secrets() {
    let lab = Lab::seeded(8);
    let repository = lab.open();
    let first = try_kit(&lab, &repository).expect("a kit");
    let with = |place: &str| {
        let options = KitOptions { also_at: vec![place.into()], ..KitOptions::default() };
        make_kit(&repository, &options, &lab.runtime(), &mut |_| Ok(()))
    };
    for wrong in
        ["sftp://ann:hunter2@host/back", "s3://box/x?secret_access_key=hunter2", "ftp://h/x", ""]
    {
        let error = with(wrong).expect_err(wrong);
        assert!(matches!(error, Error::Usage { .. }), "{wrong}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(opens(&lab, &first), "{wrong}: the kit before stays good");
    }
    let kit = with("relative/dir").expect("a kit");
    let absolute = std::env::current_dir().expect("a folder").join("relative/dir");
    assert_eq!(kit.locations[1], absolute.display().to_string());
    let kit = with("sftp://ann@host/back").expect("a kit");
    assert_eq!(kit.locations[1], "sftp://ann@host/back");
}

#[test]
fn kits_are_read_back_in_every_form() {
    let lab = Lab::seeded(4);
    lab.backup();
    let repository = lab.open();
    let mut kit = try_kit(&lab, &repository).expect("a kit");
    kit.locations = vec!["/mnt/a & <b> \"c\"'s".into(), "s3://box/x?region=eu&endpoint=y".into()];
    for text in [kit.text(), kit.html(), kit.qr_text()] {
        let paper = KitPaper::parse(&text).expect("a kit");
        assert_eq!(paper.locations, kit.locations, "{}", &text[..40]);
        assert_eq!(paper.repository, Some(repository.id()));
        assert_eq!(paper.head, kit.head);
        assert!(paper.head.is_some());
        let code = paper.code.expect("a code");
        assert_eq!(*code.to_text(), *code_of(&kit).to_text());
    }
    // Lines end as they end where the file has been.
    let windows = kit.text().replace('\n', "\r\n");
    assert!(KitPaper::parse(&windows).expect("a kit").code.is_some());

    let options = KitOptions { keep_code: true, ..KitOptions::default() };
    let blank = Kit::without_code(&repository, &options, &lab.runtime()).expect("a kit");
    for text in [blank.text(), blank.html(), blank.qr_text()] {
        assert!(KitPaper::parse(&text).expect("a kit").code.is_none());
    }
    let mistyped = kit.qr_text().replace("Recovery code: ", "Recovery code: A");
    assert!(matches!(KitPaper::parse(&mistyped), Err(Error::Usage { .. })));
    for other in ["", "hello", "<!doctype html><p>LARDER", "<!doctype"] {
        assert!(matches!(KitPaper::parse(other), Err(Error::Usage { .. })), "{other}");
    }
}

/// Whoever has the paper only types its lines, each in a way of their own.
#[test]
fn facts_typed_off_the_paper_are_a_kit() {
    let lab = Lab::seeded(6);
    lab.backup();
    let repository = lab.open();
    let mut kit = try_kit(&lab, &repository).expect("a kit");
    kit.locations = vec!["/mnt/a disk/b".into()];
    let (code, head) = (code_of(&kit).to_text(), kit.head.expect("a head"));
    let id = repository.id().to_string();
    let (left, right) = id.split_at(8);
    let typed = [
        format!(
            "Location /mnt/a disk/b\nRepository id {id}\nRecovery code {}\nHead code {head}",
            *code
        ),
        format!(
            "\u{feff}location: /mnt/a disk/b\nREPOSITORY ID {left} {right}\nrecovery code:{}\nhead code: {head}\n",
            code.to_lowercase()
        ),
        format!(
            "LARDER RECOVERY KIT\nLocation\t/mnt/a disk/b\nRepository id: {id}\nRecovery code   {}\nHead code {head}",
            *code
        ),
        // The whole page, with one space only and other line ends.
        kit.text()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace(" Location ", "\nLocation ")
            .replace(" Repository id ", "\nRepository id ")
            .replace(" Recovery code ", "\nRecovery code ")
            .replace(" Head code ", "\nHead code ")
            .replace(" Other keys", "\nOther keys")
            .replace(" recovery code is", "\nrecovery code is")
            .replace(" head code of", "\nhead code of")
            .replace(" Newer head", "\nNewer head"),
    ];
    for text in typed {
        let paper = KitPaper::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(paper.locations, kit.locations, "{text}");
        assert_eq!(paper.repository, Some(repository.id()), "{text}");
        assert_eq!(*paper.code.expect("a code").to_text(), *code, "{text}");
        assert_eq!(paper.head, Some(head), "{text}");
    }
}

/// A typing error must not switch off the check that the line is for.
#[test]
fn mistyped_facts_are_named() {
    let lab = Lab::seeded(7);
    lab.backup();
    let kit = try_kit(&lab, &lab.open()).expect("a kit");
    let (head, id) = (kit.head.expect("a head").to_string(), kit.repository.to_string());
    let first = head.split(' ').next().expect("a word");
    let cases = [
        (head.clone(), head.replacen(first, "zzxq", 1), "head code"),
        (head.clone(), head.split_once(' ').expect("words").1.to_owned(), "head code"),
        (id.clone(), id[1..].to_owned(), "repository id"),
        (id.clone(), format!("g{}", &id[1..]), "repository id"),
    ];
    for page in [kit.text(), kit.qr_text()] {
        for (right, wrong, what) in &cases {
            let error = KitPaper::parse(
                &page
                    .replace(&format!("{right}\n"), &format!("{wrong}\n"))
                    .replace(&format!(": {right}"), &format!(": {wrong}")),
            )
            .err();
            let Some(Error::Usage { message, .. }) = error else { panic!("{wrong}: {error:?}") };
            assert!(message.contains(&format!("{what} of the kit is mistyped")), "{message}");
        }
    }
    let five: Vec<_> = kit.text().lines().take(5).map(str::to_owned).collect();
    let error = KitPaper::parse(&five.join("\n")).expect_err("no facts");
    assert!(error.to_string().contains("neither its location nor its code"), "{error}");
}

/// Text of any bytes is refused or read, and never a reason to stop.
#[test]
fn hostile_kits_are_only_text() {
    let pieces =
        ["LARDER RECOVERY KIT\n", "Location: ", "Recovery code  ", "<", ">", "é", "\n", "&lt;"];
    for number in 0..4096_usize {
        let text: String = (0..4).map(|at| pieces[number >> (3 * at) & 7]).collect();
        let _ = KitPaper::parse(&text);
        let _ = KitPaper::parse(&format!("<!doctype html>{text}"));
    }
    let places = format!("LARDER RECOVERY KIT\n{}", "Location: x\n".repeat(10_000));
    assert!(KitPaper::parse(&places).expect("a kit").locations.len() < 100);
}

#[test]
fn either_all_files_of_a_kit_are_there_or_none() {
    let lab = Lab::with(5, LabOptions { suite: Suite::None, ..LabOptions::default() });
    let kit = try_kit(&lab, &lab.open()).expect("a kit");
    assert!(matches!(kit.code, KitCode::NotNeeded));
    let folder = lab.scratch("kits");
    std::fs::create_dir(&folder).expect("a folder");
    let files = KitFiles::free_in(&folder);
    std::fs::write(files.text.as_deref().expect("a name"), "another").expect("a file");
    files.check_free().expect_err("one is taken");
    files.save(&kit).expect_err("one is taken");
    assert!(!files.html.as_deref().expect("a name").exists());
    let next = KitFiles::free_in(&folder);
    next.save(&kit).expect("both are free");
    assert_eq!(next.paths().filter(|path| path.is_file()).count(), 2);
}
