//! The `cel` crate's parser, held in bounds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::parser::{Expression, Parser};

use crate::expr::error::{Problem, shorten};
use crate::expr::literal::Texts;
use crate::expr::{guard, limit};

/// Parses `source` and hands the tree to `then`, all on a stack that is large enough: also dropping the tree recurses.
///
/// # Errors
/// What [`guard`] refuses, what is not CEL, and what `then` answers.
pub(super) fn parse<T>(
    source: &str,
    then: impl FnOnce(&Expression, &Texts) -> Result<T, Problem>,
) -> Result<T, Problem> {
    guard::check(source)?;
    let texts = Texts::take(source)?;
    stacker::grow(limit::PARSE_STACK, || {
        let parser = Parser::new().max_recursion_depth(96);
        // The parser holds `expect`s for input that its own error recovery makes up; a definition must not end the
        // process by one of them. Nothing of it is used afterwards.
        match catch_unwind(AssertUnwindSafe(|| parser.parse(&texts.source))) {
            Ok(Ok(expression)) => then(&expression, &texts),
            Ok(Err(errors)) => Err(Problem::Syntax(first(&texts, &errors.errors))),
            Err(_) => Err(Problem::Syntax("the parser gave up on it".to_owned())),
        }
    })
}

/// The first error: the others mostly follow from it.
fn first(texts: &Texts, errors: &[cel::ParseError]) -> String {
    let Some(error) = errors.first() else { return "the parser gave up on it".to_owned() };
    let message = error.msg.trim_start_matches("Syntax error: ");
    // What follows is the list of all tokens that would have been right.
    let message = message.split(" expecting ").next().unwrap_or(message);
    let mut message = message.replace("'<EOF>'", "the end");
    for (i, value) in texts.values.iter().enumerate() {
        message = message.replace(&format!("'{i}'"), &format!("'{}'", shorten(value)));
    }
    let (line, column) = (error.pos.0.max(1) as usize, error.pos.1.max(1) as usize);
    let lines_before: usize = texts.source.split_inclusive('\n').take(line - 1).map(|l| l.chars().count()).sum();
    format!("{} at character {} of it", shorten(&message), texts.column(lines_before + column))
}
