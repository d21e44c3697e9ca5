//! A template, compiled: what all forms share.

use crate::expr::budget::Budget;
use crate::expr::error::{CompileError, EvalError, Fault, Problem, Site};
use crate::expr::program::Program;
use crate::expr::scope::Scope;
use crate::expr::split::{Piece, split};
use crate::expr::{Reference, Variables, limit};

/// Literal text and expressions in turn.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(String),
    Expression(Program),
}

impl Template {
    /// Compiles a template; appends what it refers to.
    pub(super) fn compile(
        source: &str,
        variables: Variables,
        references: &mut Vec<Reference>,
    ) -> Result<Self, CompileError> {
        let parts = split(source)?
            .into_iter()
            .map(|piece| match piece {
                Piece::Literal(text) => Ok(Part::Literal(text)),
                Piece::Expression { source, column } => {
                    Program::compile(source, column, variables, references).map(Part::Expression)
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Template { parts })
    }

    /// The expression, where the template is nothing else.
    pub(super) fn single(&self) -> Option<&Program> {
        match &self.parts[..] {
            [Part::Expression(program)] => Some(program),
            _ => None,
        }
    }

    /// The text, where the template holds no expression.
    pub(super) fn constant(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Joins the parts as text; `check` sees the text of each expression.
    pub(super) fn join(
        &self,
        scope: &Scope<'_>,
        budget: &mut Budget,
        check: fn(&str) -> Result<(), Fault>,
    ) -> Result<String, EvalError> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Expression(program) => program.evaluate(scope, budget, |value, budget| {
                    let from = out.len();
                    value.write_text(&mut out, budget)?;
                    check(&out[from..])
                })?,
            }
        }
        Ok(out)
    }
}

/// The check of a place that takes any text.
pub(super) fn any(_: &str) -> Result<(), Fault> {
    Ok(())
}

/// Compiles a string that must be one expression and nothing beside it; spaces around it do no harm.
pub(super) fn only_expression(
    source: &str,
    variables: Variables,
    references: &mut Vec<Reference>,
) -> Result<Program, CompileError> {
    match &split(source.trim())?[..] {
        [Piece::Expression { source, column }] => Program::compile(source, *column, variables, references),
        _ => Err(CompileError { site: Box::new(Site::new(source, 1)), problem: Problem::NotOneExpression }),
    }
}

/// Runs an evaluation where there is enough stack for it.
pub(super) fn with_stack<T>(evaluate: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(limit::EVAL_RED_ZONE, limit::EVAL_STACK, evaluate)
}

/// Sorted, each once.
pub(super) fn sorted(mut references: Vec<Reference>) -> Vec<Reference> {
    references.sort();
    references.dedup();
    references
}
