//! The stream of events.

use larder::manager::board::Happening;

use super::harness::{ADMIN, Server};

fn warning(message: &str) -> Happening {
    Happening::Warning { message: message.into() }
}

#[test]
fn events_come_as_they_happen_and_are_gone_on_with() {
    let server = Server::start();
    let bus = server.state.fleet().board().bus().clone();
    let begin = bus.newest_id();
    bus.tell(Some("home"), warning("one"));
    bus.tell(Some("away"), warning("two"));
    let request = server.request("GET", "/api/v1/events", ADMIN);
    let request = request.header("last-event-id", begin.to_string());
    let text = server.read_until(request, |text| text.contains("two"));
    assert!(text.contains("event: warning") && text.contains("\"message\":\"one\""), "{text}");
    assert!(text.contains(&format!("id: {}", begin + 1)), "{text}");
    // Only what comes after, and only of one repository.
    let path = format!("/api/v1/events?last_event_id={}&repository=home", begin + 1);
    let teller = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        bus.tell(Some("home"), warning("three"));
    });
    let text =
        server.read_until(server.request("GET", &path, ADMIN), |text| text.contains("three"));
    assert!(!text.contains("two") && !text.contains("\"one\""), "{text}");
    teller.join().expect("no panic");
}

#[test]
fn whoever_missed_events_is_told_and_a_stop_ends_streams() {
    let server = Server::start();
    let request = server.request("GET", "/api/v1/events", ADMIN).header("last-event-id", "1");
    let text = server.read_until(request, |text| text.contains("\n\n"));
    assert!(text.contains("event: reset"), "{text}");
    let state = server.state.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        state.stop();
    });
    let request = server.request("GET", "/api/v1/events", ADMIN);
    let text = server.read_until(request, |_| false);
    assert!(!text.contains("event:"), "{text}");
    stopper.join().expect("no panic");
    assert_eq!(server.get("/api/v1/jobs").status, 503);
}
