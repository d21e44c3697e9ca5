//! URLs: whatever the values, the same server and the same place in its paths.

use proptest::prelude::*;
use serde_json::json;

use super::{World, world};
use crate::expr::{Scheme, Url, Variables};

fn render(source: &str) -> Result<String, String> {
    let url = Url::compile(source, Variables::Request).map_err(|e| e.problem.to_string())?;
    url.render(&world().scope()).map_err(|e| e.to_string())
}

fn with_value(source: &str, value: &str) -> Result<String, String> {
    let world = World::new(json!({ "v": value }));
    let url = Url::compile(source, Variables::Request).unwrap();
    url.render(&world.scope()).map_err(|e| e.fault.to_string())
}

#[test]
fn urls_are_rendered() {
    for (source, expected) in [
        ("http://stock", "http://stock/"),
        ("http://Stock:80/a", "http://stock/a"),
        ("https://stock:8443/a/", "https://stock:8443/a/"),
        ("http://stock?a=1", "http://stock/?a=1"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("http://stock/orders/${input.text}/items", "http://stock/orders/abc/items"),
        ("http://stock/o-${input.n}.${input.half}?q=${input.text}&e=${''}", "http://stock/o-1.2.5?q=abc&e="),
        ("http://stock/${'a b/c?d#e%f&g=é'}", "http://stock/a%20b%2Fc%3Fd%23e%25f%26g%3D%C3%A9"),
        ("http://stock/?${'a&b=c'}=${'?/:@'}", "http://stock/?a%26b%3Dc=%3F%2F%3A%40"),
        ("http://stock/a%20b//c?x=?/..", "http://stock/a%20b//c?x=?/.."),
        ("http://stock/${'a.b'}/...", "http://stock/a.b/..."),
    ] {
        assert_eq!(render(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn the_origin_is_known_after_compiling() {
    let url = Url::compile("https://Stock.shop.svc/${input.n}?x=${steps.a.outputs.id}", Variables::Request).unwrap();
    assert_eq!(url.origin().scheme, Scheme::Https);
    assert_eq!((url.origin().host.as_str(), url.origin().port), ("stock.shop.svc", 443));
    assert_eq!(url.origin().to_string(), "https://stock.shop.svc");
    assert_eq!(url.references().len(), 1);
    assert_eq!(Url::compile("http://[::1]", Variables::Request).unwrap().origin().to_string(), "http://[::1]");
}

#[test]
fn urls_whose_origin_is_not_literal_and_plain_are_refused() {
    for source in [
        "",
        "/a",
        "stock/a",
        "ftp://stock",
        "HTTP://stock",
        "http:/stock",
        "http:///a",
        "http://",
        "//stock/a",
        "${input.text}",
        "${input.text}://stock/",
        "http://${input.text}/",
        "http://stock${input.text}/a",
        "http://stock:${input.n}/",
        "http://stock.${input.text}",
        "https://${'x'}",
        "http://a@stock/",
        "http://a:b@stock/",
        "http://stock:/",
        "http://stock:0/",
        "http://stock:65536/",
        "http://stock:8o/",
        "http://stock:-1/",
        "http://st ock/",
        "http://stock\\@evil/",
        "http://st\tock/",
        "http://stöck/",
        "http://[::1",
        "http://[::1]x/",
        "http://::1/",
        "http://[fe80::1%25eth0]/",
        "http://sto%63k/",
        "http://\u{ff53}tock/",
        "http://a,b/",
        "http://*/",
    ] {
        assert!(render(source).is_err(), "{source}: {:?}", render(source));
    }
}

#[test]
fn literals_that_a_server_could_read_in_two_ways_are_refused() {
    for source in [
        "http://stock/..",
        "http://stock/../a",
        "http://stock/a/./b",
        "http://stock/%2e%2E/a",
        "http://stock/%252e",
        "http://stock/a b",
        "http://stock/a\\b",
        "http://stock/é",
        "http://stock/%",
        "http://stock/%2",
        "http://stock/%zz",
        "http://stock/%${'41'}",
        "http://stock/a#b",
        "http://stock/a#${input.n}",
        "http://stock/$${",
        "http://stock/a\nb",
        "http://stock/<a>",
        "http://stock/?a=b c",
    ] {
        assert!(Url::compile(source, Variables::Request).is_err(), "{source}");
    }
}

#[test]
fn values_that_would_leave_their_segment_are_refused() {
    let escape = "the value would change the path of the URL (`.`, `..` or `//`)";
    let empty = "the value leaves a path segment of the URL empty";
    let control = "the value holds control characters";
    for (source, value, message) in [
        ("http://stock/${input.v}", "..", escape),
        ("http://stock/${input.v}/a", ".", escape),
        ("http://stock/.${input.v}", ".", escape),
        ("http://stock/${input.v}${input.v}", ".", escape),
        ("http://stock/%2e${input.v}", ".", escape),
        ("http://stock/${input.v}", "%2e%2E", escape),
        ("http://stock/${input.v}", "%252e.", escape),
        ("http://stock/${input.v}", "%25252e.", escape),
        ("http://stock/${input.v}", "../admin", escape),
        ("http://stock/${input.v}", "a/../../admin", escape),
        ("http://stock/${input.v}", "a\\..\\b", escape),
        ("http://stock/${input.v}", "a%2f..%2fb", escape),
        ("http://stock/${input.v}", "//evil.example", escape),
        ("http://stock/${input.v}", "a//b", escape),
        ("http://stock/${input.v}", "%2f/b", escape),
        ("http://stock/${input.v}", "\\\\evil", escape),
        ("http://stock/${input.v}/a", "", empty),
        ("http://stock/orders/${input.v}", "", empty),
        ("http://stock/${input.v}?x", "", empty),
        ("http://stock/${input.v}", "a\r\nX: y", control),
        ("http://stock/${input.v}", "a\u{0}", control),
        ("http://stock/?a=${input.v}", "a\nb", control),
        ("http://stock/?a=${input.v}", "\u{7f}", control),
        ("http://stock/?a=${input.v}", "\u{85}", control),
    ] {
        assert_eq!(with_value(source, value), Err(message.to_owned()), "{source} with {value:?}");
    }
    assert_eq!(with_value("http://stock/?a=${input.v}", "../x"), Ok("http://stock/?a=..%2Fx".to_owned()));
    assert_eq!(with_value("http://stock/a${input.v}", ""), Ok("http://stock/a".to_owned()));
    assert_eq!(
        with_value("http://stock/?a=${input.v}", &"x".repeat(9000)).unwrap_err(),
        "the length of a URL in bytes is limited to 8192"
    );
    assert!(render("http://stock/${input.none}").is_err());
}

proptest! {
    #[test]
    fn no_value_changes_origin_path_or_query_keys(value in any::<String>(), other in "[./%a2e?#&@:\\\\]{0,8}") {
        let world = World::new(json!({ "v": value, "w": other }));
        let url = Url::compile("http://stock:8080/a/${input.v}/b-${input.w}/c?k=${input.v}&l=${input.w}", Variables::Request);
        if let Ok(rendered) = url.unwrap().render(&world.scope()) {
            let rest = rendered.strip_prefix("http://stock:8080/a/").unwrap();
            let (path, query) = rest.split_once('?').unwrap();
            let segments: Vec<_> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 3);
            prop_assert_eq!(segments[2], "c");
            let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
            prop_assert_eq!(decode(segments[0]), value.as_str());
            prop_assert_eq!(decode(segments[1]), format!("b-{other}"));
            let pairs: Vec<_> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
            prop_assert_eq!(pairs.len(), 2);
            prop_assert_eq!((pairs[0].0, decode(pairs[0].1)), ("k", value));
            prop_assert_eq!((pairs[1].0, decode(pairs[1].1)), ("l", other));
            prop_assert!(rendered.bytes().all(|b| b.is_ascii_graphic()));
        }
    }
}
