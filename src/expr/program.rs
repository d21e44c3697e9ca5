//! One expression, compiled.

use crate::expr::budget::Budget;
use crate::expr::error::{CompileError, EvalError, Fault, Site};
use crate::expr::eval::eval;
use crate::expr::node::Node;
use crate::expr::scope::Scope;
use crate::expr::value::Value;
use crate::expr::{Reference, Variables, lower, parse};

/// An expression and the place where it stands.
#[derive(Clone, Debug)]
pub(super) struct Program {
    node: Node,
    site: Site,
}

impl Program {
    /// Compiles the text between `${` and `}`; appends what it refers to.
    ///
    /// # Errors
    /// A [`Problem`] at `column`.
    pub(super) fn compile(
        source: &str,
        column: usize,
        variables: Variables,
        references: &mut Vec<Reference>,
    ) -> Result<Self, CompileError> {
        let site = Site::new(&format!("${{{source}}}"), column);
        match parse::parse(source, |expression, texts| lower::lower(expression, texts, variables)) {
            Ok((node, found)) => {
                references.extend(found);
                Ok(Program { node, site })
            }
            Err(problem) => Err(CompileError { site: Box::new(site), problem }),
        }
    }

    /// Evaluates the expression and hands its value to `then`.
    ///
    /// # Errors
    /// What evaluation and `then` answer, with the place.
    pub(super) fn evaluate<T>(
        &self,
        scope: &Scope<'_>,
        budget: &mut Budget,
        then: impl FnOnce(&Value<'_>, &mut Budget) -> Result<T, Fault>,
    ) -> Result<T, EvalError> {
        eval(&self.node, scope, budget)
            .and_then(|value| then(&value, budget))
            .map_err(|fault| EvalError { site: Box::new(self.site.clone()), fault })
    }

    /// A fault found by whoever uses the value.
    pub(super) fn fault(&self, fault: Fault) -> EvalError {
        EvalError { site: Box::new(self.site.clone()), fault }
    }
}
