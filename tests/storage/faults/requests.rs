//! Faults of single requests and of whole outages, on S3.

use std::time::Duration;

use larder::storage::{self, Location, PutMode};

use super::client::{Client, Phase, impatient};
use super::{is_long, some};
use crate::servers::{Seaweed, Server};
use crate::support::proxy::{Proxy, Rule, Trouble};

/// What may happen to one request and must not be noticed.
const PASSING: [Trouble; 9] = [
    Trouble::Cut,
    Trouble::LoseAnswer,
    Trouble::HalfAnswer,
    Trouble::HalfRequest,
    Trouble::Answer(500),
    Trouble::Answer(503),
    Trouble::AnswerLater(429, 0),
    Trouble::Delay(Duration::from_millis(50)),
    Trouble::Slow(400_000),
];

/// The server's location, by way of the proxy.
pub(super) fn through(server: &Seaweed, proxy: &Proxy, path: &str) -> String {
    let direct = format!("127.0.0.1:{}", server.port());
    server.location(path).replace(&direct, &format!("127.0.0.1:{}", proxy.port()))
}

/// How many requests each phase has when nothing goes wrong.
fn requests_of_phases(server: &Seaweed, proxy: &Proxy) -> Vec<u64> {
    let patient = impatient(server.connection(), Duration::from_secs(30));
    let mut client = Client::new(&through(server, proxy, "faults/clean"), patient);
    let mut counts = Vec::new();
    proxy.take_requests();
    for phase in Phase::ALL {
        client.run(phase).unwrap_or_else(|error| panic!("{phase:?}: {}", error.in_full()));
        counts.push(proxy.take_requests().len() as u64);
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    counts
}

/// A run does not even notice: every fault hits one request of every phase, and in the long form
/// every request.
#[test]
fn s3_faults_of_single_requests_pass_at_every_phase() {
    let Some(server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let counts = requests_of_phases(&server, &proxy);
    let rounds = if is_long() { counts.iter().copied().max().unwrap_or(1) } else { 1 };
    for round in 0..rounds {
        for (number, trouble) in PASSING.into_iter().enumerate() {
            let what = format!("{trouble:?} in round {round}");
            let patient = impatient(server.connection(), Duration::from_secs(30));
            let place = through(&server, &proxy, &format!("faults/pass/{round}/{number}"));
            let mut client = Client::new(&place, patient);
            for (phase, requests) in Phase::ALL.into_iter().zip(&counts) {
                // Another request in every phase and with every fault.
                let nth = 1 + (round + number as u64 * 7 + phase as u64 * 3) % requests;
                let hits = proxy.hits();
                proxy.inject(Rule::request(nth, trouble));
                let ran = client.run(phase);
                proxy.heal();
                ran.unwrap_or_else(|e| {
                    panic!("{what}, request {nth} of {phase:?}: {}", e.in_full())
                });
                assert_eq!(proxy.hits(), hits + 1, "{what} hits request {nth} of {phase:?}");
            }
            client.assert_all_restore(&what);
        }
    }
}

/// The answer to each kind of write gets lost: what was done is neither done twice nor refused.
#[test]
fn s3_lost_answers_to_writes_change_nothing() {
    let Some(server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let kinds: [&'static [&'static str]; 9] = [
        &["PUT ", "/repo"],
        &["PUT ", "/keyring"],
        &["PUT ", "/config"],
        &["PUT ", "/data/"],
        &["PUT ", "/meta/"],
        &["PUT ", "/index/"],
        &["PUT ", "/snapshots/"],
        &["PUT ", "/gc/"],
        &["POST ", "delete"],
    ];
    let mut never = Vec::new();
    for (number, kind) in kinds.into_iter().enumerate() {
        let what = format!("no answer to {kind:?}");
        let patient = impatient(server.connection(), Duration::from_secs(30));
        let place = through(&server, &proxy, &format!("faults/lost/{number}"));
        let mut client = Client::new(&place, patient);
        let hits = proxy.hits();
        for phase in Phase::ALL {
            proxy.inject(Rule::request(1, Trouble::LoseAnswer).of(kind));
            let ran = client.run(phase);
            proxy.heal();
            ran.unwrap_or_else(|error| panic!("{what} in {phase:?}: {}", error.in_full()));
        }
        if proxy.hits() == hits {
            never.push(kind);
        }
        client.assert_all_restore(&what);
    }
    // Objects that a plain repository does not have, or deletes one by one.
    assert!(never.len() <= 3, "{never:?} were never written");
}

/// The server goes away in the middle of a phase and stays away: the run fails in bounded time and
/// as one that can be repeated, and succeeds when the server is back.
#[test]
fn s3_outages_end_runs_cleanly_at_every_phase() {
    let Some(server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let counts = requests_of_phases(&server, &proxy);
    for (number, trouble) in
        [Trouble::Cut, Trouble::LoseAnswer, Trouble::Answer(503)].into_iter().enumerate()
    {
        let hasty = impatient(server.connection(), Duration::from_millis(250));
        let place = through(&server, &proxy, &format!("faults/outage/{number}"));
        let mut client = Client::new(&place, hasty.clone());
        for (phase, requests) in Phase::ALL.into_iter().zip(&counts) {
            for nth in some(*requests, 3, number as u64 + phase as u64) {
                let what = format!("{trouble:?} from request {nth} of {phase:?}");
                client.connection = hasty.clone();
                proxy.inject(Rule::request(nth, trouble).times(u64::MAX));
                let ran = client.run(phase);
                proxy.heal();
                if let Err(error) = ran {
                    assert_eq!(error.exit_code(), 1, "{what}: {}", error.in_full());
                    let text = error.in_full();
                    assert!(text.contains("127.0.0.1") || text.contains("could not"), "{text}");
                }
            }
            client.connection = impatient(server.connection(), Duration::from_secs(30));
            let what = format!("{phase:?} after {trouble:?}");
            client.run(phase).unwrap_or_else(|error| panic!("{what}: {}", error.in_full()));
            if phase as u64 > Phase::FirstBackup as u64 {
                client.assert_all_restore(&what);
            }
        }
    }
}

/// A large object goes in parts, and only the part whose connection broke goes again.
#[test]
fn s3_parts_are_repeated_one_by_one() {
    let Some(server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let location = through(&server, &proxy, "faults/parts") + "&part_size=5M";
    let connection = impatient(server.connection(), Duration::from_secs(30));
    let location: Location = location.parse().expect("a location");
    let storage = storage::create_with(&location, &[], &connection).expect("opens");
    let bytes: Vec<u8> = (0..17_u32 << 18).flat_map(u32::to_le_bytes).collect();
    for (number, trouble) in
        [Trouble::Cut, Trouble::Answer(503), Trouble::LoseAnswer].into_iter().enumerate()
    {
        let name = format!("data/{number}");
        proxy.take_requests();
        proxy.inject(Rule::request(1, trouble).of(&["PUT ", "partNumber=2"]));
        storage.put(&name, &[&bytes], PutMode::Content).expect("writes");
        proxy.heal();
        let requests = proxy.take_requests();
        let count = |words: &str| requests.iter().filter(|asked| asked.contains(words)).count();
        assert_eq!(count("partNumber="), 3 + 1, "{trouble:?}: {requests:?}");
        assert_eq!(count("?uploads"), 1, "{trouble:?}: {requests:?}");
        let back = storage.get(&name, bytes.len() as u64).expect("reads");
        assert!(back == bytes, "{trouble:?}");
    }
    // The answer to the end of an upload gets lost: the object as a whole is repeated.
    proxy.inject(Rule::request(1, Trouble::LoseAnswer).of(&["POST ", "uploadId="]));
    storage.put("data/end", &[&bytes], PutMode::Content).expect("writes");
    proxy.heal();
    assert!(storage.get("data/end", bytes.len() as u64).expect("reads") == bytes);
}

/// The server takes requests and says nothing more: nobody waits for ever.
#[test]
fn s3_stalls_do_not_hang_a_run() {
    let Some(server) = Seaweed::start() else { return };
    let proxy = Proxy::http(server.port());
    let counts = requests_of_phases(&server, &proxy);
    let patient = impatient(server.connection(), Duration::from_secs(30));
    let mut client = Client::new(&through(&server, &proxy, "faults/stall"), patient);
    for (phase, requests) in Phase::ALL.into_iter().zip(&counts) {
        let what = format!("a stall in {phase:?}");
        proxy.inject(Rule::request(1 + requests / 2, Trouble::Stall));
        let ran = client.run(phase);
        proxy.heal();
        ran.unwrap_or_else(|error| panic!("{what}: {}", error.in_full()));
    }
    client.assert_all_restore("after stalls");
    let hasty = impatient(server.connection(), Duration::from_secs(1));
    client.connection = hasty;
    proxy.inject(Rule::request(1, Trouble::Stall).times(u64::MAX));
    let error = client.run(Phase::SecondBackup).expect_err("nobody answers");
    proxy.heal();
    assert_eq!(error.exit_code(), 1, "{}", error.in_full());
    client.assert_all_restore("after the last stall");
}
