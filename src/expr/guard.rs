//! What must be refused before the parser sees it: the parser recurses, and a stack overflow cannot be caught.

use crate::expr::error::Problem;
use crate::expr::lex::{self, Kind};
use crate::expr::limit;

/// Scans an expression for length, nesting and number of operators.
///
/// # Errors
/// A limit, a character outside of CEL, bytes, or `!!` and `--`, which the parser gets wrong (it visits the operand
/// twice, so that nesting doubles its work, and then drops only one of the two operators).
pub(super) fn check(source: &str) -> Result<(), Problem> {
    if source.chars().count() > limit::EXPRESSION_CHARS {
        return Err(Problem::TooLarge {
            what: "the length of an expression in characters",
            limit: limit::EXPRESSION_CHARS,
            hint: "let the participant compute it, or use several expressions",
        });
    }
    let (mut depth, mut conditionals, mut symbols) = (0usize, 0usize, 0usize);
    // Whether an operand stands before the token, and the unary operator just before it.
    let (mut operand, mut unary) = (false, "");
    let mut at = 0;
    while let Some(token) = lex::next(source, at) {
        at = token.end;
        let symbol = match token.kind {
            Kind::Symbol(symbol) => symbol,
            Kind::Text | Kind::Word => {
                // A minus after the keyword is a sign: `x in -y`.
                (operand, unary) = (&source[token.start..token.end] != "in", "");
                continue;
            }
            Kind::Bytes => return Err(Problem::Unsupported("bytes are not supported; JSON has none, use a text")),
            Kind::Unclosed => return Err(Problem::UnclosedText(source[..token.start].chars().count() + 1)),
            Kind::Foreign => {
                let found = source[token.start..token.end].escape_default();
                return Err(Problem::Syntax(format!("the character `{found}` is only allowed inside quotes")));
            }
        };
        symbols += 1;
        match symbol {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            "?" => conditionals += 1,
            "!" if unary == "!" => return Err(Problem::Unsupported("`!!` says nothing; leave it out")),
            "-" if unary == "-" => return Err(Problem::Unsupported("`--` says nothing; leave it out")),
            _ => {}
        }
        unary = if symbol == "!" || (symbol == "-" && !operand) { symbol } else { "" };
        operand = matches!(symbol, ")" | "]" | "}");
        if depth > limit::BRACKET_DEPTH {
            return Err(too_large("the nesting of brackets", limit::BRACKET_DEPTH));
        }
        if conditionals > limit::CONDITIONALS {
            return Err(too_large("the number of `? :` in an expression", limit::CONDITIONALS));
        }
        if symbols > limit::SYMBOLS {
            return Err(too_large("the number of operators and brackets in an expression", limit::SYMBOLS));
        }
    }
    Ok(())
}

fn too_large(what: &'static str, limit: usize) -> Problem {
    Problem::TooLarge { what, limit, hint: "simplify it, or split it over several fields" }
}
