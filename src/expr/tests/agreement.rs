//! Our evaluator against the one of the `cel` crate, on what that one gets right.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::World;
use crate::expr::{Single, Variables};

/// The scope of both.
fn input() -> Value {
    json!({
        "n": 3, "m": -2, "f": 2.5, "g": 0.25, "s": "abc", "t": "a b", "yes": true, "no": false,
        "ints": [1, 2, 3, 4], "words": ["a", "b", "abc"], "map": {"k": 1, "z": {"y": "deep"}}, "none": null,
        "big": u64::MAX,
    })
}

/// As we convert JSON: its own conversion takes every positive integer for a uint.
fn to_cel(json: &Value) -> cel::Value {
    match json {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => cel::Value::Int(int),
            (None, Some(uint)) => cel::Value::UInt(uint),
            (None, None) => cel::Value::Float(number.as_f64().unwrap()),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().map(to_cel).collect::<Vec<_>>().into(),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), to_cel(v))).collect::<HashMap<_, _>>().into(),
    }
}

/// The answer of the `cel` crate.
fn reference(source: &str) -> Option<Value> {
    let program = cel::Program::compile(source).ok()?;
    let mut context = cel::Context::default();
    context.add_variable_from_value("input", to_cel(&input()));
    program.execute(&context).ok()?.json().ok()
}

fn ours(source: &str) -> Option<Value> {
    let world = World::new(input());
    Single::compile(&format!("${{{source}}}"), Variables::Request).ok()?.evaluate(&world.scope()).ok()
}

fn member() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "input.n",
        "input.m",
        "input.f",
        "input.s",
        "input.t",
        "input.yes",
        "input.ints",
        "input.words",
        "input.map",
        "input.map.z",
        "input.map.z.y",
        "input['map']['k']",
        "input.ints[1]",
        "input.words[2]",
        "input.none",
        "input.big",
    ])
    .prop_map(str::to_owned)
}

/// Expressions of one type each, so that most have a value.
fn int() -> impl Strategy<Value = String> {
    prop_oneof![3 => number(), 1 => number().prop_map(|a| format!("size(input.ints.filter(x, x > {a}))"))]
}

/// An int without comprehension, as bodies of comprehensions need it.
fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["input.n", "input.m", "input.map.k", "input.ints[2]", "0", "7", "size(input.s)"])
            .prop_map(str::to_owned),
        (-9i64..9).prop_map(|n| n.to_string()),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} < {b} ? {a} : {b})")),
            inner.prop_map(|a| format!("int(string({a}))")),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["input.s", "input.t", "input.words[0]", "input.map.z.y", "''", "'q'"])
            .prop_map(str::to_owned),
        int().prop_map(|n| format!("string({n})")),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
            (bool(), inner.clone(), inner).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        ]
    })
}

fn bool() -> impl Strategy<Value = String> {
    let comparison = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = prop_oneof![
        prop::sample::select(vec!["true", "false", "input.yes", "has(input.map.k)", "has(input.nope)"])
            .prop_map(str::to_owned),
        (int(), comparison, int()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        int().prop_map(|n| format!("({n} in input.ints)")),
        number().prop_map(|n| format!("input.ints.exists(x, x * {n} > 3)")),
        number().prop_map(|n| format!("input.ints.all(x, x + {n} > 3)")),
        number().prop_map(|n| format!("input.ints.exists_one(x, x == {n})")),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn list() -> impl Strategy<Value = String> {
    prop_oneof![
        number().prop_map(|n| format!("input.ints.map(x, x + {n})")),
        number().prop_map(|n| format!("input.ints.filter(x, x < {n})")),
        (int(), text()).prop_map(|(n, t)| format!("[{n}, {t}, input.f] + input.words")),
        (int(), text()).prop_map(|(n, t)| format!("[{{'n': {n}, 't': {t}, 'b': null}}]")),
        number().prop_map(|n| format!("input.words.map(w, w.startsWith('a'), w + string({n}))")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn members_are_what_cel_says(source in member()) {
        prop_assert_eq!(ours(&source), reference(&source));
    }

    #[test]
    fn expressions_are_what_cel_says(source in prop_oneof![int(), text(), bool(), list()]) {
        // Limits are ours alone.
        prop_assume!(source.len() < 800);
        prop_assert_eq!(ours(&source), reference(&source), "{}", source);
    }
}
