use super::{Machine, Server, hook};
use crate::manager::alerts::{AlertKind, Alerts};
use crate::manager::board::{JobKind, JobOutcome, NewJob};
use crate::model::RepoId;
use crate::runtime::CancelToken;

/// A check that ends well and found damage is no good news, until a person has looked.
#[test]
fn what_a_check_finds_becomes_an_alert() {
    let (machine, server) = (Machine::new(), Server::start());
    let life = machine.live(Some(hook(&server, "")));
    for problems in [0, 3, 2] {
        let new = NewJob {
            repository: "home".into(),
            repo_id: RepoId([7; RepoId::LEN]),
            kind: JobKind::Check,
            title: "check".into(),
            schedule_id: None,
            attempt: 1,
            wanted_by: "ann".into(),
        };
        let result = serde_json::json!({ "problems": problems });
        let outcome = JobOutcome { result, ..JobOutcome::default() };
        life.board.run(new, &CancelToken::default(), |_| Ok(outcome)).expect("succeeds");
    }
    let got = server.wait(1);
    assert_eq!(got[0].header("larder-event"), "damage");
    let open = Alerts::new(life.board.database(), &life.runtime).open().expect("are read");
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].kind, AlertKind::Damage);
}
