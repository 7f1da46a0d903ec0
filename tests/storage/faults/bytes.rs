//! Faults of connections, counted in bytes, on services that have connections of their own.

use std::time::Duration;

use larder::storage::Connection;

use super::client::{Client, Phase, impatient};
use super::is_long;
use crate::servers::{self, Server, Sshd};
use crate::support::proxy::{Proxy, Rule, Trouble, Way};

/// Cuts, stalls and delays in every phase, then an outage in each. `location` names a folder on
/// the server by way of the proxy.
fn faults_of_connections(
    proxy: &Proxy,
    connection: &Connection,
    location: impl Fn(&str) -> String,
) {
    let patient = || impatient(connection.clone(), Duration::from_secs(30));
    let troubles = [Trouble::Cut, Trouble::Stall, Trouble::Delay(Duration::from_millis(100))];
    let rounds = if is_long() { 12 } else { 1 };
    for round in 0..rounds {
        for (number, trouble) in troubles.into_iter().enumerate() {
            let what = format!("{trouble:?} in round {round}");
            let mut client = Client::new(&location(&format!("pass/{round}/{number}")), patient());
            for phase in Phase::ALL {
                let way =
                    if (phase as u64 + round).is_multiple_of(2) { Way::Up } else { Way::Down };
                let after = 700 + 2300 * ((phase as u64 * 5 + round * 7) % 6);
                proxy.inject(Rule::bytes(way, after, trouble));
                let ran = client.run(phase);
                proxy.heal();
                ran.unwrap_or_else(|e| {
                    panic!("{what}, {after} {way:?} in {phase:?}: {}", e.in_full())
                });
            }
            client.assert_all_restore(&what);
        }
    }
    let mut client = Client::new(&location("outage"), patient());
    for phase in Phase::ALL {
        client.connection = impatient(connection.clone(), Duration::from_millis(400));
        proxy.inject(Rule::bytes(Way::Up, 9000, Trouble::Cut).times(u64::MAX));
        let ran = client.run(phase);
        proxy.heal();
        if let Err(error) = ran {
            assert_eq!(error.exit_code(), 1, "{phase:?}: {}", error.in_full());
        }
        client.connection = patient();
        client.run(phase).unwrap_or_else(|error| panic!("{phase:?} again: {}", error.in_full()));
    }
    client.assert_all_restore("after outages");
    assert!(proxy.hits() > 20, "{} faults", proxy.hits());
}

#[test]
fn sftp_faults_of_connections_pass_or_end_cleanly() {
    let Some(server) = Sshd::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let dir = tempfile::tempdir().expect("a folder");
    let known = dir.path().join("known");
    let (user, data, port) = (server.user(), server.data(), proxy.port());
    faults_of_connections(&proxy, &server.connection(), |path| {
        let folder = data.join(path);
        format!(
            "sftp://{user}@127.0.0.1:{port}{}?known_hosts=accept-new&known_hosts_file={}",
            folder.display(),
            known.display()
        )
    });
}

#[cfg(feature = "smb")]
#[test]
fn smb_faults_of_connections_pass_or_end_cleanly() {
    let Some(server) = servers::Samba::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let (user, port) = (server.user(), proxy.port());
    let location = |path: &str| format!("smb://{user}@127.0.0.1:{port}/share/{path}");
    faults_of_connections(&proxy, &server.connection(), location);
}

#[cfg(feature = "nfs")]
#[test]
fn nfs_faults_of_connections_pass_or_end_cleanly() {
    let Some(server) = servers::NfsServer::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let (direct, port) = (server.port().to_string(), proxy.port().to_string());
    let location = |path: &str| server.location(path).replacen(&direct, &port, 1);
    faults_of_connections(&proxy, &server.connection(), location);
}

#[cfg(feature = "webdav")]
#[test]
fn webdav_faults_of_connections_pass_or_end_cleanly() {
    let Some(server) = servers::Apache::start() else { return };
    let proxy = Proxy::tcp(server.port());
    let port = proxy.port();
    let location = |path: &str| format!("webdav+http://127.0.0.1:{port}/{path}");
    faults_of_connections(&proxy, &server.connection(), location);
}
