//! The language: what each construct gives.

use proptest::prelude::*;
use serde_json::{Number, Value, json};

use super::{World, result};
use crate::expr::{Condition, Reference, Single, Text, Variables};

fn check(table: &[(&str, &str)]) {
    for (source, expected) in table {
        assert_eq!(result(source), *expected, "{source}");
    }
}

#[test]
fn a_single_expression_keeps_its_type_and_a_joined_one_is_text() {
    check(&[
        ("plain", r#""plain""#),
        ("", r#""""#),
        ("${input.n}", "1"),
        ("${input.n} ", r#""1 ""#),
        ("${input.n}${input.n}", r#""11""#),
        ("${input.f}", "2.0"),
        ("${input.half}/${input.f}", r#""2.5/2.0""#),
        ("${input.none}", "null"),
        ("${null}", "null"),
        ("${input.list}", "[1,2,3]"),
        ("list ${input.list}, map ${input.map}", r#""list [1,2,3], map {\"a\":{\"c\":\"é\"},\"b\":1}""#),
        ("${input.yes}!", r#""true!""#),
        ("${input.map}", r#"{"a":{"c":"é"},"b":1}"#),
    ]);
}

#[test]
fn two_dollars_before_a_brace_are_a_literal_dollar() {
    check(&[
        ("$${input.n}", r#""${input.n}""#),
        ("a $${b} ${input.n}", r#""a ${b} 1""#),
        ("$", r#""$""#),
        ("$$ ${input.n}$", r#""$$ 1$""#),
        ("$$${", r#""$${""#),
        ("$${${input.n}", r#""${1""#),
        ("{}$}", r#""{}$}""#),
    ]);
}

#[test]
fn the_end_of_an_expression_is_found_past_texts_maps_and_comments() {
    check(&[
        ("${'}' + \"{\"}", r#""}{""#),
        ("${'\\'}'}", r#""'}""#),
        ("${r'\\'}", r#""\\""#),
        ("${{'a': {'b': 1}}}}", r#""{\"a\":{\"b\":1}}}""#),
        ("${input.n // }\n}", "1"),
        ("${'é${' + '}'} é", r#""é${} é""#),
    ]);
}

#[test]
fn variables_are_read() {
    check(&[
        ("${steps.a.outputs.id}", r#""r-1""#),
        ("${steps['a'][\"outputs\"]['id']}", r#""r-1""#),
        ("${steps.a.outputs.seats[1]}", "2"),
        ("${steps.a.outputs}", r#"{"id":"r-1","seats":[1,2]}"#),
        ("${steps.b.outputs.id}", "null"),
        ("${steps.b.outputs}", "null"),
        ("${steps.a.outputs.missing}", "null"),
        ("${has(steps.a.outputs.id)} ${has(steps.b.outputs.id)}", r#""true false""#),
        ("${run}", r#"{"name":"order-1","namespace":"shop","startTime":"2026-01-02T03:04:05Z","uid":"u-1"}"#),
        ("${run.name} ${run.namespace} ${run['uid']}", r#""order-1 shop u-1""#),
        ("${call.key} ${call.forwardKey} ${call.direction}", r#""u-1/a/compensate u-1/a/forward compensate""#),
        ("${call['k' + 'ey']}", r#""u-1/a/compensate""#),
        ("${response.status} ${response.headers.etag} ${response.headers['etag']}", r#""201 v1 v1""#),
        ("${response.body.items.map(i, i.id)}", r#"["p-1","p-2"]"#),
        ("${input['map']['a'].c}", r#""é""#),
        ("${input.template}", r#""${input.n} $${x}""#),
    ]);
}

#[test]
fn numbers_are_exact() {
    check(&[
        ("${input.big}", "18446744073709551615"),
        ("${input.low}", "-9223372036854775808"),
        ("${input.exact}", "9007199254740993"),
        ("${input.exact + 1}", "9007199254740994"),
        ("${input.exact == 9007199254740992.0}", "false"),
        ("${input.big == 18446744073709551615u}", "true"),
        ("${input.big > input.low}", "true"),
        ("${input.n == 1.0}", "true"),
        ("${input.f == 2}", "true"),
        ("${1u == 1}", "true"),
        ("${2.5 > 2} ${2 < 2.5} ${-2.5 < -2} ${-2 > -2.5}", r#""true true true true""#),
        ("${7 / 2} ${-7 / 2} ${7 % 3} ${-7 % 3}", r#""3 -3 1 -1""#),
        ("${1 - -1} ${1--1}", r#""2 2""#),
        ("${int('7')} ${int(2.9)} ${uint(7)} ${double(1)} ${double('1e3')}", r#""7 2 7 1.0 1000.0""#),
        ("${string(1)} ${string(1.5)} ${string(2.0)} ${string(true)}", r#""1 1.5 2.0 true""#),
        ("${0x10} ${1e3} ${.5}", r#""16 1000.0 0.5""#),
        ("${-9223372036854775808}", "-9223372036854775808"),
    ]);
}

#[test]
fn operators_and_functions_follow_cel() {
    check(&[
        ("${'a' + 'b'}", r#""ab""#),
        ("${[1] + [2]}", "[1,2]"),
        ("${'a' < 'b'} ${false < true}", r#""true true""#),
        ("${1 in [1, 2]} ${'b' in input.map} ${3 in [1, 2]}", r#""true true false""#),
        ("${[1, {'a': 2.0}] == [1.0, {'a': 2}]}", "true"),
        ("${'1' == 1} ${null == null} ${input.none == null} ${1 != null}", r#""false true true true""#),
        ("${true || 1 / 0 == 1} ${1 / 0 == 1 || true}", r#""true true""#),
        ("${false && 1 / 0 == 1} ${1 / 0 == 1 && false}", r#""false false""#),
        ("${input.n == 1 ? 'one' : 'more'}", r#""one""#),
        ("${has(input.n)} ${has(input.x)} ${has(input.map.a)} ${!has(input.x)}", r#""true false true true""#),
        ("${size('é')} ${'abc'.size()} ${size([1])} ${size({'a': 1})}", r#""1 3 1 1""#),
        ("${'abc'.contains('b')} ${'abc'.startsWith('a')} ${'abc'.endsWith('c')}", r#""true true true""#),
        ("${[1, 2].contains(2)}", "true"),
        ("${'abc'.matches('^a.c$')} ${'abc'.matches('^b')} ${'é'.matches('^.$')}", r#""true false true""#),
        ("${'Ab'.lowerAscii()} ${'Ab'.upperAscii()} ${' a '.trim()}|", r#""ab AB a|""#),
        ("${'a-b-c'.replace('-', '')} ${'a,b'.split(',').join('|')} ${['a', 'b'].join()}", r#""abc a|b ab""#),
        ("${'ab'.split('')} ${'ab'.replace('', '-')}", r#""[\"a\",\"b\"] -a-b-""#),
        ("${input.list.map(x, x * 2)}", "[2,4,6]"),
        ("${input.list.filter(x, x > 1)}", "[2,3]"),
        ("${input.list.map(x, x > 1, x * 10)}", "[20,30]"),
        ("${input.list.all(x, x > 0)} ${input.list.exists(x, x > 2)}", r#""true true""#),
        ("${input.list.exists_one(x, x > 2)} ${input.list.exists_one(x, x > 1)}", r#""true false""#),
        ("${[].all(x, x)} ${[].exists(x, x)} ${[].map(x, x)}", r#""true false []""#),
        ("${[0, 1].exists(x, 1 / x == 1)} ${[0, 2].all(x, 1 / x == 1)}", r#""true false""#),
        ("${input.map.map(k, k)}", r#"["a","b"]"#),
        ("${input.map.all(k, has(input.map.a))}", "true"),
        ("${input.list.filter(x, x > 1).map(y, {'v': y})}", r#"[{"v":2},{"v":3}]"#),
        ("${{'b': 1, 'a': [1, null, true]}}", r#"{"a":[1,null,true],"b":1}"#),
        ("${input.list[size(input.list) - 1]}", "3"),
    ]);
}

#[test]
fn texts_are_read_in_every_form() {
    check(&[
        (r"${'\u00e9\n\x41\101\U0001F980'}", r#""é\nAA🦀""#),
        (r#"${"it\'s" + 'a\"b' + "\`\?\\"}"#, r#""it'sa\"b`?\\""#),
        (r"${r'\d\' + R'\n'}", r#""\\d\\\\n""#),
        (r#"${'''a'b\n''' + """c"d"""}"#, r#""a'b\nc\"d""#),
        (r#"${r'''\''' + '' + ""}"#, r#""\\""#),
        ("${'0' + '1' + '7'}", r#""017""#),
        ("${{'1': '0'}['1']}", r#""0""#),
        ("${'é🦀' + 'é'}", r#""é🦀é""#),
    ]);
    for source in [r"${'\q'}", r"${'\u12'}", r"${'\uD800'}", r"${'\400'}", r"${'\U00110000'}"] {
        let message = result(source);
        assert!(message.contains("the text at character 1 of it has an escape that CEL does not know"), "{message}");
    }
    let message = result("${'long text' + 'é' 'x'}");
    assert!(message.ends_with("extraneous input ''x'' at character 19 of it"), "{message}");
}

#[test]
fn a_condition_is_one_expression_that_gives_a_bool() {
    let world = super::world();
    let decide = |source| Condition::compile(source, Variables::Request).map(|c| c.evaluate(&world.scope()));
    assert_eq!(decide("${input.n == 1}"), Ok(Ok(true)));
    assert_eq!(decide(" ${input.n == 2}\n"), Ok(Ok(false)));
    let error = decide("${input.n}").unwrap().unwrap_err().to_string();
    assert_eq!(error, "`${input.n}` (column 1): a condition must be a bool, but is an int");
    for source in ["true", "${true}${true}", "x ${true}", "", "$${true}"] {
        let error = decide(source).unwrap_err().to_string();
        assert!(error.ends_with("exactly one `${...}` is expected and nothing beside it"), "{source}: {error}");
    }
}

#[test]
fn every_output_that_can_be_read_is_known_after_compiling() {
    let references = |source: &str| {
        let text = Text::compile(source, Variables::Request).unwrap();
        let shown = |r: &Reference| format!("{}.{}", r.step, r.output.as_deref().unwrap_or("*"));
        text.references().iter().map(shown).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(references("${input.x}"), "");
    assert_eq!(references("${steps.b.outputs.y} ${steps.a.outputs.x + steps.b.outputs.y}"), "a.x b.y");
    assert_eq!(references("${has(steps.a.outputs.x) ? 1 : 2}"), "a.x");
    assert_eq!(references("${has(steps.a.outputs.x.y.z)}"), "a.x");
    assert_eq!(references("${steps['a'].outputs['x'][input.k]}"), "a.x");
    assert_eq!(references("${steps.a.outputs[input.k]}"), "a.*");
    assert_eq!(references("${input.l.map(x, steps.a.outputs.x)}"), "a.x");
    assert_eq!(references("${input.a.steps.b.outputs.c}"), "");
}

#[test]
fn maps_of_serde_json_are_sorted_and_numbers_have_64_bits() {
    // The features `preserve_order` and `arbitrary_precision` would change what is rendered.
    assert_eq!(serde_json::from_str::<Value>(r#"{"b":1,"a":1.10}"#).unwrap().to_string(), r#"{"a":1.1,"b":1}"#);
}

/// JSON of at most four levels, with every kind of number.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("JSON has finite numbers only", Number::from_f64),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number.prop_map(Value::Number),
        "\\PC{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z$é]{1,3}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_comes_out_as_it_went_in(value in any_json()) {
        let world = World::new(json!({ "v": value }));
        let single = |source| Single::compile(source, Variables::Request).unwrap().evaluate(&world.scope());
        prop_assert_eq!(single("${input.v}").unwrap().to_string(), value.to_string());
        prop_assert_eq!(single("${[input.v][0]}").unwrap().to_string(), value.to_string());
        prop_assert_eq!(single("${[1].map(x, input.v)}").unwrap().to_string(), json!([value]).to_string());
        prop_assert_eq!(single("${input.v == input.v}").unwrap(), json!(true));
    }

    #[test]
    fn any_text_without_a_dollar_is_itself(text in "[^$]*") {
        let world = super::world();
        let rendered = Text::compile(&text, Variables::Request).unwrap().render(&world.scope()).unwrap();
        prop_assert_eq!(rendered, text);
    }

    #[test]
    fn a_text_of_the_input_is_never_read_as_a_template(text in any::<String>()) {
        let world = World::new(json!({ "v": format!("${{{text}}}") }));
        let rendered = Text::compile("<${input.v}>", Variables::Request).unwrap().render(&world.scope()).unwrap();
        prop_assert_eq!(rendered, format!("<${{{text}}}>"));
    }
}
