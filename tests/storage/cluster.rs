//! Many machines, one repository, on a cluster that loses parts of itself.

use std::env;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{Machine, Run, id, number};
use crate::servers::{Cluster, Server};
use crate::suite::open_existing;
use crate::support::{Dice, LiveTree, TreeCopy};

/// How much work it is.
struct Size {
    /// Bytes that all machines have.
    common: usize,
    /// Bytes that each has for itself, new in every round.
    own: usize,
    rounds: usize,
}

const SHORT: Size = Size { common: 12 << 20, own: 5 << 20, rounds: 1 };
const LONG: Size = Size { common: 200 << 20, own: 60 << 20, rounds: 6 };

/// Machines that write at once.
const MACHINES: usize = 4;

/// One of them, with what it has and what it remembers of it.
struct Client {
    machine: Machine,
    tree: LiveTree,
    /// Snapshots that were said to be finished, with what the tree held.
    finished: Vec<(String, TreeCopy)>,
}

impl Client {
    fn new(machine: Machine, seed: u64, common: &Path) -> Self {
        let mut tree = LiveTree::new(machine.path("tree"), seed);
        tree.add_samples();
        fs::copy(common, tree.path("common")).expect("copies");
        tree.grow(20);
        Self { machine, tree, finished: Vec::new() }
    }

    /// Backs up what has changed by now, however that ends.
    fn back_up(&mut self, limits: &[&str]) -> Run {
        let folder = self.tree.root().to_str().expect("plain").to_owned();
        let copy = TreeCopy::of_folder(self.tree.root());
        let arguments = [&["--json", "snapshot", &folder], limits].concat();
        let run = self.machine.run(&arguments);
        if run.code == 0 {
            self.finished.push((id(&run.summary(), "snapshot_id"), copy));
        }
        run
    }

    fn assert_restore(&self, newest: usize, when: &str) {
        for (snapshot, copy) in self.finished.iter().rev().take(newest) {
            copy.assert_same(&self.machine.restored(snapshot, self.tree.root()), when);
        }
    }
}

/// Four machines back up to a cluster of three volume servers, each object on two of them. In the
/// middle one server dies: nothing that was finished is lost, and what fails, fails cleanly. After
/// the administrator has made second copies again, another one may die.
#[test]
fn machines_share_a_repository_on_a_cluster_that_loses_servers() {
    let is_long = env::var_os("LARDER_TEST_LONG").is_some_and(|value| value == "1");
    let size = if is_long { LONG } else { SHORT };
    let Some(mut cluster) = Cluster::start() else { return };
    let first = Machine::new(&cluster, "shared");
    first.init();
    let dice = Dice::seeded(8);
    let common = first.path("common");
    fs::write(&common, dice.noise(size.common)).expect("writes");
    let machines = (0..MACHINES).map(|_| first.beside());
    let mut clients: Vec<Client> =
        machines.zip(1..).map(|(machine, seed)| Client::new(machine, seed, &common)).collect();
    // One has what all have: the others find it there.
    let seed = clients[0].back_up(&[]);
    assert_eq!(seed.code, 0, "{seed:?}");
    let mut stored = number(&seed.summary(), "bytes_stored");

    for round in 0..size.rounds {
        let victim = round % Cluster::SERVERS;
        for client in &mut clients {
            client.tree.edit(10);
            client.tree.add_noise(&format!("own {round}"), size.own);
        }
        let runs = back_up_while(&mut clients, || {
            wait_for_packs(&cluster, stored);
            cluster.kill_volume_server(victim);
        });
        for (client, run) in clients.iter_mut().zip(runs) {
            let run = if run.code == 0 { run } else { after_a_failure(client, run) };
            let added = number(&run.summary(), "bytes_stored");
            assert!(
                added < size.own as u64 + (3 << 20),
                "what all have is not stored again: {run:?}"
            );
            stored += added;
        }
        all_is_there(&clients, "with one server dead");
        cluster.wait_for_servers(Cluster::SERVERS - 1);
        let said = cluster.fix_replication();
        let second = (victim + 1) % Cluster::SERVERS;
        cluster.kill_volume_server(second);
        newest_are_there(&clients, &format!("with a second one dead, after: {said}"));
        cluster.start_volume_server(victim);
        cluster.start_volume_server(second);
        cluster.wait_for_servers(Cluster::SERVERS);
        cluster.wait().expect("the cluster takes objects again");
    }
    clients[1].tree.add_noise("at the end", 100_000);
    let last = clients[1].back_up(&[]);
    assert_eq!(last.code, 0, "{last:?}");
    clients[1].machine.check_all();
    println!("stored {stored} bytes of {MACHINES} machines");
}

/// All back up at once, slowly enough that `meanwhile` happens in the middle.
fn back_up_while(clients: &mut [Client], meanwhile: impl FnOnce()) -> Vec<Run> {
    thread::scope(|scope| {
        let limits = ["--limit-upload", "1500K"];
        let runs: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(move || client.back_up(&limits))).collect();
        meanwhile();
        runs.into_iter().map(|run| run.join().expect("no panic")).collect()
    })
}

/// Waits until storage holds more bytes of packs than this.
fn wait_for_packs(cluster: &Cluster, bytes: u64) {
    let storage = open_existing(&cluster.location("shared"), &cluster.connection());
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let mut sum = 0;
        storage.list("data/", &mut |meta| sum += meta.len).expect("a listing");
        if sum > bytes {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing came");
}

/// A failure names what went wrong and leaves no snapshot; the next run does it.
#[allow(clippy::print_stdout)]
fn after_a_failure(client: &mut Client, run: Run) -> Run {
    assert!(run.code == 1 && run.stderr.contains("\"message_type\":\"error\""), "{run:?}");
    let known = client.machine.snapshots();
    assert!(client.finished.iter().all(|(id, _)| known.contains(id)), "{known:?}");
    println!("a backup failed: {}", run.stderr);
    let again = client.back_up(&[]);
    assert_eq!(again.code, 0, "{again:?}");
    again
}

/// Every snapshot that was finished restores identical, and every stored byte can be read.
fn all_is_there(clients: &[Client], when: &str) {
    restore_at_once(clients, usize::MAX, when);
    clients[0].machine.check_all();
}

/// The same, without restoring the older ones again.
fn newest_are_there(clients: &[Client], when: &str) {
    restore_at_once(clients, 1, when);
    clients[0].machine.check_all();
}

fn restore_at_once(clients: &[Client], newest: usize, when: &str) {
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || client.assert_restore(newest, when));
        }
    });
}
