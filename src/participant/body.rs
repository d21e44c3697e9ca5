//! What is read of an answer, and how.

use std::collections::BTreeMap;

use http::HeaderMap;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use serde_json::Value;

/// More than this is not read; the body is null then.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// What came of reading.
pub(super) enum Read {
    /// To the last byte: the connection can be used again.
    Whole(Value),
    /// Larger than [`MAX_BODY`], or cut short.
    Broken,
}

/// Reads to the end, at most [`MAX_BODY`] bytes. May be dropped at any time.
pub(super) async fn read(mut body: Incoming) -> Read {
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Read::Broken;
    }
    // Nothing is reserved on the word of a header alone.
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Read::Broken };
        // Trailers say nothing to us.
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > MAX_BODY {
            return Read::Broken;
        }
        bytes.extend_from_slice(&data);
    }
    Read::Whole(parse(&bytes))
}

/// JSON whatever the content type says, else text, else null; nothing is null. Nesting beyond 128 is text: the parser's
/// limit stays on.
fn parse(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(_) => std::str::from_utf8(bytes).map_or(Value::Null, Value::from),
    }
}

/// Lower-case names, values joined.
pub(super) fn headers(map: &HeaderMap) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in map {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_or_text_or_null() {
        assert_eq!(parse(b""), Value::Null);
        assert_eq!(parse(br#"{"id":"r-1"}"#), serde_json::json!({"id": "r-1"}));
        assert_eq!(parse(b"null"), Value::Null);
        assert_eq!(parse(b"{\"id\":"), Value::from("{\"id\":"));
        assert_eq!(parse(b"\xff\xfe"), Value::Null);
        let deep = "[".repeat(500_000);
        assert_eq!(parse(deep.as_bytes()), Value::from(deep.as_str()));
        let closed = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
        assert!(parse(closed.as_bytes()).is_string());
    }
}
