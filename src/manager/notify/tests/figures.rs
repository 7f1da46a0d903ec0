use super::Machine;
use crate::manager::fleet::Fleet;
use crate::manager::metrics;

/// What a daemon's figures say of jobs and alerts.
#[test]
fn figures_are_written_for_prometheus() {
    let machine = Machine::new();
    let life = machine.live(None);
    life.job(None);
    life.job(Some("it failed"));
    let fleet = Fleet::new(Vec::new(), life.board.clone()).expect("an empty one");
    let text = metrics::text(&fleet, &life.runtime).expect("figures");
    for want in [
        "larder_jobs_recent{repository=\"home\",kind=\"backup\",status=\"failed\"} 1",
        "larder_last_success_timestamp_seconds{repository=\"home\",kind=\"backup\",job=\"documents\"} 1700000000",
        "# EOF",
    ] {
        assert!(text.contains(want), "{text}");
    }
}
