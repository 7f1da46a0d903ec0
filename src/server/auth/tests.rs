//! Requests as they come, without a network.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::routing::{delete, get, post};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::runtime::TestClock;

const PASSWORD: &str = "four words make one";
const CSRF: &[(&str, &str)] = &[(CSRF_HEADER, "1")];

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn cookie(&self) -> String {
        let text = self.headers[header::SET_COOKIE].to_str().expect("plain");
        text.split(';').next().expect("is there").to_owned()
    }
}

struct House {
    auth: Auth,
    router: Router,
    clock: Arc<TestClock>,
    runtime: tokio::runtime::Runtime,
}

impl House {
    fn new() -> Self {
        let clock = Arc::new(TestClock::at_ms(1_700_000_000_000));
        let database = Arc::new(Database::new(None, clock.clone()));
        Self::with(clock, database, None)
    }

    fn with(clock: Arc<TestClock>, database: Arc<Database>, state_dir: Option<PathBuf>) -> Self {
        let runtime = Runtime { clock: clock.clone(), ..Runtime::default() };
        let options = AuthOptions { state_dir, port: 4000, runtime, ..AuthOptions::default() };
        let auth = Auth::open(options, database).expect("opens");
        let named = |who: Who| async move { who.name };
        let own = Router::new()
            .route("/look", get(move |Viewer(who): Viewer| named(who)))
            .route("/work", post(move |Operator(who): Operator| named(who)))
            .route("/rule", delete(move |Admin(who): Admin| named(who)))
            .route("/metrics", get(move |ViewerOrMachine(who): ViewerOrMachine| named(who)))
            .with_state(auth.clone());
        let router = Router::from(router(auth.clone())).merge(own);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
        Self { auth, router, clock, runtime }
    }

    fn ask(&self, line: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        self.ask_from("127.0.0.1:999", line, headers, body)
    }

    fn ask_from(
        &self,
        from: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let from: SocketAddr = from.parse().expect("an address");
        let mut request = Request::builder()
            .method(method.parse::<Method>().expect("a method"))
            .uri(path)
            .header(header::HOST, "127.0.0.1:4000")
            .extension(ConnectInfo(from));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).expect("a request");
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.expect("infallible");
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, 1 << 20).await.expect("a body");
            let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
            let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }

    fn log_in(&self, user: &str, password: &str) -> Answer {
        let body = json!({ "user": user, "password": password });
        self.ask("POST /api/v1/login", &[], Some(body))
    }

    fn status(&self, line: &str, headers: &[(&str, &str)]) -> u16 {
        self.ask(line, headers, None).status.as_u16()
    }
}

#[test]
fn every_role_may_what_it_may() {
    let house = House::new();
    let lines = ["GET /look", "POST /work", "DELETE /rule"];
    for (count, role) in Role::ALL.into_iter().enumerate() {
        let (_, token) = house.auth.access().add_token("t", role, None).unwrap();
        let header = format!("Bearer {}", *token);
        house.auth.access().add_user(role.as_str(), role, PASSWORD).unwrap();
        let cookie = house.log_in(role.as_str(), PASSWORD).cookie();
        for (number, line) in lines.into_iter().enumerate() {
            let expected = if number <= count { 200 } else { 403 };
            let by_token = house.ask(line, &[("authorization", &header)], None);
            assert_eq!(by_token.status, expected, "{line} {role}");
            let headers = [("cookie", cookie.as_str()), CSRF[0]];
            assert_eq!(house.status(line, &headers), expected, "{line} {role}");
            if expected == 403 {
                assert_eq!(by_token.body["code"], "role_too_low");
                let kind = &by_token.headers[header::CONTENT_TYPE];
                assert_eq!(kind, "application/problem+json");
            }
        }
    }
    for line in lines.into_iter().chain(["GET /api/v1/users", "POST /api/v1/logout"]) {
        let answer = house.ask(line, CSRF, None);
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (401, &"not_logged_in".into()));
        assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
        for wrong in ["Bearer x", "Basic YTpi", "Bearer larder_00000000_00", "Bearer"] {
            assert_eq!(house.status(line, &[("authorization", wrong)]), 401, "{wrong}");
        }
    }
}

#[test]
fn cookies_change_nothing_for_other_sites() {
    let house = House::new();
    house.auth.access().add_user("ann", Role::Admin, PASSWORD).unwrap();
    let answer = house.log_in("ann", PASSWORD);
    assert_eq!((answer.status.as_u16(), &answer.body["role"]), (200, &"admin".into()));
    let text = answer.headers[header::SET_COOKIE].to_str().unwrap();
    for part in ["larder-session-4000=", "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("Secure"), "this connection is not encrypted");
    let cookie = answer.cookie();
    let cookie = ("cookie", cookie.as_str());
    assert_eq!(house.status("GET /look", &[cookie]), 200);
    let refused = house.ask("POST /work", &[cookie], None);
    assert_eq!((refused.status.as_u16(), &refused.body["code"]), (403, &"csrf".into()));
    assert_eq!(house.status("POST /work", &[cookie, CSRF[0]]), 200);
    let evil = ("origin", "http://evil.example");
    assert_eq!(house.status("POST /work", &[cookie, CSRF[0], evil]), 403);
    let body = json!({ "user": "ann", "password": PASSWORD });
    let answer = house.ask("POST /api/v1/login", &[evil], Some(body));
    assert_eq!(answer.status, 403, "no other site logs a browser in");
    // What needs no question beforehand in a browser is no JSON.
    let answer = house.ask("POST /api/v1/login", &[("content-type", "text/plain")], None);
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (415, &"media_type".into()));
    let answer =
        house.ask("POST /api/v1/login", &[], Some(json!({ "user": "ann", "passwort": "4711x" })));
    assert!(answer.status == 400 && !answer.body.to_string().contains("4711x"));
}

/// As everywhere in the API: a code for programs, a hint, and the field by its name.
#[test]
fn a_refused_body_is_a_problem_that_names_the_field() {
    let house = House::new();
    let right = json!({ "setup_token": "x", "user": "ann", "password": "4711x" });
    for path in ["setup", "login"] {
        for (field, value, what) in [
            ("password", None, "the field `password` is missing"),
            ("passwort", Some(json!("4711x")), "the field `passwort` is not known"),
            ("password", Some(json!(["4711x"])), "the field `password` is not what it should be"),
        ] {
            let mut body = right.clone();
            let fields = body.as_object_mut().unwrap();
            if path == "login" {
                fields.remove("setup_token");
            }
            match value {
                Some(value) => _ = fields.insert(field.into(), value),
                None => _ = fields.remove(field),
            }
            let answer = house.ask(&format!("POST /api/v1/{path}"), &[], Some(body));
            assert_eq!((answer.status.as_u16(), &answer.body["detail"]), (400, &what.into()));
            assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
            let kind = (&answer.body["code"], &answer.body["type"]);
            assert_eq!(kind, (&"body".into(), &"/problems/body".into()));
            assert!(answer.body["hint"].as_str().is_some_and(|hint| hint.contains("openapi")));
            assert!(!answer.body.to_string().contains("4711x"), "{}", answer.body);
        }
    }
}

#[test]
fn sessions_end() {
    let folder = tempfile::tempdir().unwrap();
    let state = Some(folder.path().to_owned());
    let clock = Arc::new(TestClock::at_ms(1_700_000_000_000));
    let open = || {
        let database = Arc::new(Database::new(state.clone(), clock.clone()));
        House::with(clock.clone(), database, state.clone())
    };
    let house = open();
    house.auth.access().add_user("ann", Role::Admin, PASSWORD).unwrap();
    let cookies: Vec<_> = (0..3).map(|_| house.log_in("ann", PASSWORD).cookie()).collect();
    let look = |house: &House, number: usize| {
        house.status("GET /look", &[("cookie", cookies[number].as_str())])
    };
    assert_eq!(house.status("POST /api/v1/logout", &[("cookie", &cookies[0]), CSRF[0]]), 204);
    assert_eq!((look(&house, 0), look(&house, 1)), (401, 200));
    drop(house);
    let house = open();
    assert_eq!((look(&house, 0), look(&house, 1)), (401, 200), "a restart changes nothing");
    clock.advance_ms(11 * 3_600_000);
    assert_eq!(look(&house, 1), 200);
    clock.advance_ms(2 * 3_600_000);
    assert_eq!((look(&house, 1), look(&house, 2)), (200, 401), "one was not used for too long");
    for _ in 0..20 {
        clock.advance_ms(10 * 3_600_000);
        look(&house, 1);
    }
    assert_eq!(look(&house, 1), 401, "none goes on for ever");
    clock.advance_ms(-30 * 24 * 3_600_000);

    let cookie = house.log_in("ann", PASSWORD).cookie();
    let body = json!({ "old_password": PASSWORD, "new_password": "another four words" });
    let headers = [("cookie", cookie.as_str()), CSRF[0]];
    clock.advance_ms(1);
    let answer = house.ask("POST /api/v1/password", &headers, Some(body.clone()));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(house.status("GET /look", &headers), 401, "the old session is over");
    let cookie = answer.cookie();
    assert_eq!(house.status("GET /look", &[("cookie", &cookie)]), 200);
    assert_eq!(house.log_in("ann", PASSWORD).status, 401);
    house.auth.access().add_user("bob", Role::Admin, PASSWORD).unwrap();
    house.auth.access().remove_user("ann").unwrap();
    assert_eq!(house.status("GET /look", &[("cookie", &cookie)]), 401, "she is gone");
}

#[test]
fn guessing_takes_long() {
    let house = House::new();
    house.auth.access().add_user("ann", Role::Viewer, PASSWORD).unwrap();
    for number in 0..5 {
        let from = format!("192.0.2.{number}:1");
        let body = Some(json!({ "user": "ann", "password": "wrong password" }));
        let answer = house.ask_from(&from, "POST /api/v1/login", &[], body);
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (401, &"wrong_login".into()));
    }
    let answer = house.log_in("ann", PASSWORD);
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (429, &"too_many_logins".into()));
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    house.clock.advance_ms(1_000);
    assert_eq!(house.log_in("ann", PASSWORD).status, 200);
    let nobody = house.log_in("nobody", PASSWORD);
    assert_eq!((nobody.status.as_u16(), &nobody.body["code"]), (401, &"wrong_login".into()));
}

#[test]
fn the_first_user_needs_the_token_and_is_one() {
    let house = House::new();
    let session = || house.ask("GET /api/v1/session", &[], None).body;
    assert_eq!((&session()["needs_setup"], &session()["user"]), (&true.into(), &Value::Null));
    let before = house.auth.setup_token();
    let token = house.auth.setup_token();
    let set_up = |token: &str, user: &str| {
        let body = json!({ "setup_token": token, "user": user, "password": PASSWORD });
        house.ask("POST /api/v1/setup", &[], Some(body))
    };
    for wrong in ["", before.as_str()] {
        assert_eq!(set_up(wrong, "eve").status, 401);
    }
    assert_eq!(set_up(&token, "no name").status, 400, "and can be tried again");
    let answer = set_up(&token, "ann");
    assert_eq!((answer.status.as_u16(), &answer.body["role"]), (200, &"admin".into()));
    let cookie = answer.cookie();
    assert_eq!(house.status("DELETE /rule", &[("cookie", &cookie), CSRF[0]]), 200);
    assert_eq!(session()["needs_setup"], false);
    assert_eq!(set_up(&token, "eve").status, 401, "it was for one");
    let late = house.auth.setup_token();
    assert_eq!(set_up(&late, "eve").status, 409);
}

#[test]
fn administrators_give_and_take() {
    let house = House::new();
    let (_, token) = house.auth.access().add_token("boss", Role::Admin, None).unwrap();
    let bearer = format!("Bearer {}", *token);
    let headers = [("authorization", bearer.as_str())];
    let ask = |line: &str, body: Value| {
        let answer = house.ask(line, &headers, (!body.is_null()).then_some(body));
        (answer.status.as_u16(), answer.body)
    };
    let ann = json!({ "name": "ann", "role": "admin", "password": PASSWORD });
    assert_eq!(ask("POST /api/v1/users", ann.clone()).0, 201);
    assert_eq!(ask("POST /api/v1/users", ann).0, 400);
    let (status, users) = ask("GET /api/v1/users", Value::Null);
    assert_eq!((status, &users[0]["name"], users[0].get("password")), (200, &"ann".into(), None));
    assert_eq!(ask("PATCH /api/v1/users/ann", json!({ "role": "viewer" })).0, 400);
    assert_eq!(ask("PATCH /api/v1/users/bob", json!({ "role": "viewer" })).0, 404);
    assert_eq!(ask("DELETE /api/v1/users/ann", Value::Null).0, 204);
    let (status, made) = ask("POST /api/v1/tokens", json!({ "name": "ci", "role": "viewer" }));
    assert_eq!(status, 201);
    let other = format!("Bearer {}", made["token"].as_str().unwrap());
    assert_eq!(house.status("GET /look", &[("authorization", &other)]), 200);
    let (_, tokens) = ask("GET /api/v1/tokens", Value::Null);
    assert!(tokens.as_array().unwrap().len() == 2 && !tokens.to_string().contains("larder_"));
    let path = format!("DELETE /api/v1/tokens/{}", made["token_id"].as_str().unwrap());
    assert_eq!(ask(&path, Value::Null).0, 204);
    assert_eq!(house.status("GET /look", &[("authorization", &other)]), 401);
}

#[test]
fn figures_are_for_this_machine_too() {
    let house = House::new();
    let from = |from: &str, headers: &[(&str, &str)]| {
        house.ask_from(from, "GET /metrics", headers, None).status.as_u16()
    };
    assert_eq!(from("127.0.0.1:1", &[]), 200);
    assert_eq!(from("[::ffff:127.0.0.1]:1", &[]), 200);
    assert_eq!(from("192.0.2.1:1", &[]), 401);
    assert_eq!(from("127.0.0.1:1", &[("x-forwarded-for", "192.0.2.1")]), 401);
    assert_eq!(from("127.0.0.1:1", &[("authorization", "Bearer wrong")]), 401);
}
