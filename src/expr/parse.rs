//! The `cel` crate's parser, held in bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::parser::{Expression, Parser};

use crate::expr::error::{Problem, shorten};
use crate::expr::{guard, limit};

/// Parses `source` and hands the tree to `then`, all on a stack that is large enough: also dropping the tree recurses.
///
/// # Errors
/// What [`guard`] refuses, what is not CEL, and what `then` answers.
pub(super) fn parse<T>(source: &str, then: impl FnOnce(&Expression) -> Result<T, Problem>) -> Result<T, Problem> {
    guard::check(source)?;
    stacker::grow(limit::PARSE_STACK, || {
        let parser = Parser::new().max_recursion_depth(96);
        // The parser holds `expect`s for input that its own error recovery makes up; a definition must not end the
        // process by one of them. Nothing of it is used afterwards.
        match catch_unwind(AssertUnwindSafe(|| parser.parse(source))) {
            Ok(Ok(expression)) => then(&expression),
            Ok(Err(errors)) => Err(Problem::Syntax(first(source, &errors.errors))),
            Err(_) => Err(Problem::Syntax("the parser gave up on it".to_owned())),
        }
    })
}

/// The first error: the others mostly follow from it.
fn first(source: &str, errors: &[cel::ParseError]) -> String {
    let Some(error) = errors.first() else { return "the parser gave up on it".to_owned() };
    let message = error.msg.trim_start_matches("Syntax error: ");
    // What follows is the list of all tokens that would have been right.
    let message = message.split(" expecting ").next().unwrap_or(message);
    let message = message.replace("'<EOF>'", "the end");
    if source.lines().count() > 1 {
        return format!("{} at line {}, character {} of it", shorten(&message), error.pos.0, error.pos.1);
    }
    format!("{} at character {} of it", shorten(&message), error.pos.1)
}
