// What the examples of src/manager/guide.md stand on: a folder with two files, and managers of it.
// Included by each of them, in a module of its own.

use std::path::PathBuf;

use larder::archive::BackupOptions;
use larder::crypto::Suite;
use larder::manager::{BackupManager, ManagerOptions};
use larder::repository::{InitOptions, LAYOUT, OpenOptions, Repository, Unlock};
use larder::runtime::Runtime;
use larder::source::SourcePath;
use larder::storage::{self, Location};

pub type Shown = Result<(), Box<dyn std::error::Error>>;

pub struct Home(tempfile::TempDir);

impl Home {
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let home = Self(tempfile::tempdir()?);
        std::fs::create_dir(home.path("documents"))?;
        home.write("letter.txt", "Dear reader, ...\n")?;
        home.write("notes.txt", "one\ntwo\n")?;
        Ok(home)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> std::io::Result<()> {
        std::fs::write(self.path("documents").join(name), text)
    }

    /// The path of a document in snapshots.
    pub fn in_snapshot(&self, name: &str) -> Vec<u8> {
        let path = self.path("documents").join(name);
        path.to_str().expect("a plain path").trim_matches('/').into()
    }

    /// A manager of a new repository.
    pub fn manager(&self) -> Result<BackupManager, Box<dyn std::error::Error>> {
        self.manager_of("backups")
    }

    pub fn manager_of(&self, name: &str) -> Result<BackupManager, Box<dyn std::error::Error>> {
        let storage = storage::create(&Location::from_path(&self.path(name))?, LAYOUT)?;
        let init = InitOptions { suite: Suite::None, ..InitOptions::default() };
        let (open, runtime) = (OpenOptions::default(), Runtime::default());
        let repository = Repository::init(storage, &[Unlock::Nothing], &init, &open, &runtime)?;
        let options = ManagerOptions {
            backup: BackupOptions {
                sources: vec![SourcePath::new(&self.path("documents"))?],
                ..BackupOptions::default()
            },
            export_folder: Some(self.path("exports")),
            state_dir: Some(self.path("state")),
            ..ManagerOptions::default()
        };
        Ok(BackupManager::open(repository, options)?)
    }
}
