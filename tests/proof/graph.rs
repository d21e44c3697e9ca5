//! The definition of a run, as far as what may happen when depends on it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Steps and what they depend on.
pub(crate) struct Graph<'a> {
    spec: &'a Value,
}

impl<'a> Graph<'a> {
    pub(crate) const fn new(spec: &'a Value) -> Self {
        Self { spec }
    }

    fn steps(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.spec["steps"].as_array().into_iter().flatten()
    }

    fn step(&self, name: &str) -> Option<&'a Value> {
        self.steps().find(|step| step["name"] == name)
    }

    /// The definition of a call; null where there is none.
    pub(crate) fn call(&self, step: &str, direction: &str) -> &'a Value {
        let field = match direction {
            "forward" => "action",
            "compensate" => "compensation",
            other => other,
        };
        self.step(step).map_or(&Value::Null, |step| &step[field])
    }

    /// The Pivot.
    pub(crate) fn pivot(&self) -> Option<&'a str> {
        self.steps().find(|step| step["role"] == "Pivot")?["name"].as_str()
    }

    /// What a step itself names, or the one before it.
    fn depends_on(&self, name: &str) -> BTreeSet<String> {
        let all: Vec<_> = self.steps().collect();
        let place = all.iter().position(|step| step["name"] == name).unwrap_or_default();
        let named: Vec<_> = match all.get(place).and_then(|step| step["dependsOn"].as_array()) {
            Some(names) => names.iter().collect(),
            None => place.checked_sub(1).map(|before| &all[before]["name"]).into_iter().collect(),
        };
        named.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// All that a step depends on, directly or through others.
    pub(crate) fn ancestors(&self, name: &str) -> BTreeSet<String> {
        let direct = self.depends_on(name);
        let further: Vec<_> = direct.iter().flat_map(|name| self.ancestors(name)).collect();
        direct.into_iter().chain(further).collect()
    }

    /// For each step those that depend on it, directly or through others.
    pub(crate) fn dependents(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut dependents = BTreeMap::<String, BTreeSet<String>>::new();
        for step in self.steps().filter_map(|step| step["name"].as_str()) {
            for ancestor in self.ancestors(step) {
                dependents.entry(ancestor).or_default().insert(step.to_owned());
            }
        }
        dependents
    }
}
