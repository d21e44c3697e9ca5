//! One template: rendered, or kept with what it waits for.

use serde::Serialize;
use serde_json::Value;

use crate::expr::Reference;

/// A string of a definition.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaf {
    /// What is sent; the template where that is not known yet.
    pub value: Value,
    /// What must be known to render it, such as `steps.reserveStock.outputs.id` or `input`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Why it cannot be rendered with what is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl Leaf {
    /// What is known.
    pub(super) const fn known(value: Value) -> Self {
        Self { value, depends_on: Vec::new(), fault: None }
    }

    /// A template that must wait.
    pub(super) fn waiting(template: &str, depends_on: Vec<String>) -> Self {
        Self { value: template.into(), depends_on, fault: None }
    }

    /// A template that fails.
    pub(super) fn failing(template: &str, fault: String) -> Self {
        Self { value: template.into(), depends_on: Vec::new(), fault: Some(fault) }
    }

    /// Whether the template stands for itself.
    pub fn is_open(&self) -> bool {
        !self.depends_on.is_empty() || self.fault.is_some()
    }

    /// As text.
    pub fn text(&self) -> String {
        self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned)
    }
}

/// `steps.reserveStock.outputs.id`
pub(super) fn path(reference: &Reference) -> String {
    let output = reference.output.as_ref().map(|output| format!(".{output}")).unwrap_or_default();
    format!("steps.{}.outputs{output}", reference.step)
}

/// Whether an expression of a template names `input`. One that only holds the word in a text counts too: then the
/// template is shown instead of its value, which is no lie.
pub(super) fn names_input(template: &str) -> bool {
    template.split("${").skip(1).any(|expression| {
        expression.match_indices("input").any(|(at, word)| {
            let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let before = expression[..at].chars().next_back();
            let after = expression[at + word.len()..].chars().next();
            !before.is_some_and(|c| name(c) || c == '.') && !after.is_some_and(name)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_that_names_the_input_is_found() {
        assert!(names_input("a ${input.b}"));
        assert!(names_input("${size(input)}"));
        assert!(!names_input("input ${steps.input.outputs.a}"));
        assert!(!names_input("${inputs.a} ${myinput}"));
    }
}
