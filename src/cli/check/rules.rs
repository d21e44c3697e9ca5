//! The admission rules of the CRDs, evaluated here by the same text.
//!
//! # Caveats
//! Rules about a change (`oldSelf`) say nothing about a manifest. The rules are our own, so the evaluator that needs no
//! bounds is good enough; one that it cannot evaluate is reported, and the tests allow none.

use std::collections::HashMap;

use cel::Program;
use serde_json::Value;

use super::functions;
use super::schema::{Mistake, member};

/// Without optimisation the parser needs that much for the longest rule.
const STACK: usize = 64 << 20;

/// Adds what the rules of `schema` refuse in `value` and below. Where the `shape` is wrong already, a rule that cannot
/// be evaluated says nothing.
pub(super) fn check(schema: &Value, value: &Value, path: &str, shape: bool, mistakes: &mut Vec<Mistake>) {
    stacker::grow(STACK, || Walk { shape, mistakes }.walk(schema, value, path));
}

struct Walk<'a> {
    shape: bool,
    mistakes: &'a mut Vec<Mistake>,
}

impl Walk<'_> {
    fn walk(&mut self, schema: &Value, value: &Value, path: &str) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            self.rule(rule, value, path);
        }
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    self.walk(&schema["properties"][name], value, &member(path, name));
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.walk(&schema["items"], item, &format!("{path}[{index}]"));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn rule(&mut self, rule: &Value, value: &Value, path: &str) {
        let text = rule["rule"].as_str().unwrap_or_default();
        if text.contains("oldSelf") {
            return;
        }
        let field = format!("{path}{}", rule["fieldPath"].as_str().unwrap_or_default());
        let message = match holds(text, value) {
            Ok(true) => return,
            Ok(false) => refusal(rule, value),
            Err(_) if !self.shape => return,
            Err(error) => format!("failed to evaluate the rule `{text}`: {error}"),
        };
        self.mistakes.push(Mistake { field, message });
    }
}

/// As the API server files it.
fn refusal(rule: &Value, value: &Value) -> String {
    let message = rule["message"].as_str().or_else(|| rule["rule"].as_str()).unwrap_or_default();
    match rule["reason"].as_str() {
        Some("FieldValueRequired") => format!("Required value: {message}"),
        Some("FieldValueForbidden") => format!("Forbidden: {message}"),
        Some(_) | None => match value {
            Value::Object(_) | Value::Array(_) => format!("Invalid value: {message}"),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                format!("Invalid value: {value}: {message}")
            }
        },
    }
}

fn holds(rule: &str, value: &Value) -> Result<bool, String> {
    let program = Program::compile(rule).map_err(|error| error.to_string())?;
    let mut context = functions::context();
    context.add_variable_from_value("self", converted(value));
    match program.execute(&context) {
        Ok(cel::Value::Bool(holds)) => Ok(holds),
        Ok(_) => Err("it gives no bool".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whole numbers are ints, as the API server has them.
fn converted(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => number
            .as_i64()
            .map(cel::Value::Int)
            .or_else(|| number.as_u64().map(cel::Value::UInt))
            .unwrap_or_else(|| cel::Value::Float(number.as_f64().unwrap_or_default())),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(converted).collect::<Vec<_>>().into(),
        Value::Object(members) => {
            members.iter().map(|(key, member)| (key.clone(), converted(member))).collect::<HashMap<_, _>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The functions that stand in rules, each as the API server has it. (Macros are gone when a rule is parsed, those
    /// over two variables apart.)
    const KNOWN: [&str; 7] = ["all", "endsWith", "exists", "isSorted", "lowerAscii", "size", "startsWith"];

    fn rules(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                let own = members.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
                found.extend(own.filter_map(|rule| rule["rule"].as_str()).map(str::to_owned));
                members.values().for_each(|value| rules(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| rules(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// A rule of a shape that was not thought of shows itself as a mistake of every manifest, so this looks first.
    #[test]
    fn every_rule_of_the_crds_compiles_and_has_only_known_functions() {
        let mut all = Vec::new();
        for crd in crate::api::schema::crds() {
            rules(&serde_json::to_value(crd).expect("JSON"), &mut all);
        }
        all.retain(|rule| !rule.contains("oldSelf"));
        assert!(all.len() > 12, "{all:?}");
        stacker::grow(STACK, || {
            for rule in all {
                let program = Program::compile(&rule);
                assert!(program.is_ok(), "{rule}");
                let program = program.expect("looked at above");
                let references = program.references();
                let named = |word: &&str| word.starts_with(|first: char| first.is_ascii_alphabetic());
                let unknown: Vec<&str> = references.functions().into_iter().filter(named).collect();
                assert!(unknown.iter().all(|name| KNOWN.contains(name)), "{rule}: {unknown:?}");
            }
        });
    }

    /// What stands in a rule is evaluated on what it was written for: a list of steps.
    #[test]
    fn the_rules_about_steps_hold_or_do_not() {
        let rules: Vec<String> = {
            let mut all = Vec::new();
            rules(&serde_json::to_value(crate::api::schema::crds().remove(0)).expect("JSON"), &mut all);
            all.into_iter().filter(|rule| rule.contains("dependsOn") || rule.contains("Retriable")).collect()
        };
        assert_eq!(rules.len(), 3, "{rules:?}");
        let step = |name: &str, role: &str| json!({"name": name, "role": role});
        let after = |name: &str, role: &str, names: &[&str]| json!({"name": name, "role": role, "dependsOn": names});
        let said = |steps: Value| -> Vec<bool> {
            stacker::grow(STACK, || rules.iter().map(|rule| holds(rule, &steps).expect("a bool")).collect())
        };
        let (c, p, r, o) = ("Compensatable", "Pivot", "Retriable", "ReadOnly");
        assert_eq!(said(json!([step("a", c), step("b", o), step("p", p), step("r", r), step("o", o)])), [true; 3]);
        assert_eq!(said(json!([step("a", c), step("r", r)])), [false, true, true]);
        assert_eq!(said(json!([step("p", p), step("a", c)])), [true, true, false]);
        assert_eq!(said(json!([step("p", p), after("a", c, &[]), step("b", c)])), [true, true, true]);
        assert_eq!(said(json!([after("a", c, &["b"]), step("b", c)])), [true, false, true]);
        assert_eq!(said(json!([step("a", c), after("b", c, &["a", "b"])])), [true, false, true]);
    }

    #[test]
    fn whole_numbers_compare_with_literals() {
        let said = stacker::grow(STACK, || {
            let rule = |rule| holds(rule, &json!({"a": 1, "b": -1, "c": ["X"], "d": null}));
            [
                rule("self.a > 0 && self.b < 0"),
                rule("self.c[0].lowerAscii() == 'x'"),
                rule("has(self.e)"),
                rule("self.a"),
            ]
        });
        assert_eq!(said[..3], [Ok(true), Ok(true), Ok(false)]);
        assert!(said[3].is_err());
    }
}
