//! A template in one string whose result is any JSON: outputs.

use serde_json::Value;

use crate::expr::budget::Budget;
use crate::expr::error::{CompileError, EvalError};
use crate::expr::scope::Scope;
use crate::expr::template::{Template, any, sorted, with_stack};
use crate::expr::{Reference, Variables};

/// A template that renders to a JSON value: typed where it is exactly one `${...}`, else text.
#[derive(Clone, Debug)]
pub struct Single {
    template: Template,
    references: Vec<Reference>,
}

impl Single {
    /// Compiles a template.
    ///
    /// # Errors
    /// The first [`super::Problem`].
    pub fn compile(source: &str, variables: Variables) -> Result<Self, CompileError> {
        let mut references = Vec::new();
        let template = Template::compile(source, variables, &mut references)?;
        Ok(Single { template, references: sorted(references) })
    }

    /// Evaluates to at most 1 MiB and 64 levels.
    ///
    /// # Errors
    /// Every [`super::Fault`].
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        if let Some(text) = self.template.constant() {
            return Ok(Value::String(text.to_owned()));
        }
        let budget = &mut Budget::new();
        with_stack(|| match self.template.single() {
            Some(program) => program.evaluate(scope, budget, |value, budget| value.to_json(budget)),
            None => self.template.join(scope, budget, any).map(Value::String),
        })
    }

    /// What the template reads from earlier steps; sorted, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }
}
