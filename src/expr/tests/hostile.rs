//! What an attacker would write into a definition, or answer as a participant. Each ends with a value or an error, on
//! a small stack and in bounded time; an abort would end this process.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{World, on_small_stack, result, world};
use crate::expr::{Condition, Json, Single, Text, Url, Variables, limit};

#[test]
fn expressions_that_nest_or_chain_end_with_a_value_or_an_error() {
    on_small_stack(|| {
        let around = |n, open: &str, middle: &str, close: &str| open.repeat(n) + middle + &close.repeat(n);
        let mut sources = Vec::new();
        for n in [8, 16, 31, 32, 33, 95, 96, 97, 200, 500, 5_000] {
            sources.extend([
                around(n, "(", "1", ")"),
                around(n, "[", "", "]"),
                around(n, "{'a':", "1", "}"),
                around(n, "size(", "'a'", ")"),
                around(n, "!(", "true", ")"),
                around(n, "-(", "1", ")"),
                around(n, "--(", "1", ")"),
                around(n, "1 in --(", "1", ")"),
                around(n, "!!(", "true", ")"),
                around(n, "true?", "1", ":1"),
                around(n, "true?1:", "1", ""),
                around(n, "(true?", "1", ":1)"),
                around(n, "[1].map(x,", "1", ")"),
                around(n, "has(", "input.a", ")"),
                around(n, "A{b:", "1", "}"),
                around(n, "[[1,2],[", "1", "]]"),
                around(n, "1", "+1", "+1"),
                around(n, "", "1", "+1"),
                around(n, "", "'a'", "+'a'"),
                around(n, "", "true", "&&true"),
                around(n, "", "true", "||true"),
                around(n, "", "1", "<1"),
                around(n, "1 - -", "1", ""),
                around(n, "-", "1", ""),
                around(n, "!", "true", ""),
                around(n, "", "input", ".a"),
                around(n, "", "input", "[0]"),
                around(n, "", "'a'", ".trim()"),
                around(n, "", "[1]", ".map(x,x)"),
                around(n, "1,", "1", ""),
                around(n, "[", "1", ",1") + "]",
            ]);
            sources.extend(
                [
                    "(", "[", "{", "([{(", ")]", "?", ":", ".", ",", "'", "\"", "\\", "a ", "1 ", "=", "&", "/", "//",
                    "`a`",
                ]
                .map(|s| s.repeat(n)),
            );
        }
        for source in sources {
            let _ = result(&format!("${{{source}}}"));
            let _ = Condition::compile(&format!("${{{source}}}"), Variables::Request);
        }
    });
}

#[test]
fn limits_are_errors_with_a_way_out() {
    let over = |source: String| result(&format!("${{{source}}}"));
    let exact = format!("'{}'", "é".repeat(limit::EXPRESSION_CHARS - 2));
    assert!(over(exact.clone()).starts_with('"'));
    assert!(
        over(exact + " ").contains("the length of an expression in characters is limited to 1024; let the participant")
    );
    assert!(
        over("(".repeat(33) + "1" + &")".repeat(33)).contains("the nesting of brackets is limited to 32; simplify")
    );
    assert!(over("true ? 1 : ".repeat(33) + "1").contains("the number of `? :` in an expression is limited to 32"));
    assert!(over("1".to_owned() + &"+1".repeat(97)).contains("the depth of an expression"));
    assert_eq!(over("1".to_owned() + &"+1".repeat(90)), "91");
    assert!(over(format!("[{}]", "1,".repeat(405))).contains("the number of operators and brackets"));
    assert!(over("[1].map(x, [2].map(y, y))".to_owned()).contains("cannot be inside one another; chain them"));
    assert!(over("[1].map(x, [2].all(y, true) ? 1 : 2)".to_owned()).contains("cannot be inside one another"));
    let many = "${1}".repeat(limit::EXPRESSIONS_PER_TEMPLATE + 1);
    assert!(result(&many).contains("the number of expressions in one template is limited to 512"));
}

#[test]
fn work_is_bounded_where_the_values_are_large() {
    on_small_stack(|| {
        let body: Value = (0..100_000).collect();
        let text = "ab".repeat(400_000);
        let world = World::new(
            json!({ "l": body, "t": text, "m": {"k": text}, "deep": (0..120).fold(json!(1), |v, _| json!([v])) }),
        );
        for source in [
            "${input.l.map(x, input.l)}",
            "${input.l.map(x, input.l + input.l)}",
            "${input.l.map(x, input.l == input.l)}",
            "${input.l.all(x, x in input.l)}",
            "${input.l.filter(x, input.l.contains(x + 1))}",
            "${input.l.map(x, input.t + input.t)}",
            "${input.l.map(x, input.t.size())}",
            "${input.l.map(x, input.t.contains('aaaaaaaaab'))}",
            "${input.l.map(x, input.t.replace('a', input.t))}",
            "${input.l.map(x, input.t.split('a'))}",
            "${input.l.map(x, input.t.split('').join(input.t))}",
            "${input.l.map(x, input.t < input.t)}",
            "${input.l.map(x, input.m == input.m)}",
            "${input.l.map(x, {input.t: input.t})}",
            "${input.l.exists(x, 'a'.matches('(a|b|ab)*c{1,50}x'))}",
            "${input.l.exists(x, input.t.matches('(a*)*(a|b|ab)*c'))}",
            "${input.l.exists(x, input.l.size() < 0 || input.t.upperAscii() == input.t.lowerAscii())}",
            "${input.t + input.t + input.t}",
            "${[input.t, input.t].join(input.t)}",
            "${[[[input.l, input.l], [input.l, input.l]], [[input.l, input.l], [input.l, input.l]]]}",
            "${input.l}${input.l}${input.l}",
            "${input.deep}",
            "${input}",
        ] {
            let error = Single::compile(source, Variables::Request).unwrap().evaluate(&world.scope()).unwrap_err();
            assert!(matches!(error.fault, crate::expr::Fault::TooLarge { .. }), "{source}: {error}");
        }
    });
}

#[test]
fn work_that_is_usual_fits() {
    let body: Value = (0..2_000).map(|i| json!({"id": i, "name": "n".repeat(20), "ok": i % 2 == 0})).collect();
    let world = World::new(json!({ "l": body, "t": "x".repeat(60_000) }));
    for (source, expected) in [
        ("${input.l.filter(x, x.ok).map(x, x.id).size()}", json!(1000)),
        ("${input.l.exists(x, x.id == 1999 && x.name.startsWith('n'))}", json!(true)),
        ("${size(input.t + input.t)}", json!(120_000)),
        ("${input.l.filter(x, x.name.matches('^n+$')).size() > 0}", json!(true)),
    ] {
        let single = Single::compile(source, Variables::Request).unwrap();
        let value = single.evaluate(&world.scope()).map_err(|e| e.to_string());
        if source.contains("matches") {
            // A pattern costs as much as its compilation: for a list this long it is too much.
            assert!(value.is_err(), "{value:?}");
        } else {
            assert_eq!(value, Ok(expected), "{source}");
        }
    }
}

#[test]
fn patterns_that_grow_when_compiled_are_refused() {
    for pattern in [
        r"(\\w{100}){100}",
        r"((((a{100}){100}){100}){100})",
        r"\\pL{1000}",
        "(",
        "(?P<a>x)(?P<a>y)",
        r"(a)\\1",
        "(?=a)",
    ] {
        let message = result(&format!("${{'a'.matches('{pattern}')}}"));
        assert!(message.contains("regular expression is not valid or too large"), "{pattern}: {message}");
    }
}

/// Words of the language in any order.
fn any_expression() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "input",
        "steps",
        "run",
        "call",
        "response",
        "a",
        "b",
        "outputs",
        "x",
        "1",
        "2u",
        "1.5",
        "0x1f",
        "'t'",
        "\"t\"",
        "r'\\'",
        "b'q'",
        "''",
        "true",
        "null",
        "in",
        "+",
        "-",
        "*",
        "/",
        "%",
        "!",
        "==",
        "!=",
        "<",
        "<=",
        "&&",
        "||",
        "?",
        ":",
        ".",
        ",",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        " ",
        "\n",
        "//",
        "'",
        "\"",
        "\\",
        "é",
        "🦀",
        "$",
        "${",
        "size(",
        "has(",
        ".map(x,",
        ".filter(x,",
        ".all(x,",
        ".exists_one(x,",
        ".matches('a*')",
        ".?",
        "[?",
        "@",
        "#",
        "\u{0}",
        "`a`",
        "'''",
        "_",
        "9223372036854775808",
        "1e999",
        "as",
        "while",
        "A{",
        "A.B{",
        "input.a.b",
        "steps.a.outputs.id",
    ]);
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

/// Expressions that are mostly well formed.
fn well_formed() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "input",
        "input.n",
        "input.text",
        "input.list",
        "input.map",
        "input.none",
        "input.big",
        "steps.a.outputs.id",
        "run.uid",
        "response.body",
        "1",
        "0",
        "-1",
        "2u",
        "1.5",
        "'é'",
        "''",
        "true",
        "null",
        "[]",
        "{}",
        "x",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(6, 40, 3, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", " in "]);
        let method = prop::sample::select(vec!["size", "trim", "join", "lowerAscii"]);
        let one = prop::sample::select(vec!["contains", "startsWith", "split", "join"]);
        let function = prop::sample::select(vec!["size", "string", "int", "uint", "double", "bool"]);
        let each = prop::sample::select(vec!["map", "filter", "all", "exists", "exists_one"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("({a}{o}{b})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a}?{b}:{c})")),
            (inner.clone(), method).prop_map(|(a, f)| format!("{a}.{f}()")),
            (inner.clone(), one, inner.clone()).prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
            (inner.clone(), function).prop_map(|(a, f)| format!("{f}({a})")),
            (inner.clone(), each, inner.clone()).prop_map(|(a, f, b)| format!("{a}.{f}(x, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{'k': {a}, string({b}): 1}}")),
            inner.clone().prop_map(|a| format!("{a}.a")),
            inner.clone().prop_map(|a| format!("!{a}")),
            inner.prop_map(|a| format!("-{a}")),
        ]
    })
}

fn everything(template: &str) {
    let world = world();
    let scope = world.scope();
    for variables in [Variables::Request, Variables::Response] {
        let _ = Text::compile(template, variables).map(|t| t.render_header(&scope));
        let _ = Condition::compile(template, variables).map(|t| t.evaluate(&scope));
        let _ = Url::compile(&format!("http://stock/{template}"), variables).map(|t| t.render(&scope));
        let _ = Json::compile(&json!([template]), variables).map(|t| t.render(&scope));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_ends_with_a_value_or_an_error(template in any::<String>(), expression in any_expression()) {
        on_small_stack(move || {
            everything(&template);
            everything(&expression);
            everything(&format!("a ${{{expression}}} b"));
        });
    }

    #[test]
    fn a_well_formed_expression_gives_the_same_result_twice(expression in well_formed()) {
        let template = format!("${{{expression}}}");
        prop_assert_eq!(result(&template), result(&template));
    }
}
