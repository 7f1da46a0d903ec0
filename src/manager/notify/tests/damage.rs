use super::{Machine, Server, hook};
use crate::error::Error;
use crate::manager::alerts::{AlertKind, Alerts};
use crate::manager::board::{JobKind, NewJob};
use crate::model::RepoId;
use crate::runtime::CancelToken;

/// Jobs that find damage fail, with its figures: that is an alert until a person has looked.
#[test]
fn what_a_job_finds_damaged_becomes_an_alert() {
    for (kind, figure, who) in [
        (JobKind::Check, "problems", "a check"),
        (JobKind::Verify, "problems", "a verification"),
        (JobKind::RestoreTest, "failed", "a restore test"),
    ] {
        let (machine, server) = (Machine::new(), Server::start());
        let life = machine.live(Some(hook(&server, "on = [\"damage\"]")));
        for problems in [0, 3, 2] {
            let new = NewJob {
                repository: "home".into(),
                repo_id: RepoId([7; RepoId::LEN]),
                kind,
                title: "a look".into(),
                schedule_id: None,
                attempt: 1,
                wanted_by: "ann".into(),
            };
            _ = life.board.run(new, &CancelToken::default(), |handle| {
                handle.note_result(serde_json::json!({ figure: problems }));
                Err(Error::damaged("a pack", "other bytes"))
            });
        }
        let got = server.wait(1);
        assert_eq!(got[0].header("larder-event"), "damage");
        let open = Alerts::new(life.board.database(), &life.runtime).open().expect("are read");
        let [alert] = &open[..] else { panic!("{open:?}") };
        assert_eq!(alert.kind, AlertKind::Damage);
        assert!(alert.message.starts_with(who), "{}", alert.message);
    }
}
