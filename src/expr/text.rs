//! A template whose result is text: header values.

use crate::expr::budget::Budget;
use crate::expr::error::{CompileError, EvalError, Fault, Site};
use crate::expr::scope::Scope;
use crate::expr::template::{Template, sorted, with_stack};
use crate::expr::{Reference, Variables};

/// A template that renders to text.
#[derive(Clone, Debug)]
pub struct Text {
    template: Template,
    references: Vec<Reference>,
}

impl Text {
    /// Compiles a template.
    ///
    /// # Errors
    /// The first [`super::Problem`].
    pub fn compile(source: &str, variables: Variables) -> Result<Self, CompileError> {
        let mut references = Vec::new();
        let template = Template::compile(source, variables, &mut references)?;
        Ok(Text { template, references: sorted(references) })
    }

    /// Renders the text, at most 1 MiB: texts as they are, everything else as compact JSON.
    ///
    /// # Errors
    /// Null, and every other [`Fault`].
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        if let Some(text) = self.template.constant() {
            return Ok(text.to_owned());
        }
        with_stack(|| self.template.join(scope, &mut Budget::new()))
    }

    /// Renders the text as the value of a header.
    ///
    /// # Errors
    /// As [`Text::render`]; also control characters (CR, LF, NUL...) and characters outside of ASCII.
    pub fn render_header(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        let text = self.render(scope)?;
        let fault = if text.chars().any(char::is_control) {
            Fault::Control
        } else if !text.is_ascii() {
            Fault::NotAscii
        } else {
            return Ok(text);
        };
        // The value is not told: it may be a secret of the participant.
        Err(EvalError { site: Box::new(Site::new("the header value", 1)), fault })
    }

    /// What the template reads from earlier steps; sorted, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }
}
