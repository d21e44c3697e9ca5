//! What is refused, and what the message says.

use super::result;
use crate::expr::{Text, Variables};

#[test]
fn messages_of_compiling_say_what_was_found_where_and_what_to_do() {
    let table = [
        ("ab ${", "`${` (column 4): `${` has no closing `}`; write `$${` for a literal `${`"),
        ("é ${input.n", "`${input.n` (column 3): `${` has no closing `}`; write `$${` for a literal `${`"),
        ("${'abc}", "`${'abc}` (column 1): the text that begins at column 3 has no closing quote"),
        ("${ }", "`${ }` (column 1): the expression is empty; write for example `${input.orderId}`"),
        (
            "${inputs.n}",
            "`${inputs.n}` (column 1): unknown variable `inputs`; known here: input, steps, run, call, response",
        ),
        ("${run.id}", "`${run.id}` (column 1): `run` has no field `id`; it has name, namespace, uid, startTime"),
        ("${call['id']}", "`${call['id']}` (column 1): `call` has no field `id`; it has key, forwardKey, direction"),
        (
            "${response.headers['ETag']}",
            "`${response.headers['ETag']}` (column 1): the names of response headers are in lower case",
        ),
        ("${has(run.x)}", "`${has(run.x)}` (column 1): `run` has no field `x`; it has name, namespace, uid, startTime"),
        ("${steps.a.x}", "`${steps.a.x}` (column 1): `steps.a` has no field `x`; it has outputs"),
        (
            "${steps[input.text].outputs.id}",
            "`${steps[input.text].outputs.id}` (column 1): outputs must be named: `steps.<name>.outputs.<output>`; the \
             step cannot be computed",
        ),
        ("${matches('a', 'b')}", "`${matches('a', 'b')}` (column 1): write `text.matches('pattern')`"),
        (
            "${'a'.matches(input.text)}",
            "`${'a'.matches(input.text)}` (column 1): the pattern of `matches` must be a literal text",
        ),
        (
            "${'a'.matches('(')}",
            "`${'a'.matches('(')}` (column 1): the regular expression is not valid or too large; the syntax is RE2's, \
             and repetitions count in full",
        ),
        ("${1 +}", "`${1 +}` (column 1): not a valid CEL expression: mismatched input the end at character 4 of it"),
        ("${b'a'}", "`${b'a'}` (column 1): bytes are not supported; JSON has none, use a text"),
        ("${A{b: 1}}", "`${A{b: 1}}` (column 1): messages are not supported; write a map: `{'name': value}`"),
        (
            "${[1].map(run, 1)}",
            "`${[1].map(run, 1)}` (column 1): `run` is a variable already; choose another name inside \
                                the comprehension",
        ),
    ];
    for (source, expected) in table {
        assert_eq!(result(source), expected, "{source}");
    }
}

#[test]
fn messages_of_rendering_name_types_and_rules_but_no_values() {
    let table = [
        (
            "a ${input.none}",
            "`${input.none}` (column 3): the value is null and cannot be part of a text; use `has(...)` or \
                             `!= null` with `? :`",
        ),
        ("${input.x}", "`${input.x}` (column 1): there is no `x`; test with `has(...)` if it is optional"),
        (
            "${input[input.text]}",
            "`${input[input.text]}` (column 1): there is no member with this key; test with `key in map` if it is \
             optional",
        ),
        ("${input.text.x}", "`${input.text.x}` (column 1): `x` was asked of a text, which is not a map"),
        ("${has(input.none.x)}", "`${has(input.none.x)}` (column 1): `x` was asked of null, which is not a map"),
        ("${input.list[3]}", "`${input.list[3]}` (column 1): the index is outside of the list, which has 3 elements"),
        ("${input.list[-1]}", "`${input.list[-1]}` (column 1): the index is outside of the list, which has 3 elements"),
        (
            "${input.n + 1.5}",
            "`${input.n + 1.5}` (column 1): `+` does not work on an int and a double; convert with `int(...)`, \
             `uint(...)` or `double(...)`",
        ),
        (
            "${'n' + input.n}",
            "`${'n' + input.n}` (column 1): `+` does not work on a text and an int; convert with `string(...)`",
        ),
        ("${1 / 0}", "`${1 / 0}` (column 1): division by zero"),
        ("${1u % 0u}", "`${1u % 0u}` (column 1): division by zero"),
        ("${1.0 / 0.0}", "`${1.0 / 0.0}` (column 1): the result is not a finite number, which JSON cannot hold"),
        ("${input.low - 1}", "`${input.low - 1}` (column 1): the result of `-` is too large for its type"),
        ("${input.low / -1}", "`${input.low / -1}` (column 1): the result of `/` is too large for its type"),
        ("${-input.low}", "`${-input.low}` (column 1): the result of `-` is too large for its type"),
        ("${int(input.text)}", "`${int(input.text)}` (column 1): the value cannot be converted by `int(...)`"),
        (
            "${int(9223372036854775808.0)}",
            "`${int(9223372036854775808.0)}` (column 1): the value cannot be converted by \
                                           `int(...)`",
        ),
        ("${{'a': 1, 'a': 2}}", "`${{'a': 1, 'a': 2}}` (column 1): a key of the map is there twice"),
        ("${{1: 2}}", "`${{1: 2}}` (column 1): a key of a map must be a text, but is an int"),
        ("${input.n ? 1 : 2}", "`${input.n ? 1 : 2}` (column 1): the condition of `? :` must be a bool, but is an int"),
        (
            "${input.text.map(x, x)}",
            "`${input.text.map(x, x)}` (column 1): the range of a comprehension must be a list or a map, but is a text",
        ),
    ];
    for (source, expected) in table {
        assert_eq!(result(source), expected, "{source}");
    }
}

#[test]
fn an_answer_cannot_be_read_before_the_call() {
    let error = Text::compile("${response.status}", Variables::Request).unwrap_err().to_string();
    assert_eq!(
        error,
        "`${response.status}` (column 1): unknown variable `response`; known here: input, steps, run, call (there is no \
         response before the call)"
    );
}

#[test]
fn a_variable_without_value_is_an_error() {
    let world = super::world();
    let scope = crate::expr::Scope::new(&world.input, world.scope().run);
    for (source, name) in [("${call.key}", "call"), ("${response}", "response"), ("${[call]}", "call")] {
        let error = Text::compile(source, Variables::Response).unwrap().render(&scope).unwrap_err().to_string();
        assert_eq!(error, format!("`{source}` (column 1): `{name}` has no value here"));
    }
}

#[test]
fn nothing_reads_a_clock_or_randomness() {
    for source in [
        "now()",
        "timestamp('2026-01-01T00:00:00Z')",
        "duration('1h')",
        "getDate()",
        "random()",
        "uuid()",
        "rand()",
        "input.now()",
        "optional.none()",
        "type(1)",
        "env('HOME')",
        "max(1, 2)",
        "dyn(1)",
    ] {
        let message = result(&format!("${{{source}}}"));
        assert!(message.contains("unknown function `") || message.contains("unknown variable"), "{source}: {message}");
    }
}

#[test]
fn long_expressions_are_shortened_in_messages() {
    let message = result(&format!("${{input.{}\n}}", "x".repeat(200)));
    assert!(message.len() < 250, "{message}");
    assert!(!message.contains('\n'));
}

#[test]
fn header_values_refuse_what_would_end_the_header() {
    for (value, message) in [
        ("a\r\nb", "the value holds control characters"),
        ("a\u{0}", "the value holds control characters"),
        ("a\u{7f}", "the value holds control characters"),
        ("a\tb", "the value holds control characters"),
        ("é", "the value holds characters outside of ASCII, which a header cannot carry"),
    ] {
        let world = super::World::new(serde_json::json!({ "v": value }));
        let text = Text::compile("v ${input.v}", Variables::Request).unwrap();
        assert_eq!(
            text.render_header(&world.scope()).unwrap_err().to_string(),
            format!("`${{input.v}}` (column 3): {message}")
        );
        assert!(Text::compile(value, Variables::Request).unwrap().render_header(&world.scope()).is_err());
    }
    let text = Text::compile("Bearer ${input.text}", Variables::Request).unwrap();
    assert_eq!(text.render_header(&super::world().scope()).unwrap(), "Bearer abc");
}
