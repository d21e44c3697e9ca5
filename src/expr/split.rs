//! A template cut into its parts.

use crate::expr::error::{CompileError, Problem, Site};
use crate::expr::lex::{self, Kind};
use crate::expr::limit;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text as it is; `$${` has become `${`.
    Literal(String),
    /// The source of an expression, and where its `${` begins, in characters from 1.
    Expression { source: &'a str, column: usize },
}

/// Cuts `template` at its `${...}`. Literals are never empty and never side by side.
///
/// # Errors
/// An expression without end, with an open quote, empty, or one too many of them.
pub(super) fn split(template: &str) -> Result<Vec<Piece<'_>>, CompileError> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    let mut expressions = 0;
    while let Some(found) = template[at..].find("${") {
        let dollar = at + found;
        if template[at..dollar].ends_with('$') {
            literal.push_str(&template[at..dollar]);
            literal.push('{');
            at = dollar + 2;
            continue;
        }
        literal.push_str(&template[at..dollar]);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        let column = template[..dollar].chars().count() + 1;
        let fail = |problem| CompileError { site: Box::new(Site::new(&template[dollar..], column)), problem };
        expressions += 1;
        if expressions > limit::EXPRESSIONS_PER_TEMPLATE {
            return Err(fail(Problem::TooLarge {
                what: "the number of expressions in one template",
                limit: limit::EXPRESSIONS_PER_TEMPLATE,
                hint: "pass a whole map or list with one expression",
            }));
        }
        let end = closing_brace(template, dollar + 2).map_err(fail)?;
        let source = &template[dollar + 2..end];
        if source.trim().is_empty() {
            return Err(fail(Problem::Empty));
        }
        pieces.push(Piece::Expression { source, column });
        at = end + 1;
    }
    literal.push_str(&template[at..]);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// The byte of the `}` that ends the expression beginning at the byte `from`: braces of maps inside it are passed,
/// and so are braces inside texts.
fn closing_brace(template: &str, from: usize) -> Result<usize, Problem> {
    let mut depth = 0usize;
    let mut at = from;
    while let Some(token) = lex::next(template, at) {
        at = token.end;
        match token.kind {
            Kind::Symbol("{") => depth += 1,
            Kind::Symbol("}") if depth == 0 => return Ok(token.start),
            Kind::Symbol("}") => depth -= 1,
            Kind::Unclosed => return Err(Problem::UnclosedText(template[..token.start].chars().count() + 1)),
            Kind::Text | Kind::Bytes | Kind::Word | Kind::Symbol(_) | Kind::Foreign => {}
        }
    }
    Err(Problem::Unclosed)
}
