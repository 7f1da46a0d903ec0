//! A server with one repository, and somebody who asks it.

use std::net::SocketAddr;
use std::sync::Arc;

use larder::archive::BackupOptions;
use larder::crypto::Suite;
use larder::manager::board::{Board, EventBus};
use larder::manager::fleet::{Fleet, OpenSite, Site};
use larder::manager::history::Database;
use larder::manager::notify::NotifySettings;
use larder::manager::status::WatchOptions;
use larder::manager::{BackupManager, ManagerOptions};
use larder::model::{BackupId, BackupStrategy};
use larder::repository::{InitOptions, LAYOUT, OpenOptions, Repository, Unlock};
use larder::runtime::Runtime;
use larder::server::api::{self, About, ApiOptions, ApiState, Limits};
use larder::server::audit::Audit;
use larder::server::auth::{Auth, AuthOptions, Role};
use larder::source::SourcePath;
use larder::storage::throttle::{Limits as Bandwidth, ThrottleHandle};
use larder::storage::{self, Location};
use parking_lot::Mutex;
use serde_json::Value;

/// Sends with the rights of this role; `None` is nobody.
pub(crate) type As = Option<Role>;
pub(crate) const ADMIN: As = Some(Role::Admin);

/// A daemon's API on a port of its own, with the repository `home`.
pub(crate) struct Server {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) state: ApiState,
    pub(crate) manager: BackupManager,
    pub(crate) address: SocketAddr,
    tokens: Vec<(Role, String)>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether the answer was broken off.
    pub(crate) is_cut_off: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{} {error}: {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The JSON of an answer with this status.
    pub(crate) fn with_status(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

fn open_manager(folder: &std::path::Path) -> BackupManager {
    let location = Location::from_path(&folder.join("repository")).expect("a path");
    let storage = storage::create(&location, LAYOUT).expect("a new folder");
    let init = InitOptions { suite: Suite::None, ..InitOptions::default() };
    let (open, runtime) = (OpenOptions::default(), Runtime::default());
    let repository = Repository::init(storage, &[Unlock::Nothing], &init, &open, &runtime);
    let source = SourcePath::new(&folder.join("documents")).expect("a folder");
    let options = ManagerOptions {
        backup: BackupOptions {
            sources: vec![source],
            host: Some("laptop".into()),
            ..BackupOptions::default()
        },
        state_dir: Some(folder.join("state")),
        watch: WatchOptions { rpo_hours: Some(7), ..WatchOptions::default() },
        ..ManagerOptions::default()
    };
    BackupManager::open(repository.expect("a repository"), options).expect("a manager")
}

impl Server {
    pub(crate) fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("documents")).expect("a folder");
        std::fs::create_dir(folder.path().join("restored")).expect("a folder");
        std::fs::write(folder.path().join("documents/letter.txt"), "Dear reader, ...\n")
            .expect("a file");
        let manager = open_manager(folder.path());
        let runtime = Runtime::default();
        let bus = EventBus::new(Arc::clone(&runtime.clock));
        let database = Database::new(Some(folder.path().join("state")), Arc::clone(&runtime.clock));
        let database = Arc::new(database);
        let board = Board::new(Arc::clone(&database), bus, runtime);
        let own = Mutex::new(Some(manager.clone()));
        let opener = move || {
            Ok(OpenSite {
                manager: own.lock().take().expect("is opened once"),
                throttle: ThrottleHandle::new(Bandwidth::default()),
                requests: Arc::default(),
            })
        };
        let site = Site::new("home", "a folder", Box::new(opener), &board);
        let away = || Err(larder::error::Error::RepositoryMissing { location: "/mnt/away".into() });
        let away = Site::new("away", "/mnt/away", Box::new(away), &board);
        let fleet = Arc::new(Fleet::new(vec![site, away], board).expect("two names"));
        let auth = Auth::open(AuthOptions::default(), database).expect("in memory");
        let tokens = Role::ALL.map(|role| {
            let made = auth.access().add_token(role.as_str(), role, None).expect("a token");
            (role, made.1.to_string())
        });
        auth.access().add_user("ann", Role::Admin, "a password of some length").expect("a user");
        let limits = Limits {
            restore_roots: vec![folder.path().join("restored")],
            source_roots: vec![folder.path().join("documents")],
        };
        let state_dir = folder.path().join("state");
        let clock = Arc::clone(&Runtime::default().clock);
        let audit = Audit::open(Some(&state_dir), clock).expect("a folder");
        let (state_dir, audit) = (Some(state_dir), Some(audit));
        let note = ["touch", &folder.path().join("told").display().to_string()].map(str::to_owned);
        let channel = serde_json::json!({ "name": "note", "command": { "run": note } });
        let channels = vec![serde_json::from_value(channel).expect("a channel")];
        let notify = NotifySettings { channels };
        let about = About { state_dir, audit, notify, ..About::default() };
        let state = ApiState::new(ApiOptions { fleet, limits, auth, about }).expect("threads");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let router = api::router(state.clone());
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("bound");
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, service).await });
            address
        });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let tokens = tokens.into();
        Self { folder, state, manager, address, tokens, client, runtime }
    }

    /// Writes a file among the documents.
    pub(crate) fn write(&self, name: impl AsRef<std::path::Path>, bytes: impl AsRef<[u8]>) {
        let path = self.folder.path().join("documents").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    /// Backs up the documents.
    pub(crate) fn backup(&self) -> BackupId {
        self.manager.create_backup(BackupStrategy::Incremental).expect("a backup")
    }

    /// The path of a document in snapshots.
    pub(crate) fn in_snapshot(&self, name: &str) -> String {
        self.folder.path().join("documents").join(name).to_str().expect("text").to_owned()
    }

    pub(crate) fn token(&self, role: Role) -> &str {
        let found = self.tokens.iter().find(|(one, _)| *one == role);
        &found.expect("one for each role").1
    }

    pub(crate) fn request(&self, method: &str, path: &str, by: As) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        let request = self.client.request(method.parse().expect("a method"), url);
        match by {
            Some(role) => request.bearer_auth(self.token(role)),
            None => request,
        }
    }

    pub(crate) fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let sent = request.send().await;
            let Ok(mut response) = sent else {
                // Broken off before its first byte came.
                let (headers, body) = (reqwest::header::HeaderMap::new(), Vec::new());
                return Answer { status: 0, headers, body, is_cut_off: true };
            };
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let (mut body, mut is_cut_off) = (Vec::new(), false);
            loop {
                match response.chunk().await {
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) => break,
                    Err(_) => {
                        is_cut_off = true;
                        break;
                    }
                }
            }
            Answer { status, headers, body, is_cut_off }
        })
    }

    /// Reads a stream until `is_enough`.
    pub(crate) fn read_until(
        &self,
        request: reqwest::RequestBuilder,
        is_enough: impl Fn(&str) -> bool,
    ) -> String {
        let reading = async {
            let mut response = request.send().await.expect("an answer");
            let mut text = String::new();
            while !is_enough(&text) {
                let chunk = response.chunk().await.expect("goes on");
                let Some(chunk) = chunk else { break };
                text.push_str(&String::from_utf8_lossy(&chunk));
            }
            text
        };
        self.runtime
            .block_on(async {
                tokio::time::timeout(std::time::Duration::from_secs(60), reading).await
            })
            .expect("comes in time")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path, ADMIN))
    }

    /// Sends JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.request("POST", path, ADMIN).body(body.to_string());
        self.send(request.header("content-type", "application/json"))
    }

    /// Percent-encodes a value of a parameter.
    pub(crate) fn encoded(text: &str) -> String {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        let encode = |b: u8| match is_plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        };
        text.bytes().map(encode).collect()
    }
}
