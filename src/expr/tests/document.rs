//! JSON documents with templates in them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{World, world};
use crate::expr::{Json, Variables, limit};

fn render(source: &Value) -> Result<Value, String> {
    let document = Json::compile(source, Variables::Request).map_err(|e| e.to_string())?;
    document.render(&world().scope()).map_err(|e| e.to_string())
}

#[test]
fn strings_are_templates_and_keys_are_not() {
    let source = json!({
        "${input.n}": "${input.n}",
        "text": "n=${input.n}",
        "deep": [{"list": "${input.list}", "none": "${input.none}", "plain": 7}, "$${x}"],
        "null": null,
    });
    let expected = json!({
        "${input.n}": 1,
        "text": "n=1",
        "deep": [{"list": [1, 2, 3], "none": null, "plain": 7}, "${x}"],
        "null": null,
    });
    assert_eq!(render(&source), Ok(expected));
    assert_eq!(render(&json!("${input.big}")), Ok(json!(u64::MAX)));
    assert_eq!(render(&Value::Null), Ok(Value::Null));
}

#[test]
fn errors_point_into_the_document() {
    assert_eq!(
        render(&json!({"a/b": [0, {"~": "x ${nope}"}]})).unwrap_err(),
        "at /a~1b/1/~0: `${nope}` (column 3): unknown variable `nope`; known here: input, steps, run, call"
    );
    assert_eq!(
        render(&json!([{"id": "x ${input.none}"}])).unwrap_err(),
        "at /0/id: `${input.none}` (column 3): the value is null and cannot be part of a text; use `has(...)` or `!= null` \
         with `? :`"
    );
}

#[test]
fn references_of_all_strings_are_collected() {
    let source = json!(["${steps.b.outputs.y}", {"x": "${steps.a.outputs.x}"}, "${steps.b.outputs.y}"]);
    let document = Json::compile(&source, Variables::Request).unwrap();
    let names: Vec<_> = document.references().iter().map(|r| r.step.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_document_is_bounded_in_depth_expressions_and_size() {
    let nested = (0..=limit::DOCUMENT_DEPTH).fold(json!(1), |inner, _| json!([inner]));
    assert!(render(&nested).unwrap_err().contains("the depth of a document is limited to 64"));
    let many: Value = (0..=limit::EXPRESSIONS_PER_TEMPLATE).map(|_| json!("${1}")).collect();
    assert!(render(&many).unwrap_err().contains("the number of expressions in one document is limited to 512"));
    let world = World::new(json!({ "v": "x".repeat(limit::TEXT_BYTES / 4) }));
    let large = Json::compile(&json!(["${input.v}", "${input.v}", "${input.v}", "${input.v}"]), Variables::Request);
    let error = large.unwrap().render(&world.scope()).unwrap_err().to_string();
    assert_eq!(error, "at /3: `${input.v}` (column 1): the size of a result in bytes is limited to 1048576");
}

#[test]
fn a_result_can_be_stored_and_read_back() {
    // Results end in the status, and a parser of JSON gives up at 128 levels.
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let world = World::new(json!({ "v": deep }));
    let document = Json::compile(&json!("${input.v}"), Variables::Request).unwrap();
    let error = document.render(&world.scope()).unwrap_err().to_string();
    assert_eq!(error, "`${input.v}` (column 1): the depth of a result is limited to 64");
}

proptest! {
    #[test]
    fn a_document_without_dollars_is_itself(document in super::language::any_json()) {
        let text = document.to_string().replace('$', "_");
        let document: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(render(&document), Ok(document));
    }

    #[test]
    fn rendering_twice_gives_the_same_bytes(input in super::language::any_json()) {
        let world = World::new(json!({ "v": input, "m": { "b": input, "a": 1 } }));
        let source = json!({"a": "${input}", "b": "${input.m.map(k, {k: input.m[k]})}", "c": "${input.m}!"});
        let document = Json::compile(&source, Variables::Request).unwrap();
        let first = document.render(&world.scope()).unwrap().to_string();
        let again = Json::compile(&source, Variables::Request).unwrap();
        prop_assert_eq!(again.render(&world.scope()).unwrap().to_string(), first);
    }
}
