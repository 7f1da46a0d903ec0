//! The main work of the program on a service: everything goes there and comes back.

use serde_json::Value;

use crate::machine::{Machine, id, number};
use crate::servers::Server;
use crate::suite::open_existing;
use crate::support::{LiveTree, TreeCopy};

/// Init, backup, change, backup, restore, forget, prune, check, restore.
pub(crate) fn main_cycle(server: &dyn Server) {
    let machine = Machine::new(server, "cycle/repository");
    machine.init();
    let mut tree = LiveTree::new(machine.path("tree"), 5);
    tree.add_samples();
    tree.grow(60);
    tree.add_noise("large", 6 << 20);
    let first_tree = TreeCopy::of_folder(tree.root());
    let first = machine.back_up(tree.root());
    assert_eq!(number(&first, "errors"), 0, "{first}");

    tree.edit(30);
    tree.add_noise("later", 300_000);
    let second_tree = TreeCopy::of_folder(tree.root());
    let second = machine.back_up(tree.root());
    assert_eq!(id(&second, "parent"), id(&first, "snapshot_id"));
    assert!(
        number(&second, "bytes_stored") * 2 < number(&first, "bytes_stored"),
        "what was stored before is not stored again: {second}"
    );
    let third = machine.back_up(tree.root());
    assert!(number(&third, "bytes_stored") < 100_000, "nothing has changed: {third}");
    requests_are_few(&[&first, &second, &third]);

    let restored = |snapshot: &Value, copy: &TreeCopy, what: &str| {
        copy.assert_same(&machine.restored(&id(snapshot, "snapshot_id"), tree.root()), what);
    };
    restored(&first, &first_tree, "the first snapshot");
    restored(&second, &second_tree, "the second snapshot");

    machine.ok(&["forget", &id(&first, "snapshot_id"), &id(&third, "snapshot_id")]);
    let pruned = machine.summary(&["prune", "--grace", "0", "--max-unused", "0"]);
    assert!(number(&pruned, "storage.deletes") > 0, "the first one's own data goes: {pruned}");
    let checked = machine.check_all();
    assert_eq!(number(&checked, "checked.snapshots"), 1);
    restored(&second, &second_tree, "after the prune");
    // A machine that knows nothing of it yet gets the same.
    second_tree.assert_same(&machine.beside().restored("latest", tree.root()), "elsewhere");

    let storage = open_existing(&server.location("cycle/repository"), &server.connection());
    let mut left = Vec::new();
    storage.list("sessions/", &mut |meta| left.push(meta.name)).expect("a listing");
    assert!(left.is_empty(), "runs that have ended leave nothing: {left:?}");
}

/// Most requests of a backup that fits into one pack each of data and metadata; what is asked is
/// in `tests/it/requests.rs`, one by one.
fn requests_are_few(runs: &[&Value]) {
    for run in runs {
        let asked = |what| number(run, &format!("storage.{what}"));
        assert!(asked("puts") <= 10, "{run}");
        assert!(asked("lists") <= 24, "{run}");
        assert!(asked("gets") + asked("ranges") + asked("heads") <= 40, "{run}");
        assert!(asked("uploaded_bytes") <= number(run, "bytes_stored") + 50_000, "{run}");
        assert_eq!(asked("errors"), 0, "{run}");
    }
}
