use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::model::{MirrorPolicy, Place};
use crate::repository::{
    InitOptions, KdfCost, OpenOptions, Password, RekeyOptions, Repository, Unlock,
};
use crate::runtime::Runtime;
use crate::storage::{Connector, MemoryStorage, SharedStorage, Storage};

struct Lab {
    storage: Arc<MemoryStorage>,
    home: tempfile::TempDir,
}

impl Lab {
    fn new() -> (Self, Repository) {
        let lab = Self {
            storage: Arc::new(MemoryStorage::new()),
            home: tempfile::tempdir().expect("a folder"),
        };
        let init = InitOptions { kdf: KdfCost::CheapForTests, ..InitOptions::default() };
        let storage = Arc::clone(&lab.storage) as SharedStorage;
        let made = Repository::init(
            storage,
            &[Self::password()],
            &init,
            &lab.options("a"),
            &Runtime::default(),
        );
        (lab, made.expect("inits"))
    }

    fn password() -> Unlock {
        Unlock::Password(Password::new("pw"))
    }

    fn options(&self, machine: &str) -> OpenOptions {
        let state_dir: Option<PathBuf> = Some(self.home.path().join(machine));
        OpenOptions { state_dir, places: Connector::none(), ..OpenOptions::default() }
    }

    fn open(&self, machine: &str) -> Result<Repository, Error> {
        let storage = Arc::clone(&self.storage) as SharedStorage;
        Repository::open(storage, &Self::password(), &self.options(machine), &Runtime::default())
    }

    fn configs(&self) -> usize {
        self.storage.names().iter().filter(|name| name.starts_with("config/")).count()
    }
}

#[test]
fn places_are_kept_in_the_sealed_configuration() {
    let runtime = Runtime::default();
    let (lab, repository) = Lab::new();
    assert_eq!(repository.places().all, []);
    let attic = Place::mirror("attic", "/mnt/attic");
    let cellar = Place::mirror("cellar", "/mnt/cellar");
    repository.add_place(&attic, &runtime).expect("adds");
    repository.add_place(&cellar, &runtime).expect("adds");
    repository
        .set_places(
            &mut |places| {
                places.policy = MirrorPolicy::Quorum;
                Ok(())
            },
            &runtime,
        )
        .expect("sets");
    assert_eq!(lab.configs(), 1, "superseded configurations are deleted");
    let text = "/mnt/attic".as_bytes();
    for name in lab.storage.names() {
        let bytes = lab.storage.get(&name, 1 << 20).expect("reads");
        assert!(!bytes.windows(text.len()).any(|window| window == text), "{name} tells it");
    }

    let other = lab.open("b").expect("opens");
    assert_eq!(other.places().all, [attic.clone(), cellar.clone()]);
    assert_eq!(other.places().policy, MirrorPolicy::Quorum);
    other.rekey(&RekeyOptions::default(), &mut |_| Ok(()), &runtime).expect("rekeys");
    assert_eq!(lab.open("b").expect("opens").places().all, [attic, cellar.clone()]);
    other.remove_place("attic", &runtime).expect("removes");
    assert_eq!(lab.open("b").expect("opens").places().all, [cellar]);
}

#[test]
fn what_cannot_be_a_place_changes_nothing() {
    let runtime = Runtime::default();
    let (lab, repository) = Lab::new();
    let generation = lab.open("a").expect("opens").config().generation;
    for location in ["", "nosuch://x", "s3://key:secret@bucket/x"] {
        let error = repository.add_place(&Place::mirror("attic", location), &runtime).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{location}: {error}");
        assert!(!error.to_string().contains("secret@"), "{error}");
    }
    assert!(matches!(repository.remove_place("attic", &runtime), Err(Error::NotFound { .. })));
    assert_eq!(lab.open("a").expect("opens").config().generation, generation);
}

/// The repository's own disk is dead; where the copies are is known all the same.
#[test]
fn a_machine_that_knew_the_mirrors_names_them() {
    let (lab, repository) = Lab::new();
    repository.add_place(&Place::mirror("attic", "/mnt/attic"), &Runtime::default()).expect("adds");
    drop(lab.open("b").expect("opens"));
    lab.storage.delete("repo").expect("deletes");
    for machine in ["a", "b"] {
        let error = lab.open(machine).err().expect("fails");
        assert!(matches!(error, Error::MirrorsLeft { .. }), "{error}");
        assert_eq!(error.exit_code(), 10);
        assert!(error.in_full().contains("no repository at"), "{}", error.in_full());
        assert!(error.hint().expect("a hint").contains("`-r /mnt/attic`"));
    }
    assert!(matches!(lab.open("c"), Err(Error::RepositoryMissing { .. })));
}
