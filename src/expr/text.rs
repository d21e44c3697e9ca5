//! A template whose result is text: header values.

use crate::expr::budget::Budget;
use crate::expr::error::{CompileError, EvalError, Fault, Site};
use crate::expr::scope::Scope;
use crate::expr::template::{Template, any, sorted, with_stack};
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
        self.render_checked(scope, any)
    }

    /// Renders the text as the value of a header.
    ///
    /// # Errors
    /// As [`Text::render`]; also control characters (CR, LF, NUL...) and characters outside of ASCII.
    pub fn render_header(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        let text = self.render_checked(scope, header)?;
        // The literal parts. The text is not told: whoever reads the message need not know it.
        header(&text).map_err(|fault| EvalError { site: Box::new(Site::new("the literal text", 1)), fault })?;
        Ok(text)
    }

    fn render_checked(&self, scope: &Scope<'_>, check: fn(&str) -> Result<(), Fault>) -> Result<String, EvalError> {
        if let Some(text) = self.template.constant() {
            return Ok(text.to_owned());
        }
        with_stack(|| self.template.join(scope, &mut Budget::new(), check))
    }

    /// What the template reads from earlier steps; sorted, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }
}

fn header(text: &str) -> Result<(), Fault> {
    if text.chars().any(char::is_control) {
        return Err(Fault::Control);
    }
    if text.is_ascii() { Ok(()) } else { Err(Fault::NotAscii) }
}
