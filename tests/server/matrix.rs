//! Who may call what: every operation of the OpenAPI document, by everybody.

use larder::server::api::ROLE_EXTENSION;
use larder::server::auth::Role;
use serde_json::Value;

use super::harness::{As, Server};

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// All operations: method, path, operation.
pub(crate) fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        METHODS
            .iter()
            .filter_map(|method| {
                let operation = item.get(*method)?.clone();
                Some((method.to_uppercase(), path.clone(), operation))
            })
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// A path whose variable parts name nothing that is there.
fn filled(path: &str) -> String {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (_, after) = after.split_once('}').expect("is closed");
        filled.push_str(before);
        filled.push_str("nothing-has-this-name");
        rest = after;
    }
    filled + rest
}

#[test]
fn every_route_asks_for_its_role() {
    let server = Server::start();
    let document = server.get("/api/v1/openapi.json").with_status(200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let operations = operations(&document);
    assert!(operations.len() > 15, "{}", operations.len());
    let mut complaints = Vec::new();
    for (method, path, operation) in operations {
        let needs = operation[ROLE_EXTENSION].as_str().unwrap_or("nothing is said");
        let needed = match needs {
            "none" => None,
            role => Some(role.parse::<Role>().expect("a role")),
        };
        let everybody: [As; 4] =
            [None, Some(Role::Viewer), Some(Role::Operator), Some(Role::Admin)];
        for by in everybody {
            if operation["x-larder-changes-session"] == true {
                continue;
            }
            let request = server.request(&method, &filled(&path), by);
            let request = request.header("content-type", "application/json").body("{}");
            let status = match path.as_str() {
                // It does not end by itself.
                "/api/v1/events" if by.is_some() => 200,
                _ => server.send(request).status,
            };
            let expected = match (by, needed) {
                (None, Some(_)) => Some(401),
                (Some(by), Some(needed)) if by < needed => Some(403),
                _ => None,
            };
            let is_right = match expected {
                Some(expected) => status == expected,
                // Logins are refused with 401, too.
                None => status != 403 && (needed.is_none() || status != 401),
            };
            if !is_right {
                complaints
                    .push(format!("{method} {path}, which needs {needs}, by {by:?}: {status}"));
            }
            if expected.is_none() && status >= 500 && status != 503 {
                complaints.push(format!("{method} {path} by {by:?}: {status}"));
            }
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_operation_is_described() {
    let server = Server::start();
    let document = server.get("/api/v1/openapi.json").with_status(200);
    let mut complaints = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        if id.is_empty() || !ids.insert(id.clone()) {
            complaints.push(format!("{method} {path}: the id `{id}` is not its own"));
        }
        if operation["summary"].as_str().is_none_or(str::is_empty) {
            complaints.push(format!("{method} {path}: it has no summary"));
        }
        if operation["tags"].as_array().is_none_or(Vec::is_empty) {
            complaints.push(format!("{method} {path}: it has no tag"));
        }
        if operation["responses"].get("default").is_none() {
            complaints.push(format!("{method} {path}: its errors are not described"));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
