//! A template whose result is a decision: `when`.

use crate::expr::budget::Budget;
use crate::expr::error::{CompileError, EvalError, Fault};
use crate::expr::program::Program;
use crate::expr::scope::Scope;
use crate::expr::template::{only_expression, sorted, with_stack};
use crate::expr::value::Value;
use crate::expr::{Reference, Variables};

/// Exactly one `${...}` that gives a bool.
#[derive(Clone, Debug)]
pub struct Condition {
    program: Program,
    references: Vec<Reference>,
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// The first [`super::Problem`]; also anything beside the one expression.
    pub fn compile(source: &str, variables: Variables) -> Result<Self, CompileError> {
        let mut references = Vec::new();
        let program = only_expression(source, variables, &mut references)?;
        Ok(Condition { program, references: sorted(references) })
    }

    /// Decides.
    ///
    /// # Errors
    /// A value that is not a bool, and every other [`Fault`].
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        let bool = |value: &Value<'_>, _: &mut Budget| {
            if let Value::Bool(value) = value {
                return Ok(*value);
            }
            Err(Fault::Type { place: "a condition", wanted: "a bool", found: value.kind() })
        };
        with_stack(|| self.program.evaluate(scope, &mut Budget::new(), bool))
    }

    /// What the condition reads from earlier steps; sorted, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }
}
