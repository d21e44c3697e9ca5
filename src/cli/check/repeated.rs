//! Lists in which an item may stand once. JSON Schema compares items as a whole and names the list; the API server
//! compares keys and names the item.

use serde_json::Value;

use super::schema::{Mistake, member};

/// Adds the second of two equal items of a set, and of two items with the same key of a list that is merged by it.
pub(super) fn check(structural: &Value, value: &Value, path: &str, mistakes: &mut Vec<Mistake>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                check(&structural["properties"][name], value, &member(path, name), mistakes);
            }
        }
        Value::Array(items) => {
            let identities: Vec<Value> = items.iter().filter_map(|item| identity(structural, item)).collect();
            for (index, identity) in identities.iter().enumerate() {
                if identities.iter().take(index).any(|earlier| earlier == identity) {
                    let message = format!("Duplicate value: {identity}");
                    mistakes.push(Mistake { field: format!("{path}[{index}]"), message });
                }
            }
            for (index, item) in items.iter().enumerate() {
                check(&structural["items"], item, &format!("{path}[{index}]"), mistakes);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What of an item may stand once in its list.
fn identity(list: &Value, item: &Value) -> Option<Value> {
    match list["x-kubernetes-list-type"].as_str()? {
        "set" => Some(item.clone()),
        "map" => {
            let keys = list["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
            Some(Value::Object(keys.map(|key| (key.to_owned(), item[key].clone())).collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::Schema;
    use super::*;

    #[test]
    fn what_stands_twice_where_it_may_stand_once_is_named_at_its_second_place() {
        let mut schemas = Schema::all().expect("schemas");
        let decision = |id: &str| {
            json!({
                "id": id, "step": "a", "direction": "Forward", "action": "Retry", "reason": "r", "requestedBy": "x",
            })
        };
        let decisions = ["1", "2", "1"].map(decision);
        let mut run = json!({
            "apiVersion": "sagas.dev/v1alpha1", "kind": "SagaRun", "metadata": {"name": "a"},
            "spec": {"definitionRef": {"name": "a"}, "interventions": decisions},
        });
        let said: Vec<Mistake> = schemas.remove(1).1.judge(&mut run);
        let twice = r#"Duplicate value: {"id":"1"}"#.to_owned();
        assert_eq!(said, [Mistake { field: "spec.interventions[2]".to_owned(), message: twice }]);
        let call = json!({"http": {"url": "http://a/"}});
        let step = |name: &str, after: &[&str]| json!({"name": name, "dependsOn": after, "action": call, "compensation": call});
        let mut definition = json!({
            "apiVersion": "sagas.dev/v1alpha1", "kind": "SagaDefinition", "metadata": {"name": "a"},
            "spec": {"steps": [step("a", &[]), step("b", &["a", "a"])]},
        });
        let said: Vec<Mistake> = schemas.remove(0).1.judge(&mut definition);
        let twice = r#"Duplicate value: "a""#.to_owned();
        assert_eq!(said, [Mistake { field: "spec.steps[1].dependsOn[1]".to_owned(), message: twice }]);
    }
}
