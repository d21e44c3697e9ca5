//! Speed, measured on demand: `cargo test --release expr::tests::speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{World, world};
use crate::expr::{Condition, Json, Single, Text, Url, Variables};

/// Repetitions a second.
fn rate(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut count = 0u32;
    while start.elapsed() < Duration::from_millis(500) {
        for _ in 0..100 {
            work();
        }
        count += 100;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "measures, decides nothing"]
fn renders_a_second() {
    let world = world();
    let scope = world.scope();
    let show = |name: &str, rate: f64| println!("{name:45} {rate:12.0} /s");
    let text = |source| Text::compile(source, Variables::Response).unwrap();
    let [plain, member, output] =
        ["application/json", "${input.map.a.c}", "${steps.a.outputs.id}-${run.uid}"].map(text);
    show("text without expression", rate(|| drop(black_box(plain.render(&scope)))));
    show("text of one member", rate(|| drop(black_box(member.render(&scope)))));
    show("text of two members", rate(|| drop(black_box(output.render(&scope)))));
    let url = Url::compile("http://stock/orders/${input.text}/items?key=${call.key}", Variables::Request).unwrap();
    show("url with two values", rate(|| drop(black_box(url.render(&scope)))));
    let body = json!({"order": "${input.text}", "id": "${steps.a.outputs.id}", "n": "${input.n + 1}", "at": "x", "m": "${input.map}"});
    let document = Json::compile(&body, Variables::Request).unwrap();
    show("body with four expressions", rate(|| drop(black_box(document.render(&scope)))));
    let when = Condition::compile("${response.status == 201 && response.body.ok}", Variables::Response).unwrap();
    show("condition", rate(|| drop(black_box(when.evaluate(&scope)))));
    let list =
        Single::compile("${response.body.items.filter(i, i.id != 'p-1').map(i, i.id)}", Variables::Response).unwrap();
    show("filter and map of two", rate(|| drop(black_box(list.evaluate(&scope)))));
    show("building the scope", rate(|| drop(black_box(world.scope()))));
    let matches = text("${input.text.matches('^[a-z]{1,20}$')}");
    show("matches", rate(|| drop(black_box(matches.render(&scope)))));
    show("compile of a member", rate(|| drop(black_box(Text::compile("${input.map.a.c}", Variables::Request)))));
    let source = "${input.n == 1 && has(input.map.a) ? 'x' + input.text : steps.a.outputs.id}";
    show("compile of a condition", rate(|| drop(black_box(Text::compile(source, Variables::Request)))));
}

#[test]
#[ignore = "measures, decides nothing"]
fn the_most_that_one_rendering_can_take() {
    let world =
        World::new(json!({ "l": (0..100_000).collect::<Vec<_>>(), "t": "ab".repeat(400_000), "s": "abababab" }));
    for source in [
        "${input.l.map(x, input.l)}",
        "${input.l.map(x, input.l == input.l)}",
        "${input.l.map(x, [x, x, x, x, x, x, x])}",
        "${input.l.map(x, {'a': {'b': {'c': x}}})}",
        "${input.l.map(x, string(x))}",
        "${input.l.map(x, input.s + input.s)}",
        "${input.l.map(x, input.t.size())}",
        "${input.l.map(x, input.t.contains('aaaaaaaaab'))}",
        "${input.l.map(x, input.t.split(''))}",
        "${input.l.map(x, input.t.replace('a', 'ccc'))}",
        "${input.l.map(x, {input.t: input.t})}",
        "${input.l.exists(x, 'a'.matches('x'))}",
        r"${input.l.exists(x, 'a'.matches('\\\\w{90}x'))}",
        "${input.l.exists(x, 'a'.matches('[^a]{90}x'))}",
        "${input.l.exists(x, input.t.matches('(a*)*(a|b|ab)*c'))}",
        r"${input.l.exists(x, input.t.matches('(\\w|a|b|ab){1,30}c'))}",
    ] {
        let start = Instant::now();
        let result = Single::compile(source, Variables::Request).unwrap().evaluate(&world.scope());
        let result = result.map_or_else(|e| e.fault.to_string(), |_| "a value".to_owned());
        println!("{:10.1?} {source}: {result}", start.elapsed());
    }
}
