//! SMB shares, with Samba: what is special to them.

use std::sync::atomic::{AtomicUsize, Ordering};

use larder::storage::conformance::{Scale, conformance_at};
use larder::storage::{self, Connection, Location, SharedStorage};

use crate::servers::{Samba, Server};

fn open(location: &str, connection: &Connection) -> SharedStorage {
    let location = Location::parse(location).expect("a location");
    storage::open_with(&location, connection).expect("it opens")
}

#[test]
fn samba_conforms() {
    let Some(server) = Samba::start() else { return };
    let next = AtomicUsize::new(0);
    conformance_at(Scale { objects: 1000, exclusive: true }, || {
        let folder = format!("case {}/repository", next.fetch_add(1, Ordering::SeqCst));
        open(&server.location(&folder), &server.connection())
    });
    for folder in std::fs::read_dir(server.data()).unwrap() {
        let tmp = folder.unwrap().path().join("repository/tmp");
        assert_eq!(tmp.read_dir().map_or(0, Iterator::count), 0, "no temporary files stay");
    }
}
