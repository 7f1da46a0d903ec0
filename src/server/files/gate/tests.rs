use super::*;

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).expect("a request")
}

fn status(gate: &Gate, request: &Request) -> Option<u16> {
    gate.refusal(request).map(|refusal| refusal.status().as_u16())
}

#[test]
fn only_the_secret_path_is_known() {
    let gate = Gate::new(Some("/0123abcd".into()));
    let at = |path| status(&gate, &request("GET", path, &[("host", "127.0.0.1:80")]));
    for known in ["/0123abcd", "/0123abcd/", "/0123abcd/ids/x%20y"] {
        assert_eq!(at(known), None, "{known}");
    }
    for unknown in ["/", "/0123abce/", "/0123abcdef/", "/0123abc", "//0123abcd/", "/0123ABCD/"] {
        assert_eq!(at(unknown), Some(404), "{unknown}");
    }
}

#[test]
fn names_of_other_hosts_are_refused() {
    let gate = Gate::new(None);
    let from = |host| status(&gate, &request("GET", "/", &[("host", host)]));
    for own in ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]:80"] {
        assert_eq!(from(own), None, "{own}");
    }
    for other in ["example.org", "127.0.0.1.example.org:80", "10.0.0.1", "localhost.example", ""] {
        assert_eq!(from(other), Some(403), "{other}");
    }
    assert_eq!(status(&gate, &request("GET", "/", &[])), Some(403));
    let absolute = request("GET", "http://example.org/", &[("host", "127.0.0.1")]);
    assert_eq!(status(&gate, &absolute), Some(403));
}

#[test]
fn nobody_lists_everything_at_once() {
    let gate = Gate::new(None);
    let host = ("host", "127.0.0.1");
    let with = |depth| status(&gate, &request("PROPFIND", "/", &[host, ("depth", depth)]));
    assert_eq!((with("0"), with("1")), (None, None));
    assert_eq!((with("infinity"), with("7")), (Some(403), Some(403)));
    assert_eq!(status(&gate, &request("PROPFIND", "/", &[host])), Some(403));
}
