//! What `fixtures/vectors/format.py` made from SPEC.md.

use serde_json::Value;

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).expect("hex") as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Each record's name and bytes.
pub(crate) fn records() -> Vec<(String, Vec<u8>)> {
    let list: Vec<Value> =
        serde_json::from_str(include_str!("../../fixtures/vectors/records.json")).expect("JSON");
    list.iter().map(|v| (text(&v["record"]).to_string(), unhex(text(&v["hex"])))).collect()
}

/// The repositories, object by object.
pub(crate) fn repositories() -> Vec<Value> {
    serde_json::from_str(include_str!("../../fixtures/vectors/repository.json")).expect("JSON")
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}
